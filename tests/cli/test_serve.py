"""``asyncupload serve``, typed: the document server that everybody can have."""

import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncupload.emulator import Call, everywhere, rates

from .commands import Ended, end, run, start
from .conftest import Here

DEMO = {"ASYNCUPLOAD_USER": "demo", "ASYNCUPLOAD_PASSWORD": "demo"}


@contextmanager
def serving(*words: object, stop: int = signal.SIGINT) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A server on a free port: its URL, once it has said that it serves."""
    process = start("serve", "--json", "--port", 0, *words)
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, end(process)
        yield json.loads(first)["url"], process
    finally:
        if process.poll() is None:
            process.send_signal(stop)
        end(process)


def bring(here: Here, url: str, file: Path, path: str = "/Library/a.bin") -> Ended:
    return here("upload", file, path, "--chunk-size", 262_144, "--json", "--server", url, env=DEMO)


def test_it_says_where_it_serves_and_keeps_documents_across_a_restart(file: Path, tmp_path: Path, here: Here) -> None:
    data = tmp_path / "data"
    with serving("--data", data) as (url, _):
        assert bring(here, url, file).code == 0
    with serving("--data", data) as (url, process):
        back = tmp_path / "back"
        assert here("download", "/Library/a.bin", back, "--server", url, env=DEMO).code == 0
        assert back.read_bytes() == file.read_bytes()
        process.send_signal(signal.SIGINT)
        assert end(process) == (0, "", "")


def test_in_words_it_says_all_one_needs_to_use_it(tmp_path: Path) -> None:
    process = start("serve", "--port", 0, "--data", tmp_path / "data", "--user", "ada")
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("serving http://127.0.0.1:")
    assert line.endswith(f" as user ada, documents in {tmp_path / 'data'}; Ctrl-C stops\n")
    process.send_signal(signal.SIGTERM)
    assert end(process).code == 143


def test_a_temporary_folder_is_gone_with_the_server(file: Path) -> None:
    process = start("serve", "--json", "--port", 0)
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    assert said["status"] == "serving"
    assert Path(said["data"]).is_dir()
    # A connection that stays open must not hold it up.
    host, port = said["url"].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))):
        process.send_signal(signal.SIGINT)
        assert end(process).code == 0
    assert not Path(said["data"]).exists()


def test_the_user_and_the_folders_are_as_told(file: Path, here: Here) -> None:
    with serving("--user", "ada", "--password", "l0velace", "--folder", "/Engines/Notes", "--folder", "/B") as (url, _):
        assert bring(here, url, file).code == 4
        ada = {"ASYNCUPLOAD_USER": "ada", "ASYNCUPLOAD_PASSWORD": "l0velace", "ASYNCUPLOAD_SERVER": url}
        assert here("upload", file, "/Engines/Notes/a.bin", env=ada).code == 0
        assert here("upload", file, "/B/a.bin", env=ada).code == 0


def troubles(seed: int) -> int:
    """How many of the calls that it takes to have four chunks accepted meet a fault of rate 0.5."""
    script = rates({"tryagain": 0.5}, seed=seed)
    accepted = number = 0
    while accepted < 4:
        number += 1
        accepted += script(Call("UploadFileChunk", number)) is None
    return number - accepted


def test_a_fault_comes_at_its_rate_as_the_seed_will_have_it(file: Path, here: Here) -> None:
    assert troubles(5) != troubles(2)
    for seed in (5, 2):
        with serving("--fault", "tryagain=0.5", "--seed", seed) as (url, _):
            assert bring(here, url, file).said["resent"] == troubles(seed)


def test_a_rate_of_one_hits_every_call(file: Path, here: Here) -> None:
    with serving("--fault", "html=1") as (url, _):
        ended = bring(here, url, file)
    assert (ended.code, ended.said["error"]) == (5, "ForeignReply")


def asked(url: str, operation: str) -> tuple[int, str]:
    """The status and the text of the answer to a harmless question."""
    try:
        with urllib.request.urlopen(f"{url}/srv.asmx/{operation}?Path=/Library") as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_gateway_gives_up_in_the_time_that_it_is_told(file: Path, here: Here) -> None:
    times = ("--slow", "0.5", "--gateway", "0.05", "--away", "0.2")
    with serving(*times, "--fault", "gateway-504=1") as (url, _):
        assert asked(url, "ServerInfo")[0] == 504
    with serving(*times, "--variant", "slow-finalize") as (url, _):
        assert bring(here, url, file).code == 0


def test_an_operation_is_missing_if_that_is_asked_for(file: Path, here: Here) -> None:
    with serving("--missing", "UploadNewDocumentWidthHandler", "--missing", "GetFolderRules") as (url, _):
        status, text = asked(url, "GetFolderRules")
        assert (status, "method name is not valid" in text) == (500, True)
        assert bring(here, url, file).code == 0


def test_trouble_comes_to_every_request_as_the_seed_will_have_it() -> None:
    first = Call("ServerInfo", 1)
    seed = next(seed for seed in range(1000) if everywhere(1, seed=seed + 1)(first) == "refuse-502")
    with serving("--trouble", "1", "--seed", seed) as (url, _):
        assert asked(url, "ServerInfo")[0] == 502


def test_a_variant_changes_the_answers(file: Path, here: Here) -> None:
    with serving("--variant", "no-errorcode", "--variant", "swapped-roots") as (url, _):
        ended = here("download", "/Library/none.bin", file, "--server", url, env=DEMO)
    # With its code, which every newer server sends, the line would end in "(code 4041)".
    assert ended.err == "asyncupload: GetDownloadHandler: Document not found.\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--fault", "gremlins=0.1"), ("no fault 'gremlins'", "tryagain", "drop-after")),
        (("--fault", "stall"), ("'stall' is not NAME=RATE",)),
        (("--fault", "stall=often"), ("'stall=often' is not NAME=RATE",)),
        (("--fault", "stall=1.5"), ("between 0 and 1",)),
        (("--fault", "stall=nan"), ("between 0 and 1",)),
        (("--fault", "stall=0.6", "--fault", "html=0.6"), ("more than 1",)),
        (("--trouble", "1.5"), ("1.5",)),
        (("--slow", "-1"), ("-1",)),
        (("--missing", "Nonsense"), ("no such operation: Nonsense",)),
        (("--variant", "upside-down"), ("'upside-down'", "no-filehexcrc")),
        (("--port", "70000"), ("70000",)),
        (("--folder", "/B", "--folder", ""), ("'' names no folder", "/Library/Folder")),
        (("--folder", "//"), ("'//' names no folder",)),
        (("--folder", "/Library/a:b"), ("'/Library/a:b' cannot be had", "'a:b'")),
        (("--folder", "~F1"), ("'~F1'",)),
    ],
)
def test_what_it_does_not_know_it_refuses_by_name(here: Here, words: tuple[str, ...], told: tuple[str, ...]) -> None:
    ended = here("serve", *words)
    assert (ended.code, ended.out) == (2, "")
    assert "Traceback" not in ended.err
    for text in told:
        assert text in ended.err


def test_a_port_in_use_is_said() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        ended = run("serve", "--port", port)
    assert (ended.code, ended.out) == (1, "")
    assert "cannot serve:" in ended.err
    assert str(port) in ended.err
    assert "address already in use" in ended.err
    assert "Traceback" not in ended.err


def test_a_data_folder_in_use_is_said(tmp_path: Path) -> None:
    with serving("--data", tmp_path / "data"):
        ended = run("serve", "--json", "--port", 0, "--data", tmp_path / "data")
    assert ended.code == 1
    assert ended.said["status"] == "failed"
    assert str(tmp_path / "data") in ended.said["message"]
    assert "Traceback" not in ended.err


def test_the_rules_and_the_limit_are_as_told(file: Path, here: Here) -> None:
    rule = "/Library:AllowableFileTypes=.pdf,.docx"
    with serving("--rule", rule, "--document-max-size", 1000) as (url, _):
        ended = here("upload", file, "/Library/a.bin", "--server", url, env=DEMO)
        assert "DocumentMaxSize is 1000" in ended.err
        file.write_bytes(b"short")
        ended = here("upload", file, "/Library/a.bin", "--server", url, env=DEMO)
        assert "AllowableFileTypes of the folder /Library: .pdf,.docx" in ended.err
    ended = here("serve", "--rule", "AllowableFileTypes=.pdf")
    assert (ended.code, "FOLDER:NAME=VALUE" in ended.err) == (2, True)
