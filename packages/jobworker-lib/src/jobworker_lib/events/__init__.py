"""The event log: what happened to jobs, in one order for all who write it and all who read it."""
