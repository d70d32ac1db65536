"""Where an error came from, as renderers follow it: they never return from a chain that leads back into itself."""

import io
import traceback

from rich.console import Console
from rich.traceback import Traceback
from structlog.tracebacks import ExceptionDictTransformer


def leads_back(error: BaseException, above: frozenset[int] = frozenset()) -> bool:
    """Whether somebody who follows causes, contexts and groups comes to an error that he came from."""
    if id(error) in above:
        return True
    inside = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    behind = (error.__cause__, error.__context__, *inside)
    return any(one is not None and leads_back(one, above | {id(error)}) for one in behind)


def rendered(error: BaseException) -> list[str]:
    """By Python, by rich and by structlog. Only for an error that does not lead back."""
    told = (type(error), error, error.__traceback__)
    console = Console(file=io.StringIO(), width=200)
    console.print(Traceback.from_exception(*told))
    assert isinstance(console.file, io.StringIO)
    return [
        "".join(traceback.format_exception(*told)),
        console.file.getvalue(),
        repr(ExceptionDictTransformer(show_locals=True)(told)),
    ]
