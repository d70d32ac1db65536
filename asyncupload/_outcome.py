"""What became of a request that failed: one pure function, from the error, how much of the body left, and the
operation."""

from ._call import LostReply
from .errors import AsyncUploadError, ConnectFailed, ForeignReply, OperationMissing, Outcome, Redirected, ServerError

REFUSED_STATUSES = frozenset({400, 401, 403, 404, 405, 407, 408, 411, 413, 414, 415, 425, 429, 431, 503})
"""Given before the operation runs: by model binding, by a limit, by a gateway that turned the request away."""

REFUSED_FOR_CERTAIN = frozenset({400, 405, 411, 413, 414, 415, 425, 429, 431})
"""Given for the request as such, and never for its answer. Not 404: a gateway whose server is taken away says that of
what runs on behind it."""


NO_SUCH_OPERATION = "Web Service method name is not valid"
"""How ASP.NET's older web services say it, with HTTP 500."""

NO_SUCH_ACTION = "did not recognize the value of HTTP Header"
"""How they say it to SOAP, as a fault of the sender's."""


UNREADABLE = ("Request format is invalid", "Cannot convert", "Missing parameter")
"""How ASP.NET's older web services say, with HTTP 500, that they cannot read a form, or a value in it: before any
operation runs. There a chunk in a form would be a list of decimal numbers, and an offset ends at 2 GiB."""

SPEAKS_NO_FORMS = "Request format is unrecognized"
"""How they say that they take no forms at all."""


def cannot_be_read(error: AsyncUploadError) -> bool:
    """Whether the server says that it cannot read what it was sent. Of a chunk: that no form can carry one to it."""
    return isinstance(error, ForeignReply) and error.status == 500 and _says(error, *UNREADABLE)


def speaks_no_forms(error: AsyncUploadError) -> bool:
    """Whether the server takes no forms at all, and so nothing but SOAP."""
    return isinstance(error, ForeignReply) and error.status == 500 and _says(error, SPEAKS_NO_FORMS)


UNTOLD = "customErrors"
"""What ASP.NET's page names, with HTTP 500 and in any language, that keeps an error's words from strangers."""


def keeps_its_words(error: AsyncUploadError) -> bool:
    """Whether an error of the framework's has no words. That there are no forms, which strangers are refused unless the
    server is told otherwise, is one of those."""
    return isinstance(error, ForeignReply) and error.status == 500 and _says(error, UNTOLD)


FILTERED = ("HttpRequestValidationException", "potentially dangerous Request")
"""How ASP.NET says, with HTTP 500, that it suspects markup in a form, before it looks at the form: ``<`` before a
letter, or ``&#``. Every ``xmlParameters`` has that."""


def suspects_markup(error: AsyncUploadError) -> bool:
    """Whether a form was refused for what looks like markup in it. An envelope is not looked at like that."""
    return isinstance(error, ForeignReply) and error.status == 500 and _says(error, *FILTERED)


TOO_LONG = ("Maximum request length exceeded", "Upload size exceeds httpRuntime limit")
"""How they say, with HTTP 500, that a request is too large; and how Mono does."""


def exceeds_limit(error: AsyncUploadError) -> bool:
    """Whether a request was refused for its size."""
    if isinstance(error, ForeignReply):
        return error.status == 413 or (error.status == 500 and _says(error, *TOO_LONG))
    return isinstance(error, ServerError) and any(words in error.text for words in TOO_LONG)


def blames_the_request(error: AsyncUploadError) -> bool:
    """Whether it is a fault of the sender's in SOAP: any other refusal of a chunk has a code, or another class."""
    return type(error) is ServerError and error.code is None and not error.unexpected


def _says(error: ForeignReply, *words: str) -> bool:
    return any(word in error.excerpt for word in words)


def may_concern_all(error: AsyncUploadError) -> bool:
    """Whether a server that was understood before may refuse everything alike at the moment, as where a gateway has
    nobody behind it or wants to know again who asks. Another request tells."""
    if not isinstance(error, ForeignReply) or error.first_contact or error.transient:
        return False
    return error.status >= 400 and error.status != 500 and error.status not in REFUSED_FOR_CERTAIN


def lacks_operation(error: AsyncUploadError) -> bool:
    """Whether a request failed for want of its operation, as on older servers."""
    if isinstance(error, OperationMissing):
        return True
    if isinstance(error, ForeignReply):
        return (error.status == 404 and not error.of_all) or NO_SUCH_OPERATION in error.excerpt
    return isinstance(error, ServerError) and NO_SUCH_ACTION in error.text


def outcome_of(error: AsyncUploadError, *, body_left: bool, lost_reply: LostReply) -> Outcome:
    """Whether the server can have acted on a request that ended in ``error``.

    * The body did not leave whole: not applied, since the declared length is not met.
    * A repeat does no harm (REPEAT): as good as not applied.
    * No connection, a redirect, a status given before the operation runs, a readable refusal, words for a request that
      reached no operation: not applied.
    * A reply lost, late, cut off or foreign, 500, 502, 504, an exception inside the server: unknown.
    * To a request that makes a document (ASK), a status that something on the way may give after the operation has run
      (a redirect, 401, 403, 404, 407, 408, 503): unknown as well. To look costs less than a wrong word.

    Args:
        error: How the request ended. A readable success is no error: it is applied.
        body_left: Whether the body's last byte was handed to the connection.
        lost_reply: What the operation says about a reply that is lost.
    """
    if not body_left or lost_reply is LostReply.REPEAT or _reached_nothing(error):
        return Outcome.NOT_APPLIED
    if isinstance(error, ForeignReply) and lost_reply is LostReply.ASK and error.status not in REFUSED_FOR_CERTAIN:
        return Outcome.UNKNOWN
    if _refused(error):
        return Outcome.NOT_APPLIED
    return Outcome.UNKNOWN


def _reached_nothing(error: AsyncUploadError) -> bool:
    """Whether the framework says that there was no operation, or that it could not read what the operation takes."""
    missing = isinstance(error, ForeignReply) and error.status == 500 and _says(error, NO_SUCH_OPERATION)
    unread = cannot_be_read(error) or speaks_no_forms(error) or suspects_markup(error)
    return missing or unread or exceeds_limit(error)


def _refused(error: AsyncUploadError) -> bool:
    match error:
        case ConnectFailed() | Redirected():
            return True
        case ForeignReply(status=status):
            return status in REFUSED_STATUSES
        case ServerError():
            return not error.unexpected
        case _:
            return False
