"""Where an error came from, as renderers follow it: they never return from a chain that leads back into itself."""

import io
import json
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache

import structlog
from rich.console import Console
from rich.traceback import Traceback

from asyncupload._journeys import Journeys

LONGEST = 8
"""Errors one behind another. Each of ours comes from two or three others at most, however often something failed."""
MOST_WAYS = 32
"""From an error to the ends of its chain. Whoever follows causes and contexts goes each of them."""
LARGEST = 4_000_000
"""Characters of one rendering: a million, with all local variables of deep calls. A chain in a circle has no end."""
SECONDS = 30.0
"""For one rendering, which takes a tenth of a second: after that it has frozen."""


def behind(error: BaseException) -> tuple[BaseException, ...]:
    """What somebody comes to from an error who follows its cause, its context, and the group that it is."""
    inside = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return tuple(one for one in (error.__cause__, error.__context__, *inside) if one is not None)


def wrong_with(error: BaseException) -> str:
    """What would freeze a renderer; empty if nothing would. Each error is looked at once."""
    try:
        ways, length = _measured(error)
    except _LeadsBack:
        return f"the chain of an error leads back into itself: {error!r}"
    if length > LONGEST or ways > MOST_WAYS:
        return f"the chain of an error is {length} long, and there are {ways} ways through it: {error!r}"
    return ""


class _LeadsBack(Exception):
    """Somebody came to an error that he came from."""


def _measured(error: BaseException) -> tuple[int, int]:
    """How many ways lead through what is behind an error, and how long the longest is."""
    known: dict[int, tuple[int, int]] = {}
    above: set[int] = set()
    # By hand, since a chain may be longer than Python calls are deep.
    path: list[tuple[BaseException, Iterator[BaseException]]] = [(error, iter(behind(error)))]
    while path:
        one, others = path[-1]
        above.add(id(one))
        other = next((other for other in others if id(other) not in known), None)
        if other is None:
            path.pop()
            above.discard(id(one))
            found = [known[id(other)] for other in behind(one)]
            known[id(one)] = (sum(ways for ways, _ in found) or 1, 1 + max((length for _, length in found), default=0))
        elif id(other) in above:
            raise _LeadsBack
        else:
            path.append((other, iter(behind(other))))
    return known[id(error)]


# ── rendered ──


def rendered(error: BaseException) -> list[str]:
    """By Python, by rich and by structlog. Only for an error that does not lead back.

    Raises:
        AssertionError: One of them does not come to its end, or says far too much.
    """
    return [_within(how, error) for how in (_by_python, _by_rich, *_by_structlog())]


def _within(how: Callable[[BaseException], str], error: BaseException) -> str:
    said: list[str] = []
    # A daemon: it must not keep the process if it never returns.
    thread = threading.Thread(target=lambda: said.append(how(error)), daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert said, f"{how} does not come to an end of {error!r}"
    assert len(said[0]) < LARGEST, f"{how} makes {len(said[0])} characters of {error!r}"
    return said[0]


def _by_python(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _by_rich(error: BaseException) -> str:
    """As ``RichHandler(rich_tracebacks=True)`` does."""
    console = Console(file=io.StringIO(), width=200)
    console.print(Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@lru_cache
def _by_structlog() -> tuple[Callable[[BaseException], str], ...]:
    """As ``log.exception()`` does by default, which is by way of rich, without it, and as JSON."""
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    pretty, as_json = structlog.dev.ConsoleRenderer(), structlog.processors.dict_tracebacks

    def event(error: BaseException) -> dict[str, object]:
        return {"event": "failed", "exc_info": (type(error), error, error.__traceback__)}

    return (
        lambda error: str(plain(None, "error", event(error))),
        lambda error: str(pretty(None, "error", event(error))),
        lambda error: json.dumps(as_json(None, "error", event(error)), default=repr),
    )


# ── watched ──

_KINDS = set[tuple[str, ...]]()


def judged(error: BaseException) -> str:
    """What is wrong with an error as renderers see it; empty if nothing is. The first of each kind is rendered, too."""
    if wrong := wrong_with(error):
        return wrong
    kinds = tuple(type(one).__name__ for one in (error, *behind(error)))
    if kinds in _KINDS:
        return ""
    _KINDS.add(kinds)
    missing = [text for text in rendered(error) if kinds[0] not in text]
    return f"{kinds[0]} is not named: {missing[0]}" if missing else ""


@contextmanager
def watched(tell: Callable[[str], object], look: Callable[[BaseException], str] = wrong_with) -> Iterator[None]:
    """Look at every error that comes out of a client's method meanwhile, and tell what is wrong with it."""
    one = Journeys.one

    @asynccontextmanager
    async def looked_at(journeys: Journeys) -> AsyncIterator[None]:
        try:
            async with one(journeys):
                yield
        except BaseException as error:
            if wrong := look(error):
                tell(wrong)
            raise

    Journeys.one = looked_at  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Journeys.one = one  # type: ignore[method-assign]
