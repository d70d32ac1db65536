"""Errors that outlive the moment in which they came: raised later, raised to several, kept by a caller."""

from contextlib import suppress
from copy import copy
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, TypeVar

from .errors import AsyncUploadError

E = TypeVar("E", bound=AsyncUploadError)

HOUSE = str(Path(__file__).parent)


def raise_kept(error: BaseException) -> NoReturn:
    """Raise an error that came before whatever is being handled now, with the causes that it had.

    The interpreter would make what is being handled its context; and where that has the error in its own chain,
    whoever follows the links would go round for ever.
    """
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
        del error, context  # the traceback has this frame


def another(error: E) -> E:
    """The same error for one more who hears of it. One object raised in many places would mix up what they came from,
    and grow with each of them."""
    again = copy(error)
    again.__cause__ = error.__cause__
    return again


def let_go(error: BaseException) -> None:
    """Empty the frames of ours that an error on its way out has passed, as far as they have ended.

    They hold chunks, and in part the error itself: whoever keeps the error would keep all that was read ahead, and
    whoever drops it would wait for the garbage collector. The frames of others, as of a source, stay as they are.
    """
    seen, left = set[int](), [error]
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            _empty(one.__traceback__)
            left += filter(None, (one.__cause__, one.__context__))


def _empty(trace: TracebackType | None) -> None:
    while trace is not None:
        if _is_ours(trace.tb_frame):
            with suppress(RuntimeError):  # it is being executed
                trace.tb_frame.clear()
        trace = trace.tb_next


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(HOUSE)
