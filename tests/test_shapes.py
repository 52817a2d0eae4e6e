"""A snapshot is believed by its shape alone: so who changes how a state is folded or how it rests must raise the shape.

Nothing else would notice. A state from an old snapshot would go on, as the old fold had left it, into new decisions.
"""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from common.context import Context
from common.discovery import contexts
from tests import sources

PINNED = {"customer": (1, "2f2ab491dffc91c2"), "stock": (1, "6fda87aa6a3f3b62")}
"""By context: the shape of its snapshots, and the digest of what that shape stands for."""

RAISE_IT = """How {name} folds its events, or how its state rests, is not what it was when shape {pinned} was pinned.
1. In contexts/{name}/wiring.py raise the shape: Snapshot(..., shape={raised}). Then snapshots of the old kind are not
   looked at, and each stream is folded from its events once more. (Only when no state can come out different, as after
   renaming a variable, may the shape stay.)
2. Then write into PINNED in tests/test_shapes.py: "{name}": ({shape}, "{digest}")."""

WITH_SNAPSHOTS = {name: context for name, context in contexts().items() if context.snapshot}


def is_of_contexts(module: str) -> bool:
    return module.startswith("contexts.") or module == __name__


def digest(context: Context) -> str:
    """Of the code that a snapshot's meaning hangs on, without comments and docstrings."""
    assert context.snapshot
    roots = (context.evolve, context.snapshot.freeze, context.snapshot.thaw, context.snapshot.form)
    return sources.digest(sources_of(roots))


def sources_of(roots: tuple[Any, ...]) -> set[str]:
    return sources.sources_of(roots, is_of_contexts)


@pytest.mark.parametrize("name", WITH_SNAPSHOTS)
def test_who_changes_a_fold_raises_the_shape_of_its_snapshots(name: str) -> None:
    snapshot = WITH_SNAPSHOTS[name].snapshot
    assert snapshot
    pinned, _ = PINNED.get(name, (0, ""))
    found = snapshot.shape, digest(WITH_SNAPSHOTS[name])
    told = RAISE_IT.format(
        name=name, pinned=pinned, raised=pinned + 1, shape=max(found[0], pinned + 1), digest=found[1]
    )
    assert PINNED.get(name) == found, told


STEP = 1


def stepped(state: int) -> int:
    """By one step."""
    return state + STEP


def evolve(state: int, event: Any) -> int:
    return stepped(state)


def evolve_otherwise(state: int, event: Any) -> int:
    return stepped(stepped(state))


def as_it_is(state: int) -> int:
    return state


@pytest.fixture
def customer() -> Context:
    context = WITH_SNAPSHOTS["customer"]
    assert context.snapshot
    return replace(context, evolve=evolve, snapshot=replace(context.snapshot, freeze=as_it_is))


def freeze_otherwise(state: int) -> int:
    return -state


@pytest.mark.parametrize("part", ["fold", "form", "freeze", "thaw"])
def test_another_fold_or_form_has_another_digest(customer: Context, part: str) -> None:
    stock = WITH_SNAPSHOTS["stock"].snapshot
    assert customer.snapshot
    assert stock
    others: dict[str, Callable[[Any], Context]] = {
        "fold": lambda snapshot: replace(customer, evolve=evolve_otherwise),
        "form": lambda snapshot: replace(customer, snapshot=replace(snapshot, form=stock.form)),
        "freeze": lambda snapshot: replace(customer, snapshot=replace(snapshot, freeze=freeze_otherwise)),
        "thaw": lambda snapshot: replace(customer, snapshot=replace(snapshot, thaw=freeze_otherwise)),
    }
    assert digest(others[part](customer.snapshot)) != digest(customer)


def test_what_a_fold_calls_and_the_constants_it_uses_are_part_of_it_and_what_is_said_of_it_is_not(
    customer: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = sources_of((evolve,))
    assert {
        f"{__name__}.STEP: 1",
        f"{__name__}.stepped: def stepped(state: int) -> int:\n    return state + STEP",
    } < sources
    before = digest(customer)
    monkeypatch.setattr(sys.modules[__name__], "STEP", 2)
    assert digest(customer) != before


def test_the_rules_beside_a_fold_and_its_events_are_no_part_of_it() -> None:
    found = sorted(source.partition(":")[0] for source in sources_of((WITH_SNAPSHOTS["customer"].evolve,)))
    assert found == [f"contexts.customer.decider.{name}" for name in ("Customer", "Stage", "evolve")]
