"""What each kind of failure means for a file and for the load: a table over every class of errors."""

import inspect
from typing import Any

import pytest

from asyncupload import errors
from asyncupload.bulk.verdict import Verdict, stops, verdict
from asyncupload.errors import (
    AccessDenied,
    AlreadyExists,
    AsyncUploadError,
    CheckedOut,
    ChecksumMismatch,
    ChunkDamaged,
    ChunkRefused,
    ConnectFailed,
    ConnectionLost,
    EmptySource,
    ForeignReply,
    HandlerLost,
    JournalError,
    LeaseLost,
    LoginRefused,
    NotAFile,
    NotFound,
    OperationMissing,
    OutcomeUnknown,
    Redirected,
    RuleViolated,
    ServerError,
    SourceChanged,
    SourceError,
    SourceMissing,
    SourceUnreadable,
    StoredDifferently,
    StoredTwice,
    TargetUnwritable,
    TicketRefused,
    TimedOut,
    TLSFailed,
    TransportError,
    UsageError,
)

TABLE: dict[type[AsyncUploadError], Verdict] = {
    AsyncUploadError: Verdict.AGAIN,
    UsageError: Verdict.GIVE_UP,
    SourceError: Verdict.AGAIN,
    SourceMissing: Verdict.GIVE_UP,
    NotAFile: Verdict.GIVE_UP,
    SourceUnreadable: Verdict.AGAIN,
    EmptySource: Verdict.SKIP,
    SourceChanged: Verdict.AGAIN,
    TargetUnwritable: Verdict.AGAIN,
    TransportError: Verdict.TROUBLE,
    ConnectFailed: Verdict.TROUBLE,
    TLSFailed: Verdict.TROUBLE,
    ConnectionLost: Verdict.TROUBLE,
    TimedOut: Verdict.TROUBLE,
    ChunkDamaged: Verdict.TROUBLE,
    ForeignReply: Verdict.TROUBLE,
    Redirected: Verdict.TROUBLE,
    ServerError: Verdict.AGAIN,
    LoginRefused: Verdict.STOP,
    TicketRefused: Verdict.STOP,
    AccessDenied: Verdict.GIVE_UP,
    RuleViolated: Verdict.GIVE_UP,
    NotFound: Verdict.GIVE_UP,
    OperationMissing: Verdict.GIVE_UP,
    AlreadyExists: Verdict.GIVE_UP,
    CheckedOut: Verdict.AGAIN,
    HandlerLost: Verdict.AGAIN,
    ChunkRefused: Verdict.AGAIN,
    ChecksumMismatch: Verdict.AGAIN,
    OutcomeUnknown: Verdict.ASK_LATER,
    StoredDifferently: Verdict.GIVE_UP,
    StoredTwice: Verdict.GIVE_UP,
    JournalError: Verdict.AGAIN,
    LeaseLost: Verdict.AGAIN,
}


def made(kind: type[AsyncUploadError]) -> AsyncUploadError:
    more: dict[str, Any] = {
        name: 200 if name == "status" else 0
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    }
    return kind("told", **more)


def test_the_table_has_every_class() -> None:
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, AsyncUploadError)}
    assert set(TABLE) == kinds


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_each_kind_has_its_meaning(kind: type[AsyncUploadError]) -> None:
    assert verdict(made(kind)) is TABLE[kind]


def test_a_server_that_was_never_reached_costs_no_file_an_attempt() -> None:
    """Such an error is not worth another request at once, and is the server's all the same."""
    error = ConnectFailed("refused")
    error.transient = False
    assert verdict(error) is Verdict.TROUBLE


@pytest.mark.parametrize(
    "error", [ServerError("no", code=5030), ServerError("no", text="SystemError:Object reference")]
)
def test_an_exception_inside_the_server_is_trouble(error: ServerError) -> None:
    """A full disk reads like that, and so does a fault of one file's."""
    assert verdict(error) is Verdict.TROUBLE


def test_a_file_that_may_not_be_read_is_given_up_and_a_failing_disk_is_tried_again() -> None:
    for cause, meaning in ((PermissionError(13, "no"), Verdict.GIVE_UP), (OSError(5, "disk"), Verdict.AGAIN)):
        error = SourceUnreadable("unreadable")
        error.__cause__ = cause
        assert verdict(error) is meaning


@pytest.mark.parametrize("status", [401, 403, 407])
def test_a_gateway_that_refuses_one_file_may_mean_its_content_and_one_that_refuses_all_means_us(status: int) -> None:
    """Fault 51."""
    error = ForeignReply("refused", status=status)
    assert verdict(error) is Verdict.TROUBLE
    assert not stops(error)
    error.first_contact = True
    assert stops(error)


@pytest.mark.parametrize("error", [LoginRefused("no"), TicketRefused("no")])
def test_what_no_other_file_would_survive_ends_the_load(error: AsyncUploadError) -> None:
    assert stops(error)


@pytest.mark.parametrize("error", [TLSFailed("no"), Redirected("elsewhere", status=302)])
def test_what_was_never_a_server_ends_it_and_what_was_understood_before_is_waited_for(error: AsyncUploadError) -> None:
    assert not stops(error)
    error.first_contact = True
    assert stops(error)


@pytest.mark.parametrize("error", [LoginRefused("no"), TicketRefused("no")])
def test_a_login_that_was_good_before_is_not_given_up_for_one_refusal(error: LoginRefused | TicketRefused) -> None:
    error.certain = False
    assert verdict(error) is Verdict.TROUBLE
    assert not stops(error)


@pytest.mark.parametrize("error", [ConnectFailed("no"), TimedOut("late"), ForeignReply("busy", status=503)])
def test_what_passes_does_not(error: AsyncUploadError) -> None:
    assert not stops(error)
