"""The seccomp filter, run by a small interpreter of BPF, for both architectures."""

from __future__ import annotations

import errno
import os
import platform
import re
import struct
from pathlib import Path

import pytest

from jobworker_lib.isolation import bpf, seccomp, system_calls

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
ALLOW, KILL = 0x7FFF0000, 0x80000000
ARCHITECTURES = [("x86_64", X86_64, 0), ("aarch64", AARCH64, 1)]


def run(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the kernel does: the action for a system call (bpf of seccomp(2))."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    instructions = list(struct.iter_unpack("=HBBI", program))
    place, word = 0, 0
    while True:
        code, when_true, when_false, operand = instructions[place]
        place += 1
        match code:
            case bpf.LOAD:
                (word,) = struct.unpack_from("=I", data, operand)
            case bpf.RETURN:
                return int(operand)
            case bpf.JUMP_EQUAL:
                place += when_true if word == operand else when_false
            case bpf.JUMP_AT_LEAST:
                place += when_true if word >= operand else when_false
            case bpf.JUMP_ANY_BIT:
                place += when_true if word & operand else when_false
            case _:
                raise AssertionError(code)


def failing(number: int) -> int:
    return 0x50000 | number


@pytest.mark.parametrize(("machine", "architecture", "column"), ARCHITECTURES)
def test_each_call_on_the_list_fails_and_the_others_do_not(machine: str, architecture: int, column: int) -> None:
    program = seccomp.program(machine)
    refused = {numbers[column] for numbers in system_calls.REFUSED.values()}
    for number in range(system_calls.NEWEST + 1):
        if number in (system_calls.CLONE3[column], system_calls.OPENAT2[column]):
            expected = failing(errno.ENOSYS)
        elif number in refused:
            expected = failing(errno.EPERM)
        elif number == system_calls.SOCKET[column]:
            continue
        else:
            expected = ALLOW
        assert run(program, architecture, number) == expected, number


@pytest.mark.parametrize(("machine", "architecture", "column"), ARCHITECTURES)
def test_what_is_newer_than_the_list_does_not_exist(machine: str, architecture: int, column: int) -> None:
    program = seccomp.program(machine)
    for number in (system_calls.NEWEST + 1, 1000, 0x40000000, 0x40000000 + 59, 0xFFFFFFFF):  # x32 has bit 30 set
        assert run(program, architecture, number) == failing(errno.ENOSYS)


@pytest.mark.parametrize(("machine", "architecture", "column"), ARCHITECTURES)
def test_foreign_architectures_are_killed(machine: str, architecture: int, column: int) -> None:
    for foreign in {X86_64, AARCH64, I386, 0x40000028} - {architecture}:
        assert run(seccomp.program(machine), foreign, 1) == KILL


@pytest.mark.parametrize(("machine", "architecture", "column"), ARCHITECTURES)
def test_arguments_are_judged_as_the_kernel_reads_them(machine: str, architecture: int, column: int) -> None:
    program = seccomp.program(machine)

    def verdict(numbers: system_calls.Numbers, *arguments: int) -> int:
        number = numbers[column]
        assert number is not None
        return run(program, architecture, number, *arguments)

    clone, ioctl, socket, personality = (
        system_calls.CLONE,
        system_calls.IOCTL,
        system_calls.SOCKET,
        system_calls.PERSONALITY,
    )
    assert verdict(clone, 0x01200011) == ALLOW  # as fork(3) does it
    assert verdict(clone, 0x003D0F00) == ALLOW  # as pthread_create(3) does it
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(clone, flag | 17) == failing(errno.EPERM)
    for request in (0x5412, 0x541C, 1 << 32 | 0x5412):  # the kernel takes an int
        assert verdict(ioctl, 0, request) == failing(errno.EPERM)
    assert verdict(ioctl, 0, 0x5413) == ALLOW
    for family in (1, 2, 10, 16, 17):
        assert verdict(socket, family) == ALLOW
    for family in (38, 40, 0):  # AF_ALG, AF_VSOCK
        assert verdict(socket, family) == failing(errno.EAFNOSUPPORT)
    assert verdict(personality, 0xFFFFFFFF) == ALLOW
    assert verdict(personality, 0x0400000) == failing(errno.EPERM)  # READ_IMPLIES_EXEC


@pytest.mark.parametrize(("machine", "architecture", "column"), ARCHITECTURES)
def test_no_setuid_program_is_made(machine: str, architecture: int, column: int) -> None:
    program = seccomp.program(machine)

    def verdict(numbers: system_calls.Numbers, **arguments: int) -> int:
        number = numbers[column]
        assert number is not None
        return run(program, architecture, number, *(arguments.get(f"at{place}", 0) for place in range(6)))

    for numbers, mode in system_calls.MODES.values():
        if numbers[column] is not None:
            assert verdict(numbers, **{f"at{mode}": 0o100777}) == ALLOW
            for bit in (0o4000, 0o2000):
                assert verdict(numbers, **{f"at{mode}": 0o755 | bit}) == failing(errno.EPERM)
    for numbers, flags in system_calls.OPENING.values():
        if numbers[column] is not None:
            for making in (os.O_CREAT, os.O_TMPFILE):
                assert verdict(numbers, **{f"at{flags}": making, f"at{flags + 1}": 0o4755}) == failing(errno.EPERM)
                assert verdict(numbers, **{f"at{flags}": making, f"at{flags + 1}": 0o755}) == ALLOW
            # The mode is no argument then, and holds what was in its register.
            assert verdict(numbers, **{f"at{flags}": os.O_RDWR | os.O_DIRECTORY, f"at{flags + 1}": 0o7777}) == ALLOW


def test_numbers_are_those_of_the_kernel_headers() -> None:
    headers = {
        0: Path("/usr/include") / f"{platform.machine()}-linux-gnu/asm/unistd_64.h",
        1: Path("/usr/include/asm-generic/unistd.h"),
    }
    for column, header in headers.items():
        if not header.exists():
            pytest.skip(f"the kernel's headers are not installed: {header}")
        known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
        modes = {name: numbers for name, (numbers, _) in {**system_calls.MODES, **system_calls.OPENING}.items()}
        for name, numbers in {**system_calls.REFUSED, **modes}.items():
            if name in known and numbers[column] is not None:
                assert numbers[column] == int(known[name]), name


def test_a_jump_must_lead_somewhere_near_and_ahead() -> None:
    program = bpf.Program()
    program.label("behind")
    program.load(0)
    program.jump(bpf.JUMP_EQUAL, 1, "behind")
    with pytest.raises(ValueError, match="behind"):
        program.assemble()
    nowhere = bpf.Program()
    nowhere.jump(bpf.JUMP_EQUAL, 1, "nowhere")
    with pytest.raises(ValueError, match="nowhere"):
        nowhere.assemble()
    far = bpf.Program()
    far.jump(bpf.JUMP_EQUAL, 1, "far")
    for _ in range(256):
        far.load(0)
    far.label("far")
    far.finish(0)
    with pytest.raises(ValueError, match="256 instructions"):
        far.assemble()
