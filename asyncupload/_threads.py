"""Threads for calls that may never return: nobody waits for them, neither a client that is left nor the interpreter."""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_Job: TypeAlias = tuple["Future[Any]", Callable[[], Any]]


class DaemonThreads(Executor):
    """As the standard library's pool, whose threads are all waited for when the interpreter ends: one of them that
    hangs in a read, as on a network drive that is gone, would keep the process alive for ever.

    Args:
        most: How many threads, at most. Each is started when it is needed.
        name: What they are called.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._jobs = queue.SimpleQueue[_Job | None]()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Have ``fn`` called in one of the threads.

        Raises:
            RuntimeError: It was shut down.
        """
        future = Future[T]()
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._jobs.put((future, partial(fn, *args, **kwargs)))
            if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
                name = f"{self._name}_{len(self._threads)}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            _do(*job)
            del job  # or it would keep what it returned until the next one comes
            self._idle.release()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  (Executor's)
        """Take no more calls, and let the threads end."""
        with self._lock:
            self._closed = True
        while cancel_futures and not self._jobs.empty():
            if (job := self._jobs.get()) is not None:
                job[0].cancel()
        for _ in self._threads:
            self._jobs.put(None)
        if wait:
            self.join()

    def join(self, seconds: float = threading.TIMEOUT_MAX) -> None:
        """Wait for the threads to end, so long at most. Blocks."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, min(deadline - time.monotonic(), threading.TIMEOUT_MAX)))


def _do(future: "Future[Any]", call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001  (it belongs to whoever asked)
        future.set_exception(error)
        del future  # the error's traceback has this frame: both would live until the garbage collector comes
    else:
        future.set_result(result)
