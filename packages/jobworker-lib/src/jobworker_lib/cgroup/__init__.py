"""A job's cgroup: where this host has cgroups, and how one is made, limited, read, killed and removed.

:mod:`.hierarchies` reads what is mounted, :mod:`.place` decides where the cgroups of jobs are made, and which
controllers serve there. :mod:`.v1` and :mod:`.v2` are a job's cgroup in the two versions of the kernel's interface.
"""
