"""The engine works wherever Python does: it imports nothing that Python doesn't bring."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import jobworker_lib

SOURCE = Path(jobworker_lib.__file__).parent


def imported_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "jobworker_lib" if node.level else str(node.module)


def test_every_import_is_of_the_standard_library_or_of_the_package_itself() -> None:
    modules = sorted(SOURCE.rglob("*.py"))
    foreign = {
        f"{module.relative_to(SOURCE)} imports {name}"
        for module in modules
        for name in imported_names(ast.parse(module.read_text()))
        if name.partition(".")[0] not in sys.stdlib_module_names | {"jobworker_lib"}
    }
    assert modules
    assert not foreign
