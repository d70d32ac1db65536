"""Which call meets which trouble."""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from asyncupload.emulator.faults import PASSING, fault
from asyncupload.emulator.operations import OPERATIONS


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it arrives. `number` counts this operation's calls, from 1, since the emulator was made."""

    operation: str
    number: int


Hit = str | tuple[str, ...] | None
"""A name of FAULTS, or several of them: each is wrapped around those behind it, so the first is outermost."""

Script = Callable[[Call], Hit]
"""Says what hits a call; None for nothing. Asked once per call, in arrival order."""

_OPERATION_NAMES = frozenset(operation.name for operation in OPERATIONS.values())


def names(hit: Hit) -> tuple[str, ...]:
    """The names in a hit."""
    return (hit,) if isinstance(hit, str) else hit or ()


def rates(shares: Mapping[str, float], *, seed: int = 0) -> Script:
    """A script that gives each fault its share (0 to 1, at most 1 in sum) of the calls that it fits.

    What hits a call depends on the seed, the operation and the call's number alone, so that two runs meet the
    same faults even if their calls arrive in another order.
    """
    chosen = [(fault(name), share) for name, share in shares.items()]
    if any(not 0 <= share <= 1 for share in shares.values()) or sum(shares.values()) > 1:
        raise ValueError(f"shares must lie between 0 and 1 and add up to at most 1: {dict(shares)}")

    def script(call: Call) -> str | None:
        drawn = random.Random(f"{seed}/{call.operation}/{call.number}").random()  # noqa: S311 -- a die, not a secret
        for one, share in chosen:
            if one.fits(call.operation):
                drawn -= share
                if drawn < 0:
                    return one.name
        return None

    return script


def everywhere(rate: float, *, seed: int = 0, among: Iterable[str] = PASSING) -> Script:
    """A script that lets every call, however small, the login too, meet some fault at that rate (0 to 1).

    Which one is drawn from those `among` that fit the call, all alike; drawn as in `rates`. ValueError for a rate or a
    name that is none.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"a rate must lie between 0 and 1: {rate}")
    chosen = [fault(name) for name in sorted(among)]

    def script(call: Call) -> str | None:
        die = random.Random(f"{seed}/{call.operation}/{call.number}")  # noqa: S311 -- a die, not a secret
        fitting = [one.name for one in chosen if one.fits(call.operation)]
        return die.choice(fitting) if fitting and die.random() < rate else None

    return script


def at(places: Mapping[tuple[str, int], str | tuple[str, ...]]) -> Script:
    """A script of exact places: ``at({("UploadFileChunk", 2): "drop-after"})``.

    ValueError for an operation that does not exist, a fault that does not fit it, or a number below 1.
    """
    hits = dict(places)
    for (operation, number), hit in hits.items():
        _require_place(operation, number, names(hit))
    return lambda call: hits.get((call.operation, call.number))


def once(name: str, operation: str | None = None, number: int = 1) -> Script:
    """A script of one hit, at the given one of the calls that it is asked about and that fit.

    ValueError as for `at`; None for the operation means every one that the fault fits.
    """
    _require_place(operation, number, (name,))
    left = number

    def script(call: Call) -> str | None:
        nonlocal left
        if operation not in {None, call.operation} or not fault(name).fits(call.operation):
            return None
        left -= 1
        return name if left == 0 else None

    return script


def require_operations(wanted: Iterable[str]) -> frozenset[str]:
    """These operations; ValueError for a name that none has."""
    chosen = frozenset(wanted)
    if unknown := sorted(chosen - _OPERATION_NAMES):
        raise ValueError(f"no such operation: {', '.join(unknown)}")
    return chosen


def _require_place(operation: str | None, number: int, hit: tuple[str, ...]) -> None:
    if operation not in {None, *_OPERATION_NAMES}:
        raise ValueError(f"no such operation: {operation}")
    for name in hit:
        one = fault(name)
        if operation is not None and not one.fits(operation):
            raise ValueError(f"{name} does not fit {operation}")
    if number < 1:
        raise ValueError(f"calls are counted from 1: {operation or 'any'} {number}")


def together(*scripts: Script) -> Script:
    """A script that asks each of these. What they say is put together, the first one's outermost.

    Two `rates` of one seed draw the same number for the same call; give them different seeds.
    """

    def script(call: Call) -> Hit:
        return tuple(name for one in scripts for name in names(one(call))) or None

    return script
