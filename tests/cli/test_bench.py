"""``asyncupload bench``, typed."""

from .conftest import Here, Server

CHUNK = 1 << 18


def test_it_measures_proposes_and_stores_nothing(server: Server, here: Here) -> None:
    ended = here("bench", "--json", "--seconds", "0.1", "--largest", CHUNK, env=server.login)
    assert (ended.code, ended.err) == (0, "")
    assert ended.said["proposal"]["chunk_size"] == CHUNK
    assert [rate["at_once"] for rate in ended.said["rates"]][:2] == [1, 2]
    assert all(rate["bytes_per_second"] > 0 for rate in ended.said["rates"])
    assert server.calls("UploadFileChunk") >= 4
    assert server.calls("DeleteUploadHandler") == server.calls("CreateUploadHandler") > 1
    assert server.calls("UploadNewDocumentWidthHandler") == 0
    assert server.left() == 0


def test_in_words_it_says_what_to_set(server: Server, here: Here) -> None:
    ended = here("bench", "--seconds", "0.1", "--largest", CHUNK, env=server.login)
    assert ended.out.splitlines()[-1].startswith(f"proposed: --chunk-size {CHUNK}, and ")


def test_a_refused_login_is_an_exit_code_of_its_own(server: Server, here: Here) -> None:
    assert here("bench", "--json", env={**server.login, "ASYNCUPLOAD_PASSWORD": "wrong guess"}).code == 4
