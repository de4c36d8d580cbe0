"""What a start may ask for, and the tricks to ask for something else."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from jobworker_lib import Isolation
from jobworker_server.errors import PermissionDeniedError
from jobworker_server.policy import Rules
from jobworker_server.policy.permit import Permit


def permit(**rules: object) -> Permit:
    return Permit("guest", Rules(**rules))  # type: ignore[arg-type]  # they differ in type


def refused(match: str) -> pytest.RaisesExc[PermissionDeniedError]:
    return pytest.raises(PermissionDeniedError, match=match)


def test_a_listed_command_may_be_started_with_any_arguments() -> None:
    permit(commands=("/bin/true",)).check_command(["/bin/true", "--help"])


@pytest.mark.parametrize(
    "argv",
    [[], [""], ["true"], ["./true"], ["/bin/../bin/true"], ["/bin//true"], ["//bin/true"], ["/bin/true/"],
     ["/bin/tru"], ["/bin/true\0x"], ["/bin/true "], ["/BIN/TRUE"], ["/bin/truee"], ["/proc/self/root/bin/true"],
     ["sh", "/bin/true"]],
)  # fmt: skip
def test_a_command_in_any_other_words_is_refused(argv: list[str]) -> None:
    with refused("the role 'guest' does not allow to start .*; it allows /bin/true"):
        permit(commands=("/bin/true",)).check_command(argv)


def test_what_a_client_sends_is_told_only_in_part() -> None:
    with refused("does not allow to start") as caught:
        permit(commands=()).check_command(["x" * 1_000_000])
    assert len(str(caught.value)) < 300


def test_no_command_at_all_may_be_listed() -> None:
    with refused("it allows none"):
        permit(commands=()).check_command(["/bin/true"])


@pytest.mark.parametrize("name", ["LANG", "APP_", "APP_MODE"])
def test_a_listed_variable_may_be_set(name: str) -> None:
    permit(environment=("LANG", "APP_*")).check_environment({name: "x"}, has_terminal=False)


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "lang", "LANG ", "LANGUAGE", "APP", "XAPP_", "TERM", ""])
def test_any_other_variable_is_refused(name: str) -> None:
    with refused("does not allow to set the variable"):
        permit(environment=("LANG", "APP_*")).check_environment({"LANG": "C", name: "x"}, has_terminal=False)


def test_a_terminal_may_be_told_its_type_and_nothing_else() -> None:
    permit(environment=()).check_environment({"TERM": "xterm-256color"}, has_terminal=True)
    for name, value in (("TERM", "../../tmp/x"), ("TERM", ""), ("TERM", "x\n"), ("TERMINFO", "xterm")):
        with refused("does not allow to set the variable"):
            permit(environment=()).check_environment({name: value}, has_terminal=True)


def test_the_first_user_is_that_of_a_start_that_names_none() -> None:
    assert permit(users=("nobody", "games")).user("") == "nobody"
    assert permit(users=("nobody", "games")).user("games") == "games"
    assert permit().user("") is None
    assert permit().user("root") == "root"


@pytest.mark.parametrize(
    "user", ["root", "0", "00", "-1", "nobody ", " nobody", "NOBODY", "65534", "4294967295", "\u0660"]
)
def test_any_other_user_is_refused_in_whatever_words(user: str) -> None:
    with refused("does not allow to start jobs of the user .*; it allows nobody, games"):
        permit(users=("nobody", "games")).user(user)


def test_no_user_at_all_may_be_left() -> None:
    with refused("start jobs of any user"):
        permit(users=()).user("")


def test_a_priority_is_at_most_the_highest_that_may_be() -> None:
    bounded = permit(priority=10)
    assert [bounded.priority(asked) for asked in (-1000, 0, 10)] == [-1000, 0, 10]
    for asked in (11, 1000, 2**31 - 1):
        with refused(f"does not allow to queue jobs with the priority {asked}; it allows 10 and lower"):
            bounded.priority(asked)
    assert permit().priority(1000) == 1000


def test_a_start_that_asks_for_no_priority_has_the_highest_that_it_may_have() -> None:
    lowly = permit(priority=-5)
    assert lowly.priority(0) == -5
    assert lowly.priority(-6) == -6
    for asked in (-4, -1, 1):
        with refused("it allows -5 and lower"):
            lowly.priority(asked)


def test_groups_are_those_of_the_user_alone() -> None:
    own = grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name
    assert permit(users=("nobody",)).groups("nobody", [own]) == [own]
    assert permit(users=("nobody",)).groups("nobody", []) is None
    for group in ("root", "0", "00", "tty"):
        with refused("with groups that it is not in"):
            permit(users=("nobody",)).groups("nobody", [own, group])
    assert permit().groups("nobody", ["root"]) == ["root"], "without a rule the engine decides"


DEMANDED = Isolation(pid=True, network="isolated", read_only=True, drop_capabilities=True)
FENCED = permit(isolation=DEMANDED, writable=("/srv/data",))


@pytest.mark.parametrize("asked", [None, Isolation(), DEMANDED])
def test_isolation_that_is_demanded_is_there_whatever_is_asked_for(asked: Isolation | None) -> None:
    assert FENCED.isolation(asked) == DEMANDED


def test_more_isolation_may_be_asked_for() -> None:
    assert FENCED.isolation(Isolation.full()) == Isolation.full()
    none = FENCED.isolation(Isolation(network="none", hidden=("/srv",), landlock=True))
    assert none is not None
    assert (none.network, none.hidden, none.landlock, none.pid) == ("none", ("/srv",), True, True)
    assert permit().isolation(Isolation(pid=True)) == Isolation(pid=True)
    assert permit().isolation(None) is None


def test_what_would_undo_the_isolation_is_refused() -> None:
    with refused("keep capabilities"):
        FENCED.isolation(Isolation(drop_capabilities=True, kept_capabilities=("CAP_SYS_ADMIN",)))
    for path in ("/etc", "/srv", "/srv/data/", "/srv/data/../../etc", "/srv/data/link"):
        with refused("let jobs write to"):
            FENCED.isolation(Isolation(writable=(path,)))
    allowed = FENCED.isolation(Isolation(writable=("/srv/data",)))
    assert allowed is not None
    assert allowed.writable == ("/srv/data",)


def test_the_working_directory_is_one_that_may_be_written_to() -> None:
    for path in ("/etc", "/tmp", "/srv/data/..", "/srv/data/", "/srv/data/link", "/root"):
        with refused("start jobs in"):
            FENCED.working_directory(path, "/root", DEMANDED)
    for path in ("/srv/data", "/"):
        assert FENCED.working_directory(path, "/root", DEMANDED) == path
    assert FENCED.working_directory("", "/root", DEMANDED) == "/srv/data", "not the home directory"
    own_tmp = Isolation(read_only=True, private_tmp=True)
    assert FENCED.working_directory("", "/root", own_tmp) == "/tmp"
    assert FENCED.working_directory("/tmp", "/root", own_tmp) == "/tmp"
    assert permit(isolation=DEMANDED, writable=()).working_directory("", "/root", DEMANDED) == "/"


@pytest.mark.parametrize("demanded", [Isolation(private_tmp=True), Isolation(private_devices=True)])
def test_no_hole_is_made_in_what_is_private(demanded: Isolation) -> None:
    """The engine leaves a working directory, and writable paths, as they are on the host also in a private /tmp."""
    private = permit(isolation=demanded, writable=())
    for path in ("/tmp/theirs", "/var/tmp", "/dev/shm", "/run", "/run/lock", "/srv/link-to-tmp"):
        with refused("start jobs in"):
            private.working_directory(path, "/root", demanded)
        with refused("let jobs write to"):
            private.isolation(Isolation(writable=(path,)))
    assert private.working_directory("", "/tmp/home", demanded) == ("/tmp" if demanded.private_tmp else "/")


def test_a_working_directory_is_free_where_nothing_must_be_read_only() -> None:
    assert permit().working_directory("/etc", "/root", None) == "/etc"
    assert permit().working_directory("", "/root", None) == "/root"
    assert permit().working_directory("", "/root", Isolation.full()) == "/tmp"
    assert permit().working_directory("", "/root", Isolation(private_tmp=True)) == "/root"
    assert os.path.isabs(permit().working_directory("", "/", Isolation(pid=True)))
