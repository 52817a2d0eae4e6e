"""Whether the views equal the file: each sum of the one beside that of the other, to the cent and the piece."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from operator import add

from msgspec import Struct
from msgspec.structs import replace

from contexts.stock.commands import ReceiveStock
from gateway.cli.baskets import Baskets
from gateway.cli.year.asking import sales
from gateway.cli.year.course import AT_ONCE, chunks
from gateway.cli.year.sums import BY, TOTAL, FileSums, Odd, Sums
from gateway.cli.year.system import System
from gateway.cli.year.wishes import CHANNEL, CURRENCY, placing_id, stock_id
from projectors.sales import By

SALES = ("orders", "units", "revenue")
UNDONE = ("cancelled", "refunded")
PIECES = ("on hand", "closing stock", "set aside")
MISSING = ("order", "orders", 0)
MONEY = ("revenue", "total", "paid", *UNDONE)


class Difference(Struct, frozen=True):
    """One sum that is not the same: of what (`by`, `key`), which (`sum`), and both numbers, money in cents.

    `file` is what the file says or, where it cannot know, what something else says (`beside`).
    """

    by: str
    key: str
    sum: str
    file: int
    views: int
    beside: str = "file"

    def __str__(self) -> str:
        file, views = (number(self.sum, value) for value in (self.file, self.views))
        what = f"{self.sum} of {self.by} {self.key}" if self.by else f"{self.sum} in all"
        return f"{what}: {file} in the {self.beside}, {views} in the views"


class Compared(Struct, frozen=True):
    """The same sums, by the same keys, of the file and of the views; `beside` as of a `Difference`."""

    by: str
    sums: tuple[str, ...]
    file: Sums
    views: Sums
    beside: str = "file"

    def differences(self) -> Iterator[Difference]:
        """A key that one of them lacks counts there as 0."""
        none = (0,) * len(self.sums)
        for key in sorted(self.file.keys() | self.views.keys()):
            both = zip(self.sums, self.file.get(key, none), self.views.get(key, none), strict=True)
            for name, file, views in both:
                if file != views:
                    yield Difference(self.by, key, name, file, views, self.beside)

    def total(self, sums: Sums) -> tuple[int, ...]:
        """All keys together."""
        return tuple(sum(column) for column in zip(*sums.values(), strict=True)) or (0,) * len(self.sums)


class Comparison(Struct, frozen=True):
    """All that was compared, and what of it differs. `moving` when that may be because orders still moved."""

    compared: list[Compared]
    differences: list[Difference]
    states: dict[str, int]
    odd: Odd
    moving: bool = False


async def compare(year: Baskets, system: System, deliver: bool) -> Comparison:
    """Asks the views for everything that the file can say too."""
    sums = FileSums(year)
    seen, undone = [0] * len(TOTAL), (0, 0)
    async for orders in system.views.orders(CHANNEL):
        sums.see(orders)
        for _, state, total, _, units, lines, refunded, _ in orders:
            seen = list(map(add, seen, (1, lines, units, total)))
            undone = undone[0] + total * (state == "cancelled"), undone[1] + refunded
    found = {by: await sales(system.ask, by) for by in BY}
    compared = [Compared("", TOTAL, {"": sums.total()}, {"": tuple(seen)})]
    compared += [Compared(by, SALES, sums.by(by), sold(views)) for by, views in found.items()]
    day = sums.middle()
    views = await sales(system.ask, "department", day)
    compared.append(Compared(f"department as of {day}", SALES, sums.by("department", day), sold(views)))
    compared.append(as_orders_say(undone, found))
    compared.append(await stock(year, sums, system))
    differences = list(of_orders(sums, deliver))  # They say most, so they come first.
    differences += [found for each in compared for found in each.differences()]
    differences = await explained(differences, system)
    return Comparison(compared, differences, sums.states(), sums.odd())


def sold(views: Sums) -> Sums:
    """Of what sales say, what the file can say too: it knows of nothing that was cancelled or paid back."""
    return {key: values[: len(SALES)] for key, values in views.items()}


def as_orders_say(undone: tuple[int, ...], found: Mapping[By, Sums]) -> Compared:
    """Cents that were cancelled and paid back: by all orders together, and by sales in each way of adding them up."""
    views: Sums = {}
    for by, each in found.items():
        *_, cancelled, refunded = zip(*each.values(), strict=True) if each else [(), ()]
        views[f"by {by}"] = sum(cancelled), sum(refunded)
    return Compared("sales", UNDONE, dict.fromkeys(views, undone), views, "orders")


async def explained(differences: Sequence[Difference], system: System) -> list[Difference]:
    """With the rule by which it was refused, where an order is missing because of that."""
    missing = {each: placing_id(each.key) for each in differences if (each.by, each.sum, each.views) == MISSING}
    few = list(missing.values())[:AT_ONCE]
    refused = await system.refused("order", few) if few else {}
    return [
        replace(each, key=f"{each.key} ({refused[missing[each]]})") if missing.get(each) in refused else each
        for each in differences
    ]


async def stock(year: Baskets, sums: FileSums, system: System) -> Compared:
    """What is left at each site: what it got less what was sold there."""
    taken = sums.taken()
    came = Counter[str]()
    async for each in brought(year, system):
        came[each.site] += sum(line.quantity for line in each.lines)
    left: Sums = {site: (came[site] - sold, came[site] - sold, aside) for site, (sold, aside) in taken.items()}
    left |= {site: (pieces, pieces, 0) for site, pieces in came.items() if site not in taken}
    found = {site: pieces for site, pieces in (await system.views.stock()).items() if site in left}
    return Compared("site", PIECES, left, found)


async def brought(year: Baskets, system: System) -> AsyncIterator[ReceiveStock]:
    """The goods that have come, by their receipts; also those of later blocks, when more was played before."""
    for block in [*year.blocks(), *year.later_blocks()]:
        if block.start >= year.n:
            ids = [stock_id(store, block.start, 0) for store in year.stores(block)]
            if not await system.accepted("stock", ids):
                return
            year.reach(block)
        for some in chunks(year.goods(block), AT_ONCE):
            came = await system.accepted("stock", [each.command_id for each in some])
            for each in some:
                if each.command_id in came:
                    yield each.command


def of_orders(sums: FileSums, deliver: bool) -> Iterator[Difference]:
    """Each order that is not as the file says, or was cancelled though nobody asked for that; with `deliver`, also each
    that was not delivered, or not paid."""
    for order, *both in sums.orders_that_differ():
        file, views = both[:3], both[3:]
        if None in views:
            yield Difference("order", order, "orders", 1, 0)
            continue
        for name, said, shown in zip(TOTAL[1:], file, views, strict=True):
            if said != shown:
                yield Difference("order", order, name, said, shown)
    if strangers := sums.no_baskets():
        yield Difference(
            "channel", f"{CHANNEL} that are no baskets, such as {strangers[0]}", "orders", 0, len(strangers)
        )
    not_served = sums.not_served()
    for order, cause in not_served.items():
        yield Difference("order", f"{order} (cancelled: {cause})", "served", 1, 0)
    for order, total, paid, state in sums.not_delivered() if deliver else ():
        if order in not_served:
            continue
        if state != "delivered":
            yield Difference("order", f"{order} ({state})", "delivered", 1, 0)
        elif total != paid:
            yield Difference("order", order, "paid", total, paid)


def number(sum: str, value: int) -> str:
    """As a person reads it: money in the currency's units."""
    return f"{value / 100:,.2f} {CURRENCY}" if sum in MONEY else f"{value:,}"
