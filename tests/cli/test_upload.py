"""``asyncupload upload``, typed."""

import os
import signal
import socket
import subprocess
import time
import zlib
from pathlib import Path

import pytest

from .answering import Answer, answering
from .commands import Ended, end, feed, run, run_in_shell, run_without_privileges, start, terminal
from .conftest import CHUNK, PASSWORD, Here, Server

THERE = "/Finance/Reports/March.bin"
SMALL = ("--chunk-size", CHUNK)


def refused(ended: Ended, code: int, *words: str) -> None:
    """It ended with this exit code, said these words on standard error in a sentence of its own, and nothing else."""
    assert ended.code == code, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err


# ── a file ──


def test_json_is_one_object_with_the_promised_keys_and_standard_error_has_the_rest(server: Server, file: Path) -> None:
    ended = run("upload", file, THERE, *SMALL, "--json", env=server.login)
    assert ended.code == 0, ended
    said = ended.said
    assert list(said) == [
        "status",
        "path",
        "document_id",
        "version_id",
        "size",
        "crc32",
        "chunks",
        "resent",
        "restarted",
        "seconds",
    ]
    assert said.pop("seconds") > 0
    assert said == {
        "status": "stored",
        "path": THERE,
        "document_id": 1,
        "version_id": 1_000_000,
        "size": file.stat().st_size,
        "crc32": f"{zlib.crc32(file.read_bytes()):08X}",
        "chunks": 4,
        "resent": 0,
        "restarted": 0,
    }
    assert "report.bin: 100 %" in ended.err
    assert server.content(THERE) == file.read_bytes()


def test_in_words_it_says_what_is_stored_where(server: Server, file: Path, here: Here) -> None:
    ended = here("upload", file, THERE, env=server.login)
    crc32 = f"{zlib.crc32(file.read_bytes()):08X}"
    assert ended.code == 0, ended
    assert ended.out.startswith(f"stored {THERE}: 772.6 KiB in ")
    assert ended.out.endswith(f" s, CRC-32 {crc32}, document 1, version 1000000\n")
    assert ended.out.count("\n") == 1


def test_quiet_prints_nothing(server: Server, file: Path, here: Here) -> None:
    assert here("upload", file, THERE, "--quiet", env=server.login) == (0, "", "")
    assert server.documents() == [THERE]


def test_quiet_json_is_the_object_alone(server: Server, file: Path, here: Here) -> None:
    ended = here("upload", file, THERE, "--quiet", "--json", env=server.login)
    assert ended.said["status"] == "stored"
    assert ended.err == ""


def test_quiet_still_says_what_went_wrong(server: Server, tmp_path: Path, here: Here) -> None:
    refused(here("upload", tmp_path / "none", THERE, "--quiet", env=server.login), 2, "no such file")


def test_the_version_comment_is_kept(server: Server, file: Path, here: Here) -> None:
    assert here("upload", file, THERE, "--version-comment", "März & co", env=server.login).code == 0
    assert server.document(THERE).latest.comment == "März & co"


def test_what_is_said_of_a_document_is_kept_with_it(server: Server, file: Path, here: Here) -> None:
    said = ("--description", "Umsätze", "--keywords", "a,b", "--created", "2024-02-29", "--modified", "2025-12-31")
    more = ("--publish", "dont", "--no-notify", "--document-version", "2.0.1")
    assert here("upload", file, THERE, *said, *more, "-q", env=server.login).code == 0
    kept = server.document(THERE)
    assert (kept.description, kept.keywords) == ("Umsätze", "a,b")
    assert [time.gmtime(moment)[:3] for moment in (kept.created, kept.modified)] == [(2024, 2, 29), (2025, 12, 31)]
    assert (kept.latest.published, kept.latest.notified, kept.latest.number) == (False, False, 2_000_001)


def test_what_is_said_of_a_document_can_come_from_the_environment(server: Server, file: Path, here: Here) -> None:
    more = {"DESCRIPTION": "from there", "PUBLISH": "publish", "NOTIFY": "0", "DOCUMENT_VERSION": "7"}
    env = {**server.login, **{f"ASYNCUPLOAD_{name}": value for name, value in more.items()}}
    assert here("upload", file, THERE, "-q", env=env).code == 0
    kept = server.document(THERE)
    assert (kept.description, kept.latest.publish_option) == ("from there", "Publish")
    assert (kept.latest.notified, kept.latest.number) == (False, 7_000_000)


