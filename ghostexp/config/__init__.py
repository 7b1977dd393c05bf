"""From the command line to checked objects: compose, audit, build."""
