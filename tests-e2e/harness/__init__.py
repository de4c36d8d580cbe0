"""What the end-to-end tests stand on: real certificates, a real server process, the real command line, a raw stub."""
