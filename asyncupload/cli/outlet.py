"""Standard output and standard error while a command runs: to write to them never raises, and never waits for long.

A document may be stored by the time that its name cannot be written any more: the disk is full, whoever read has gone,
or has stopped reading. That must neither end the work nor hold up the event loop, and it must not show as a traceback.
"""

import io
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

PROMPT = 0.1
"""Seconds that a writer waits for its words to be out, so that those of both streams stand in order. Once they were
not, nobody waits any more until all are."""
MOST = 1024 * 1024
"""Bytes that may wait for a reader, before no more is begun that would have something to say."""
_AGAIN = 0.02


class Outlet(io.TextIOBase):
    """A text stream in the place of another.

    Args:
        stream: What is written to; None if it was closed before the process began.
        lose: Called once, with the reason, when it cannot be written to any more. What it was to say is lost.
        drop: Whether to lose what waits beyond `MOST`, where nobody would miss it.
        tame: What becomes of a text that others write, a library's warnings as much as a traceback.
    """

    def __init__(
        self, stream: TextIO | None, *, lose: Callable[[str], None], drop: bool, tame: Callable[[str], str]
    ) -> None:
        self._stream = stream
        self._raw = _raw(stream)
        self._lose = lose
        self._drop = drop
        self._tame = tame
        self._waiting = deque[bytes]()
        self._held = 0
        self._behind = False
        self._changed = threading.Condition()
        self._writer: threading.Thread | None = None
        self._failure = "" if stream is not None else "it is closed"
        self._lost = self._told = False

    @property
    def behind(self) -> bool:
        """Whether so much waits for a reader that no more should be begun."""
        return self._held > MOST

    def write(self, text: str, /) -> int:
        """For whoever does not know what a name may hold."""
        self.put(self._tame(text))
        return len(text)

    def put(self, text: str) -> None:
        """Write text that is fit for a terminal."""
        if self._failure:
            self._lost = True
        elif self._drop and self.behind:
            return
        elif self._raw is None:
            self._write_through(text)
        else:
            self._hand_over(text.replace("\n", os.linesep).encode(self.encoding, "backslashreplace"))
        self._tell_of_loss()

    def drain(self, within: float | None) -> None:
        """Wait until all is written or cannot be, at most that many seconds if there are any. A signal ends it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held, within)
        self._tell_of_loss()

    def _write_through(self, text: str) -> None:
        """What has no descriptor is nothing that a reader could leave, or that could be full."""
        try:
            if self._stream is not None:
                self._stream.write(text)
                self._stream.flush()
        except (OSError, ValueError) as error:
            self._failure, self._lost = _reason(error), True

    def _hand_over(self, data: bytes) -> None:
        with self._changed:
            if self._writer is None:
                # A daemon: a write that nobody ends must not hold up the end of the process.
                self._writer = threading.Thread(target=self._write_all, name="asyncupload-outlet", daemon=True)
                self._writer.start()
            self._waiting.append(data)
            self._held += len(data)
            self._changed.notify_all()
            if not self._behind:
                self._behind = not self._changed.wait_for(lambda: not self._held, PROMPT)

    def _write_all(self) -> None:
        while not self._failure:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                data = b"".join(self._waiting)
                self._waiting.clear()
            failure = _written(self._raw, data)
            with self._changed:
                self._held -= len(data)
                if failure:
                    self._failure, self._lost = failure, True
                    self._waiting.clear()
                    self._held = 0
                self._behind = self._behind and self._held > 0
                self._changed.notify_all()

    def _tell_of_loss(self) -> None:
        if self._lost and not self._told:
            self._told = True
            self._lose(self._failure)

    # ── what others ask of a stream ──

    def flush(self) -> None:
        """Nothing is kept back."""

    def writable(self) -> bool:
        """It is, or says so once."""
        return True

    def isatty(self) -> bool:
        """Whether somebody may be watching."""
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        """The descriptor's number, for those who ask how wide a terminal is."""
        if self._stream is None:
            raise io.UnsupportedOperation("it is closed")
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has a plain attribute
        """The stream's."""
        return getattr(self._stream, "encoding", None) or "utf-8"


class Styled(io.TextIOBase):
    """The same outlet for who knows what he writes, as rich with its colours and moves."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def write(self, text: str, /) -> int:
        """As it is."""
        self._outlet.put(text)
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""

    def isatty(self) -> bool:
        """The outlet's."""
        return self._outlet.isatty()

    def fileno(self) -> int:
        """The outlet's."""
        return self._outlet.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The outlet's."""
        return self._outlet.encoding


def _raw(stream: TextIO | None) -> Any:
    """Where bytes go without a buffer between: what is left in one would be tried again, and told, at the very end."""
    try:
        if stream is None or stream.fileno() < 0:
            return None
        stream.flush()
    except (OSError, ValueError):
        return None
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def _written(raw: Any, data: bytes) -> str:
    """Why it is not; empty if it is."""
    rest = memoryview(data)
    try:
        while rest:
            count = raw.write(rest)
            if count is None:  # a descriptor that does not wait, as some parents hand it down
                threading.Event().wait(_AGAIN)
            else:
                rest = rest[count:]
    except (OSError, ValueError) as error:
        return _reason(error)
    return ""


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
