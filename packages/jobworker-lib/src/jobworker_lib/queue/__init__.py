"""The queue of a state directory: which jobs wait for their turn, and who starts them when it has come."""
