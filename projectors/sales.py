"""Sales by day, week, department, site and product, never summed over currencies.

What is sold, cancelled or paid back is booked on the business day (UTC) on which that happened. A day that is over is
never restated, so sales as of a day are those of all days up to it.
"""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from common.messages import Currency, Id, LongText, Query, Rejected, Text
from common.readmodel import sums
from common.store.pages import read_place, write_place
from common.store.read_tables import Table
from projectors._bookings import BOOKED, Booked, Booking, Span, booked

MODEL = replace(
    sums(
        name="sales",
        row=Booking,
        key=("sku", "department", "site", "span", "currency", "day", "channel", "booked"),
        follows={"order": tuple(BOOKED)},
        adds=booked,
    ),
    fillfactor=90,  # The rows of a day change all day long.
)
TABLE = Table(MODEL)

By = Literal["day", "week", "department", "site", "product"]
COLUMNS: dict[By, str] = {"day": "day", "week": "day", "department": "department", "site": "site", "product": "sku"}
FIGURES: dict[str, tuple[str, Booked]] = {
    "orders": ("orders", "sold"),
    "units": ("units", "sold"),
    "revenue": ("amount", "sold"),
    "cancelled_orders": ("orders", "cancelled"),
    "cancelled_units": ("units", "cancelled"),
    "cancelled": ("amount", "cancelled"),
    "refunded_units": ("units", "refunded"),
    "refunded": ("amount", "refunded"),
}
"""What is shown, by the number of a row that it adds up and how that was booked."""

Name = Annotated[str, Meta(pattern=r"^[^\x00]*$(?!\n)")]
Part = tuple[Span, date, date]
"""A part of the time that is asked for: its rows, its first day and the day after its last."""
END = date(9999, 12, 1)


class SalesFigures(Struct, frozen=True):
    """Sales of a day, a week, a department, a site or a product. `name` says which: a week is named by its Monday.

    Money is in minor units of `currency`. Cancelled and refunded is what was so in the time that is asked for, whenever
    it was sold; `net` is revenue less both.
    """

    name: str
    currency: str
    orders: int
    units: int
    revenue: int
    cancelled_orders: int
    cancelled_units: int
    cancelled: int
    refunded_units: int
    refunded: int
    net: int


class SalesPage(Struct, frozen=True):
    """Sales by name and currency; days and weeks by currency and time.

    `next`, given as `after`, leads to the page that follows; None when this is the last.
    """

    sales: list[SalesFigures]
    next: str | None


class GetSales(Query, kw_only=True, get="/sales", answer=SalesPage):
    """Sales by day, week, department, site or product, a row each per currency, in a time, at a site, of a department.

    Days are those of business, in UTC: `since` is included, `until` is not; `as_of` a day is what there was when it
    ended. Those of a product are kept by day, week and product only, for all sites together.
    """

    by: By
    since: date | None = None
    until: date | None = None
    as_of: date | None = None
    site: Id | None = None
    department: Text | None = None
    sku: Id | None = None
    channel: Text | None = None
    currency: Currency | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 20
    after: LongText | None = None


async def get_sales(query: GetSales, connection: Any) -> SalesPage:
    """Raises `Rejected` for what is not kept, and when `after` is not where a page of ours has ended."""
    refuse_what_is_not_kept(query)
    column, values = COLUMNS[query.by], list[Any]()
    records = await connection.fetch(question(query, column, values), *values)
    shown = records[: query.limit]
    after = place_of(shown[-1], query.by) if len(records) > query.limit else None
    return SalesPage([figures(record, column) for record in shown], after)


def refuse_what_is_not_kept(query: GetSales) -> None:
    """Raises `Rejected` for sales of a product by, or at, a site or a department."""
    if query.sku and query.by in ("site", "department"):
        raise Rejected("malformed", f"sales of a product are not kept by {query.by} - at `$.sku`")
    for field in ("site", "department") if query.sku or query.by == "product" else ():
        if getattr(query, field):
            raise Rejected("malformed", f"sales of a product are kept for all of them together - at `$.{field}`")


