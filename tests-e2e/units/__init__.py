"""The units of docs/examples/systemd, run by a systemd that is the first process of a throw-away Linux."""
