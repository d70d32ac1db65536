"""``asyncupload demo``: a real file up to a server in a process of its own and back again, by the commands anyone would
type."""

import filecmp
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from asyncupload import _signals
from asyncupload._units import amount

from . import terminal
from .options import PREFIX

ARCHIVE_SIZE = 96 * 1024 * 1024
"""Bytes of files after which the archive is large enough to watch it go."""


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def demo(file: Path | None) -> int:
    """Bring FILE (by default an archive of this Python installation) up to the emulator and back, and compare."""
    # As an exception it passes through the clean-up below; the bare signal would leave the server running.
    with _signals.asking(), tempfile.TemporaryDirectory(prefix="asyncupload-demo-") as folder:
        scratch = Path(folder)
        source = file or _archive(scratch / "python.tar")
        with _server(scratch / "data") as url:
            there, back = f"/Library/{source.name}", scratch / "back"
            for words in (["check"], ["upload", str(source), there], ["download", there, str(back)]):
                if code := _type(words, url):
                    return code
        return _compared(source, back)


def _archive(target: Path) -> Path:
    """A tar of what this Python consists of: real files of many kinds, on every machine."""
    terminal.say("making an archive of this Python installation")
    packed = 0
    with tarfile.open(target, "w") as archive:
        for folder in dict.fromkeys(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib")):
            for path in sorted(Path(folder).rglob("*")):
                if packed < ARCHIVE_SIZE and path.is_file() and not path.is_symlink():
                    archive.add(path, path.relative_to(folder), recursive=False)
                    packed += path.stat().st_size
    return target


@contextmanager
def _server(data: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "asyncupload", "serve", "--json", "--port", "0", "--data", str(data)]
    with subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            first = process.stdout.readline() if process.stdout else ""
            if not first:
                raise click.ClickException("the server did not start")
            yield json.loads(first)["url"]
        finally:
            process.terminate()


def _type(words: list[str], url: str) -> int:
    terminal.say("")
    terminal.say(f"$ asyncupload {' '.join(words)} --server {url} --user demo", bold=True)
    command = [sys.executable, "-m", "asyncupload", *words, "--server", url, "--user", "demo"]
    return subprocess.run(command, env=_environment(), check=False).returncode  # noqa: S603


def _environment() -> dict[str, str]:
    """What is set for the user's own server, a proxy included, must not reach into the demo."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**others, f"{PREFIX}PASSWORD": "demo", "no_proxy": "*"}


def _compared(source: Path, back: Path) -> int:
    if not filecmp.cmp(source, back, shallow=False):
        terminal.warn(f"{source.name} came back different", fg="red")
        return 6
    terminal.say("")
    terminal.say(f"{source.name}: {amount(source.stat().st_size)} went up, came back, and are equal", fg="green")
    return 0
