"""The long-running worker: one loop, one file."""
