"""Bounds of a role and of an owner: what is allowed by both together is just what each of them allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from hypothesis import given, settings
from hypothesis import strategies as st

from jobworker_lib import Isolation, Limits
from jobworker_server.errors import InvalidRequestError, PermissionDeniedError
from jobworker_server.limit_policy import LimitPolicy
from jobworker_server.policy import Rules, fence
from jobworker_server.policy.permit import Permit

LIMITS = ("memory_bytes", "cpus", "pids", "nice", "cpu_weight")


def lists(*items: str) -> st.SearchStrategy[tuple[str, ...] | None]:
    return st.none() | st.lists(st.sampled_from(items), unique=True, max_size=4).map(tuple)


def limits() -> st.SearchStrategy[Limits]:
    return st.builds(Limits, **{name: st.none() | st.integers(1, 5) for name in LIMITS})


def isolations() -> st.SearchStrategy[Isolation | None]:
    return st.lists(st.sampled_from(fence.PARTS), unique=True, max_size=5).map(fence.of_parts)


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    """Rules as a file can have them."""
    isolation = draw(isolations())
    writable = tuple(draw(st.lists(st.sampled_from(["/a", "/b"]), unique=True)))
    maximum = draw(limits())
    unbounded = LimitPolicy(draw(limits()))
    return Rules(
        running=draw(st.none() | st.integers(1, 5)),
        queued=draw(st.none() | st.integers(0, 5)),
        priority=draw(st.none() | st.integers(-2, 2)),
        commands=draw(lists("/bin/a", "/bin/b", "/bin/c")),
        environment=draw(lists("A", "A_*", "A_B", "A_B*", "B", "*")),
        users=draw(lists("ann", "bob", "1000")),
        limits=LimitPolicy(maximum=maximum).and_(unbounded),
        isolation=isolation,
        writable=writable if fence.depends_on_paths(isolation) else None,
        new_privileges=draw(st.booleans()),
    )


def is_allowed(check: Callable[[Permit], object], bounds: Rules) -> bool:
    try:
        check(Permit("guest", bounds))
    except (PermissionDeniedError, InvalidRequestError):
        return False
    return True


@settings(max_examples=80, deadline=None)
@given(
    rules(),
    rules(),
    st.sampled_from(["/bin/a", "/bin/b", "/bin/d", "a"]),
    st.sampled_from(["A", "A_", "A_B", "A_BC", "A_C", "B", "BC", "C"]),
    st.sampled_from(["ann", "bob", "1000", "root"]),
    st.sampled_from(["/a", "/b", "/c", "/", "/tmp"]),
    st.sampled_from([-3, -1, 1, 2, 3]),
    limits(),
)
def test_both_together_allow_what_each_allows(
    role: Rules, owner: Rules, command: str, variable: str, user: str, path: str, priority: int, asked: Limits
) -> None:
    def works_in(permit: Permit) -> None:
        permit.working_directory(path, "/home", permit.isolation(None))

    checks: list[Callable[[Permit], object]] = [
        lambda permit: permit.check_command([command]),
        lambda permit: permit.check_environment({variable: "x"}, has_terminal=False),
        lambda permit: permit.user(user),
        lambda permit: permit.priority(priority),
        lambda permit: permit.isolation(Isolation(writable=(path,))),
        lambda permit: permit.isolation(Isolation(drop_capabilities=True, kept_capabilities=("CAP_KILL",))),
        lambda permit: permit.rules.limits.applied(asked, "/"),
    ]
    both = role.and_(owner)
    for check in checks:
        assert is_allowed(check, both) == (is_allowed(check, role) and is_allowed(check, owner))
    if is_allowed(works_in, both) and path != "/tmp":  # which one of them may make private for both
        assert is_allowed(works_in, role)
        assert is_allowed(works_in, owner)


@settings(max_examples=80, deadline=None)
@given(rules(), rules(), isolations(), limits())
def test_a_job_has_what_either_demands(role: Rules, owner: Rules, asked: Isolation | None, given_: Limits) -> None:
    both = role.and_(owner)
    found = Permit("guest", both).isolation(asked) or Isolation()
    for demanded in (role.isolation, owner.isolation):
        assert demanded is None or set(fence.parts_of(demanded)) <= set(fence.parts_of(found))
    assert both.new_privileges == (role.new_privileges and owner.new_privileges)
    for bound in ("running", "queued", "priority"):
        given_bounds = [most for most in (getattr(role, bound), getattr(owner, bound)) if most is not None]
        assert getattr(both, bound) == min(given_bounds, default=None)
    if is_allowed(lambda permit: permit.rules.limits.applied(given_, "/"), both):
        applied = both.limits.applied(given_, "/")
        for bounds in (role, owner):
            assert bounds.limits.excess(applied) is None
            for limit in fields(Limits):
                bound = getattr(bounds.limits.maximum, limit.name)
                is_free = limit.name in ("io", "nice", "cpu_weight")  # without a limit these are at what all have
                assert is_free or bound is None or getattr(applied, limit.name) is not None
