"""Refuses a change of the API that would break a client of the one on the main branch. Run by ``make check-protobufs``.

On the main branch itself the comparison is with its previous commit.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def main() -> int:
    """Compare, and return buf's exit status; 0 too where there is nothing to compare with, which is said."""
    base = find_base()
    if base is None:
        print("No API on a main branch to compare with: breaking changes not checked.")
        return 0
    with tempfile.TemporaryDirectory() as directory:
        # Below PACKAGE, git archive takes paths relative to it.
        archive = subprocess.run(
            ["git", "archive", base, "proto", "buf.yaml"], cwd=PACKAGE, check=True, capture_output=True
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(directory, filter="data")
        return subprocess.run(["buf", "breaking", PACKAGE, "--against", directory], check=False).returncode


def find_base() -> str | None:
    """Return the commit to compare with, None where none that holds the API is at hand."""
    head = commit("HEAD")
    main_branch = commit("origin/main") or commit("main")
    base = commit("HEAD^") if main_branch == head else main_branch
    if base is None or git("cat-file", "-e", f"{base}:./buf.yaml") is None:
        return None
    return base


def commit(name: str) -> str | None:
    """Return the id of the commit of this name, None where there is none."""
    return git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")


def git(*arguments: str) -> str | None:
    """Return what git prints, None where it fails."""
    done = subprocess.run(["git", *arguments], cwd=PACKAGE, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
