"""A state directory: its jobs, their index, and what keeps both in order."""
