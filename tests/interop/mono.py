"""The protocol as a web service of Mono's ASP.NET, whose web services are Microsoft's own source: one process in a
folder of its own."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.commands import PATIENCE

from .nginx import free_port
from .peers import do_without, peer

SOURCE = Path(__file__).parent / "mono"
PACKAGES = "mono-mcs libmono-system-web4.0-cil libmono-system-web-services4.0-cil"
LIBRARIES = ("System.Web", "System.Web.Services", "System.Xml")
FORMS = ("HttpGet", "HttpPost")


@dataclass(frozen=True, slots=True)
class Mono:
    """One that is running. User demo, password demo; folders /Library and /Finance/Reports."""

    url: str
    folder: Path

    def stored(self) -> list[bytes]:
        """The contents of all versions, in no order, as they lie on its disk."""
        return [file.read_bytes() for file in (self.folder / "stored").glob("*")]


def build(folder: Path) -> None:
    """Make the application in a folder; without Mono the test is skipped, as by :func:`peers.peer`."""
    compiler = peer("mcs", PACKAGES)
    (folder / "bin").mkdir(parents=True)
    for name in ("srv.asmx", "web.config"):
        shutil.copy(SOURCE / name, folder)
    # A program and a library at once: the server looks for the service's class in libraries.
    words = [compiler, "-target:exe", f"-out:{folder}/bin/Interop.dll", *(f"-r:{name}" for name in LIBRARIES)]
    done = subprocess.run([*words, *map(str, SOURCE.glob("*.cs"))], capture_output=True, text=True, check=False)
    if "CS0006" in done.stderr:
        do_without("Mono's web services", PACKAGES)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def running(built: Path, folder: Path, *, forms: bool = True, words: bool = True) -> Iterator[Mono]:
    """The application of :func:`build`, served. Without ``forms`` it speaks SOAP only, and without ``words`` it keeps
    those of errors to itself: ASP.NET has both so for strangers, unless told otherwise."""
    shutil.copytree(built, folder)
    config = folder / "web.config"
    lines = config.read_text("utf-8").splitlines()
    if not forms:
        lines = [line.replace("<protocols>", "<protocols><clear/><add name='HttpSoap'/>") for line in lines]
        lines = [line for line in lines if not any(name in line for name in FORMS)]
    text = "\n".join(lines)
    config.write_text(text if words else text.replace('customErrors mode="Off"', 'customErrors mode="On"'), "utf-8")
    port = free_port()
    process = subprocess.Popen(
        [peer("mono", PACKAGES), folder / "bin" / "Interop.dll", folder, str(port)],
        stdin=subprocess.PIPE,  # it ends with this one
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        yield Mono(f"http://127.0.0.1:{port}", folder)
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)
