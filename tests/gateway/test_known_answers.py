"""What one has already is not sent again, unless there may be another answer under the same tag."""

from common.recorded import POSITION_HEADER
from common.shell.reading import Found
from gateway.queries_door import given_back


def found(position: str) -> Found:
    return Found({"on_hand": 3}, {POSITION_HEADER: position, "ETag": '"2"'})


def test_an_answer_about_one_record_is_not_sent_again() -> None:
    answer = given_back(found("order=7@one"), b'"2"')
    assert (answer.status, answer.body) == (304, b"")
    assert given_back(found("order=7@one"), b'"1"').status == 200


def test_an_answer_of_several_records_is_sent_again_since_its_tag_tells_of_one_only() -> None:
    answer = given_back(found("product=7@one, stock=9@two"), b'"2"')
    assert (answer.status, answer.body) == (200, b'{"on_hand":3}')
    assert (b"etag", b'"2"') in answer.headers
