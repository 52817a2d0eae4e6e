"""Hypothesis strategies for messages, derived from their types: whatever a door lets in may be drawn."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any

import hypothesis.strategies as st
import msgspec.inspect as mi
from msgspec import Struct

from common.context import Known
from common.messages import Command
from common.personal import NONCE_BYTES, TAG_BYTES, Personal
from tests.scenario import fingerprint_of

# PostgreSQL's text takes no U+0000 and UTF-8 no lone surrogates; the doors refuse both before a rule is asked.
characters = st.characters(codec="utf-8", exclude_characters="\0")
zones = st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-14))])
instants = st.datetimes(timezones=zones)
seals = st.builds(
    lambda person, raw: Personal(person, sealed=b64encode(raw).decode()),
    person=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    raw=st.binary(min_size=NONCE_BYTES + TAG_BYTES, max_size=60),
)
roles = st.frozensets(st.sampled_from(["storefront", "operator", "trusted-channel", "catalogue", "reaction"]))
knowns = st.builds(
    Known,
    at=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    principal=st.just("somebody"),
    roles=roles,
    fingerprint=st.just(fingerprint_of),
)


def messages(kind: type[Struct], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of a struct type within the limits its types state; `fields` draws some of them otherwise."""
    info = mi.type_info(kind)
    assert isinstance(info, mi.StructType)
    drawn = {field.encode_name: values(field.type) for field in info.fields} | fields
    return st.builds(kind, **drawn)


@cache
def commands(kinds: tuple[type[Command], ...], key: str) -> st.SearchStrategy[Any]:
    """Commands to one stream."""
    return st.one_of([messages(kind, **{kind.declared.key: st.just(key)}) for kind in kinds])


@cache
def texts(pattern: str, most: int | None) -> st.SearchStrategy[str]:
    """Texts of a pattern. Made once: making one takes as long as drawing from it a hundred times."""
    return st.from_regex(pattern, alphabet=characters).filter(lambda text: most is None or len(text) <= most)


def values(info: mi.Type) -> st.SearchStrategy[Any]:
    """Values of a type as msgspec describes it."""
    match info:
        case mi.Metadata(type=inner):
            return values(inner)
        case mi.NoneType():
            return st.none()
        case mi.BoolType():
            return st.booleans()
        case mi.IntType(ge=ge, le=le):
            return st.integers(ge, le)
        case mi.LiteralType(values=stated):
            return st.sampled_from(stated)
        case mi.StrType(pattern=str(pattern), max_length=most):
            return texts(pattern, most)
        case mi.StrType(min_length=least, max_length=most):
            return st.text(characters, min_size=least or 0, max_size=min(most or 20, 20))
        case mi.DateTimeType():
            return instants
        case mi.UnionType(types=types):
            return st.one_of([values(member) for member in types])
        case mi.VarTupleType(item_type=item, min_length=least, max_length=most):
            return st.lists(values(item), min_size=least or 0, max_size=min(most or 5, 5)).map(tuple)
        case mi.StructType(cls=cls):
            return messages(cls)
        case mi.CustomType(cls=cls) if cls is Personal:
            return seals
        case _:
            raise NotImplementedError(f"no strategy for {info!r}")
