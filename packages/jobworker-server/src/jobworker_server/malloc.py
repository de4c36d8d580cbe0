"""Settings of the C library's memory allocator."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_BUFFER = 8 << 20


def reuse_large_buffers() -> None:
    """Serve buffers of up to 8 MiB from memory that was used before, and keep up to 16 MiB of it.

    glibc otherwise maps each of the buffers that output is sent in anew and gives it back at once (mallopt(3)), and the
    kernel's clearing of fresh pages then costs more than all else of a stream. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BUFFER)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_BUFFER)