def test_unless_it_is_said_subscribers_and_publishing_are_the_servers_business(
    server: Server, file: Path, here: Here
) -> None:
    assert here("upload", file, THERE, "--description", "x", "-q", env=server.login).code == 0
    latest = server.document(THERE).latest
    assert (latest.publish_option, latest.notified) == ("", True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--created", "31.3.2026"), "--created"),
        (("--modified", "2026-02-30"), "--modified"),
        (("--publish", "maybe"), "--publish"),
        (("--description", "a\x0bb"), "description has the character"),
        (("--document-version", "two"), "--document-version"),
        (("--document-version", "2147.483.648"), "2147.483.647 is the last"),
    ],
)
def test_what_no_document_can_have_is_usage(
    server: Server, file: Path, here: Here, words: tuple[str, ...], told: str
) -> None:
    refused(here("upload", file, THERE, *words, env=server.login), 2, told)
    assert server.calls("AuthenticateUser") == 0


def test_chunk_size_decides_how_many_chunks_go(server: Server, file: Path, here: Here) -> None:
    assert here("upload", file, THERE, "--chunk-size", 2 * CHUNK, "--json", env=server.login).said["chunks"] == 2


def test_a_chunk_that_went_twice_is_counted_and_the_document_is_right(server: Server, file: Path, here: Here) -> None:
    server.faults["UploadFileChunk", 2] = "tryagain"
    said = here("upload", file, THERE, *SMALL, "--json", env=server.login).said
    assert (said["chunks"], said["resent"]) == (4, 1)
    assert server.content(THERE) == file.read_bytes()


def test_a_name_that_is_not_unicode_can_be_uploaded(server: Server, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(path)).write_bytes(b"x")
    assert run("upload", os.fsdecode(path), THERE, env=server.login).code == 0
    assert server.content(THERE) == b"x"


def test_a_dash_with_a_folder_before_it_is_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "-").write_bytes(b"in a file")
    assert run("upload", "./-", THERE, env=server.login, cwd=tmp_path).code == 0
    assert server.content(THERE) == b"in a file"


# ── standard input ──


def test_a_pipe_is_uploaded_without_its_size_being_known(server: Server) -> None:
    data = os.urandom(2 * CHUNK + 1)
    process = start("upload", "-", THERE, *SMALL, "--json", env=server.login, stdin=subprocess.PIPE)
    feed(process, data)
    ended = end(process)
    assert ended.said["chunks"] == 3
    assert "standard input: 100 %" in ended.err
    assert server.content(THERE) == data


def test_a_pipe_that_trickles_is_put_together_into_whole_chunks(server: Server) -> None:
    process = start("upload", "-", THERE, *SMALL, "--json", env=server.login, stdin=subprocess.PIPE)
    for _ in range(20):
        feed(process, b"drop" * 5000)
        time.sleep(0.02)
    assert end(process).said["chunks"] == 2
    assert server.content(THERE) == b"drop" * 100_000


def test_a_redirected_file_is_uploaded_from_where_it_stands(server: Server, file: Path) -> None:
    with file.open("rb") as opened:
        os.lseek(opened.fileno(), 1000, os.SEEK_SET)
        assert run("upload", "-", THERE, env=server.login, stdin=opened).code == 0
    assert server.content(THERE) == file.read_bytes()[1000:]


@pytest.mark.parametrize("empty", ["pipe", "null device", "file"])
def test_empty_standard_input_is_refused_before_anything_is_sent(server: Server, tmp_path: Path, empty: str) -> None:
    if empty == "pipe":
        ended = end(start("upload", "-", THERE, env=server.login, stdin=subprocess.PIPE))
    else:
        source = Path(os.devnull) if empty == "null device" else tmp_path / "empty"
        if empty == "file":
            source.touch()
        with source.open("rb") as opened:
            ended = run("upload", "-", THERE, env=server.login, stdin=opened)
    refused(ended, 1, "standard input is empty")
    assert server.calls("AuthenticateUser") == 0


def test_closed_standard_input_is_named_as_such(server: Server) -> None:
    refused(run_in_shell(server.login, f"upload - {THERE} <&-"), 1, "standard input is closed")


def test_closed_standard_error_costs_nothing_but_words(server: Server, file: Path) -> None:
    assert run_in_shell(server.login, f'upload "{file}" {THERE} --json 2>&-').said["status"] == "stored"


