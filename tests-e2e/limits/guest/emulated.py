"""A guest of another kind: Debian's kernel in QEMU, which emulates a machine. Slow, but with two processors and PSI."""

from __future__ import annotations

import gzip
import re
import stat
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

EMULATOR = "qemu-system-x86_64"
DISKS = ("/dev/vda", "/dev/vdb", "/dev/vdc")
_MODULES = ("virtio_pci", "9p", "9pnet_virtio", "virtio_blk")
_FIRST = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in {modules}; do /bin/busybox insmod /modules/$module.ko; done
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose host /root
/bin/busybox mount -t devtmpfs dev /root/dev
exec /bin/busybox switch_root /root {init}
"""
"""The first program of the guest: what it is to find of the host is in modules still."""


class Emulated:
    """What boots it."""

    disks = DISKS

    def __init__(self, directory: Path) -> None:
        """``directory`` keeps the kernel, which is fetched with apt-get where it is not there yet."""
        self._kernel, self._initial = directory / "vmlinuz", directory / "initial.gz"
        if not self._initial.exists():
            _fetch(directory)

    def command(self, shared: Path, scratch: Path, init: Path) -> list[str]:
        """What runs the guest."""
        initial = scratch / "initial.gz"
        first = _FIRST.format(modules=" ".join(self._modules()), init=f"{sys.executable} {init}")
        own = b"".join(_entry("init", stat.S_IFREG | 0o755, first.encode())) + _trailer()
        initial.write_bytes(self._initial.read_bytes() + gzip.compress(own, 1))
        drives = [part for name in _drives(scratch) for part in ("-drive", f"file={name},format=raw,if=virtio")]
        return [
            *(EMULATOR, "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"),
            *("-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"),
            *("-kernel", str(self._kernel), "-initrd", str(initial)),
            *("-append", "console=ttyS0 quiet panic=-1 psi=1 jobworker.shared=9p:shared"),
            *("-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"),
            *("-virtfs", f"local,path={shared},mount_tag=shared,security_model=none"),
            *drives,
        ]

    def _modules(self) -> list[str]:
        return (self._initial.with_name("modules")).read_text().split()


def _drives(scratch: Path) -> Iterator[Path]:
    return (scratch / f"ubd{number}" for number in range(len(DISKS)))


def _fetch(directory: Path) -> None:
    """Unpack a kernel and a shell, and pack what the first program of the guest needs."""
    directory.mkdir(parents=True, exist_ok=True)
    told = _output("apt-cache", "depends", "linux-image-amd64")
    kernel = next(iter(re.findall(r"Depends: (linux-image-\S+)", told)))
    subprocess.run(["apt-get", "download", kernel, "busybox-static"], check=True, cwd=directory)
    for package in directory.glob("*.deb"):
        subprocess.run(["dpkg", "--extract", package, directory / "packages"], check=True)
        package.unlink()
    unpacked = directory / "packages"
    next(unpacked.glob("boot/vmlinuz-*")).rename(directory / "vmlinuz")
    found = {path.stem: path for path in unpacked.glob("lib/modules/*/kernel/**/*.ko")}
    modules = list(dict.fromkeys(name for wanted in _MODULES for name in _with_dependencies(wanted, found)))
    (directory / "modules").write_text(" ".join(modules))
    parts = [_entry(name, stat.S_IFDIR | 0o755) for name in ("bin", "dev", "modules", "root")]
    parts.append(_entry("bin/busybox", stat.S_IFREG | 0o755, (unpacked / "bin/busybox").read_bytes()))
    parts += [_entry(f"modules/{name}.ko", stat.S_IFREG | 0o644, found[name].read_bytes()) for name in modules]
    packed = b"".join(piece for part in parts for piece in part) + _trailer()
    (directory / "initial.gz").write_bytes(gzip.compress(packed, 1))


def _with_dependencies(module: str, found: dict[str, Path]) -> list[str]:
    """A module after those that it needs; what is built into the kernel is none."""
    path = found.get(module) or found.get(module.replace("_", "-"))
    if path is None:
        return []
    needed = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
    names = needed[1].decode().split(",") if needed and needed[1] else []
    return [*(name for wanted in names for name in _with_dependencies(wanted, found)), path.stem]


def _entry(name: str, mode: int, data: bytes = b"") -> Iterator[bytes]:
    """A file of a cpio archive, as the kernel unpacks them (initramfs buffer format)."""
    fields = (zlib.crc32(name.encode()), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    yield header + bytes(-len(header) % 4)
    yield data + bytes(-len(data) % 4)


def _trailer() -> bytes:
    return b"".join(_entry("TRAILER!!!", 0))


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
