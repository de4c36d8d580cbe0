"""What somebody asks for: the registration data, written by hand as YAML, and as a request carries it."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobworker_pki import names, role
from jobworker_pki.errors import InvalidValueError, RequestError
from jobworker_pki.key_types import KeyType
from jobworker_pki.reading import read_at_most

MAX_FILE_BYTES = 1 << 16
MAX_DAYS = 90
"""Who holds the CA can grant more than anybody can ask for."""

_KEYS = ("name", "email", "role", "days", "keyType", "spiffe")
_REQUIRED = ("name", "email", "role")


@dataclass(frozen=True)
class Registration:
    """The data of a request; a request made by another program than this has a name alone."""

    name: str
    email: str | None = None
    role: str | None = None
    days: int | None = None
    spiffe: str | None = None

    def check(self) -> None:
        """Raise InvalidValueError unless a certificate can be issued for this, and all of it can be shown."""
        names.check_client_name(self.name)
        if self.email is not None:
            names.check_email(self.email)
        if self.role is not None:
            role.check(self.role)
        if self.days is not None and not 1 <= self.days <= MAX_DAYS:
            raise InvalidValueError("days", f"has to be 1 to {MAX_DAYS}")
        if self.spiffe is not None:
            names.check_spiffe(self.spiffe)


def read(path: Path) -> tuple[Registration, KeyType]:
    """Return the registration data in ``path``, and the kind of key to make. Raises RequestError."""
    content = _load(path)
    _require_known(path, content)
    missing = [key for key in _REQUIRED if key not in content]
    if missing:
        raise RequestError(path, f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    texts = {key: _text(path, key, value) for key, value in content.items() if key != "days"}
    try:
        registration = Registration(
            texts["name"], texts["email"], texts["role"], _days(path, content.get("days")), texts.get("spiffe")
        )
        registration.check()
    except InvalidValueError as error:
        raise RequestError(path, f"{error.field} {error.problem}") from error
    return registration, _key_type(path, texts.get("keyType", KeyType.ECDSA_P256))


def _load(path: Path) -> Mapping[str, object]:
    import yaml  # only this command reads it

    try:
        raw = read_at_most(path, MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise RequestError(path, f"is larger than {MAX_FILE_BYTES} bytes")
        node = yaml.compose(raw, Loader=yaml.SafeLoader)
        content = yaml.safe_load(raw)
    except OSError as error:
        raise RequestError(path, error.strerror or "can't be read") from error
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise RequestError(path, f"{where}this is not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RequestError(path, "this is not YAML") from error
    if (
        not isinstance(node, yaml.MappingNode)
        or not isinstance(content, dict)
        or not all(isinstance(key, str) for key in content)
    ):
        raise RequestError(path, f"has to be a mapping with the keys {', '.join(_KEYS)}")
    for key, count in Counter(item.value for item, _ in node.value).items():
        if count > 1:
            raise RequestError(path, f"has the key {key!r} {count} times")
    return content


def _require_known(path: Path, content: Iterable[str]) -> None:
    by_lower_case = {key.lower(): key for key in _KEYS}
    for key in content:
        if key not in _KEYS:
            near = difflib.get_close_matches(key.lower(), by_lower_case, n=1)
            hint = f"did you mean {by_lower_case[near[0]]}?" if near else f"known are: {', '.join(_KEYS)}"
            raise RequestError(path, f"has an unknown key {key!r}; {hint}")


def _text(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise RequestError(path, f"{key} has to be a text; put it in quotes")
    return value


def _days(path: Path, value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise RequestError(path, "days has to be a whole number")


def _key_type(path: Path, value: str) -> KeyType:
    try:
        return KeyType(value)
    except ValueError:
        raise RequestError(path, f"keyType has to be one of {', '.join(KeyType)}") from None
