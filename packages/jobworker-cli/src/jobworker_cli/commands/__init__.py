"""The commands, one module each, named as the server's modules of the same calls."""
