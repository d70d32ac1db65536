"""The command as ``python -m asyncupload`` runs it, with every error rendered that comes out of a client in it.

python tests/typed.py upload file /Library/file
"""

import sys

from asyncupload import _signals

ENDLESS = "cannot be rendered:"
"""Stands on standard error where one freezes whoever renders it."""


def main() -> None:
    """Run the command that was typed. As there, signals are heeded before anything else is imported."""
    _signals.heed()
    import chains  # noqa: PLC0415

    from asyncupload import __main__  # noqa: PLC0415

    with chains.watched(lambda wrong: print(ENDLESS, wrong, file=sys.stderr, flush=True), chains.judged):
        __main__.main()


if __name__ == "__main__":
    main()
