"""Whether new files may begin: while the server is in trouble, one request now and then finds out instead of all."""

from dataclasses import dataclass, replace

SYSTEMIC = 3
"""Files in trouble one after another, none stored between them, that make it the server's and not theirs."""
FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Open, closed, or ajar: one file at a time. Times are of one monotonic clock, in seconds."""

    since: float = 0.0
    """When the first of the troubles came that nothing has succeeded after."""
    troubles: int = 0
    closed_until: float = 0.0
    waits: int = 0
    reason: str = ""

    @property
    def ajar(self) -> bool:
        """Whether it has been closed, and nothing has succeeded since."""
        return self.waits > 0

    def allowed(self, limit: int, now: float) -> int:
        """How many files may be in flight."""
        if now < self.closed_until:
            return 0
        return min(1, limit) if self.ajar else limit

    def success(self) -> "Gate":
        """A file was stored, or found equal."""
        return Gate() if self.troubles else self

    def trouble(self, reason: str, now: float, *, answering: bool) -> "Gate":
        """A file ended in trouble.

        Args:
            reason: What it was.
            now: The time.
            answering: Whether the server answered a small request right afterwards.
        """
        found = replace(self, troubles=self.troubles + 1, since=self.since or now)
        if (answering and found.troubles < SYSTEMIC) or now < self.closed_until:
            return found
        wait = min(FIRST_WAIT * 2.0**self.waits, LONGEST_WAIT)
        return replace(found, closed_until=now + wait, waits=self.waits + 1, reason=reason)

    def hopeless(self, now: float, give_up_after: float) -> bool:
        """Whether there has been no success for too long."""
        return self.ajar and now - self.since > give_up_after
