"""jobworker's API contract; each version is a package of its own, such as :mod:`jobworker.v1`."""

__version__ = "0.1.0"
