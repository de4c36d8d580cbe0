"""The examples of docs/client.md and the READMEs run as they stand, and tell what they say they tell."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.processes import PATIENCE_SECONDS
from harness.certs import Certs
from harness.server import Server, clean_environment

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "docs" / "client.md", ROOT / "README.md", ROOT / "packages" / "jobworker-cli" / "README.md"]
EXAMPLES = [
    example
    for page in PAGES
    for example in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    if "jobworker_cli" in example
]
SHOWN = [
    r"started \S{36}\nstdout b'hello\\n'\nstderr b'bye\\n'\nexited \(exit code: 3\)\n",
    r"\[('\S{36}',? ?)+\]\n",
    r"0\n",
    r"(0 0\n|1 1\n|2 2\n){3}",
    r"b'apple\\npear\\n'\n",
    r"command not found: no-such-command\n",
    r"(\d b'\d\\n'\n){3}\[0, 0, 0\]\n",
    r"stdout line 1\nstdout line 2\nstdout line 3\nexited \(exit code: 3\)\n",
    r"stdout 0 b'hi\\n'\nexited \(exit code: 3\)\n",
]


def test_each_example_is_run() -> None:
    assert len(EXAMPLES) == len(SHOWN)


@pytest.mark.parametrize(("example", "shown"), list(zip(EXAMPLES, SHOWN, strict=False)), ids=range(len(EXAMPLES)))
def test_example(server: Server, certs: Certs, tmp_path: Path, example: str, shown: str) -> None:
    settings = {
        "JOBWORKER_SERVER": server.address,
        "JOBWORKER_CERTS": str(certs.directory),
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    script = tmp_path / "example.py"
    setup = 'from jobworker_cli.client import Client\nwith Client.from_config() as c: c.start(["true"])\n'
    script.write_text((setup if "client.list" in example else "") + example)
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        env=clean_environment() | settings,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(shown, done.stdout), done.stdout
