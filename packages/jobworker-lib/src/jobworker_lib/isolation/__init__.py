"""How a job is kept apart from the host: namespaces, mounts, devices, users, capabilities, seccomp and Landlock.

What is computed from a specification (:mod:`.plan`, :mod:`.mount_plan`, :mod:`.seccomp`) is kept apart from what does
it (:mod:`.mounting`, :mod:`.privileges`, :mod:`.landlock`), in a process that has just been forked for the job.
"""
