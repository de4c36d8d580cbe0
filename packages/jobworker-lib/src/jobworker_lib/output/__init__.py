"""A job's captured output: how it is laid out on disk, written and read."""
