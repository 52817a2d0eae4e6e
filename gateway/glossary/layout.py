"""Where everything on the context map goes, in pixels. The same declarations always give the same map.

The context that talks to most others stands in the middle as a tall bar, the others in columns beside it, so that each
arrow is a straight line with its names above. Two that talk without the middle one are joined by lanes in the margin.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from common.glossary.terms import ContextTerm, Glossary
from gateway.glossary.flows import Flow, flows, owner

Side = Literal["left", "right"]
Point = tuple[float, float]

LINE = 16
"""A line of text, in pixels."""
BOX_WIDTH = 136
BOX_ROOM = 12
"""Within a box, above and below its text."""
LETTER = 7.2
"""A letter is at most so wide, on average over a name."""
ARROW_ROOM = 18
"""An arrow below its names, and what is free below that."""
BETWEEN = 30
"""From one box and its read models down to the next."""
LANE = 14
CHIP, CHIP_GAP = 24, 18
"""A read model, and the arrow down to the first."""
EDGE = 6


class Box(Struct, frozen=True):
    """A context, or a read model below it."""

    name: str
    lines: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float
    of: str = ""

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


class Arrow(Struct, frozen=True):
    """A flow along these points; its names stand above `at`, aligned by their middle, the last one at `at`."""

    flow: Flow
    points: tuple[Point, ...]
    at: Point


class Layout(Struct, frozen=True):
    """The whole map."""

    width: float
    height: float
    contexts: tuple[Box, ...]
    read_models: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def laid_out(glossary: Glossary, narrow: bool = False) -> Layout:
    """The map; when it is narrow all other contexts stand on one side, so that it fits a phone."""
    return Plan(glossary, narrow).layout()


class Plan:
    """What is to be placed, before it is."""

    def __init__(self, glossary: Glossary, narrow: bool) -> None:
        self._contexts = {context.name: context for context in glossary.contexts}
        self._flows = [flow for flow in flows(glossary) if {flow.source, flow.target} <= set(self._contexts)]
        self._models = models_by_context(glossary)
        self._hub = busiest(self._contexts, self._flows)
        others = [name for name in self._contexts if name != self._hub]
        self._sides: dict[Side, list[str]] = {"left": [], "right": others} if narrow else self._two_sides(others)
        self._gap = widest(self._flows) + 36
        self._inner = [flow for flow in self._flows if self._hub in (flow.source, flow.target)]
        self._outer = [flow for flow in self._flows if self._hub not in (flow.source, flow.target)]
        self._lanes = {id(flow): number for number, flow in enumerate(self._outer)}

    def layout(self) -> Layout:
        left, right = (self._column(side) for side in ("left", "right"))
        lowest = max((box.y + box.height for box in (*left, *right)), default=0)  # So that every arrow meets the bar.
        height = max(lowest - EDGE, self._box_height(self._hub))
        hub = self._box(self._hub, self._hub_x(), EDGE, height)
        bottom = max(self._bottom([hub]), self._bottom(left), self._bottom(right))
        boxes = {box.name: box for box in (hub, *left, *right)}
        chips = tuple(chip for box in boxes.values() for chip in self._below(box))
        arrows = (*self._to_the_hub(hub, boxes), *self._around(boxes, bottom))
        across = LANE * sum(self._across(flow) for flow in self._outer)
        return Layout(self._width(), bottom + across + EDGE, tuple(boxes.values()), chips, arrows)

    def _two_sides(self, names: list[str]) -> dict[Side, list[str]]:
        """The tallest first, each to the side that has more room; then in the order they were in."""
        heights: dict[Side, float] = {"left": 0, "right": 0}
        side_of: dict[str, Side] = {}
        for name in sorted(names, key=lambda name: (-self._own_height(name), name)):
            side: Side = "left" if heights["left"] <= heights["right"] else "right"
            side_of[name] = side
            heights[side] += self._own_height(name) + BETWEEN
        return {side: [name for name in names if side_of[name] == side] for side in heights}

    def _own_height(self, name: str) -> float:
        return self._box_height(name) + self._chips(name)

    def _box_height(self, name: str) -> float:
        text = LINE * len(described(self._contexts[name])) + 2 * BOX_ROOM
        if name == self._hub:
            return text
        inner = sum(tall(flow) for flow in self._of(name) if self._hub in (flow.source, flow.target))
        outer = sum(tall(flow) for flow in self._of(name) if self._hub not in (flow.source, flow.target))
        return max(text, inner, outer)

    def _of(self, name: str) -> list[Flow]:
        return [flow for flow in self._flows if name in (flow.source, flow.target)]

    def _chips(self, name: str) -> float:
        count = len(self._models.get(name, ()))
        return CHIP_GAP + count * (CHIP + 6) if count else 0

    def _margin(self, side: Side) -> float:
        """Room beside a column for the lanes of those that talk without the hub."""
        mine = [flow for flow in self._outer if {flow.source, flow.target} & set(self._sides[side])]
        return EDGE + (widest(mine) + 28 + LANE * len(self._outer) if mine else 0)

    def _hub_x(self) -> float:
        return self._margin("left") + (BOX_WIDTH + self._gap if self._sides["left"] else 0)

    def _width(self) -> float:
        right = self._gap + BOX_WIDTH if self._sides["right"] else 0
        return self._hub_x() + BOX_WIDTH + right + self._margin("right")

    def _column(self, side: Side) -> list[Box]:
        x = self._margin("left") if side == "left" else self._hub_x() + BOX_WIDTH + self._gap
        boxes, y = [], float(EDGE)
        for name in self._sides[side]:
            boxes.append(self._box(name, x, y, self._box_height(name)))
            y += self._own_height(name) + BETWEEN
        return boxes

    def _bottom(self, column: list[Box]) -> float:
        return column[-1].y + column[-1].height + self._chips(column[-1].name) if column else 0

    def _box(self, name: str, x: float, y: float, height: float) -> Box:
        return Box(name, described(self._contexts[name]), x, y, BOX_WIDTH, height)

    def _below(self, box: Box) -> Iterator[Box]:
        y = box.y + box.height + CHIP_GAP
        for name, also in self._models.get(box.name, {}).items():
            yield Box(name, also, box.x, y, box.width, CHIP, of=box.name)
            y += CHIP + 6

    def _to_the_hub(self, hub: Box, boxes: dict[str, Box]) -> Iterator[Arrow]:
        """From top to bottom beside each box: what it tells and what it is asked."""
        for name, box in boxes.items():
            mine = [flow for flow in self._inner if name in (flow.source, flow.target) and name != hub.name]
            y = box.y + (box.height - sum(map(tall, mine))) / 2
            near, far = (box.x + box.width, hub.x) if box.x < hub.x else (box.x, hub.x + hub.width)
            for flow in sorted(mine, key=lambda flow: (flow.source == hub.name, flow.kind != "events")):
                y += tall(flow)
                line = y - ARROW_ROOM + 4
                ends = (near, far) if flow.source == name else (far, near)
                yield Arrow(flow, tuple((x, line) for x in ends), ((near + far) / 2, line - 5))

    def _around(self, boxes: dict[str, Box], bottom: float) -> Iterator[Arrow]:
        """Lanes in the margins, one a flow, and below everything from one side to the other."""
        used: dict[str, float] = dict.fromkeys(boxes, 0)
        below = bottom
        for flow in self._outer:
            ends = []
            for name in (flow.source, flow.target):
                used[name] += tall(flow)
                ends.append(boxes[name].y + used[name] - ARROW_ROOM + 4)
            (x1, lane1), (x2, lane2) = (self._way_out(boxes[name], flow) for name in (flow.source, flow.target))
            across: tuple[Point, ...] = ()
            if self._across(flow):
                below += LANE
                across = ((lane1, below), (lane2, below))
            points = ((x1, ends[0]), (lane1, ends[0]), *across, (lane2, ends[1]), (x2, ends[1]))
            beside = (widest([flow]) / 2 + 14) * (1 if lane2 > x2 else -1)
            yield Arrow(flow, points, (x2 + beside, ends[1] - 5))

    def _across(self, flow: Flow) -> bool:
        return (flow.source in self._sides["left"]) != (flow.target in self._sides["left"])

    def _way_out(self, box: Box, flow: Flow) -> tuple[float, float]:
        """The outer side of a box, and the lane of this flow there."""
        lane = LANE * (self._lanes[id(flow)] + 1) - LANE / 2
        if box.name in self._sides["left"]:
            return box.x, lane
        return box.x + box.width, self._width() - lane


def busiest(contexts: Iterable[str], found: Iterable[Flow]) -> str:
    """The context that talks with most others; of equals the one that says most, then the first by name."""
    talks: dict[str, set[str]] = {name: set() for name in contexts}
    says = Counter[str]()
    for flow in found:
        for name, other in ((flow.source, flow.target), (flow.target, flow.source)):
            talks[name].add(other)
            says[name] += len(flow.names)
    return min(talks, key=lambda name: (-len(talks[name]), -says[name], name))


def models_by_context(glossary: Glossary) -> dict[str, dict[str, tuple[str, ...]]]:
    """The read models below each context, which is the first that they follow, with the others that they follow."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for model in glossary.read_models:
        first, *others = dict.fromkeys(map(owner, model.follows))
        found.setdefault(first, {})[model.name] = tuple(others)
    return found


def described(context: ContextTerm) -> tuple[str, ...]:
    """The lines in a context's box, the name first."""
    found = {
        "command": context.commands,
        "event": context.events,
        "reaction": context.reactions,
        "deadline": context.deadlines,
    }
    counts = (f"{len(those)} {what}{'s' * (len(those) > 1)}" for what, those in found.items() if those)
    return (context.name, *counts, *["calls outside"] * bool(context.effect))


def tall(flow: Flow) -> float:
    return LINE * len(flow.names) + ARROW_ROOM


def widest(found: Iterable[Flow]) -> float:
    names = [name.partition(".")[2] for flow in found for name in flow.names]
    return max((LETTER * len(name) for name in names), default=60)
