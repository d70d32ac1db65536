"""In a thread of its own: asked from outside of any loop."""

import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from asyncupload.emulator import Emulator, ThreadedEmulator


def _ask(server: ThreadedEmulator, operation: str, **parameters: str) -> str:
    url = f"{server.url}/srv.asmx/{operation}"
    with urllib.request.urlopen(url, urllib.parse.urlencode(parameters).encode(), timeout=10) as answer:
        content: bytes = answer.read()
    return content.decode()


def test_it_answers_those_who_have_no_loop_and_ends_with_its_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with ThreadedEmulator(Emulator(tmp_path)) as server:
        assert 'success="true"' in _ask(server, "AuthenticateUser", UID="demo", PWD="demo")
        assert [call.operation for call in server.calls] == ["AuthenticateUser"]
        assert server.documents() == []
        assert server.open_handlers() == []
        assert server.run(server.emulator.checkouts) == {}
        with pytest.raises(FileNotFoundError):
            server.content("/Library/none")
        url = f"{server.url}/srv.asmx"

    assert set(threading.enumerate()) <= before
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=10)
    with pytest.raises(RuntimeError, match="with ThreadedEmulator"):
        server.documents()


def test_one_that_cannot_start_leaves_no_thread(tmp_path: Path) -> None:
    with ThreadedEmulator(Emulator(tmp_path)):
        second = ThreadedEmulator(Emulator(tmp_path))
        before = set(threading.enumerate())
        with pytest.raises(RuntimeError):
            second.__enter__()
        assert set(threading.enumerate()) <= before


def test_it_can_be_entered_again_and_has_what_it_had(tmp_path: Path) -> None:
    server = ThreadedEmulator(Emulator(tmp_path))
    with server:
        server.run(lambda: server.emulator.create_folder("/Library/Kept"))
        url = server.url
    with server:
        assert server.url == url
        ticket = _ask(server, "AuthenticateUser", UID="demo", PWD="demo").partition('ticket="')[2].partition('"')[0]
        answer = _ask(server, "FolderExists", AuthenticationTicket=ticket, Path="/Library/Kept")
        assert 'success="true"' in answer


def test_trouble_can_be_asked_for_while_it_runs(tmp_path: Path) -> None:
    with ThreadedEmulator(Emulator(tmp_path)) as server:
        _ask(server, "ServerInfo")
        server.fail("refuse-500", operation="ServerInfo", at=2)
        _ask(server, "ServerInfo")
        with pytest.raises(urllib.error.HTTPError, match="500") as caught:
            _ask(server, "ServerInfo")
        caught.value.close()
        _ask(server, "ServerInfo")

    assert [call.fault for call in server.calls] == [None, None, "refuse-500", None]
