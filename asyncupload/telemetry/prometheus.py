"""Prometheus: how many uploads there are, how they end, how long they take, and what trouble they meet.

No path is in a label: there are too many of them, and they name people and cases.
"""

import time

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from asyncupload.events import ChunkRetried, ChunkSent, Committing, Event, Failed, Listener, Restarted, Stored

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 150, 300, 600, 1800, 3600, 10800)
"""Upper bounds of the histograms' buckets: from a page of text to a disk image over a slow line."""


class Metrics:
    """An observer, for ``Client(observers=[Metrics()])``. One of them may be given to any number of clients.

    Args:
        registry: Where the metrics are registered; the library's own if nothing is said.

    Raises:
        ValueError: There is one in this registry already.

    ==================================== ========= ==================================================================
    asyncupload_uploads_total            counter   that have ended, by ``status`` (``stored``, ``unchanged``,
                                                   ``failed``, ``unknown``, ``cancelled``) and ``error``, the kind of
                                                   error by its class's name, or empty
    asyncupload_uploads_in_progress      gauge     those that wait for their turn included
    asyncupload_sent_bytes_total         counter   acknowledged by the server, in vain or not
    asyncupload_chunks_resent_total      counter
    asyncupload_restarts_total           counter   uploads that began anew in another handler
    asyncupload_upload_seconds           histogram of those that were stored, from the call to the receipt
    asyncupload_commit_seconds           histogram that the server took to make a document, or to fail to
    ==================================== ========= ==================================================================
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.uploads = Counter(
            "asyncupload_uploads", "Uploads that have ended.", ["status", "error"], registry=registry
        )
        self.in_progress = Gauge("asyncupload_uploads_in_progress", "Uploads that go on.", registry=registry)
        self.sent = Counter("asyncupload_sent_bytes", "Bytes acknowledged by the server.", registry=registry)
        self.resent = Counter("asyncupload_chunks_resent", "Chunks that went again.", registry=registry)
        self.restarts = Counter("asyncupload_restarts", "Uploads that began anew.", registry=registry)
        self.seconds = Histogram(
            "asyncupload_upload_seconds", "From the call to the receipt.", registry=registry, buckets=SECONDS
        )
        self.commit_seconds = Histogram(
            "asyncupload_commit_seconds", "For making a document.", registry=registry, buckets=SECONDS
        )

    def __call__(self) -> Listener:
        """Count one more in progress."""
        self.in_progress.inc()
        return _Count(self)


class _Count:
    """Listens to one upload."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._began = time.monotonic()
        self._commit_began: float | None = None
        self._sent = 0
        self._over = False

    def __call__(self, event: Event) -> None:
        match event:
            case ChunkSent(sent=sent):
                self._metrics.sent.inc(sent - self._sent)
                self._sent = sent
            case ChunkRetried():
                self._metrics.resent.inc()
            case Restarted():
                self._metrics.restarts.inc()
                self._sent = 0
                self._end_commit()
            case Committing():
                self._commit_began = time.monotonic()
            case Stored(receipt=receipt):
                self._end(receipt.status, "")
            case Failed(status=status, error=error):
                self._end(status, type(error).__name__)

    def _end_commit(self) -> None:
        if self._commit_began is not None:
            self._metrics.commit_seconds.observe(time.monotonic() - self._commit_began)
            self._commit_began = None

    def _end(self, status: str, error: str) -> None:
        if self._over:
            return
        self._over = True
        self._end_commit()
        if status == "stored":
            self._metrics.seconds.observe(time.monotonic() - self._began)
        self._metrics.uploads.labels(status, error).inc()
        self._metrics.in_progress.dec()
