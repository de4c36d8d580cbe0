"""Whatever is killed at whatever step of a job's life, nothing recorded is lost or wrong, and nothing is left.

The product has no hooks for this: strace(1) kills a process as it enters its Nth system call of those that leave
something behind, so counting N up comes by before and after each write, fork, exec, rename and so on.
"""
