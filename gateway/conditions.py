"""What a command's sender says of the stream it was decided on: `If-Match` and `If-None-Match` as a version."""

import re
from collections.abc import Mapping

from common.messages import Rejected
from gateway.http import Header
from gateway.problems import refused_input

STRONG = re.compile(rb'"(0|[1-9][0-9]{0,17})"')
IF_MATCH_RULE = 'must be one version as a strong entity tag, such as "3"'
IF_NONE_MATCH_RULE = "must be * for a command: the stream has no event yet"
ONE_OF_TWO = "must not come together with If-Match"


def expected_version(headers: Mapping[bytes, bytes]) -> int | None:
    """The version that the stream must have, 0 for none yet; None when nothing is said. Raises a 400 problem."""
    match, none_match = headers.get(b"if-match"), headers.get(b"if-none-match")
    if none_match is not None:
        if match is not None:
            raise refused("If-None-Match", ONE_OF_TWO)
        if none_match.strip() != b"*":
            raise refused("If-None-Match", IF_NONE_MATCH_RULE)
        return 0
    if match is None:
        return None
    found = STRONG.fullmatch(match.strip())
    if found is None:
        raise refused("If-Match", IF_MATCH_RULE)
    return int(found[1])


def refused(header: str, rule: str) -> Exception:
    return refused_input(Rejected("malformed", f"{rule} - at `{header}`"))


def etag(version: int) -> Header:
    """The entity tag of a stream at a version, to send back as `If-Match`."""
    return (b"etag", b'"%d"' % version)
