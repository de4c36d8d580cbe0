"""A throw-away Linux (User-mode Linux) with the controllers of version 2, which sees this host's files read-only."""
