"""What the sender of a command is answered: that it is stored, or what was decided."""

import msgspec

from common.recorded import Receipt
from gateway.conditions import etag
from gateway.http import JSON, Answer, Header
from gateway.intake import Submission, receipt_path
from gateway.problems import Problem

VERSION_MISMATCH = "version-mismatch"
LATER: Header = (b"retry-after", b"1")


def undecided(sent: Submission, state: str = "undecided", *headers: Header) -> Answer:
    """202: the command is durable. All that is put in here are tokens, which need no escaping."""
    where = receipt_path(sent)
    body = (
        f'{{"command_id":"{sent.id}","context":"{sent.context}","key":"{sent.key}",'
        f'"state":"{state}","receipt":"{where}"}}'
    )
    return Answer(202, body.encode(), (JSON, (b"location", where.encode()), after(sent), *headers))


def after(sent: Submission) -> Header:
    """What the next query may carry to be answered from a table that holds what this command did."""
    return (b"daybook-after", f"{sent.context}:{sent.id}".encode())


def decided(sent: Submission, receipt: Receipt | None, applied: Header) -> Answer:
    """What became of a command that was waited for."""
    if receipt is None or receipt.state == "undecided":
        return undecided(sent, "undecided", LATER, applied)
    if receipt.state == "parked":
        return undecided(sent, "parked", LATER, applied)
    if receipt.code == "command-id-used":
        raise Problem(422, receipt.code, receipt.message, applied, command_id=sent.id, context=sent.context)
    location = (b"location", receipt_path(sent).encode())
    if receipt.state == "accepted":
        return Answer(200, msgspec.json.encode(receipt), (JSON, location, after(sent), etag(receipt.version), applied))
    raise rejected(sent, receipt, location, applied)


def rejected(sent: Submission, receipt: Receipt, *headers: Header) -> Problem:
    """412 when the stream has another version than was expected, 409 for every other rule."""
    status = 409
    if receipt.code == VERSION_MISMATCH:
        status, headers = 412, (*headers, etag(receipt.version))
    return Problem(
        status, receipt.code, receipt.message, *headers,
        rule=receipt.detail, command_id=sent.id, context=sent.context, key=sent.key, receipt=receipt_path(sent),
    )  # fmt: skip
