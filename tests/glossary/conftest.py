"""The library's glossary, gathered from packages that are made for it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.glossary.gather import glossary
from common.glossary.terms import Glossary
from tests.glossary.library import CONTEXTS, READ_MODEL

PACKAGE, PROJECTORS = "library_contexts", "library_projectors"


@pytest.fixture(scope="package")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glossary]:
    root = tmp_path_factory.mktemp("library")
    for path, text in CONTEXTS.items():
        here = f"{PACKAGE}.{path.split('/')[0]}"
        write(root / PACKAGE / path, text.replace("HERE", here).replace("PACKAGE", PACKAGE))
    write(root / PROJECTORS / "loans.py", READ_MODEL.replace("CONTEXTS", PACKAGE))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        yield glossary(PACKAGE, PROJECTORS)
    for name in [name for name in sys.modules if name.startswith((PACKAGE, PROJECTORS))]:
        del sys.modules[name]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.joinpath("__init__.py").touch()
    path.write_text(text)
