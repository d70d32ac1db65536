"""Everything that the README and the guide show is run."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import asyncupload
from asyncupload.cli import COMMANDS
from asyncupload.cli.results import EXIT_CODES

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text("utf-8")
GUIDE = (TOP / "docs" / "guide.md").read_text("utf-8")


def _blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with what the examples speak of."""
    (tmp_path / "big.iso").write_bytes(os.urandom(3_000_000))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("content")
    return tmp_path


def _run(command: list[str], folder: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """In a process group of its own, so that servers started in the background end with the example."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ASYNCUPLOAD_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["XDG_STATE_HOME"] = str(folder / "state")
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**environment, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=50)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, output)


def _shell(commands: str, folder: Path) -> str:
    """Run commands as they stand, on a port that is free here. A server in the background gets time to come up."""
    port = _free_port()
    wait = f"until (echo > /dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.05; done"
    commands = re.sub(r" &( +#.*)?$", f" & {wait}", commands.replace("8080", port), flags=re.MULTILINE)
    for program in folder.glob("*.py"):
        program.write_text(program.read_text().replace("8080", port))
    done = _run(["bash", "-eo", "pipefail", "-c", f"trap 'kill $(jobs -p)' EXIT\n{commands}"], folder)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_shell_example_of_the_first_screen(folder: Path) -> None:
    (commands,) = (block for block in _blocks("sh") if "asyncupload check" in block)
    output = _shell(commands, folder)
    assert "stored /Library/big.iso" in output
    assert '"path": "/Library/folder.tar"' in output
    assert "verified /Library/big.iso" in output
    assert "1 file: 1 stored" in output
    assert (folder / "report.html").is_file()
    assert (folder / "back.iso").read_bytes() == (folder / "big.iso").read_bytes()


def test_the_guide_from_top_to_bottom(folder: Path) -> None:
    output = _shell("".join(_blocks("sh", GUIDE)), folder)
    for said in (
        '"version_id": 2000001',
        "downloaded /Library/big.iso to ",
        ", by bytes",
        '"source": "-"',
        " is not the same",
        "new       ",
        "1 file: 1 new; nothing was sent",
        "1 file: 1 stored",
        '"path": "/Library/Archive/images/big.iso"',
    ):
        assert said in output
    assert output.count("unpacked") == 2
    assert '"status": "discarded"' in output
    for name in ("old.iso", "new.iso"):
        assert (folder / name).read_bytes() == (folder / "big.iso").read_bytes()


def test_the_guide_shows_every_command_and_every_page_is_linked() -> None:
    shown = set(
        re.findall(r"^(?:.*\| )?asyncupload ([a-z-]+)", "".join(_blocks("sh", README + GUIDE)), flags=re.MULTILINE)
    )
    # `make demo` shows the first, the second takes its time, and the others need a load to be shown at.
    assert shown == set(COMMANDS) - {"demo", "bench", "jobs", "retry", "explain"}
    for page in re.findall(r"\]\(([^):]+)\)", README):
        assert (TOP / page).is_file(), page


def test_the_python_example_of_the_first_screen(folder: Path) -> None:
    (program,) = (block for block in _blocks("python") if "big.iso" in block)
    (folder / "example.py").write_text(program)
    output = _shell("asyncupload serve --port 8080 &\npython -W error example.py", folder)
    assert "ChunkSent(" in output
    assert "document 1, 3000000 bytes" in output


@pytest.mark.parametrize("number", range(1, len(_blocks("python"))))
def test_the_other_python_examples(number: int, folder: Path) -> None:
    done = _run([sys.executable, "-W", "error", "-c", _blocks("python")[number]], folder)
    assert done.returncode == 0, done.stdout


def test_the_server_with_trouble_starts_as_shown(folder: Path) -> None:
    (command,) = (block for block in _blocks("sh") if "--fault" in block)
    done = _run(["bash", "-c", f"{command.strip()} --port {_free_port()} & sleep 2; kill %1; wait %1"], folder)
    assert "serving http" in done.stdout
    assert (folder / "documents").is_dir()


def test_the_make_targets_exist() -> None:
    makefile = (TOP / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z]+)", README, flags=re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_rooms_drawn_exist() -> None:
    house = Path(asyncupload.__file__).parent
    for room in set(re.findall(r"\b_?[a-z]+\.py\b", README.split("## Inside")[1])) - {"test_house.py"}:
        assert (house / room).exists() or (house / "bulk" / room).exists() or room == "house.py", room


def test_the_exit_codes_listed_are_those_of_the_code() -> None:
    listed = {
        int(code) for line in re.findall(r"^\| ([\d, ]+) \|", README, flags=re.MULTILINE) for code in line.split(",")
    }
    assert listed == {0, *(code for _, code in EXIT_CODES), 3, 129, 130, 143}
