"""What it would take, and save, to compress the output of ended jobs: an argument, not a feature.

The standard library of Python 3.11 has zlib and lzma, that of 3.14 zstd. On an older one zstd is measured by its
command, where there is one, with the time that its process takes to start.
"""

from __future__ import annotations

import importlib
import json
import lzma
import random
import resource
import shutil
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator

from rig import Sizes
from table import show

_MIB = 1 << 20
_GIB = 1 << 30

Codec = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]


def measure(sizes: Sizes) -> None:
    """Print the table."""
    size = min(sizes.stream_bytes // 16, 64 * _MIB)
    rows = []
    for kind, data in _logs(size).items():
        for name, (compress, decompress) in _codecs().items():
            packed, packing = _cpu(lambda: compress(data))  # noqa: B023  # called at once
            unpacked, unpacking = _cpu(lambda: decompress(packed))  # noqa: B023  # called at once
            if unpacked != data:
                raise RuntimeError(f"{name} does not give back what it was given")
            scale = _GIB / len(data)
            rows.append(
                (
                    f"{kind}, {name}",
                    f"{len(data) / len(packed):.1f}",
                    f"{packing * scale:.1f}",
                    f"{unpacking * scale:.1f}",
                )
            )
    headings = ("", "smaller by", "CPU, s for each GiB compressed", "s for each GiB decompressed")
    show(f"Compression of {size // _MIB} MiB", headings, rows)


def _cpu(work: Callable[[], bytes]) -> tuple[bytes, float]:
    """What it gives, and the processor time that it takes, of child processes too."""
    begin = _used()
    result = work()
    return result, _used() - begin


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _codecs() -> dict[str, Codec]:
    codecs: dict[str, Codec] = {
        "zlib 1": (lambda data: zlib.compress(data, 1), zlib.decompress),
        "zlib 6": (lambda data: zlib.compress(data, 6), zlib.decompress),
        "lzma 0": (lambda data: lzma.compress(data, preset=0), lzma.decompress),
    }
    try:
        zstd = importlib.import_module("compression.zstd")
        codecs["zstd 3"] = (lambda data: zstd.compress(data, 3), zstd.decompress)
    except ImportError:
        if shutil.which("zstd"):
            codecs["zstd 3 (command)"] = (lambda data: _run("-3", data), lambda data: _run("-d", data))
    return codecs


def _run(option: str, data: bytes) -> bytes:
    return subprocess.run(
        ["zstd", "-q", "-c", "--single-thread", option], input=data, stdout=subprocess.PIPE, check=True
    ).stdout


def _logs(size: int) -> dict[str, bytes]:
    chosen = random.Random(1)  # noqa: S311  # to be repeated, not to be secret
    return {
        "access log": _fill(size, _access_lines(chosen)),
        "JSON lines": _fill(size, _json_lines(chosen)),
        "compiler and tests": _fill(size, _build_lines(chosen)),
    }


def _fill(size: int, lines: Iterator[str]) -> bytes:
    parts, length = [], 0
    while length < size:
        parts.append(next(lines).encode())
        length += len(parts[-1])
    return b"".join(parts)


def _access_lines(chosen: random.Random) -> Iterator[str]:
    paths = [f"/{section}/{number:x}" for section in ("api/items", "static/js", "img") for number in range(500)]
    for second in range(1 << 40):
        address = ".".join(str(chosen.randrange(256)) for _ in range(4))
        status, length = chosen.choice((200, 200, 200, 304, 404, 500)), chosen.randrange(1 << 20)
        moment = f"24/Nov/2026:06:{second // 60 % 60:02}:{second % 60:02} +0000"
        yield f'{address} - - [{moment}] "GET {chosen.choice(paths)} HTTP/1.1" {status} {length} "-" "Mozilla/5.0"\n'


def _json_lines(chosen: random.Random) -> Iterator[str]:
    for number in range(1 << 40):
        fields = {
            "ts": 1_795_500_000 + number / 1000,
            "level": chosen.choice(("info", "info", "debug", "warning")),
            "request_id": f"{chosen.getrandbits(64):016x}",
            "worker": chosen.randrange(16),
            "message": chosen.choice(("item stored", "cache miss", "queue drained", "slow query")),
            "ms": round(chosen.expovariate(0.1), 3),
        }
        yield json.dumps(fields) + "\n"


def _build_lines(chosen: random.Random) -> Iterator[str]:
    modules = [f"src/{package}/{name}.c" for package in ("core", "net", "store") for name in map(str, range(300))]
    for number in range(1 << 40):
        module = chosen.choice(modules)
        yield f"[{number % 900 + 1}/900] cc -O2 -g -Wall -Iinclude -c {module} -o build/{module[:-1]}o\n"
        test = f"tests/test_{chosen.randrange(300)}.py::test_case[{chosen.randrange(50)}]"
        yield f"{test} PASSED in {chosen.random():.3f}s\n"