def test_ctrl_c_ends_the_wait_for_a_keyboard_that_nobody_touches(server: Server) -> None:
    with terminal("upload", "-", THERE, env=server.login) as shell:
        shell.wait_for("standard input")
        time.sleep(0.5)  # from the bar on the screen to the read that waits
        began = time.monotonic()
        shell.type("\x03")
        assert shell.end() == 130
        assert time.monotonic() - began < 8
        assert "asyncupload: interrupted" in shell.text


def test_a_signal_ends_the_wait_in_the_middle_of_a_pipe(server: Server) -> None:
    process = start("upload", "-", THERE, *SMALL, env=server.login, stdin=subprocess.PIPE)
    feed(process, os.urandom(3 * CHUNK))
    server.wait_for("UploadFileChunk", 2)
    process.send_signal(signal.SIGINT)
    # The writing end stays open meanwhile: it is not the pipe's end that ends the wait.
    assert process.wait(timeout=8) == 130
    assert "interrupted" in end(process).err
    assert server.left() == 0


# ── bad input ──


def test_a_missing_file_is_usage(server: Server, tmp_path: Path, here: Here) -> None:
    missing = tmp_path / "none.bin"
    refused(here("upload", missing, THERE, env=server.login), 2, f"{missing}: no such file")


def test_a_directory_is_usage(server: Server, tmp_path: Path, here: Here) -> None:
    refused(here("upload", tmp_path, THERE, env=server.login), 2, f"{tmp_path} is a directory")


def test_a_pipe_by_name_is_usage_and_is_not_waited_for(server: Server, tmp_path: Path, here: Here) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(here("upload", tmp_path / "pipe", THERE, env=server.login), 2, "not a regular file", "standard input")


def test_an_empty_file_cannot_be_carried(server: Server, tmp_path: Path, here: Here) -> None:
    (tmp_path / "empty").touch()
    refused(here("upload", tmp_path / "empty", THERE, env=server.login), 1, "empty is empty")
    assert server.calls("AuthenticateUser") == 0


def test_a_file_without_permission_fails(server: Server, file: Path) -> None:
    file.chmod(0)
    ended = run_without_privileges("upload", file, THERE, env=server.login)
    refused(ended, 1, f"{file} cannot be read: Permission denied")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:8080", "http://", "not a url", "http://[::1"])
def test_a_url_that_is_none_is_usage_and_is_quoted(server: Server, file: Path, here: Here, url: str) -> None:
    refused(here("upload", file, THERE, "--server", url, env=server.login), 2, repr(url), "https://host/InfoRouter")


def test_a_password_in_the_url_is_usage_and_is_not_echoed(server: Server, file: Path, here: Here) -> None:
    url = server.url.replace("//", "//jsmith:hunter2@")
    ended = here("upload", file, THERE, "--server", url, "-vv", env=server.login)
    refused(ended, 2, "must not carry a user or a password")
    assert "hunter2" not in ended.err


def test_a_server_that_is_down_is_not_retried_for_long(file: Path, here: Here) -> None:
    with socket.socket() as reserved:
        # Bound and not listening: connections are refused, and nobody else takes the port meanwhile.
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        began = time.monotonic()
        ended = here("upload", file, THERE, "--server", url, "--user", "jsmith", env={"ASYNCUPLOAD_PASSWORD": PASSWORD})
    refused(ended, 5, "cannot connect", url)
    assert time.monotonic() - began < 10


def test_a_wrong_password_is_tried_once(server: Server, file: Path, here: Here) -> None:
    ended = here("upload", file, THERE, env={**server.login, "ASYNCUPLOAD_PASSWORD": "wrong guess"})
    refused(ended, 4, "Authentication failed")
    assert server.calls("AuthenticateUser") == 1
    assert "wrong guess" not in ended.err


def test_a_ticket_that_is_none_is_a_login_failure(server: Server, file: Path, here: Here) -> None:
    ended = here("upload", file, THERE, "--server", server.url, env={"ASYNCUPLOAD_TICKET": "no-such-ticket"})
    refused(ended, 4, "ticket")
    assert "no-such-ticket" not in ended.err


def test_a_missing_folder_fails_before_anything_is_sent(server: Server, file: Path, here: Here) -> None:
    refused(here("upload", file, "/Library/No/x.bin", env=server.login), 1, "folder /Library/No does not exist")
    assert server.calls("CreateUploadHandler") == 0


