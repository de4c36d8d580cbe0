"""Waiting for what jobs do."""
