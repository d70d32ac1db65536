"""``asyncupload check``, typed."""

import re
import signal

from .answering import Answer, answering
from .commands import end, run, start
from .conftest import CHUNK, PASSWORD, Here, Server


def test_in_words_it_names_the_server_the_user_and_what_is_granted(server: Server, here: Here) -> None:
    ended = here("check", env=server.login)
    assert (ended.code, ended.err) == (0, "")
    *told, round_trip = ended.out.splitlines()
    assert told == [
        f"server         {server.url}/srv.asmx, version 8.7.0.0",
        "user           jsmith",
        "chunk size     2.8 MiB granted",
        "encodings      multipart, form, soap",
        "document size  not limited, or not told",
    ]
    assert re.fullmatch(r"round trip     \d+\.\d ms", round_trip)


def test_json_is_one_object_with_what_was_found_out(server: Server) -> None:
    ended = run("check", "--json", "--chunk-size", 2 * CHUNK, env=server.login)
    assert (ended.code, ended.err) == (0, "")
    said = ended.said
    assert said.pop("round_trip") > 0
    assert said == {
        "status": "ok",
        "url": f"{server.url}/srv.asmx",
        "version": "8.7.0.0",
        "user": "jsmith",
        "chunk_size": 2 * CHUNK,
        "encodings": ["multipart", "form", "soap"],
        "default_chunk_size": 262_144,
        "document_max_size": 0,
    }


def test_it_leaves_nothing_on_the_server_and_logs_out(server: Server, here: Here) -> None:
    assert here("check", "--quiet", env=server.login) == (0, "", "")
    assert server.calls("CreateUploadHandler") == 1
    assert server.left() == 0
    assert server.calls("LogOut") == 1


def test_a_refused_login_is_an_exit_code_of_its_own(server: Server, here: Here) -> None:
    ended = here("check", "--json", env={**server.login, "ASYNCUPLOAD_PASSWORD": "wrong guess"})
    assert ended.code == 4
    assert (ended.said["status"], ended.said["path"], ended.said["error"]) == ("failed", "", "LoginRefused")
    assert server.calls("AuthenticateUser") == 1
    assert "wrong guess" not in ended.out + ended.err


def test_an_older_server_that_does_not_tell_its_limits_is_good_enough(here: Here) -> None:
    answers = {
        "ServerInfo": '<root success="true" VersionNumber="7.5" />',
        "AuthenticateUser": '<root success="true" ticket="t" username="jsmith" />',
        "isValidTicket": '<root success="true" username="jsmith" />',
        "CreateUploadHandler": '<response success="true" UploadHandler="h" ChunkSize="262144" />',
        "DeleteUploadHandler": '<response success="true" />',
        "LogOut": '<root success="true" />',
    }
    asked = []

    def answer(operation: str, body: str) -> Answer:
        asked.append(operation)
        return Answer(200, answers[operation]) if operation in answers else Answer(404, "Not Found")

    with answering(answer) as url:
        ended = here("check", "--server", url, "--user", "jsmith", env={"ASYNCUPLOAD_PASSWORD": PASSWORD})
    assert ended.code == 0, ended
    assert "GetGeneralAppSettings" in asked
    assert "version 7.5" in ended.out
    assert "chunk size     256.0 KiB granted" in ended.out
    assert "encodings      none" in ended.out
    assert "document size  not limited, or not told" in ended.out


def test_ctrl_c_ends_the_wait_for_a_server_that_does_not_answer(server: Server) -> None:
    server.faults["isValidTicket", 1] = "stall"
    process = start("check", "--json", env=server.login)
    server.wait_for("isValidTicket")
    process.send_signal(signal.SIGINT)
    ended = end(process)
    assert ended.code == 130
    assert ended.said == {"status": "failed", "path": "", "error": "Interrupted", "message": "interrupted"}
