"""Limits on real kernels: the same scenarios on this host, and in a guest with version 2 of cgroups."""
