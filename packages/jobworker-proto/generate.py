"""Generates ``src/jobworker/v1`` from ``proto/jobworker/v1``; with ``--check``, compares and writes nothing.

Run it with ``make protobufs`` and ``make check-protobufs``, which hold the versions of the tools.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
PROTO = PACKAGE / "proto"
SOURCE = PACKAGE / "src"
API = Path("jobworker/v1")


def main() -> int:
    """Generate or check, and return the exit status."""
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        print(f"usage: {sys.argv[0]} [--check]", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        generate(Path(directory))
        fresh = contents(Path(directory))
    committed = contents(SOURCE)
    if check:
        return report(committed, fresh)
    for path in committed.keys() - fresh.keys():
        (SOURCE / path).unlink()
    for path, text in fresh.items():
        (SOURCE / path).write_text(text)
    return 0


def generate(directory: Path) -> None:
    """Run protoc on all .proto files, with its output below directory."""
    protos = sorted((PROTO / API).glob("*.proto"))
    outputs = [
        f"--python_out={directory}",
        f"--grpc_python_out={directory}",
        f"--mypy_out=quiet:{directory}",
        f"--mypy_grpc_out=quiet:{directory}",
    ]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTO}", *outputs, *protos], check=True)
    # The plugins write a module for every file; one that declares no service has nothing to say.
    for proto in protos:
        if "\nservice " not in proto.read_text():
            for generated in (directory / API).glob(f"{proto.stem}_pb2_grpc.py*"):
                generated.unlink()


def contents(directory: Path) -> dict[Path, str]:
    """Return the generated files below directory: relative path and text of each."""
    files = sorted((directory / API).glob("*_pb2*.py*"))
    return {path.relative_to(directory): path.read_text() for path in files}


def report(committed: dict[Path, str], fresh: dict[Path, str]) -> int:
    """Print how the committed files differ from fresh ones, and return the exit status."""
    for path in sorted(committed.keys() | fresh.keys()):
        before, after = (files.get(path, "").splitlines(keepends=True) for files in (committed, fresh))
        sys.stderr.writelines(difflib.unified_diff(before, after, f"committed/{path}", f"generated/{path}"))
    if committed == fresh:
        return 0
    print("The generated code does not match the .proto files: run 'make protobufs' and commit.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
