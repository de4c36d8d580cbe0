"""The fork server: a warm single-threaded process from which shims are forked, so that a start costs little."""

PROCESS_NAME = "jobworker-fork"
BACKLOG = 128
"""Engines that may wait for being connected (listen(2))."""
