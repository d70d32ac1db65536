"""The tree of errors: drawn once, built once, and the same both times."""

import pickle
import re
from collections.abc import Callable

import pytest

import asyncupload
from asyncupload import errors
from asyncupload.errors import (
    AsyncUploadError,
    CheckedOut,
    ChecksumMismatch,
    ChunkDamaged,
    ChunkRefused,
    ConnectFailed,
    ConnectionLost,
    ForeignReply,
    Outcome,
    OutcomeUnknown,
    Redirected,
    ServerError,
    TimedOut,
    TransportError,
    UsageError,
)

KINDS: dict[str, type[AsyncUploadError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, AsyncUploadError) and kind.__module__ == errors.__name__
}


def drawn_parents() -> dict[str, str | None]:
    """Each name in the drawing at the top of the module, and the name that it hangs from."""
    found: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"(?: {4}(?=\w)|[ │]+[├└]── )(\w+)", line)
        if match is None:
            continue
        column, name = match.start(1), match[1]
        while above and above[-1][0] >= column:
            above.pop()
        found[name] = above[-1][1] if above else None
        above.append((column, name))
    return found


def real_parents() -> dict[str, str | None]:
    return {
        name: next((base.__name__ for base in kind.__bases__ if issubclass(base, AsyncUploadError)), None)
        for name, kind in KINDS.items()
    }


def make(kind: type[AsyncUploadError]) -> AsyncUploadError:
    special: dict[type[AsyncUploadError], Callable[[], AsyncUploadError]] = {
        ForeignReply: lambda: ForeignReply("what", status=200),
        Redirected: lambda: Redirected("what", status=302),
        CheckedOut: lambda: CheckedOut("what", by="anna"),
        ChecksumMismatch: lambda: ChecksumMismatch("what", expected=1, found=2),
    }
    return special.get(kind, lambda: kind("what"))()


def test_the_drawing_is_the_class_tree() -> None:
    drawn = drawn_parents()

    assert drawn == real_parents()
    assert list(drawn) == list(KINDS), "drawn in one order, defined in another"


def test_the_drawing_is_read_as_a_tree_and_not_as_a_list() -> None:
    """Guards the reader above: two levels down, and back up again."""
    drawn = drawn_parents()

    assert drawn["AsyncUploadError"] is None
    assert drawn["TLSFailed"] == "ConnectFailed"
    assert drawn["ConnectionLost"] == "TransportError"
    assert drawn["OutcomeUnknown"] == "AsyncUploadError"


@pytest.mark.parametrize("name", KINDS)
def test_every_error_can_be_caught_by_its_name_in_the_package(name: str) -> None:
    assert getattr(asyncupload, name) is KINDS[name]
    assert name in asyncupload.__all__


def test_outcomes_are_public_too() -> None:
    assert asyncupload.Outcome is Outcome
    assert {outcome.name for outcome in Outcome} == {"NOT_APPLIED", "UNKNOWN", "APPLIED"}


@pytest.mark.parametrize("name", KINDS)
def test_an_error_survives_the_way_to_another_process(name: str) -> None:
    error = make(KINDS[name])
    error.retry_after, error.outcome = 17.0, Outcome.UNKNOWN

    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


@pytest.mark.parametrize("name", KINDS)
def test_every_error_says_what_it_stands_for(name: str) -> None:
    doc = vars(KINDS[name]).get("__doc__")

    assert doc
    assert doc.strip().splitlines()[0].strip()


@pytest.mark.parametrize("name", KINDS)
def test_what_an_error_carries_is_documented_on_it_or_above(name: str) -> None:
    error = make(KINDS[name])
    docs = (errors.__doc__ or "") + "".join(
        kind.__doc__ or "" for kind in KINDS[name].__mro__ if kind in KINDS.values()
    )

    for attribute in vars(error):
        assert re.search(rf"\b{attribute}\b", docs), f"{name}.{attribute} is documented nowhere"


MAY_PASS = {TransportError, ConnectFailed, ConnectionLost, TimedOut, ChunkDamaged, ChunkRefused}
"""What may succeed when it is sent again, if nothing else is known. A foreign reply's status decides for each one."""


@pytest.mark.parametrize("name", KINDS)
def test_what_each_error_knows_by_itself(name: str) -> None:
    error = make(KINDS[name])

    assert error.outcome is (Outcome.UNKNOWN if isinstance(error, OutcomeUnknown) else Outcome.NOT_APPLIED)
    assert error.transient is (type(error) in MAY_PASS)
    assert error.retry_after is None
    assert str(error) == "what"


@pytest.mark.parametrize("kind", [AsyncUploadError, ConnectionLost, TimedOut])
def test_what_is_known_of_one_request_stays_with_its_error(kind: type[AsyncUploadError]) -> None:
    error = kind("what", outcome=Outcome.UNKNOWN, retry_after=0.0)

    assert error.outcome is Outcome.UNKNOWN
    assert error.retry_after == 0.0  # a wish for no wait at all is a wish
    assert kind("another").outcome is Outcome.NOT_APPLIED
    assert kind("another").retry_after is None


def test_a_foreign_reply_keeps_what_came_and_what_it_means() -> None:
    error = ForeignReply("what", status=503, excerpt="<p>", outcome=Outcome.UNKNOWN, transient=True, retry_after=2.5)

    assert (error.status, error.excerpt, error.outcome) == (503, "<p>", Outcome.UNKNOWN)
    assert error.transient
    assert error.retry_after == 2.5


def test_a_refusal_keeps_the_servers_own_words() -> None:
    error = ServerError("what", operation="FolderExists", code=4041, text="Folder not found.", outcome=Outcome.UNKNOWN)

    assert (error.operation, error.code, error.text) == ("FolderExists", 4041, "Folder not found.")
    assert error.outcome is Outcome.UNKNOWN


def test_a_check_out_keeps_who_has_it() -> None:
    """Fault 71: so that an application can say whom to ask, in its own words."""
    error = CheckedOut("what", by="anna")

    assert error.by == "anna"
    assert isinstance(error, ServerError)


@pytest.mark.parametrize(
    ("code", "text", "unexpected"),
    [
        (None, "", False),
        (4000, "The upload handler cannot be found.", False),
        (4999, "x", False),
        (5000, "x", True),
        (5030, "", True),
        (None, "SystemError: Object reference not set", True),
        (4000, "SystemError: Object reference not set", True),
        (4000, "No SystemError", False),
    ],
)
def test_an_exception_inside_the_server_is_told_from_a_refusal(code: int | None, text: str, unexpected: bool) -> None:
    assert ServerError("what", code=code, text=text).unexpected is unexpected


def test_a_mismatch_keeps_both_numbers() -> None:
    error = ChecksumMismatch("what", expected=1, found=2)

    assert (error.expected, error.found) == (1, 2)


def test_those_who_catch_the_builtin_kind_catch_ours() -> None:
    assert issubclass(UsageError, ValueError)
    assert issubclass(TimedOut, TimeoutError)
