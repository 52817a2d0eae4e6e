"""The projectors after a change of the read model `orders`: `python -m tests.integration.changed`.

Its rows have a new column, and its version is the next one.
"""

import sys
from typing import Any

from msgspec.structs import asdict, replace

from common import runtime
from common.messages import Event
from projectors import __main__ as process
from projectors import orders


class CountedOrder(orders.OrderRow, frozen=True, kw_only=True):
    """An order that knows how many events have changed it."""

    changes: int = 0


apply_as_before = orders.MODEL.apply


def apply(row: CountedOrder | None, stream: str, event: Event) -> CountedOrder | None:
    after = apply_as_before(row, stream, event)
    if after is None:
        return None
    before = row.changes if row else 0
    return CountedOrder(**asdict(after) | {"changes": before + 1})


CHANGED: Any = replace(orders.MODEL, row=CountedOrder, apply=apply, version=orders.MODEL.version + 1)


def main() -> None:
    """Runs them in place of the ones there are, and of no other model."""

    async def project(*arguments: Any) -> None:
        settings, modules = arguments
        for module in modules:
            module.MODEL = CHANGED if module is orders else module.MODEL
        await original(settings, modules)

    original = process.project
    vars(process)["project"] = project
    runtime.run(process.run(sys.argv[1:] or ["orders"]))


if __name__ == "__main__":
    main()
