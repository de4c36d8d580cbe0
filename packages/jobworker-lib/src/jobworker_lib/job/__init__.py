"""What a job is, and the directory it is kept in."""
