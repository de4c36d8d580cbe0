"""The RPCs of the service, a module each, named as in the command line."""
