"""Who may know whom. The layout is the architecture only as long as this holds.

gateway knows commands and read models; projectors know events; a context knows another only in its `process`, and only
its commands and events; common knows none of them. What a context is made of is pure: no I/O, no clock, no chance.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("gateway", "contexts", "projectors", "common")
PUBLIC = (("commands",), ("events",))
IMPURE = ("provider",)
"""The modules of a context that may reach outside: its effects."""

WIRED = ("common", "discovery", "contexts")
"""Gives whole contexts, with their rules: nothing for a door."""

PURE_IMPORTS = (
    "collections",
    "common.context",
    "common.messages",
    "common.personal",
    "common.readmodel",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "functools",
    "immutables",
    "itertools",
    "math",
    "msgspec",
    "operator",
    "re",
    "typing",
)
IMPURE_CALLS = ("now", "utcnow", "today", "open", "print", "input", "eval", "exec", "__import__", "import_module")


def violations(root: Path) -> list[str]:
    """Every line of the tree that crosses a border, as `file:line: what`."""
    return [
        f"{path.relative_to(root)}:{line}: {what}"
        for part in PARTS
        for path in sorted((root / part).rglob("*.py"))
        for line, what in crossings(path.relative_to(root), ast.parse(path.read_text()))
    ]


def crossings(path: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    me = (*path.parent.parts, path.stem)
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt | ast.expr):
            continue
        for target in imported(node, path.parent.parts):
            if not may_import(me, tuple(target.split("."))):
                yield node.lineno, f"may not import {target}"
        if is_pure(me) and isinstance(node, ast.Call) and called(node) in IMPURE_CALLS:
            yield node.lineno, f"may not call {called(node)}"


def imported(node: ast.AST, package: tuple[str, ...]) -> list[str]:
    """The full names that a statement imports, also those named in a call of `import_module`."""
    match node:
        case ast.Import(names=names):
            return [name.name for name in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            base = package[: len(package) - level + 1] if level else ()
            return [".".join([*base, *([module] if module else []), name.name]) for name in names]
        case ast.Call(args=[ast.Constant(value=str(name)), *_]) if called(node) in ("import_module", "__import__"):
            return [name]
        case ast.Attribute(value=ast.Name(id="discovery"), attr=name):
            return [f"common.discovery.{name}"]
        case _:
            return []


def called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def may_import(me: tuple[str, ...], target: tuple[str, ...]) -> bool:
    if is_pure(me) and target[0] not in PARTS:
        return allowed(target)
    match me[0], target[0]:
        case (_, "tests") | ("common", "gateway" | "contexts" | "projectors"):
            return False
        case ("contexts" | "projectors", "gateway") | ("contexts", "projectors"):
            return False
        case "gateway", "contexts":
            return target[2:3] == ("commands",)
        case "gateway", "common":
            return target != WIRED
        case "projectors", "contexts":
            return target[2:3] == ("events",)
        case "contexts", "contexts" if len(me) > 2 and target[1:2] != me[1:2]:
            return me[2] == "process" and target[2:3] in PUBLIC
        case "contexts", "common" if is_pure(me):
            return allowed(target)
        case _:
            return True


def is_pure(me: tuple[str, ...]) -> bool:
    """Whether this is a module inside of a context, other than its effects."""
    return me[0] == "contexts" and len(me) > 2 and me[2] not in IMPURE


def allowed(target: tuple[str, ...]) -> bool:
    full = ".".join(target)
    return any(full == name or full.startswith(f"{name}.") for name in PURE_IMPORTS)


def test_no_line_crosses_a_border() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("common/shell/worker.py", "from contexts.order.commands import PlaceOrder"),
        ("common/shell/worker.py", "import projectors.orders"),
        ("common/shell/worker.py", "import_module('gateway.app')"),
        ("gateway/app.py", "from contexts.order.decider import decide"),
        ("gateway/app.py", "from contexts.order import events"),
        ("gateway/app.py", "from contexts import order"),
        ("gateway/app.py", "from common.discovery import contexts"),
        ("gateway/app.py", "discovery.contexts()"),
        ("projectors/orders.py", "from contexts.order.commands import PlaceOrder"),
        ("projectors/orders.py", "from gateway.app import app"),
        ("contexts/order/decider.py", "from contexts.product.events import ProductAdded"),
        ("contexts/order/decider.py", "from ..product.events import ProductAdded"),
        ("contexts/order/process.py", "from contexts.product.crud import apply"),
        ("contexts/order/process.py", "from contexts.product import *"),
        ("contexts/order/decider.py", "import random"),
        ("contexts/order/decider.py", "import asyncio"),
        ("contexts/order/decider.py", "from time import monotonic"),
        ("contexts/order/decider.py", "from uuid import uuid4"),
        ("contexts/order/decider.py", "import os.path"),
        ("contexts/order/decider.py", "import asyncpg"),
        ("contexts/order/decider.py", "from common.store.pool import open_pool"),
        ("contexts/product/crud.py", "from datetime import datetime; datetime.now()"),
        ("contexts/product/crud.py", "from datetime import date; date.today()"),
        ("contexts/product/crud.py", "def apply(): return open('/etc/passwd')"),
        ("contexts/product/events.py", "import recount"),
    ],
)
def test_a_line_that_crosses_a_border_is_found(tmp_path: Path, path: str, line: str) -> None:
    bad = tmp_path / path
    bad.parent.mkdir(parents=True)
    bad.write_text(f'"""A made-up module."""\n\n{line}\n')
    assert [found.split(":")[:2] for found in violations(tmp_path)] == [[path, "3"]]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("gateway/app.py", "discovery.commands()"),
        ("gateway/cli/glossary.py", "from common.glossary.gather import glossary"),
        ("gateway/cli/send.py", "from contexts.order.commands import PlaceOrder"),
        ("projectors/orders.py", "from contexts.order.events import OrderPlaced"),
        ("contexts/order/process.py", "from contexts.product.events import ProductAdded"),
        ("contexts/order/process.py", "from contexts.payment.commands import RequestPayment"),
        ("contexts/order/decider.py", "from contexts.order.events import OrderPlaced"),
        ("contexts/order/decider.py", "from .events import OrderPlaced"),
        ("contexts/order/decider.py", "from collections.abc import Iterator"),
        ("contexts/payment/provider.py", "import asyncio"),
        ("contexts/__main__.py", "import asyncio"),
    ],
)
def test_a_line_that_stays_within_is_not(tmp_path: Path, path: str, line: str) -> None:
    good = tmp_path / path
    good.parent.mkdir(parents=True)
    good.write_text(f"{line}\n")
    assert violations(tmp_path) == []
