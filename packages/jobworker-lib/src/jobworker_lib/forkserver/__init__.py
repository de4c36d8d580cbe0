"""The fork server: a warm single-threaded process from which shims are forked, so that a start costs little."""
