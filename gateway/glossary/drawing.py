"""The context map as SVG. Its colours are the page's, so that it is light or dark with it."""

from collections.abc import Iterator
from html import escape

from gateway.glossary.flows import short
from gateway.glossary.layout import BOX_ROOM, CHIP_GAP, LINE, Arrow, Box, Layout
from gateway.glossary.words import TABLE

ABOUT = "The contexts and what they say to each other: events that one follows, commands that one sends."

SMALLEST = 0.75
"""Made smaller than this it could not be read; then it is scrolled sideways."""


def drawn(layout: Layout, name: str) -> str:
    """The picture. `name` tells it from another one on the same page."""
    inside = (*heads(name), *lines_down(layout), *boxes(layout), *arrows(layout, name))
    width, height = f"{layout.width:.0f}", f"{layout.height:.0f}"
    return (
        f'<svg class="map {name}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'style="min-width:{SMALLEST * layout.width:.0f}px" aria-label="{escape(ABOUT)}">{"".join(inside)}</svg>'
    )


def heads(name: str) -> Iterator[str]:
    yield "<defs>"
    for kind in ("events", "commands"):
        yield (
            f'<marker id="{name}-{kind}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
            f'orient="auto"><path class="head {kind}" d="M0 0 8 4 0 8z"/></marker>'
        )
    yield "</defs>"


def boxes(layout: Layout) -> Iterator[str]:
    for box in layout.contexts:
        middle = box.y + box.height / 2 - LINE * (len(box.lines) - 1) / 2 + 5
        texts = "".join(
            text(box.middle, middle + LINE * place, line, "name" if place == 0 else "less")
            for place, line in enumerate(box.lines)
        )
        yield f'<a href="#{box.name}">{outline(box, "context", BOX_ROOM)}{texts}</a>'
    for box in layout.read_models:
        said = box.name + "".join(f" + {also}" for also in box.lines)
        yield f'<a href="#{TABLE}{box.name}">{outline(box, "model", 3)}{text(box.middle, box.y + 16, said, "less")}</a>'


def outline(box: Box, kind: str, round_: int) -> str:
    return (
        f'<rect class="{kind}" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
        f'rx="{round_}"/>'
    )


def lines_down(layout: Layout) -> Iterator[str]:
    """From each context to the read models below it."""
    bottoms = {box.name: box for box in layout.contexts}
    for name in dict.fromkeys(box.of for box in layout.read_models):
        x, y = bottoms[name].middle, bottoms[name].y + bottoms[name].height
        yield f'<path class="feeds" d="M{x:.1f} {y:.1f}v{CHIP_GAP}"/>'


def arrows(layout: Layout, name: str) -> Iterator[str]:
    for arrow in layout.arrows:
        way = " ".join(f"{x:.1f} {y:.1f}" for x, y in arrow.points)
        yield f'<path class="flow {arrow.flow.kind}" d="M{way}" marker-end="url(#{name}-{arrow.flow.kind})"/>'
        yield from labels(arrow)


def labels(arrow: Arrow) -> Iterator[str]:
    x, bottom = arrow.at
    for up, name in enumerate(reversed(arrow.flow.names)):
        yield f'<a href="#{name}">{text(x, bottom - LINE * up, short(name), arrow.flow.kind)}</a>'


def text(x: float, y: float, said: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(said)}</text>'
