"""The policy file: what it may say, what comes of it, and how its mistakes are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobworker_lib import Isolation, Limits
from jobworker_server.errors import ConfigError
from jobworker_server.limit_policy import LimitPolicy
from jobworker_server.policy import BUILT_IN, Operation, Policy, PolicyInForce, Rules, Scope, file, rules_setting

Read = Callable[[str], Policy]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


@pytest.fixture
def read(path: Path) -> Read:
    """Reads a policy from a text."""

    def read(text: str) -> Policy:
        path.write_text(text)
        return file.read(path)

    return read


def scopes(policy: Policy, role: str) -> dict[str, str]:
    return {operation.value: scope.value for operation, scope in policy.roles[role].scopes.items()}


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "roles:\n", "{}", "roles: {}\nowners: {}", "owners:"])
def test_a_file_that_says_nothing_leaves_the_built_in_roles(read: Read, text: str) -> None:
    assert read(text) == BUILT_IN


def test_a_role_that_is_defined_may_do_what_stands_there_and_nothing_else(read: Read) -> None:
    policy = read("roles: {operator: {start: own, stop: any, query: none}}")
    assert scopes(policy, "operator") == {"start": "own", "stop": "any", "query": "none"}
    assert {name: policy.roles[name] for name in BUILT_IN.roles} == BUILT_IN.roles


def test_a_role_that_is_defined_takes_the_place_of_the_built_in_one(read: Read) -> None:
    assert scopes(read("roles: {user: {list: any}}"), "user") == {"list": "any"}
    assert scopes(read("roles: {user: }"), "user") == {}


def test_a_role_begins_with_another_wherever_that_stands(read: Read) -> None:
    policy = read(
        """
        roles:
          night: {like: operator, stop: none, running: 1}
          operator: {like: readonly, stop: any, commands: [/bin/true]}
        """
    )
    assert scopes(policy, "night") == {**scopes(BUILT_IN, "readonly"), "stop": "none"}
    assert policy.roles["night"].rules == Rules(running=1, commands=("/bin/true",), environment=())


def test_a_role_like_itself_is_the_built_in_one_changed(read: Read) -> None:
    policy = read("roles: {user: {like: user, running: 2}}")
    assert policy.roles["user"].scopes == BUILT_IN.roles["user"].scopes
    assert policy.roles["user"].rules == Rules(running=2)


def test_admin_is_another_name_for_full_also_where_that_is_defined(read: Read) -> None:
    assert scopes(read("roles: {full: {list: any}}"), "admin") == {"list": "any"}
    assert read("roles: {admin: {list: any}}").roles["full"] == BUILT_IN.roles["full"]


def test_each_bound_is_read(read: Read) -> None:
    policy = read(
        """
        roles:
          operator:
            running: 10
            queued: 0
            priority: -5
            commands: [/usr/bin/rsync, /bin/true]
            environment: [LANG, "APP_*"]
            users: [build, nobody]
            limits: {default: {memory: 1M}, max: {pids: 5}}
            isolation: [pid, network, read-only, landlock]
            writable: [/srv/data]
            newPrivileges: true
        """
    )
    assert policy.roles["operator"].rules == Rules(
        running=10,
        queued=0,
        priority=-5,
        commands=("/usr/bin/rsync", "/bin/true"),
        environment=("LANG", "APP_*"),
        users=("build", "nobody"),
        limits=LimitPolicy(Limits(memory_bytes=1 << 20), Limits(pids=5)),
        isolation=Isolation(pid=True, network="isolated", read_only=True, landlock=None),
        writable=("/srv/data",),
        new_privileges=True,
    )


def test_full_isolation_lets_write_nowhere_that_is_not_listed(read: Read) -> None:
    rules = read("roles: {guest: {isolation: full}}").roles["guest"].rules
    assert (rules.isolation, rules.writable) == (Isolation.full(), ())


@pytest.mark.parametrize("part", ["read-only", "private-tmp", "private-devices"])
def test_isolation_in_which_paths_make_holes_comes_without_any(read: Read, part: str) -> None:
    assert read(f"roles: {{guest: {{isolation: [pid, {part}]}}}}").roles["guest"].rules.writable == ()
    assert read("roles: {guest: {isolation: [pid, ipc, network]}}").roles["guest"].rules.writable is None


def test_listed_commands_come_without_variables(read: Read) -> None:
    """LD_PRELOAD, PYTHONPATH and BASH_ENV make any command into any other."""
    policy = read("roles: {a: {commands: []}, b: {like: a, environment: [A]}, c: {like: b, commands: [/bin/ls]}}")
    assert [policy.roles[role].rules.environment for role in "abc"] == [(), ("A",), ()]


def test_bounds_of_an_owner_and_of_a_role_both_hold(read: Read) -> None:
    policy = read(
        """
        roles:
          operator:
            running: 3
            queued: 20
            priority: 5
            commands: [/bin/a, /bin/b]
            environment: ["A_*", B]
            users: [x, y, z]
            limits: {default: {memory: 1G, pids: 10}, max: {memory: 2G, nice: -5}}
            isolation: [pid, read-only]
            writable: [/a, /b]
            newPrivileges: true
        owners:
          ann:
            running: 5
            queued: 10
            priority: 10
            commands: [/bin/c, /bin/b]
            environment: ["A_B*", "*"]
            users: [z, y, w]
            limits: {default: {pids: 5}, max: {memory: 512M, nice: 3}}
            isolation: [read-only, network]
            writable: [/b, /c]
          bob: {newPrivileges: false}
        """
    )
    assert policy.rules("operator", "ann") == Rules(
        running=3,
        queued=10,
        priority=5,
        commands=("/bin/b",),
        environment=("A_B*", "A_*", "B"),
        users=("z", "y"),
        limits=LimitPolicy(Limits(memory_bytes=512 << 20, pids=5), Limits(memory_bytes=512 << 20, nice=3)),
        isolation=Isolation(pid=True, read_only=True, network="isolated"),
        writable=("/b",),
        new_privileges=True,
    )
    assert policy.rules("operator", "bob").new_privileges is False
    assert policy.rules("operator", "eve") == policy.roles["operator"].rules
    assert policy.rules("user", "ann").new_privileges is False, "an owner's bounds never widen"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("rules: {}", 1, "there is no key 'rules'; did you mean 'roles'?"),
        ("roles:\n  a:\n    strat: own", 3, "roles.a: there is no operation or bound 'strat'; did you mean 'start'?"),
        ("roles:\n  a:\n    start: all", 3, "roles.a.start: expected none or own or any, not 'all'"),
        ("roles:\n  a:\n    start: no", 3, "roles.a.start: expected none or own or any, not 'no'"),
        ("roles: {a: {like: usr}}", 1, "roles.a.like: there is no role 'usr'; did you mean 'user'?"),
        ("roles: {a: {like: b}, b: {like: a}}", 1, "roles.b.like: the role begins with itself: a like b like a"),
        ("roles: {a: {like: a}}", 1, "roles.a.like: the role begins with itself: a like a"),
        ("roles: {full: {like: admin}}", 1, "roles.full.like: the role begins with itself: full like admin"),
        ("roles: {a: 3}", 1, "roles.a: expected a mapping, such as like: ..., not '3'"),
        ("[]", 1, "expected a mapping, such as roles: ..., not '...'"),
        ("roles: {1: {}}", 1, "roles: the role 1 is not text; put it in quotes"),
        ("roles:\n  a: {}\n  a: {}", 3, "roles: the role 'a' is there twice"),
        ("roles: {a: {running: 0}}", 1, "roles.a.running: expected a whole number, 1 or more, not '0'"),
        ("roles: {a: {running: yes}}", 1, "roles.a.running: expected a whole number, 1 or more, not 'yes'"),
        ("roles: {a: {running: 2026-99-01}}", 1, "roles.a.running: it can't be read: month must be in 1..12"),
        ("roles: {a: {queued: -1}}", 1, "roles.a.queued: expected a whole number, 0 or more, not '-1'"),
        ("roles: {a: {priority: 1001}}", 1, "roles.a.priority: expected a whole number, -1000 to 1000, not '1001'"),
        ("roles: {a: {priority: 0.5}}", 1, "roles.a.priority: expected a whole number, -1000 to 1000, not '0.5'"),
        ("roles: {a: {commands: /bin/ls}}", 1, "roles.a.commands: expected a list, such as [/bin/ls]"),
        ("roles: {a: {commands: [/b, /b]}}", 1, "roles.a.commands: '/b' is there twice"),
        ("roles: {a: {users: [1000]}}", 1, "roles.a.users: expected text, not 1000; put it in quotes"),
        ("roles: {a: {users: ['root ']}}", 1, "roles.a.users: expected the name of a user, not 'root '"),
        (
            "roles: {a: {isolation: [readonly]}}",
            1,
            "roles.a.isolation: there is no part of isolation 'readonly'; did you mean 'read-only'?",
        ),
        ("roles: {a: {isolation: none}}", 1, "roles.a.isolation: expected full, or a list such as [pid, network]"),
        (
            "roles: {a: {writable: [/srv]}}",
            1,
            "roles.a.writable: it is for isolation that has read-only, private-tmp or private-devices",
        ),
        ("roles: {a: {newPrivileges: 1}}", 1, "roles.a.newPrivileges: expected true or false, not '1'"),
        (
            "roles:\n  a:\n    limits: {max: {memory: much}}",
            3,
            "roles.a.limits: limits.max.memory: expected a size such as 512M or 1.5G, not 'much'",
        ),
        ("owners: {ann: {runing: 1}}", 1, "owners.ann: there is no key 'runing'; did you mean 'running'?"),
        ("roles: &a {a: {like: *a}}", 1, "roles.a.like: expected text, not {'a': {...}}; put it in quotes"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_place(read: Read, path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    told = str(caught.value)
    assert told == f"{path}, line {line}: {message}" or "{...}" in message, told


@pytest.mark.parametrize("command", ["ls", "", "./ls", "/bin/../bin/ls", "/bin//ls", "//bin/ls", "/bin/./ls", "/bin/"])
def test_a_command_that_is_no_plain_absolute_path_is_refused(read: Read, command: str) -> None:
    with pytest.raises(ConfigError, match=r"roles\.a\.commands: "):
        read(f"roles: {{a: {{commands: ['{command}']}}}}")


@pytest.mark.parametrize("name", ["", "A=", "A B", "*A", "A*B", "1A", "A**", "A\\n"])
def test_a_variable_that_is_none_is_refused(read: Read, name: str) -> None:
    with pytest.raises(ConfigError, match=r"roles\.a\.environment: "):
        read(f'roles: {{a: {{environment: ["{name}"]}}}}')


@pytest.mark.parametrize("text", [b"roles: [", b"--- a\n--- b", b"\xff: 1", b"a: " + b"[" * 5000, b"\x00"])
def test_what_is_not_yaml_is_refused(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    with pytest.raises(ConfigError, match="the policy file is not YAML"):
        file.read(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["own", "full", "/bin/a", "A_*", "a", "64M", ""]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["max", "pids", "a"]), inner, max_size=3)
    ),
    max_leaves=5,
)
RULES = st.dictionaries(st.sampled_from(["like", "start", *rules_setting.KEYS]), VALUES, max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["full", "admin", "a", "b"]), RULES, max_size=3), RULES)
def test_a_file_of_any_content_is_a_policy_or_a_mistake_that_is_told(
    path: Path, roles: dict[str, object], of_owner: dict[str, object]
) -> None:
    path.write_text(yaml.safe_dump({"roles": roles, "owners": {"ann": of_owner}}))
    told = ""
    try:
        policy = file.read(path)
        for role in policy.roles:
            policy.rules(role, "ann")
    except ConfigError as error:
        told = str(error)
    assert told == "" or told.startswith(f"{path}, line ")


def test_a_file_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(ConfigError, match=f"the policy file {path} can't be read: No such file or directory"):
        PolicyInForce(path)


def test_a_file_that_anybody_may_write_to_is_refused(path: Path) -> None:
    path.touch()
    path.chmod(0o666)
    with pytest.raises(ConfigError, match=f"every user of this host may write to the policy file {path}"):
        file.read(path)


def test_a_bad_file_leaves_the_old_policy_in_force(path: Path) -> None:
    path.write_text("roles: {guest: {list: own}}")
    in_force = PolicyInForce(path)
    path.write_text("roles: {guest: {lst: own}}")
    with pytest.raises(ConfigError, match="did you mean 'list'"):
        in_force.reload()
    assert in_force.current.scope("guest", Operation.LIST) is Scope.OWN
    path.write_text("roles: {guest: {list: any}}")
    in_force.reload()
    assert in_force.current.scope("guest", Operation.LIST) is Scope.ANY
