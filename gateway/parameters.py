"""The parameters of a GET as a struct, read as strictly as JSON."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from common.codec import path_of_nul
from common.messages import Rejected
from common.shell.wish import LONGEST_WAIT_S
from gateway.problems import refused_input

MOST_PARAMETERS = 32
INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")


def parameters(path: Mapping[str, str], query: bytes) -> dict[str, str]:
    """Path and query parameters together. Raises a 400 problem for what is repeated or not UTF-8."""
    found = dict(path)
    try:
        text = query.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS)
    except (UnicodeDecodeError, ValueError):
        raise refused_input(Rejected("malformed", "the query string is not UTF-8, or too long")) from None
    for name, value in pairs:
        if name in found:
            raise refused_input(Rejected("malformed", f"given twice - at `{name}`"))
        found[name] = value
    return found


def strict(given: dict[str, str], kind: Any) -> Any:
    """The parameters as a struct. Raises a 400 problem that names the parameter and the rule."""
    if path := path_of_nul(given, "$"):
        raise refused_input(Rejected("malformed", f"the character U+0000 is not taken - at `{path}`"))
    literal = literals(kind)
    values = {name: literal[name](text) if name in literal else text for name, text in given.items()}
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise refused_input(Rejected("malformed", str(error))) from None


@cache
def literals(kind: Any) -> dict[str, Callable[[str], Any]]:
    """How to read the fields that are no text, by name. msgspec's own lax reading would take "1.0" for an integer."""
    read: dict[type[Any], Callable[[str], Any]] = {inspect.IntType: integer, inspect.BoolType: boolean}
    found: dict[str, Callable[[str], Any]] = {}
    for field in msgspec.structs.fields(kind):
        info = inspect.type_info(field.type)
        for each in info.types if isinstance(info, inspect.UnionType) else (info,):
            plain = each.type if isinstance(each, inspect.Metadata) else each
            if type(plain) in read:
                found[field.encode_name] = read[type(plain)]
    return found


def seconds(text: str) -> float:
    """How long to wait. Raises a 400 problem."""
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and int(text) <= LONGEST_WAIT_S):
        raise refused_input(
            Rejected("malformed", f"must be a number of seconds from 0 to {LONGEST_WAIT_S} - at `wait`")
        )
    return int(text)


def integer(text: str) -> int | str:
    """The integer that is written so in JSON; any other text stays, and is then refused."""
    return int(text) if INTEGER.fullmatch(text) else text


def boolean(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text, text)
