"""What an error shows to whoever prints local variables."""

import json
import traceback

from rich.traceback import Traceback
from structlog.tracebacks import ExceptionDictTransformer

SHORT, LONG = 80, 100_000
"""What the talkative ways of printing show of a string, if they are left alone, and all of it."""


def with_locals(error: BaseException) -> str:
    """All that they say of this one, causes included, with long strings whole and cut."""
    plain = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    return plain + _with_locals(error, SHORT) + _with_locals(error, LONG)


def _with_locals(error: BaseException, length: int) -> str:
    told = (type(error), error, error.__traceback__)
    # What rich would draw: to draw it in so wide a frame takes seconds.
    page = Traceback.extract(
        *told, show_locals=True, locals_max_length=LONG, locals_max_string=length, locals_hide_dunder=False
    )
    shown = [f"{stack.exc_value} {getattr(stack, 'notes', [])}" for stack in page.stacks]
    frames = [frame for stack in page.stacks for frame in stack.frames]
    shown += [f"{frame.filename} {name} = {value}" for frame in frames for name, value in (frame.locals or {}).items()]
    for rich in (True, False):
        transform = ExceptionDictTransformer(
            show_locals=True,
            locals_max_length=LONG,
            locals_max_string=length,
            max_frames=LONG,
            use_rich=rich,
            locals_hide_dunder=False,
        )
        shown.append(json.dumps(transform(told), default=repr, ensure_ascii=False))
    return "\n".join(shown)
