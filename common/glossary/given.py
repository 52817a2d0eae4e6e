"""What is known of a branch when the type of the message is: whether it is always taken, never, or perhaps (None)."""

import ast
from typing import Any

from common.glossary.source import Names
from common.messages import Command, Event


class Given:
    """The type of the message that a function is given. No other message of its kind is looked at in it."""

    def __init__(self, type_: type) -> None:
        self.type = type_
        self._kind = Command if issubclass(type_, Command) else Event

    def passes(self, test: ast.expr, names: Names) -> bool | None:
        match test:
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
                return self.is_one_of(names.of(kinds))
            case ast.Compare(left=ast.Call(func=ast.Name(id="type")), ops=[how], comparators=[kinds]):
                truth = self.is_one_of(names.of(kinds))
                return _not(truth) if isinstance(how, ast.IsNot | ast.NotEq | ast.NotIn) else truth
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _not(self.passes(operand, names))
            case ast.BoolOp(op=op, values=values):
                truths = [self.passes(value, names) for value in values]
                return _all(truths) if isinstance(op, ast.And) else _any(truths)
            case _:
                return None

    def fits(self, pattern: ast.pattern, names: Names) -> bool | None:
        """Whether the given type always fits, never, or perhaps."""
        match pattern:
            case ast.MatchAs(pattern=inner):
                return self.fits(inner, names) if inner else True
            case ast.MatchOr(patterns=patterns):
                return _any([self.fits(each, names) for each in patterns])
            case ast.MatchSequence(patterns=patterns):
                return _all([self.fits(each, names) for each in patterns])
            case ast.MatchClass():
                parts = [self.fits(each, names) for each in (*pattern.patterns, *pattern.kwd_patterns)]
                return _all(
                    [self.is_one_of(names.of(pattern.cls)), *(None if part is False else part for part in parts)]
                )
            case _:
                return None

    def is_one_of(self, kinds: Any) -> bool | None:
        """Whether the given type is one of these; None when they are no message types of its kind."""
        options = options_of(kinds)
        ours = [option for option in options if isinstance(option, type) and issubclass(option, self._kind)]
        if any(issubclass(self.type, option) for option in ours):
            return True
        return False if ours and len(ours) == len(options) else None

    def takes(self, pattern: ast.pattern, names: Names) -> set[tuple[int, str]]:
        """The values, each with its place in the sequence, that no later case sees: all else in it always fits."""
        if not isinstance(pattern, ast.MatchSequence):
            return set()
        loose = [place for place, part in enumerate(pattern.patterns) if not self.fits(part, names)]
        return values_at(pattern, loose[0]) if len(loose) == 1 else set()


def only_for(pattern: ast.pattern, taken: set[tuple[int, str]]) -> bool:
    """Whether the pattern is for values alone that an earlier case has taken."""
    if not isinstance(pattern, ast.MatchSequence):
        return False
    found = (values_at(pattern, place) for place in range(len(pattern.patterns)))
    return any(values and values <= taken for values in found)


def values_at(pattern: ast.MatchSequence, place: int) -> set[tuple[int, str]]:
    """The plain values, such as `Stage.NEW`, that are named at one place; none when something else is."""
    part = pattern.patterns[place]
    parts = part.patterns if isinstance(part, ast.MatchOr) else [part]
    if not all(isinstance(each, ast.MatchValue) for each in parts):
        return set()
    return {(place, ast.dump(each)) for each in parts}


def options_of(kinds: Any) -> list[Any]:
    """The options of a union or a tuple, one by one."""
    parts = kinds if isinstance(kinds, tuple | list | frozenset) else getattr(kinds, "__args__", None)
    return [option for part in parts for option in options_of(part)] if parts else [kinds]


def _not(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def _all(truths: list[bool | None]) -> bool | None:
    return False if False in truths else None if None in truths else True


def _any(truths: list[bool | None]) -> bool | None:
    return True if True in truths else None if None in truths else False
