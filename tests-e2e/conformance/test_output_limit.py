"""A limit on output stops the job, or drops its oldest output and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.jobs import awaiting, ended, joined, python, refused, sh
from conformance.processes import PATIENCE_SECONDS, wait_until
from conformance.subjects import Chunk, Subject
from jobworker_lib import OutputLimit, RestartPolicy

KIB = 1 << 10
STOP = OutputLimit(100_000)
DROP = OutputLimit(128 * KIB, "drop_oldest")

_NUMBERS = "import os\nfor n in range({}): os.write(1, b'%07d\\n' % n)"


_WRITES_ON = """
import os, signal, sys

def write(size):
    while size:
        size -= os.write(1, b"x" * min(size, 65536))

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # it comes while the first part is written
write(1_000_000)
signal.sigwait([signal.SIGTERM])
write(2_000_000)
sys.exit(5)
"""


def numbers(count: int) -> list[str]:
    """Writes numbers, eight bytes at a time."""
    return python(_NUMBERS.format(count))


def blocks(count: int) -> list[str]:
    """Writes numbered blocks of 1 KiB."""
    return python(f"import os\nfor n in range({count}): os.write(1, b'%07d\\n' % n * 128)")


def test_output_is_cut_exactly_at_the_limit_and_the_job_stopped(subject: Subject) -> None:
    job_id = subject.start(sh("seq -w 1000000; exec sleep 1000"), output_limit=STOP)
    status = subject.wait(job_id)
    assert (status.state, status.reason) == ("stopped", "output_limit")
    whole = b"".join(b"%07d\n" % number for number in range(1, 1_000_001))
    assert joined(subject.output(job_id)) == whole[:100_000]
    assert status.output_bytes == 100_000
    assert 0 < status.output_dropped_bytes <= len(whole) - 100_000
    assert "output limit" in status.describe()


def test_a_job_that_writes_on_does_not_wait_in_its_writes(subject: Subject) -> None:
    """It takes its time to end after SIGTERM, and all that it writes meanwhile is taken and dropped."""
    job_id = subject.start(python(_WRITES_ON), output_limit=STOP)
    status = subject.wait(job_id)
    assert (status.state, status.reason, status.exit_code) == ("stopped", "output_limit", 5)
    assert joined(subject.output(job_id)) == b"x" * 100_000
    assert status.output_dropped_bytes == 3_000_000 - 100_000


def test_a_stop_meanwhile_brings_the_end_forward(subject: Subject, tmp_path: Path) -> None:
    job_id = subject.start(
        sh("trap '' TERM; seq 1000000; touch \"$1\"; while :; do sleep 1; done", tmp_path / "written"),
        output_limit=STOP,
    )
    wait_until((tmp_path / "written").exists, "more than a pipe and the limit hold")
    assert subject.stop(job_id, force=True).signal == 9
    assert subject.status(job_id).reason == "output_limit"


def test_exactly_the_limit_is_no_reason_to_stop(subject: Subject) -> None:
    status = subject.status(ended(subject, python("import os; os.write(1, b'x' * 65536)")))
    assert status.output_dropped_bytes == 0
    job_id = subject.start(python("import os; os.write(1, b'x' * 65536)"), output_limit=OutputLimit(65536))
    status = subject.wait(job_id)
    assert (status.state, status.exit_code, status.output_dropped_bytes) == ("exited", 0, 0)


def test_a_byte_more_is_one_also_where_the_job_exits_at_once(subject: Subject) -> None:
    for _ in range(5):
        job_id = subject.start(python("import os; os.write(1, b'x' * 65537)"), output_limit=OutputLimit(65536))
        status = subject.wait(job_id)
        assert (status.state, status.reason, status.output_dropped_bytes) == ("stopped", "output_limit", 1)
        assert joined(subject.output(job_id)) == b"x" * 65536


def test_a_job_stopped_by_its_limit_is_not_executed_again(subject: Subject) -> None:
    restart = RestartPolicy(max_restarts=5, backoff=0.01)
    job_id = subject.start(sh("seq 100000; exit 1"), output_limit=STOP, restart=restart)
    status = subject.wait(job_id)
    assert status.reason == "output_limit"
    assert len(status.attempts) == 1


def test_the_oldest_is_dropped_and_the_gap_told(subject: Subject) -> None:
    job_id = subject.start(blocks(1000), output_limit=DROP)
    status = subject.wait(job_id)
    assert (status.state, status.exit_code, status.output_bytes) == ("exited", 0, 1000 * KIB)
    dropped = status.output_dropped_bytes
    assert 1000 * KIB - DROP.bytes <= dropped <= 1000 * KIB - DROP.bytes * 7 // 8
    whole = b"".join(b"%07d\n" % number * 128 for number in range(1000))
    chunks = list(subject.output(job_id))
    assert joined(chunks) == whole[dropped:]
    assert [_gap(chunk) for chunk in chunks if chunk.gap] == [(0, dropped)]
    assert chunks[0].offset == dropped
    inner = list(subject.output(job_id, offset=5_000, follow=False))
    assert (_gap(inner[0]), joined(inner)) == ((5_000, dropped), whole[dropped:])
    assert not any(chunk.gap for chunk in subject.output(job_id, offset=dropped))


def _gap(chunk: Chunk) -> tuple[int, int]:
    assert chunk.gap
    return chunk.gap.begin, chunk.gap.end


def test_a_gap_of_which_nothing_follows_is_told_alone(subject: Subject) -> None:
    job_id = ended_with_limit(subject, sh("printf only >&2; head -c 1000000 /dev/zero"))
    (alone,) = subject.output(job_id, stream="stderr")
    assert (alone.data, _gap(alone)) == (b"", (0, subject.status(job_id).output_dropped_bytes))
    (before,) = subject.output(job_id, offset=10, end=20)
    assert (before.data, _gap(before), before.end) == (b"", (10, 20), 20)


def ended_with_limit(subject: Subject, command: list[str]) -> str:
    job_id = subject.start(command, output_limit=DROP)
    subject.wait(job_id)
    return job_id


def test_followers_learn_of_every_byte_that_they_miss(subject: Subject) -> None:
    job_id = subject.start(numbers(60_000), output_limit=DROP)
    whole = b"".join(b"%07d\n" % number for number in range(60_000))
    place = 0
    for chunk in subject.output(job_id):
        if chunk.gap:
            assert chunk.gap.begin == place
            place = chunk.gap.end
        assert chunk.offset == place
        assert chunk.data == whole[place : place + len(chunk.data)]
        place = chunk.end
    assert place == 480_000


def test_the_disk_holds_no_more_than_the_limit(subject: Subject, tmp_path: Path) -> None:
    job_id = subject.start(sh(f"head -c 5000000 /dev/zero; {awaiting(tmp_path / 'gate')}"), output_limit=DROP)
    wait_until(lambda: subject.status(job_id).output_bytes == 5_000_000, "all of the output")
    directory = subject.state_dir / "jobs" / job_id
    assert sum(path.stat().st_size for path in directory.glob("output*.log")) <= DROP.bytes
    assert sum(path.stat().st_size for path in directory.glob("output*.index")) <= DROP.bytes
    (tmp_path / "gate").touch()
    assert subject.wait(job_id, PATIENCE_SECONDS).exit_code == 0


@pytest.mark.parametrize("size", [0, 65535])
def test_a_limit_that_is_too_small_is_refused(subject: Subject, size: int) -> None:
    with refused("INVALID_ARGUMENT"):
        subject.start(["true"], output_limit=OutputLimit(size))
