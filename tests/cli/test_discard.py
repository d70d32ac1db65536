"""``asyncupload discard``, typed."""

import json
import re
import signal
from pathlib import Path

import pytest

from .commands import Ended, end, start
from .conftest import CHUNK, PASSWORD, Here, Server

UNKNOWN = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def left(server: Server, file: Path) -> str:
    """The GUID of a handler that an upload left behind, since even its deletion was not answered."""
    server.faults.update({("UploadFileChunk", 2): "stall", ("DeleteUploadHandler", 1): "stall"})
    process = start("upload", file, "/Library/a.bin", "--chunk-size", CHUNK, "-vv", env=server.login)
    server.wait_for("UploadFileChunk", 2)
    process.send_signal(signal.SIGINT)
    server.wait_for("DeleteUploadHandler")
    process.send_signal(signal.SIGINT)
    found = re.search(r"handler=([0-9a-fA-F-]{36})", end(process).err)
    assert found
    return found[1]


def said(ended: Ended) -> list[dict[str, str]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def test_a_handler_named_in_the_log_is_gone_afterwards(server: Server, file: Path, here: Here) -> None:
    guid = left(server, file)
    assert server.left() == 1
    ended = here("discard", guid, env=server.login)
    assert ended == (0, f"discarded {guid}\n", "")
    assert server.left() == 0


def test_each_handler_has_a_result_of_its_own_and_the_highest_code_is_the_exit_code(server: Server, here: Here) -> None:
    ended = here("discard", UNKNOWN, "no-guid", UNKNOWN.upper(), "--json", env=server.login)
    assert ended.code == 2
    first, second, third = said(ended)
    assert first == {"status": "discarded", "handler": UNKNOWN}
    assert (second["status"], second["handler"], second["error"]) == ("failed", "no-guid", "UsageError")
    assert third == {"status": "discarded", "handler": UNKNOWN.upper()}
    assert server.calls("DeleteUploadHandler") == 2
    assert server.calls("AuthenticateUser") == 1


def killed(server: Server, file: Path, env: dict[str, str]) -> None:
    """An upload of a version, killed in the middle."""
    assert here_once(file, env) == 0
    stalled = server.calls("UploadFileChunk") + 2
    server.faults[("UploadFileChunk", stalled)] = "stall"
    process = start("upload", file, "/Library/a.bin", "--chunk-size", CHUNK, env=env)
    server.wait_for("UploadFileChunk", stalled)
    process.kill()
    end(process)
    assert server.document("/Library/a.bin").checkout is not None
    assert server.left() == 1


def here_once(file: Path, env: dict[str, str]) -> int:
    return end(start("upload", file, "/Library/a.bin", env=env)).code


@pytest.fixture
def env(server: Server, tmp_path: Path) -> dict[str, str]:
    return {**server.login, "XDG_STATE_HOME": str(tmp_path / "state")}


def test_a_check_out_that_a_killed_upload_has_left_is_given_back_by_path(
    server: Server, file: Path, here: Here, env: dict[str, str], tmp_path: Path
) -> None:
    """imagej/imagej2#59. From another machine, which has nothing written down."""
    killed(server, file, env)
    elsewhere = {**env, "XDG_STATE_HOME": str(tmp_path / "elsewhere")}
    assert here("upload", file, "/Library/a.bin", env=elsewhere).code == 1
    assert server.document("/Library/a.bin").checkout is not None
    ended = here("discard", "/Library/a.bin", env=elsewhere)
    assert ended == (0, "gave /Library/a.bin back\n", "")
    assert server.document("/Library/a.bin").checkout is None
    ended = here("discard", "/Library/a.bin", "--json", env=elsewhere)
    assert said(ended) == [{"status": "discarded", "path": "/Library/a.bin", "checked_out": False}]
    again = here("upload", file, "/Library/a.bin", env=elsewhere)
    assert again.code == 0, again.err


def test_the_next_upload_of_the_same_document_takes_away_what_a_killed_one_has_left(
    server: Server, file: Path, here: Here, env: dict[str, str], tmp_path: Path
) -> None:
    """owncloud/core#22524."""
    killed(server, file, env)
    assert here("upload", file, "/library/A.BIN", env=env).code == 0
    assert server.document("/Library/a.bin").checkout is None
    assert len(server.document("/Library/a.bin").versions) == 2
    assert server.left() == 0
    assert not [*(tmp_path / "state").rglob("*.trace")]


def test_the_check_out_of_an_upload_that_goes_on_is_not_taken(
    server: Server, file: Path, here: Here, env: dict[str, str]
) -> None:
    assert here("upload", file, "/Library/a.bin", env=env).code == 0
    stalled = server.calls("UploadFileChunk") + 2
    server.faults[("UploadFileChunk", stalled)] = "stall"
    process = start("upload", file, "/Library/a.bin", "--chunk-size", CHUNK, env=env)
    server.wait_for("UploadFileChunk", stalled)
    assert here("upload", file, "/Library/a.bin", env=env).code == 1
    assert server.document("/Library/a.bin").checkout is not None
    process.send_signal(signal.SIGINT)
    end(process)
    assert server.document("/Library/a.bin").checkout is None
    assert here("upload", file, "/Library/a.bin", env=env).code == 0


def test_where_nothing_can_be_written_down_an_upload_goes_on_without(
    server: Server, file: Path, here: Here, env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("no folder")
    assert here("upload", file, "/Library/a.bin", env=env).code == 0
    assert here("upload", file, "/Library/a.bin", env=env).code == 0


def test_somebody_elses_check_out_stays(server: Server, file: Path, here: Here) -> None:
    here("upload", file, "/Library/a.bin", env=server.login)
    server.check_out("/Library/a.bin", "anna")
    ended = here("discard", "/Library/a.bin", env=server.login)
    assert ended.code == 1
    assert "anna" in ended.err
    checkout = server.document("/Library/a.bin").checkout
    assert checkout is not None
    assert checkout.login == "anna"


def test_a_wrong_password_is_tried_once_for_all_of_them(server: Server, here: Here) -> None:
    env = {**server.login, "ASYNCUPLOAD_PASSWORD": "wrong guess"}
    ended = here("discard", UNKNOWN, UNKNOWN, "--json", env=env)
    assert ended.code == 4
    assert [one["error"] for one in said(ended)] == ["LoginRefused", "LoginRefused"]
    assert server.calls("AuthenticateUser") == 1
    assert PASSWORD not in ended.out + ended.err


def test_without_a_handler_it_is_usage(server: Server, here: Here) -> None:
    ended = here("discard", env=server.login)
    assert (ended.code, ended.out) == (2, "")
    assert "GUID" in ended.err


def test_ctrl_c_ends_it(server: Server) -> None:
    server.faults["DeleteUploadHandler", 2] = "stall"
    process = start("discard", UNKNOWN, UNKNOWN, "--json", env=server.login)
    server.wait_for("DeleteUploadHandler", 2)
    process.send_signal(signal.SIGINT)
    ended = end(process)
    assert ended.code == 130
    assert [one["status"] for one in said(ended)] == ["discarded", "failed"]
