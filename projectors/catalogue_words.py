"""The words that the catalogue uses, or has ever used: one row a word.

They never are an answer, but say which words a word of a question stands for, how common these are, which tells the
search where to look, and which word a shopper may have meant. So a product is found by a new word once that is known
here, too: the catalogue reads this table besides its own (`READS`), and is as fresh as the staler of both. That a word
which is used no more stays known does no harm.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from common.readmodel import Key, sums
from common.store.read_tables import Table
from contexts.product.events import ProductAdded, ProductDescribed

SHORT = 3
"""A word of fewer letters is the beginning of words only: parts so short are in nearly all of them."""
LONGEST = 60
MOST_MEANT = 100
WORD = re.compile(r"[^\W_]+")


class CatalogueWord(Struct, frozen=True):
    """A word, in small letters without accents. `uses` counts how often a product was described with it."""

    word: str
    uses: int


class Meant(Struct, frozen=True):
    """What a word of a question stands for: the words of the catalogue that have it as a part, the most used first.

    `uses` is how often these are used, 0 for a word that no name and no description has.
    """

    asked: str
    words: tuple[str, ...]
    uses: int


def words_of(text: str) -> list[str]:
    """Each word of a text once, in small letters and without accents: `Crème-Fraîche` has `creme` and `fraiche`.

    Of a word that is longer than any the beginning is taken: an index does not take everything.
    """
    plain = unicodedata.normalize("NFKD", text.casefold())
    found = WORD.findall("".join(each for each in plain if not unicodedata.combining(each)))
    return list(dict.fromkeys(word[:LONGEST] for word in found))


def adds(stream: str, event: ProductAdded | ProductDescribed) -> dict[Key, tuple[int, ...]]:
    product = event.product
    return {(word,): (1,) for word in words_of(f"{product.name} {product.description}")}


MODEL = replace(
    sums(
        name="catalogue_words",
        row=CatalogueWord,
        key=("word",),
        follows={"product": (ProductAdded, ProductDescribed)},
        adds=adds,
    ),
    indexes=("USING gin (word gin_trgm_ops)",),
    fillfactor=50,
)
TABLE = Table(MODEL)
QUERIES: dict[Any, Any] = {}

MEANT = f"""
SELECT array_agg(known.word ORDER BY known.uses DESC, known.word), sum(known.uses)::bigint
FROM unnest($1::text[]) WITH ORDINALITY AS asked(pattern, place) LEFT JOIN LATERAL (
    SELECT word, uses FROM {TABLE.name} WHERE word LIKE asked.pattern ORDER BY uses DESC, word LIMIT {MOST_MEANT}
) AS known ON true GROUP BY place ORDER BY place
"""
SIMILAR = rf"""
SELECT word FROM {TABLE.name} WHERE word % $1 AND word !~ '\d' AND $1 !~ '\d'
ORDER BY similarity(word, $1) DESC, uses DESC, word LIMIT 1
"""


async def meant(connection: Any, asked: Sequence[str]) -> list[Meant]:
    """What words stand for: at most so many of the catalogue's words each, and themselves, which may be in a SKU."""
    records = await connection.fetch(MEANT, [pattern(word) for word in asked])
    return [
        Meant(word, tuple(dict.fromkeys((*filter(None, known), word))), uses or 0)
        for word, (known, uses) in zip(asked, records, strict=True)
    ]


def pattern(word: str) -> str:
    """Which of the catalogue's words are meant: a number means itself, and half the catalogue has a single letter."""
    if word.isdigit():
        return word
    return f"{word}%" if len(word) < SHORT else f"%{word}%"


async def mended(connection: Any, asked: Sequence[Meant]) -> list[str]:
    """The words, with those that the catalogue does not know replaced by the ones that are written most like them.

    None when it knows them all, or knows nothing like one of them. A word with a digit is nothing that one mistypes.
    """
    found: list[str] = []
    for each in asked:
        similar = each.asked if each.uses else await connection.fetchval(SIMILAR, each.asked)
        if similar is None:
            return []
        found.append(similar)
    return [] if found == [each.asked for each in asked] else found
