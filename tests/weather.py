"""What a round of the storm is drawn from: rates, faults, variants, servers that lack operations, and times.

The clock is scaled so that the ratios are as in life: a slow finalize outlasts its gateway and what small requests are
given, and ends within the time that a server allows itself for one.
"""

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal

from asyncupload import Retries, Settings, Timeouts
from asyncupload.emulator import FAULTS, PASSING, Script, everywhere, rates, together

CHUNK = 1024
"""Bytes that the server grants, so that forty chunks are few bytes."""

HIGHEST_RATE = 0.3
"""Per request, of a few faults of every kind together, the lasting among them."""

RATES = (0.12, 0.20)
"""Per request, however small, the login too, of everything that passes: for these the share stored has a goal."""

GOAL = 0.95
"""Of the uploads of FEW chunks at one of RATES, on a server that has its operations."""

FEW, MANY = 10, 40
"""Chunks of an upload at most. Each chunk whose reply is lost may cost the pass, and nobody can ask the server: with
forty of them at 20 %, one pass in some thirty gets through, and there are nine. Larger chunks are what helps there."""

EVERYBODYS = frozenset({"recycle", "away", "forget-sessions", "forget-sessions-after"})
"""Faults that all of a round's uploads meet together: at a rate per request there would be no server between them."""

EVERYBODYS_RATE = 0.002
"""Per request: about once in a round for each."""

LATE = frozenset(
    {
        "drop-late",
        "fail-504-late",
        "slow",
        "gateway-reset",
        "gateway-502",
        "gateway-503",
        "gateway-504",
        "gateway-again",
    },
)
"""Applied after the client was told that it was lost, or may have stopped waiting."""

DAMAGE = frozenset({"corrupt-chunk", "lose-chunk", "double-chunk"})
"""A server that damages what it stages and keeps its checksum to itself is found out only when the document stands."""

VARIANTS = (
    (),
    ("mismatch-success",),
    ("lenient-consume",),
    ("no-errorcode",),
    ("lowercase-errorcode", "swapped-roots"),
    ("auto-version",),
    ("no-filehexcrc",),
    ("ticket-bound", "create-checks-ticket"),
    ("unbound", "capital-documentid", "major-versions"),
    ("padded-filehexcrc", "chunk-after-last", "checkout-locks"),
    ("early-finalize", "release-checkout", "namespaced-roots"),
    ("slow-finalize",),
    ("slow-finalize", "auto-version"),
    ("slow-finalize", "release-checkout", "chunk-after-last"),
    ("no-unlock",),
)

HOPELESS = (("no-lock",),)
"""Variants on which no version can be stored: for rounds without a goal."""

MISSING = (
    "GetDownloadInfoByVersion",
    "GetDownloadInfo",
    "GetDownloadHandlerByVersion",
    "UploadNewDocumentWidthHandler",
    "GetDocumentVersions",
    "GetGeneralAppSettings",
    "GetFolderRules",
)
"""Operations that servers are known to lack."""

SLOW = (0.05, 0.2, 0.5)
"""Seconds that a slow call takes, one of these in each round: within the settling and beyond it."""

GATEWAY = 0.03
AWAY = 0.2

SETTINGS = Settings(
    timeouts=Timeouts(connect=2, reply=0.3, slowest_rate=1e9, finalize=0.8, settle=2.5, cleanup=5.0),
    retries=Retries(
        first_attempts=None,  # the address is right, and the server may be away when it is asked for the first time
        give_up_after=3.0,
        restart_within=60.0,
        first_wait=0.002,
        longest_wait=0.05,
        longest_obeyed=0.01,
    ),
)
HURRIED = replace(SETTINGS, timeouts=replace(SETTINGS.timeouts, reply=1.5, cleanup=1.0))
"""One unanswered request takes longer than there is time for cleaning up."""


HISTORY = 4_500
"""Versions of a document that many have worked on: to list them takes more than a MiB."""

ENCODINGS: tuple[Literal["auto", "form", "soap"], ...] = (*("auto",) * 8, "form", "soap")