def test_a_document_that_is_there_gets_a_version_or_not_as_one_chooses(server: Server, file: Path, here: Here) -> None:
    assert here("upload", file, THERE, "--quiet", env=server.login).code == 0
    refused(here("upload", file, THERE, "--if-exists", "fail", env=server.login), 1, f"{THERE} exists already")
    skipped = here("upload", file, THERE, "--if-exists", "skip", "--json", env=server.login)
    assert (skipped.code, skipped.said["status"]) == (0, "unchanged")
    assert server.calls("CreateUploadHandler") == 1
    again = here("upload", file, THERE, "--json", env=server.login)
    assert (again.code, again.said["status"]) == (0, "stored")
    assert again.said["version_id"] > skipped.said["version_id"]


@pytest.mark.parametrize("destination", ["/Library/", "name.bin", "", "/Library/a:b"])
def test_a_destination_without_a_usable_name_is_usage(server: Server, file: Path, destination: str, here: Here) -> None:
    refused(here("upload", file, destination, env=server.login), 2, repr(destination))


def test_a_page_instead_of_the_protocol_is_an_unavailable_server(file: Path, here: Here) -> None:
    def answer(operation: str, body: str) -> Answer:
        return Answer(200, f"<html><body>Sign in as {body}</body></html>")

    with answering(answer) as url:
        ended = here(
            "upload", file, THERE, "--server", url, "--user", "jsmith", env={"ASYNCUPLOAD_PASSWORD": "hunter2"}
        )
    refused(ended, 5, "Sign in", "address of an infoRouter server")
    # The page echoes what it was sent, as login forms do.
    assert "hunter2" not in ended.err


def test_a_redirect_is_not_followed_and_its_target_is_named(file: Path, here: Here) -> None:
    asked = []

    def answer(operation: str, body: str) -> Answer:
        asked.append(operation)
        return Answer(302, headers={"Location": "https://elsewhere.example/InfoRouter"})

    with answering(answer) as url:
        ended = here(
            "upload", file, THERE, "--server", url, "--user", "jsmith", env={"ASYNCUPLOAD_PASSWORD": "hunter2"}
        )
    refused(ended, 5, "redirects to https://elsewhere.example/InfoRouter")
    assert set(asked) == {"AuthenticateUser"}


def test_rights_that_a_gateway_refuses_are_rights(file: Path, here: Here) -> None:
    with answering(lambda operation, body: Answer(403, "<h1>Forbidden</h1>")) as url:
        ended = here(
            "upload", file, THERE, "--server", url, "--user", "jsmith", env={"ASYNCUPLOAD_PASSWORD": "hunter2"}
        )
    refused(ended, 4, "HTTP 403", "Forbidden")


def test_a_lost_reply_to_the_request_to_store_is_an_unknown_outcome(server: Server, file: Path, here: Here) -> None:
    server.faults["UploadNewDocumentWidthHandler", 1] = "drop-after"
    server.faults["DocumentExists", 2] = "refuse-403"
    refused(here("upload", file, THERE, "--quiet", env=server.login), 7, "look whether it is there")
    assert server.documents() == [THERE]


def test_json_says_failures_too(server: Server, tmp_path: Path, here: Here) -> None:
    ended = here("upload", tmp_path / "none", THERE, "--json", env=server.login)
    assert ended.code == 2
    assert ended.said == {
        "status": "failed",
        "path": THERE,
        "error": "SourceMissing",
        "message": f"{tmp_path / 'none'}: no such file",
    }
    assert ended.err == f"asyncupload: {tmp_path / 'none'}: no such file\n"


# ── signals ──


def test_ctrl_c_in_the_middle_leaves_nothing_on_the_server(server: Server, file: Path) -> None:
    server.faults["UploadFileChunk", 3] = "stall"
    process = start("upload", file, THERE, *SMALL, "--json", env=server.login)
    server.wait_for("UploadFileChunk", 3)
    assert server.left() == 1
    process.send_signal(signal.SIGINT)
    ended = end(process)
    assert ended.code == 130
    assert ended.said == {
        "status": "failed",
        "path": THERE,
        "error": "Interrupted",
        "message": "interrupted; nothing was stored",
    }
    assert "asyncupload: interrupted; nothing was stored" in ended.err
    assert "Traceback" not in ended.err
    assert server.left() == 0
    assert server.documents() == []
    assert server.calls("LogOut") == 1


