from __future__ import annotations

import subprocess
import sys

_FAULTS = """
import resource, sys
from jobworker_server import malloc

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        bytes(bytearray(1 << 20))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

without = faults()
malloc.reuse_large_buffers()
faults()
print(without, faults())
"""


def test_large_buffers_are_not_taken_from_the_kernel_each_time() -> None:
    done = subprocess.run([sys.executable, "-c", _FAULTS], check=True, capture_output=True, text=True)
    without, with_it = map(int, done.stdout.split())
    assert with_it < 1000, f"{with_it} page faults for 200 MiB of buffers, {without} without the setting"
