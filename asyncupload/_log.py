"""Where log lines go: to structlog if the application has configured it, otherwise to the standard logger
``asyncupload``.

A library says nothing until it is asked to. structlog left unconfigured prints to standard output, which belongs to the
application (and, on the command line, to the results).

What a logger raises, be it a processor of the application's or a handler whose disk is full, never reaches the work.
"""

import logging
from typing import Any, Self

import structlog

from ._unharmed import unharmed

logging.getLogger("asyncupload").addHandler(logging.NullHandler())


class Logger:
    """A logger that never raises: a line that cannot be written is lost, and nothing else.

    Args:
        logger: structlog's; None if the application's configuration makes none.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def bind(self, **facts: Any) -> Self:
        """Another one with ``facts`` on every line."""
        found = None
        with unharmed():
            found = self._logger.bind(**facts)
        return type(self)(found)

    def debug(self, event: str, **facts: Any) -> None:
        """Of interest to who looks for a fault."""
        self._say("debug", event, facts)

    def info(self, event: str, **facts: Any) -> None:
        """What goes on."""
        self._say("info", event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        """What somebody may have to do something about."""
        self._say("warning", event, facts)

    def error(self, event: str, **facts: Any) -> None:
        """What has failed."""
        self._say("error", event, facts)

    def _say(self, level: str, event: str, facts: dict[str, Any]) -> None:
        with unharmed():
            getattr(self._logger, level)(event, **facts)


def get_logger(**bound: Any) -> Logger:
    """A logger with ``bound`` on every line. Asked for anew by each upload, so that it follows the application."""
    found: Any = None
    with unharmed():
        found = _made(bound)
    return Logger(found)


def _made(bound: dict[str, Any]) -> Any:
    if structlog.is_configured():
        return structlog.get_logger("asyncupload").bind(**bound)
    return structlog.wrap_logger(
        logging.getLogger("asyncupload"),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    ).bind(**bound)