@dataclass
class Round:
    """What one round was, and what came of it."""

    seed: int
    rate: float | None = None
    """One of RATES; None if it is drawn, up to HIGHEST_RATE."""
    most_chunks: int = MANY
    faults: dict[str, float] = field(default_factory=dict)
    """What can be met; with its rate, if that is its own."""
    variants: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    slow: float = SLOW[0]
    history: int = 0
    """Versions that stand at each place where there is something, besides one."""
    full_disk: bool = False
    """Whether what is logged cannot be written."""
    settings: Settings = SETTINGS
    outcomes: Counter[str] = field(default_factory=Counter)
    uncontested: Counter[str] = field(default_factory=Counter)
    """The outcomes of those who were alone at their place, and let go on to their end."""
    wrong: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    """Places with two versions of one upload, which said that it does not know."""

    def __str__(self) -> str:
        shares = self.kind if self.rate else ", ".join(f"{name}={share:.2f}" for name, share in self.faults.items())
        return (
            f"seed {self.seed}: {shares}; variants {self.variants}; without {self.missing}; slow is {self.slow} s; "
            f"{self.settings.encoding}; {'full disk; ' if self.full_disk else ''}{self.history or ''}"
            f"{dict(self.outcomes)}; {self.wrong or self.doubled}"
        )

    @property
    def kind(self) -> str:
        """What its share is counted with."""
        kind = at_rate(self.rate, self.most_chunks) if self.rate else f"0 to {HIGHEST_RATE:.0%}, lasting faults too"
        return f"{kind}, operations missing" if self.missing else kind


def round_of(seed: int) -> tuple[Round, Script]:
    """What a seed stands for, and what its calls meet."""
    die = random.Random(f"weather {seed}")
    rate = die.choice((None, None, *RATES))
    script, faults = some_of_all(seed) if rate is None else all_that_pass(seed, rate)
    this = Round(
        seed,
        rate,
        die.choice((FEW, MANY)) if rate else MANY,
        faults,
        variants=die.choice(VARIANTS if rate else VARIANTS + HOPELESS),
        missing=tuple(die.sample(MISSING, die.randint(1, len(MISSING)))) if die.random() < 0.25 else (),
        slow=die.choice(SLOW),
        full_disk=die.random() < 0.15,
        history=HISTORY if die.random() < 0.03 else 0,
        settings=replace(HURRIED if die.random() < 0.1 else SETTINGS, encoding=die.choice(ENCODINGS)),
    )
    if this.missing and die.random() < 0.5:
        this.variants = (*this.variants, "missing-404")
    if "no-filehexcrc" in this.variants and DAMAGE & set(faults):
        this.variants = ()
    return this, script


def some_of_all(seed: int) -> tuple[Script, dict[str, float]]:
    """One to five faults, with rates that add up to at most HIGHEST_RATE; sometimes two of them hit one call."""
    die = random.Random(f"script {seed}")
    names = die.sample(sorted(FAULTS), die.randint(1, 5))
    weights = [die.random() for _ in names]
    scale = die.random() * HIGHEST_RATE / sum(weights)
    shares = {name: weight * scale for name, weight in zip(names, weights, strict=True)}
    cut = die.randint(1, len(names))
    halves = dict(list(shares.items())[:cut]), dict(list(shares.items())[cut:])
    return together(*(rates(half, seed=seed + place) for place, half in enumerate(halves) if half)), shares


def all_that_pass(seed: int, rate: float) -> tuple[Script, dict[str, float]]:
    """Every request meets something at this rate, and everybody something together now and then."""
    own = PASSING - EVERYBODYS
    together_now_and_then = dict.fromkeys(sorted(EVERYBODYS), EVERYBODYS_RATE)
    script = together(everywhere(rate, seed=seed, among=own), rates(together_now_and_then, seed=seed + 1))
    return script, dict.fromkeys(sorted(own), rate) | together_now_and_then


def at_rate(rate: float, most_chunks: int) -> str:
    """What rounds at a rate are called."""
    return f"{rate:.0%} of all requests, up to {most_chunks} chunks"