def question(query: GetSales, column: str, values: list[Any]) -> str:
    """The statement; its parameters are added to `values`.

    Each part of the time is read in the order of the key and stops at the limit; a week has at most seven days.
    """

    def given(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    order = ", ".join(places(column))
    groups = " AND ".join(groups_asked(query, column, given))
    how = "".join(f" AND {name} = {given(value)}" for name, value in how_asked(query))
    most = query.limit + 1
    parts = []
    for span, first, end in spans(query, column):
        booked = f"span = '{span}' AND day >= {given(first)} AND day < {given(end)}{how}"
        if query.by == "product":  # Where nothing at all was sold, all products need not be looked at to say so.
            booked += f" AND EXISTS (SELECT FROM {TABLE.name} WHERE {ALL_SALES} AND {booked})"
        parts.append(
            f"SELECT {order}, {OF_ROWS} FROM {TABLE.name} WHERE {groups} AND {booked}"
            f" GROUP BY {order} ORDER BY {order} LIMIT {7 * most if query.by == 'week' else most}"
        )
    if query.by == "week":
        order = "currency, day - extract(isodow FROM day)::int + 1 AS day"
    elif len(parts) == 1:
        return parts[0]
    together = " UNION ALL ".join(f"({part})" for part in parts)
    return f"SELECT {order}, {OF_PARTS} FROM ({together}) AS p GROUP BY 1, 2 ORDER BY 1, 2 LIMIT {most}"


OF_ROWS = ", ".join(
    f"coalesce(sum({number}) FILTER (WHERE booked = '{how}'), 0)::bigint AS {name}"
    for name, (number, how) in FIGURES.items()
)
ALL_SALES = "sku = '' AND department = '' AND site = ''"
OF_PARTS = ", ".join(f"sum({name})::bigint AS {name}" for name in FIGURES)


def places(column: str) -> tuple[str, str]:
    """In which order the answer is, and so where a page has ended."""
    return ("currency", column) if column == "day" else (column, "currency")


def how_asked(query: GetSales) -> list[tuple[str, str]]:
    """In which currency and channel."""
    wanted = (("currency", query.currency), ("channel", query.channel))
    return [(name, value) for name, value in wanted if value is not None]


def groups_asked(query: GetSales, column: str, given: Callable[[Any], str]) -> Iterator[str]:
    """Which groups are asked for, after the page before."""
    for name in ("sku", "department", "site"):
        wanted = getattr(query, name)
        yield f"{name} > ''" if name == column and not wanted else f"{name} = {given(wanted or '')}"
    if query.after is not None:
        yield beyond(query, column, query.after, given)


def beyond(query: GetSales, column: str, after: str, given: Callable[[Any], str]) -> str:
    """What comes after a page. Its first half alone tells where to begin in the index."""
    place = tuple[By, Currency, date] if column == "day" else tuple[By, Name, Currency]
    first, second = read_place(after, place, of=[query.by])
    if query.by == "week":
        second = min(second, END) + timedelta(days=6)
    one, other = places(column)
    begin = given(first)
    return f"{one} >= {begin} AND ({one} > {begin} OR {other} > {given(second)})"


def spans(query: GetSales, column: str) -> list[Part]:
    """The time that is asked for as days or, where there are rows for them, as months and the days around them."""
    since, until = min(query.since or date.min, END), min(query.until or END, END)
    if query.as_of is not None and query.as_of < until:
        until = query.as_of + timedelta(days=1)
    first = since if since.day == 1 else (since.replace(day=1) + timedelta(days=31)).replace(day=1)
    last = until.replace(day=1)
    if column in ("day", "sku") or first >= last:
        return [("day", since, until)]
    parts: list[Part] = [("day", since, first), ("month", first, last), ("day", last, until)]
    return [part for part in parts if part[1] < part[2]]


def figures(record: Any, column: str) -> SalesFigures:
    net = record["revenue"] - record["cancelled"] - record["refunded"]
    return SalesFigures(*(str(record[column]), record["currency"], *record[2:], net))


def place_of(record: Any, by: By) -> str:
    return write_place([record[name] for name in places(COLUMNS[by])], of=[by])


QUERIES = {GetSales: get_sales}
