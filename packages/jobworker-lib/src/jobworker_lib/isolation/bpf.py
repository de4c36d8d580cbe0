"""Assembles programs of the classic BPF that seccomp(2) takes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

LOAD = 0x20
"""Load the word of ``struct seccomp_data`` at an offset."""
JUMP_EQUAL = 0x15
JUMP_AT_LEAST = 0x35
JUMP_ANY_BIT = 0x45
RETURN = 0x06

_FARTHEST = 255


@dataclass(frozen=True, slots=True)
class _Instruction:
    code: int
    operand: int
    target: str | None


class Program:
    """A program under construction: jumps go forward to labels, and fall through where their condition fails."""

    def __init__(self) -> None:
        self._instructions: list[_Instruction] = []
        self._labels: dict[str, int] = {}

    def load(self, offset: int) -> None:
        """Load a word of ``struct seccomp_data``."""
        self._add(LOAD, offset)

    def jump(self, condition: int, operand: int, target: str) -> None:
        """Jump to a label where the loaded word fulfils the condition."""
        self._add(condition, operand, target)

    def finish(self, action: int) -> None:
        """End with an action."""
        self._add(RETURN, action)

    def label(self, name: str) -> None:
        """Name the place of the next instruction."""
        self._labels[name] = len(self._instructions)

    def assemble(self) -> bytes:
        """The program as an array of ``struct sock_filter``.

        Raises:
            ValueError: a jump is too far, or goes backwards, or nowhere.
        """
        return b"".join(self._encode(place, instruction) for place, instruction in enumerate(self._instructions))

    def _add(self, code: int, operand: int, target: str | None = None) -> None:
        self._instructions.append(_Instruction(code, operand, target))

    def _encode(self, place: int, instruction: _Instruction) -> bytes:
        distance = 0
        if instruction.target is not None:
            if instruction.target not in self._labels:
                raise ValueError(f"there is no label {instruction.target}")
            distance = self._labels[instruction.target] - place - 1
            if not 0 <= distance <= _FARTHEST:
                raise ValueError(f"the jump to {instruction.target} is {distance} instructions long")
        return struct.pack("=HBBI", instruction.code, distance, 0, instruction.operand)
