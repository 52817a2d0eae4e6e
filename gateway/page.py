"""The page that shows the API, without any other server: its scripts come with a package."""

from importlib.util import find_spec
from pathlib import Path

from gateway.http import Answer, Asked

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Daybook API</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/docs/static/swagger-ui.css"></head>
<body><div id="page"></div>
<script src="/docs/static/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "/openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null})</script>
</body></html>
"""


async def page(asked: Asked) -> Answer:
    return Answer(200, PAGE.encode(), ((b"content-type", b"text/html; charset=utf-8"),))


async def way_to_the_page(asked: Asked) -> Answer:
    return Answer(307, b"", ((b"location", b"/docs"),))


def static_files() -> Path:
    """Where the page's scripts lie: they come with a package, so that the page needs no other server."""
    spec = find_spec("litestar_offline_docs")
    if spec is None or spec.origin is None:
        raise RuntimeError("litestar-offline-docs is not installed (requirements.txt)")
    return Path(spec.origin).parent / "static"
