"""What calls do, and on whose jobs."""

from __future__ import annotations

from enum import Enum, StrEnum


class Operation(StrEnum):
    """What a call does; each RPC is one of these, and Attach may be two of them."""

    START = "start"
    STOP = "stop"
    SIGNAL = "signal"
    DELETE = "delete"
    UPDATE = "update"
    QUERY = "query"
    LIST = "list"
    WAIT = "wait"
    OUTPUT = "output"
    INPUT = "input"

    @property
    def verb(self) -> str:
        """What it is to do it, in a sentence."""
        return _VERBS[self]


class Scope(Enum):
    """Whose jobs an operation may be done on."""

    NONE = "none"
    OWN = "own"
    ANY = "any"


_VERBS = {
    Operation.START: "start jobs",
    Operation.STOP: "stop jobs",
    Operation.SIGNAL: "signal jobs",
    Operation.DELETE: "delete jobs",
    Operation.UPDATE: "change jobs",
    Operation.QUERY: "query jobs",
    Operation.LIST: "list jobs",
    Operation.WAIT: "wait for jobs",
    Operation.OUTPUT: "read the output of jobs",
    Operation.INPUT: "write to jobs",
}
