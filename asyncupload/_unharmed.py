"""A stranger's code, called in the midst of work that must not suffer from it: a listener, a logger."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def unharmed(tell: Callable[[BaseException], None] = lambda _: None) -> Iterator[None]:
    """Survive whatever is raised, a CancelledError too: nobody is cancelled within a call that awaits nothing.

    KeyboardInterrupt and SystemExit end the event loop that is running, as from any callback of its: the work is
    cancelled then, and cleans up, or has ended already, and keeps what it has come to. Where no loop is running they go
    on.

    Args:
        tell: Told what was raised, but for those two.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as end:
        _hand_on(end)
    except BaseException as error:  # noqa: BLE001  (whatever it is, it is not the work's)
        tell(error)


def _hand_on(end: BaseException) -> None:
    with suppress(RuntimeError):  # no loop is running
        asyncio.get_running_loop().call_soon(_raise, end)
        return
    raise end


def _raise(end: BaseException) -> None:
    raise end
