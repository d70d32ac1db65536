"""Where log lines go: to structlog if the application has configured it, otherwise to the standard logger
``asyncupload``.

A library says nothing until it is asked to. structlog left unconfigured prints to standard output, which belongs to the
application (and, on the command line, to the results).
"""

import logging
from typing import Any

import structlog

logging.getLogger("asyncupload").addHandler(logging.NullHandler())


def get_logger(**bound: Any) -> Any:
    """A structlog logger with ``bound`` on every line. Asked for anew by each upload, so that it follows the
    application."""
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
