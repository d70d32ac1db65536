"""Who works on a row, told so that another process of the same machine can see whether it still does: a lease ends by
the wall clock, and that may have been years ahead when it was given."""

import os
import secrets
import socket
import time
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")

LONGEST_LEASE = 86_400.0
"""Seconds. One that seems to last longer was given by a clock that was wrong: it is none."""


def _told(path: str) -> str:
    with suppress(OSError, ValueError):
        return (_PROC / path).read_text("ascii").strip()
    return ""


BOOT = _told("sys/kernel/random/boot_id")
"""Names the time since the machine was started; empty where the system has no name for it."""


def ourselves() -> str:
    """A name that no other owner has. Blocks.

    Host, process and a random number are for those who read it. The last part is for `is_gone`: the boot, the process
    namespace (two containers of one machine have the same numbers for different processes), the process's start.
    """
    mark = f"{BOOT}/{_namespace()}/{_start(os.getpid())}" if BOOT else "-"
    return f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)} {mark}"


def is_gone(owner: str) -> bool:
    """Whether it is certain that an owner's process has ended. Blocks.

    Certain is only what a process of the same machine can see: another start of the machine, or no such process where
    ours are numbered.
    """
    match owner.rsplit(" ", 3):
        case [host, pid, _, mark] if pid.isdigit() and mark.count("/") == 2 and host == socket.gethostname() and BOOT:
            boot, namespace, start = mark.split("/")
        case _:
            return False
    if boot != BOOT:
        return True
    return namespace == _namespace() != "" and not _runs(int(pid), start)


def _runs(pid: int, start: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    now = _start(pid)
    return not (start and now) or now == start


def _start(pid: int) -> str:
    """When a process began, by the machine's own count; empty if it is not to be seen, ``ended`` for one that nobody
    has buried yet."""
    # The name in brackets may have anything in it.
    state, *rest = _told(f"{pid}/stat").rpartition(")")[2].split() or [""]
    if state in {"Z", "X"}:
        return "ended"
    return rest[18] if len(rest) > 18 else ""


def _namespace() -> str:
    with suppress(OSError):
        return str((_PROC / "self/ns/pid").readlink()).removeprefix("pid:")
    return ""


# ── moments ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def moment() -> dict[str, float | str]:
    """Now, in a form that `age` can measure from, also if the wall clock is set meanwhile."""
    return {"at": time.time(), "boot": BOOT, "up": _up()}


def age(facts: dict[str, object]) -> float | None:
    """Seconds since a `moment`, in ``facts`` among others; None if nobody can tell, as when it is still to come."""
    at, boot, up = facts.get("at"), facts.get("boot"), facts.get("up")
    if boot and boot == BOOT and isinstance(up, int | float):
        return max(0.0, _up() - up)
    passed = time.time() - float(at) if isinstance(at, int | float) else -1.0
    return passed if passed >= 0 else None


def _up() -> float:
    """Seconds since the machine was started, those that it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else 0.0
