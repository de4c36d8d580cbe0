"""The shim: one small single-threaded process for each running job.

It owns the job's pipes, its process tree and its end, and belongs to no session of the program that started the job.
"""