def test_sigterm_in_the_middle_leaves_nothing_on_the_server(server: Server, file: Path) -> None:
    server.faults["UploadFileChunk", 3] = "stall"
    process = start("upload", file, THERE, *SMALL, env=server.login)
    server.wait_for("UploadFileChunk", 3)
    process.send_signal(signal.SIGTERM)
    refused(end(process), 143, "interrupted; nothing was stored")
    assert server.left() == 0


def test_a_second_ctrl_c_does_not_wait_for_the_cleaning_up(server: Server, file: Path) -> None:
    server.faults.update({("UploadFileChunk", 2): "stall", ("DeleteUploadHandler", 1): "stall"})
    process = start("upload", file, THERE, *SMALL, "--json", env=server.login)
    server.wait_for("UploadFileChunk", 2)
    process.send_signal(signal.SIGINT)
    server.wait_for("DeleteUploadHandler")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    ended = end(process)
    # The cleaning up alone would be given 10 s, and the log-out as many again.
    assert time.monotonic() - began < 7
    assert ended.code == 130
    assert ended.said["error"] == "Interrupted"
    assert "Traceback" not in ended.err
    assert "Task was destroyed" not in ended.err
    assert server.calls("LogOut") == 0


def test_an_interruption_while_storing_does_not_promise_that_nothing_was_stored(server: Server, file: Path) -> None:
    server.faults["UploadNewDocumentWidthHandler", 1] = "stall"
    process = start("upload", file, THERE, env=server.login)
    server.wait_for("UploadNewDocumentWidthHandler")
    process.send_signal(signal.SIGINT)
    ended = end(process)
    refused(ended, 130, "look whether it is there")
    assert "nothing was stored" not in ended.err
    # The request may yet be acted on: to delete the handler now could lose the document.
    assert server.calls("DeleteUploadHandler") == 0


# ── logs and secrets ──


def test_verbose_logs_one_line_about_the_upload_on_standard_error(server: Server, file: Path, here: Here) -> None:
    ended = here("upload", file, THERE, *SMALL, "-v", env=server.login)
    (line,) = (line for line in ended.err.splitlines() if "upload_ended" in line)
    for fact in (
        "info",
        "status=stored",
        f"destination={THERE}",
        "chunks=4",
        "resent=0",
        f"sent={file.stat().st_size}",
    ):
        assert fact in line
    assert "handler_opened" not in ended.err
    assert "upload_ended" not in ended.out


def test_verbose_logs_one_line_about_a_failed_upload(server: Server, tmp_path: Path, here: Here) -> None:
    ended = here("upload", tmp_path / "none", THERE, "-v", env=server.login)
    (line,) = (line for line in ended.err.splitlines() if "upload_ended" in line)
    assert "status=failed" in line
    assert "SourceMissing" in line


def test_twice_verbose_logs_the_steps_too(server: Server, file: Path, here: Here) -> None:
    ended = here("upload", file, THERE, "-vv", env=server.login)
    assert "handler_opened" in ended.err
    assert "upload_ended" in ended.err


def test_without_verbose_nothing_is_logged(server: Server, file: Path, here: Here) -> None:
    assert "upload_ended" not in here("upload", file, THERE, env=server.login).err


def test_no_secret_is_shown_nor_to_be_seen_from_outside(server: Server, file: Path) -> None:
    server.faults["UploadFileChunk", 2] = "refuse-500"
    server.faults["UploadFileChunk", 3] = "stall"
    process = start("upload", file, THERE, *SMALL, "-vv", env=server.login)
    server.wait_for("UploadFileChunk", 2)
    command = Path(f"/proc/{process.pid}/cmdline")
    if command.exists():
        assert PASSWORD.encode() not in command.read_bytes()
    process.send_signal(signal.SIGINT)
    ended = end(process)
    assert ended.code != 0
    assert "upload_ended" in ended.err
    assert PASSWORD not in ended.out + ended.err


def test_a_lent_ticket_is_not_shown_when_the_server_echoes_it(file: Path, here: Here) -> None:
    def answer(operation: str, body: str) -> Answer:
        return Answer(200, f'<root success="false" error="Sorry: {body}" errorCode="4030" />'.replace("&", "&amp;"))

    with answering(answer) as url:
        ended = here("upload", file, THERE, "-vv", "--server", url, env={"ASYNCUPLOAD_TICKET": "1234-the-ticket"})
    refused(ended, 4, "Sorry")
    assert "1234-the-ticket" not in ended.err
