"""From a trained network to a file that runs fast elsewhere: fused, quantised, exported, timed."""

from ghostexp.deploy.fuse import fuse

__all__ = ["fuse"]
