"""How many files at once: more while that helps, half as many when the server is short of breath. Pure."""

from dataclasses import dataclass, replace

FIRST = 4
BETTER = 1.05
"""How much more must come through for another file in flight to be worth it."""
PATIENCE = 10
"""Looks at a steady pace before more is tried again: lines and servers change over a weekend."""
FILE = 64 * 1024
"""Bytes that one finished file counts for besides its own: many small files are work as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The number of files in flight, and what it is based on.

    Congestion control of the kind that networks use (additive increase, multiplicative decrease; RFC 5681), with the
    throughput as a second sign that more would not help.
    """

    most: int
    limit: int = FIRST
    best: float = 0.0
    """Work per second at the limit before."""
    steady: int = 0
    """Looks since the limit changed the last time."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "limit", max(1, min(self.limit, self.most)))

    def after(self, *, work: float, congested: bool, busy: bool) -> "Pace":
        """The pace for the next second.

        Args:
            work: Bytes acknowledged, and FILE for every file ended, per second.
            congested: Whether the server refused for want of capacity, or did not answer in time.
            busy: Whether as many files were in flight as are allowed. If not, more would change nothing.
        """
        if congested:
            return replace(self, limit=max(1, self.limit // 2), best=0.0, steady=0)
        if not busy:
            return self
        if work > self.best * BETTER:
            return replace(self, limit=self.limit + 1, best=work, steady=0)
        if self.steady < PATIENCE:
            return replace(self, steady=self.steady + 1)
        return replace(self, limit=self.limit + 1, best=work, steady=0)
