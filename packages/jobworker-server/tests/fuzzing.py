"""What the fuzzing tests share: how much is tried, messages of all kinds, and what was found before.

``JOBWORKER_FUZZ`` is the number of examples of each test; ``make fuzz`` sets a large one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"
EXAMPLES = int(os.environ.get("JOBWORKER_FUZZ", "60"))

bounded = settings(
    max_examples=EXAMPLES,
    derandomize="JOBWORKER_FUZZ" not in os.environ,
    deadline=None,  # the machine may be busy; each call has a deadline of its own
    suppress_health_check=list(HealthCheck),  # fixtures are shared on purpose, and large inputs are wanted
    print_blob=True,
    database=None,
)

TRICKY_TEXT = [
    "", "\0", "a\0b", "../../etc/passwd", "/", "..", "%2e%2e", "²", "١٢", "\u202ex", "\ud7ff", "\U0010ffff", "\x1b[2J",
    "x" * 300, "x" * 70_000, "\r\n", "-", "--help", "None", "null", "true", "0", "-1", "1e400", "nan",
    "'; DROP TABLE jobs;", "{}", "\ufeff", "e\u0301", "root", "65534", "4294967295", "18446744073709551616",
]  # fmt: skip
_EDGES = (0, 1, 2, 1 << 31, (1 << 31) - 1, 1 << 32, (1 << 53) + 1, 1 << 63, (1 << 63) - 1, (1 << 64) - 1)
_RANGES: dict[int, tuple[int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(1 << 31), (1 << 31) - 1),
}


def messages(kind: type[Message], texts: st.SearchStrategy[str], depth: int = 3) -> st.SearchStrategy[Message]:
    """Messages of a kind with any of their fields, most of them absent; ``texts`` are what strings hold."""
    return st.lists(_field(kind.DESCRIPTOR, texts, depth), max_size=5).map(lambda fields: _joined(kind, fields))


def known(kind: type[Message]) -> Iterator[Message]:
    """Those of the corpus."""
    for path in sorted((CORPUS / "requests").glob(f"{kind.DESCRIPTOR.name}.*.txtpb")):
        yield text_format.Parse(path.read_text(), kind())


def _joined(kind: type[Message], fields: list[bytes]) -> Message:
    """As protobuf has it: the parts of a message, one after the other, are the message."""
    return kind.FromString(b"".join(fields))


@st.composite
def _field(draw: st.DrawFn, descriptor: Any, texts: st.SearchStrategy[str], depth: int) -> bytes:
    """One field that is set, as bytes; nothing where the message has none."""
    message = GetMessageClass(descriptor)()
    if not descriptor.fields:
        return b""
    field = descriptor.fields_by_name[draw(st.sampled_from([known.name for known in descriptor.fields]))]
    if field.message_type and field.message_type.GetOptions().map_entry:
        pairs = draw(st.dictionaries(texts.filter(_is_short), texts.filter(_is_short), max_size=3))
        getattr(message, field.name).update(pairs)
    elif field.message_type:
        kind = GetMessageClass(field.message_type)
        if depth:
            part = draw(messages(kind, texts, depth - 1))
            target = getattr(message, field.name)
            (target.add() if field.is_repeated else target).CopyFrom(part)
    elif field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(_scalar(field, texts), max_size=3)))
    else:
        setattr(message, field.name, draw(_scalar(field, texts)))
    return message.SerializeToString()


def _is_short(text: str) -> bool:
    return len(text) < 1000


def _scalar(field: FieldDescriptor, texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return st.floats()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=100)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return texts
    low, high = _RANGES[field.cpp_type]
    edges = [edge for number in _EDGES for edge in (number, -number) if low <= edge <= high]
    return st.sampled_from(edges) | st.integers(low, high) | st.integers(0, 20)
