"""A table is built anew only by its model's version: so who changes a fold, or its table, must count the version up.

Nothing else would notice. Rows that the old fold has left would stay among those of the new one.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from common.bucketmodel import BucketModel
from common.discovery import contexts, read_models
from common.readmodel import ReadModel
from common.store.read_tables import Table
from tests import sources
from tests.shell.toys import Added, jars

PINNED: dict[str, tuple[int, str]] = {
    "catalogue_words": (1, "aae82c79b1097d5b"),
    "closing_stock": (1, "8290783b6f565e6f"),
    "customers": (1, "7bb0aaebece04e52"),
    "deliveries": (2, "512a8e522643ff79"),
    "order-status": (1, "f3b1e511c76cca3c"),
    "order.reference": (1, "a184e677d037ff88"),
    "orders": (2, "5fe9f8dd03dfd357"),
    "payments": (2, "42c8abf29d7142bf"),
    "products": (2, "c6ace0edb2e99d48"),
    "sales": (1, "253b9d29a59a5ade"),
    "stock_levels": (2, "ce3237f2ec62e7ab"),
}
"""By read model: its version, and the digest of what that version stands for."""

COUNT_UP = """How {name} folds its events, or its table, is not what it was when version {pinned} was pinned.
1. In {file} set the version: {kind}(..., version={raised}). The table is then built anew beside the live one, and both
   are served by the new code meanwhile: so what is new in a row has a default, and what changes its type a new name.
   (Only when no row can come out different, as after renaming a variable, or when version {pinned} has never been
   released, may the version stay.)
2. Then write into PINNED in tests/test_versions.py: "{name}": ({version}, "{digest}")."""

Model = ReadModel | BucketModel
READ = read_models()
REFERENCE = {f"{name}.reference": context.reference for name, context in contexts().items() if context.reference}
MODELS: dict[str, Model] = {
    **{name: module.MODEL for name, module in READ.items()},
    **{name: reference.model for name, reference in REFERENCE.items()},
}


def is_of_models(module: str) -> bool:
    return module.startswith(("projectors.", "contexts.")) or module == __name__


def digest(model: Model) -> str:
    """Of the code that a row's meaning hangs on, without comments and docstrings, and of the table's shape."""
    return sources.digest([*sources.sources_of(roots(model), is_of_models), *shape(model)])


def roots(model: Model) -> list[Any]:
    if isinstance(model, BucketModel):
        return [model.value, model.apply]
    return [model.row, model.keys, model.apply, model.blank, model.adds]


def shape(model: Model) -> Iterator[str]:
    for context, events in model.follows.items():
        yield f"follows {context}: {sorted(event.__name__ for event in events)}"
    if isinstance(model, ReadModel):
        yield f"key: {model.key}"
        yield from (f"column {each.name}: {each.type} {each.not_null}" for each in Table(model).columns)


@pytest.mark.parametrize("name", MODELS)
def test_who_changes_a_read_model_counts_its_version_up(name: str) -> None:
    model = MODELS[name]
    pinned, _ = PINNED.get(name, (0, ""))
    found = model.version, digest(model)
    told = COUNT_UP.format(
        name=name,
        file=READ[name].__name__ if name in READ else model.apply.__module__,
        kind=type(model).__name__,
        pinned=pinned,
        raised=pinned + 1,
        version=max(found[0], pinned + 1),
        digest=found[1],
    )
    assert PINNED.get(name) == found, told


def test_nothing_is_pinned_that_is_no_read_model() -> None:
    assert PINNED.keys() == MODELS.keys()


class Other(Struct, frozen=True):
    """Another jar."""

    jar: str
    drops: int = 0


STEP = 1


def apply_otherwise(row: Any, stream: str, event: Any) -> Any:
    return Other(stream, STEP)


def keys_otherwise(stream: str, event: Any) -> list[tuple[str]]:
    return [(stream[0],)]


@pytest.mark.parametrize(
    "changed",
    [
        {"row": Other},
        {"apply": apply_otherwise},
        {"keys": keys_otherwise},
        {"key": ("jar", "drops")},
        {"follows": {"other": (Added,)}},
        {"blank": apply_otherwise},
        {"versioned": "other"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_fold_or_table_has_another_digest(changed: dict[str, Any]) -> None:
    model = jars("left", "right")
    assert digest(replace(model, **changed)) != digest(model)


def test_other_indexes_are_the_same_rows() -> None:
    assert digest(replace(jars("left"), indexes=("drops",), fillfactor=50)) == digest(jars("left"))
