"""Files that several processes share: written in one step, and owned by one process at a time."""
