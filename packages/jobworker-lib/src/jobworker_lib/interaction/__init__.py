"""Writing to a job that runs, and reading what it answers."""
