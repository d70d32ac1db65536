"""The catalogue of faults, by number: each that a single upload can meet is named by a test, or here with a reason.

1 to 28 are the source's, 29 to 56 the network's and HTTP's, 57 to 77 the server's. What concerns many files (78 and on,
and some below) is the bulk loader's, which is still to come.
"""

import re
from pathlib import Path

LAST = 77

NOT_BY_ITS_NUMBER = {
    3: "a file that grows: SourceChanged, in every test of a file that changes (test_sources)",
    7: "a read that hangs holds a thread of the client's own pool, and nobody's loop; not provoked here",
    11: "two rows with one destination: the bulk loader's plan",
    16: "over the server's size limit: `check` tells the limit; refusing beforehand is the bulk loader's plan",
    19: "case twins: the bulk loader's plan",
    20: "rewritten names are documented for folders only; forbidden characters are refused",
    21: "paths too long: the bulk loader's plan; the server's own refusal is told as it is",
    22: "wide and deep trees: the bulk loader",
    23: "sparse files: holes are sent as zeros (benchmarks/memory.py sends nothing else)",
    24: "sharing violations are Windows': an OSError like others here",
    25: "files still being copied in: the bulk loader; one that changes while it is read is fault 1",
    33: "a proxy's 407 is a foreign reply that is not tried again (test_outcome, test_reply)",
    36: "there is no limit on connections whose wait could run out",
    38: "stale keep-alive connections: the faults close-idle and close-on-reuse, in the storm",
    45: "502 and 504: fail-502-after, fail-504-after and fail-504-late, in the storm; a row of the outcome table",
    48: "408: a row of the outcome table",
    51: "401 and 403 of a gateway are not tried again (test_outcome); stopping a whole run is the bulk loader's",
    52: "a buffering proxy: events count acknowledged bytes only (test_upload, events)",
    53: "slow lines: no limit on a whole upload, and a chunk's grows with its size (test_settings)",
    54: "throughput that collapses: concurrency is the bulk loader's",
    55: "broken IPv6: aiohttp's happy eyeballs are left on",
    56: "too many descriptors: concurrency is the bulk loader's; one upload uses one connection and one file",
    59: "leading zeros: sent unpadded, read as numbers (test_checksum, test_wire); the emulator's CRC text variants",
    63: "tickets that expire: expire-ticket and forget-sessions, in the storm",
    64: "many that see 4010 at once: one login (test_remote)",
    67: "a server that forgets everything: forget-sessions with lose-handler, in the storm",
    72: "a commit that takes minutes has a time limit of its own (test_settings), and an event of its own",
    73: "content that the server changes: compared before the document is made, with what is staged",
    74: "handlers of a process that was killed: the bulk loader's journal",
    75: "e-mail notifications: the bulk loader",
    76: "skewed clocks: nothing here is signed, and intervals are measured by a clock that does not jump",
}


def _named() -> set[int]:
    found: set[int] = set()
    for file in Path(__file__).parent.rglob("test_*.py"):
        for group in re.findall(r"\b[Ff]aults? ((?:\d+(?:, | and |–| to )?)+)", file.read_text("utf-8")):
            numbers = [int(number) for number in re.findall(r"\d+", group)]
            found |= set(range(numbers[0], numbers[1] + 1)) if "–" in group or " to " in group else set(numbers)
    return found


def test_every_fault_is_named_by_a_test_or_explained() -> None:
    assert set(range(1, LAST + 1)) - _named() - set(NOT_BY_ITS_NUMBER) == set()


def test_nothing_is_explained_that_does_not_exist() -> None:
    assert all(1 <= number <= LAST for number in NOT_BY_ITS_NUMBER)
