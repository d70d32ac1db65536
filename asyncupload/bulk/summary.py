"""What a load comes to, told from its rows one by one: totals, times, sizes, reasons. Of bounded size however many rows
there are."""

import heapq
import re
from collections import Counter
from dataclasses import dataclass, field

from .records import outcome
from .rows import Row, State

INTERVALS = 120
"""Into how many parts of equal length the time of a load is divided, at most."""

REASONS = 200
"""How many kinds of reasons are told apart; what comes after that is counted together."""

SLOWEST = 20

OTHERS = "other reasons"

_PARTICULAR = re.compile(r"""'[^']*'|"[^"]*"|(?<!\w)/\S+|\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]+)+\b|\d+(?:[.,]\d+)*""")
"""What differs from file to file in sentences that say the same."""


@dataclass(slots=True)
class Total:
    """Rows of one outcome."""

    rows: int = 0
    size: int = 0
    """Bytes, as planned."""


@dataclass(slots=True)
class Kind:
    """Rows with the same reason."""

    rows: int
    example: str
    """The first reason of the kind, as it was."""


class Timeline:
    """Bytes by the time when they were stored. As time goes on, intervals are joined, so that they stay few."""

    def __init__(self) -> None:
        self.width = 1
        """Seconds of an interval."""
        self.bytes: Counter[int] = Counter()
        """By the number of the interval: that of its beginning, in seconds since 1970, divided by ``width``."""

    def add(self, at: float, size: int) -> None:
        """Count bytes stored at that time (seconds since 1970)."""
        self.bytes[int(at) // self.width] += size
        while max(self.bytes) - min(self.bytes) >= INTERVALS:
            self.width *= 2
            joined: Counter[int] = Counter()
            for number, there in self.bytes.items():
                joined[number // 2] += there
            self.bytes = joined

    def rates(self) -> list[tuple[int, float]]:
        """For every interval from the first to the last: when it begins, and bytes per second."""
        if not self.bytes:
            return []
        numbers = range(min(self.bytes), max(self.bytes) + 1)
        return [(number * self.width, self.bytes[number] / self.width) for number in numbers]


@dataclass(slots=True)
class Summary:
    """Of all rows that were added."""

    totals: dict[str, Total] = field(default_factory=dict)
    """By outcome: stored, unchanged, skipped, failed, cancelled."""
    timeline: Timeline = field(default_factory=Timeline)
    sizes: Counter[int] = field(default_factory=Counter)
    """Files by the number of binary digits of their size: 11 are those of 1,024 to 2,047 bytes."""
    unknown_sizes: int = 0
    reasons: dict[tuple[str, str], Kind] = field(default_factory=dict)
    """By outcome and kind."""
    _slowest: list[tuple[float, int, Row]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(total.rows for total in self.totals.values())

    @property
    def slowest(self) -> list[Row]:
        """Those that took longest, longest first."""
        return [row for _, _, row in sorted(self._slowest, key=lambda entry: entry[:2], reverse=True)]

    def add(self, row: Row) -> None:
        """Count a row."""
        end, size = outcome(row), row.item.size
        total = self.totals.setdefault(end, Total())
        total.rows += 1
        total.size += size or 0
        if size is None:
            self.unknown_sizes += 1
        else:
            self.sizes[size.bit_length()] += 1
        if row.state is State.STORED and row.ended is not None:
            self.timeline.add(row.ended, size or 0)
        if row.reason and row.state in {State.STORED, State.SKIPPED, State.FAILED}:
            self._count_reason(end, row.reason)
        self._time(row)

    def _count_reason(self, end: str, reason: str) -> None:
        key = (end, kind_of(reason))
        if key not in self.reasons and len(self.reasons) >= REASONS:
            key = (end, OTHERS)
        kind = self.reasons.setdefault(key, Kind(0, reason))
        kind.rows += 1

    def _time(self, row: Row) -> None:
        seconds = row.facts.seconds
        if seconds <= 0 or (len(self._slowest) >= SLOWEST and seconds <= self._slowest[0][0]):
            return
        # The id decides between equal times: rows themselves have no order.
        heapq.heappush(self._slowest, (seconds, -row.id, row))
        if len(self._slowest) > SLOWEST:
            heapq.heappop(self._slowest)


def kind_of(reason: str) -> str:
    """The reason without what is particular to one file: quoted texts, paths and numbers become ``…``."""
    return _PARTICULAR.sub("…", reason)
