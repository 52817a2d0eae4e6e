"""Which tables can be built anew from the record: of the read models, and of the contexts' reference data."""

from msgspec import Struct

from common import discovery
from common.config import Settings
from common.readmodel import ReadModel


class Place(Struct, frozen=True):
    """A model and where its table is."""

    model: ReadModel
    dsn: str
    schema: str


def tables(settings: Settings) -> dict[str, Place]:
    """By the model's name. A DSN is empty when nothing says where that database is."""
    read = [module.MODEL for module in discovery.read_models().values()]
    found = {model.name: Place(model, settings.read_dsn, "read") for model in read if isinstance(model, ReadModel)}
    for name, context in discovery.contexts().items():
        if context.reference:
            model = context.reference.model
            found[model.name] = Place(model, settings.context_dsns.get(name) or settings.default_write_dsn, name)
    return found
