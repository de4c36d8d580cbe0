"""Revocation lists that come one after the other: which of them hold, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobworker_server import crl, crl_in_use
from jobworker_server.crl import RevocationList
from server_testing import Authority

PATH = Path("crl.pem")
ROOT, OTHER = Authority("root"), Authority("other")
BETWEEN = Authority("between", ROOT)
NOW = datetime.now(UTC) - timedelta(hours=2)
EARLIER, LATER = NOW - timedelta(hours=1), NOW + timedelta(hours=1)


def loaded(authorities: Sequence[Authority], *pem: bytes) -> list[RevocationList]:
    return crl.load(PATH, b"".join(pem), [authority.ca.certificate for authority in authorities])


def after(held: bytes, found: bytes, *, before: Sequence[Authority], now: Sequence[Authority]) -> list[RevocationList]:
    """The lists that hold."""
    certificates = [authority.ca.certificate for authority in now]
    return crl_in_use.after(PATH, loaded(before, held), loaded(now, found), certificates)


def numbers(lists: Sequence[RevocationList]) -> list[tuple[str, int | None]]:
    return sorted((found.name.removeprefix("CN="), found.number) for found in lists)


@pytest.mark.parametrize(
    ("old", "new", "is_older"),
    [
        ((2, NOW), (1, EARLIER), True),
        ((2, NOW), (1, NOW), True),
        ((2, NOW), (2, EARLIER), True),
        ((2, NOW), (2, NOW), False),
        ((2, NOW), (3, LATER), False),
        ((2, NOW), (3, NOW), False),
        ((None, NOW), (None, EARLIER), True),
        ((None, NOW), (None, NOW), False),
        ((None, NOW), (None, LATER), False),
        ((2, NOW), (None, EARLIER), True),
        ((None, NOW), (1, LATER), False),
        ((2, NOW), (1, LATER), False),  # the CA counts anew
        ((2, NOW), (3, EARLIER), False),  # the clock of the CA was wrong
    ],
)
def test_a_list_that_is_older_by_number_and_date_does_not_take_the_place_of_another(
    old: tuple[int | None, datetime], new: tuple[int | None, datetime], *, is_older: bool
) -> None:
    pem = [ROOT.crl(number=number, made=made) for number, made in (old, new)]
    (holds,) = after(*pem, before=[ROOT], now=[ROOT])
    assert holds.made == loaded([ROOT], pem[0] if is_older else pem[1])[0].made
    assert holds.number == (old if is_older else new)[0]


def test_each_ca_has_its_own(caplog: pytest.LogCaptureFixture) -> None:
    both = [ROOT, OTHER]
    held = ROOT.crl(number=7) + OTHER.crl(number=2)
    assert numbers(after(held, ROOT.crl(number=6, made=EARLIER) + OTHER.crl(number=3), before=both, now=both)) == [
        ("other", 3),
        ("root", 7),
    ]
    assert "crl.pem holds an older CRL of 'CN=root', number 6 of" in caplog.text
    assert "CN=other" not in caplog.text


def test_one_that_is_missing_stays_while_its_ca_does(caplog: pytest.LogCaptureFixture) -> None:
    held = ROOT.crl(number=1) + OTHER.crl(number=2)
    stays = after(held, ROOT.crl(number=1), before=[ROOT, OTHER], now=[ROOT, OTHER])
    assert numbers(stays) == [("other", 2), ("root", 1)]
    assert "crl.pem holds no CRL of 'CN=other' any more" in caplog.text
    caplog.clear()
    assert numbers(after(held, ROOT.crl(number=1), before=[ROOT, OTHER], now=[ROOT])) == [("root", 1)]
    assert not caplog.records, "its CA was taken away, too"


def test_another_ca_of_the_same_name_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    new = Authority("root")
    held = ROOT.crl(number=7)
    assert numbers(after(held, new.crl(number=1, made=EARLIER), before=[ROOT], now=[new])) == [("root", 1)]
    assert not caplog.records
    both = after(held, held + new.crl(number=1, made=EARLIER), before=[ROOT], now=[ROOT, new])
    assert numbers(both) == [("root", 1), ("root", 7)]
    assert not caplog.records


def test_a_ca_that_was_certified_anew_has_one_list(caplog: pytest.LogCaptureFixture) -> None:
    again = ROOT.ca.certificate, Authority("root", key=ROOT.ca.key).ca.certificate
    old, new = loaded([ROOT], ROOT.crl(number=2)), loaded([ROOT], ROOT.crl(number=1, made=EARLIER))
    assert numbers(crl_in_use.after(PATH, old, new, again)) == [("root", 2)]
    assert len(caplog.records) == 1


def test_lists_of_cas_that_only_clients_show_hold_in_the_same_way(caplog: pytest.LogCaptureFixture) -> None:
    root = ROOT.crl(number=1)
    held = root + BETWEEN.crl(number=5, made=NOW)
    older = after(held, root + BETWEEN.crl(number=4, made=EARLIER), before=[ROOT], now=[ROOT])
    assert numbers(older) == [("between", 5), ("root", 1)]
    assert "an older CRL of 'CN=between', number 4 of" in caplog.text
    newer = after(held, root + BETWEEN.crl(number=6), before=[ROOT], now=[ROOT])
    assert numbers(newer) == [("between", 6), ("root", 1)]
    assert numbers(after(held, root, before=[ROOT], now=[ROOT])) == [("root", 1)]
