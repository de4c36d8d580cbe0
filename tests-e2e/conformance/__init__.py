"""The engine's behaviour, written once and run against each way to reach it; see ``subjects.py``."""
