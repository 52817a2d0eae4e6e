"""A call to the provider: asked for, then done or failed; the first answer stands."""

from datetime import UTC, datetime
from enum import StrEnum

from msgspec import Struct

from common.messages import Rejected

NEVER = datetime(1, 1, 1, tzinfo=UTC)


class Answer(StrEnum):
    """How far a call has come."""

    NOT_ASKED = "not asked for"
    AWAITED = "awaited"
    DONE = "done"
    FAILED = "failed"


class Call(Struct, frozen=True, gc=False):
    """One call. `reference` is the provider's name for what it did, `at` the time of business it was asked for."""

    answer: Answer = Answer.NOT_ASKED
    reference: str = ""
    at: datetime = NEVER

    @property
    def asked(self) -> bool:
        return self.answer != Answer.NOT_ASKED

    @property
    def awaited(self) -> bool:
        return self.answer == Answer.AWAITED

    @property
    def done(self) -> bool:
        return self.answer == Answer.DONE

    @property
    def failed(self) -> bool:
        return self.answer == Answer.FAILED


def asked(at: datetime) -> Call:
    return Call(Answer.AWAITED, at=at)


def done(reference: str, at: datetime) -> Call:
    return Call(Answer.DONE, reference, at)


def failed(at: datetime) -> Call:
    return Call(Answer.FAILED, at=at)


def attempted(last: Call, attempts: int, attempt: int) -> Call:
    """The so-manieth of several attempts, all of which failed but the last.

    What is said late of one that failed must not be taken for the answer to the next.
    """
    if attempt == attempts:
        return last
    return Call(Answer.FAILED) if 1 <= attempt < attempts else Call()


def is_news(call: Call, what: str, well: bool) -> bool:
    """Whether an answer says what was not known. Raises `Rejected` when it cannot be: it contradicts what is known."""
    if not call.asked:
        raise Rejected("payment.not-asked", f"the provider was not asked for the {what}")
    if not call.awaited and call.done != well:
        raise Rejected("payment.contradiction", f"the provider has said before that the {what} is {call.answer}")
    return call.awaited
