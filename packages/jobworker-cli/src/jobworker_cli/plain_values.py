"""Values of options without pydantic: newer versions of typer import it, for a tenth of a second, to read any value."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, get_args


class PlainValues:
    """A command whose parameters are read without pydantic where that takes nothing but what Python has.

    Where typer has no such step, as its older versions, or refuses the value, nothing is changed.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, the one of ``--help`` among them."""
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]  # typer's, which comes after this one
        for parameter in parameters:
            if getattr(parameter, "_runtime_param", parameter) is None:
                parameter._runtime_param = _Plain()  # noqa: SLF001  typer has no public way
        return parameters


class _Plain:
    """Stands for typer's own reading, which it asks for what it can't do."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value that an option or argument has."""
        kind = param.type_descriptor.annotation
        is_many = param.multiple or param.nargs == -1
        if value is None:
            return () if is_many else None
        if isinstance(kind, type) and type(value) is kind and (kind is str or value == param.default):
            return value
        try:
            if is_many:
                return [_read(get_args(kind)[0], item) for item in value]
            return _in_range(param.type_descriptor.parameter_info, _read(kind, value))
        except (ValueError, IndexError):
            param._runtime_param = None  # noqa: SLF001
            return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def _read(kind: Any, value: object) -> Any:
    """A text as one of these; ValueError where that is none of the plain kinds."""
    if not isinstance(kind, type) or not isinstance(value, str):
        raise ValueError  # noqa: TRY004  it is no mistake
    if kind is str or kind in (int, float) or issubclass(kind, StrEnum):
        return kind(value)
    raise ValueError


def _in_range(option: Any, value: Any) -> Any:
    if isinstance(value, int | float):
        if option.min is not None and not value >= option.min:
            raise ValueError
        if option.max is not None and not value <= option.max:
            raise ValueError
    return value
