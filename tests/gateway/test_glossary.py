"""The glossary as the gateway gives it: whole, to everybody, and nothing in it from elsewhere."""

import re

from common.discovery import commands
from tests.gateway.doors import Doors


async def test_the_glossary_explains_every_command_that_the_gateway_takes(doors: Doors) -> None:
    answer = await doors.http.get("/docs/glossary")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    text = re.sub("<wbr>|&lt;|&gt;", "", answer.text)
    for context, types in commands().items():
        for command in types:
            assert f'id="{context}.{command.__name__}"' in text
            assert not command.declared.post or f"POST {command.declared.post}" in text
