"""Started, stopped, looked into."""

import asyncio
import shutil
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest

from asyncupload.emulator import Emulator
from emulator.caller import Caller

pytestmark = pytest.mark.anyio


def alive() -> tuple[set[asyncio.Task[object]], set[str], int]:
    """Tasks, threads of the store, and the number of open descriptors."""
    threads = {thread.name for thread in threading.enumerate() if "emulator" in thread.name}
    return asyncio.all_tasks(), threads, len(list(Path("/proc/self/fd").iterdir()))


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_stopping_is_prompt_and_leaves_nothing(tmp_path: Path) -> None:
    before = alive()
    server = Emulator(tmp_path, script=lambda call: "stall" if call.operation == "Lock" else None)
    await server.start()
    assert alive() != before
    port = urlsplit(server.url).port
    idle, stalled, halfway, deaf = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
    idle[1].write(b"GET /srv.asmx/ServerInfo HTTP/1.1\r\nHost: e\r\n\r\n")
    assert (await idle[0].readline()).startswith(b"HTTP/1.1 200")
    stalled[1].write(b"GET /srv.asmx/Lock?Path=a HTTP/1.1\r\nHost: e\r\n\r\n")
    halfway[1].write(b"POST /srv.asmx/UnLock HTTP/1.1\r\nHost: e\r\nContent-Length: 100\r\n\r\nhalf")
    deaf[1].write(b"GET /srv.asmx/ServerInfo HTTP/1.1\r\nHost: e\r\n\r\n" * 2000)
    await until(lambda: {"Lock", "UnLock"} <= {call.operation for call in server.calls})
    started = time.monotonic()
    await server.stop()
    assert time.monotonic() - started < 0.5
    for _, writer in (idle, stalled, halfway, deaf):
        writer.transport.abort()
    await asyncio.sleep(0.01)
    assert alive() == before


async def test_stopping_twice_or_before_the_start_is_nothing(tmp_path: Path) -> None:
    server = Emulator(tmp_path)
    await server.stop()
    async with server:
        await server.stop()


async def test_a_cancelled_user_leaves_nothing(tmp_path: Path) -> None:
    before = alive()
    with anyio.move_on_after(0.1):
        async with Emulator(tmp_path):
            await anyio.sleep_forever()
    assert alive() == before


async def test_starting_twice_is_an_error(tmp_path: Path) -> None:
    async with Emulator(tmp_path) as server:
        with pytest.raises(RuntimeError, match="started already"):
            await server.start()
        async with Caller(server.url) as caller:
            assert (await caller.call("ServerInfo")).ok


async def test_a_port_in_use_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    async with Emulator(tmp_path / "one") as one:
        before = alive()
        with pytest.raises(OSError, match="address"):
            await Emulator(tmp_path / "two", port=urlsplit(one.url).port or 0).start()
        assert alive() == before


async def test_the_address_is_known_from_the_start_on(tmp_path: Path) -> None:
    server = Emulator(tmp_path)
    assert repr(server) == "<Emulator stopped>"
    with pytest.raises(RuntimeError, match="no port"):
        _ = server.url
    async with server:
        assert server.url.startswith("http://127.0.0.1:")
        assert repr(server) == f"<Emulator {server.url}>"


async def test_an_address_of_version_6_is_written_in_brackets(tmp_path: Path) -> None:
    try:
        async with Emulator(tmp_path, host="::1") as server, Caller(server.url) as caller:
            assert server.url.startswith("http://[::1]:")
            assert (await caller.call("ServerInfo")).ok
    except OSError:
        pytest.skip("no IPv6 here")


async def test_the_data_folder_is_made(tmp_path: Path) -> None:
    async with Emulator(str(tmp_path / "a" / "b")):
        assert (tmp_path / "a" / "b" / "contents").is_dir()


@pytest.mark.parametrize("size", [0, 33_554_433])
def test_a_default_chunk_size_out_of_range_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(ValueError, match="default_chunk_size"):
        Emulator(tmp_path, default_chunk_size=size)


@pytest.mark.parametrize("folder", ["", "/Library/a:b"])
def test_a_folder_that_cannot_be_had_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(ValueError, match="folder"):
        Emulator(tmp_path, folders=["/Library", folder])


async def test_the_folders_asked_for_are_there(tmp_path: Path) -> None:
    async with Emulator(tmp_path, folders=["/A/B/C", "D"]) as server, Caller(server.url) as caller:
        await caller.sign_in("demo", "demo")
        for path in ("/A/B/C", "/A/B", "/D"):
            assert (await caller.call("FolderExists", Path=path)).ok
        assert not (await caller.call("FolderExists", Path="/Library")).ok


async def test_documents_and_their_contents_are_shown(server: Emulator, caller: Caller) -> None:
    await caller.store("/Library/b", b"one")
    await server.set_checkout("/library/B", "demo")
    await caller.store("/Library/b", b"two")
    await caller.store("/Finance/Reports/a", b"three")
    documents = await server.documents()
    assert [document.path for document in documents] == ["/Library/b", "/Finance/Reports/a"]
    assert [version.number for version in documents[0].versions] == [1_000_000, 1_000_001]
    assert (await server.content("/Library/b")).read_bytes() == b"two"
    assert (await server.content("Library\\B", 1_000_000)).read_bytes() == b"one"


async def test_what_is_not_there_cannot_be_shown(server: Emulator, caller: Caller) -> None:
    with pytest.raises(FileNotFoundError, match="no document at /Library/a"):
        await server.content("/Library/a")
    with pytest.raises(FileNotFoundError, match="no document"):
        await server.set_checkout("/Library/a", "demo")
    await caller.store("/Library/a")
    with pytest.raises(FileNotFoundError, match="no version 5"):
        await server.content("/Library/a", 5)


async def test_a_checkout_can_be_taken_away(server: Emulator, caller: Caller) -> None:
    await caller.store("/Library/a")
    await caller.call("Lock", Path="/Library/a")
    await server.set_checkout("/Library/a", None)
    assert (await caller.call("UnLock", path="/Library/a")).code == "4000"


async def test_checkouts_are_shown(server: Emulator, caller: Caller) -> None:
    for name in ("a", "b", "c"):
        await caller.store(f"/Finance/Reports/{name}")
    assert await server.checkouts() == {}
    await caller.call("Lock", Path="/Finance/Reports/a")
    await server.set_checkout("/Finance/Reports/c", "somebody")
    assert await server.checkouts() == {"/Finance/Reports/a": "demo", "/Finance/Reports/c": "somebody"}


async def test_the_tickets_of_one_user_expire(server: Emulator, caller: Caller, other: Caller) -> None:
    await server.expire_ticket("DEMO")
    await server.expire_ticket("nobody")
    assert (await caller.call("FolderExists", Path="/Library")).code == "4010"
    assert (await other.call("FolderExists", Path="/Library")).ok


async def test_all_upload_handlers_expire(server: Emulator, caller: Caller, tmp_path: Path) -> None:
    handlers = [await caller.staged(), await caller.open()]
    await server.expire_handlers()
    assert await server.open_handlers() == []
    assert list((tmp_path / "data" / "staging").iterdir()) == []
    for handler in handlers:
        assert (await caller.chunk(handler, b"data")).code == "4000"


async def test_documents_are_looked_at_cheaply(server: Emulator, caller: Caller) -> None:
    """With as many queries for fifty of them as for one."""

    async def queries() -> int:
        asked: list[str] = []
        await server._store.run(lambda: server._store._db.set_trace_callback(asked.append))  # type: ignore[union-attr]
        await server.documents()
        await server._store.run(lambda: server._store._db.set_trace_callback(None))  # type: ignore[union-attr]
        return sum(statement.lstrip().startswith("SELECT") for statement in asked)

    await caller.store("/Finance/Reports/first")
    one = await queries()
    await asyncio.gather(*(caller.store(f"/Finance/Reports/{number}") for number in range(49)))
    assert await queries() == one


async def test_a_stopped_emulator_says_so(tmp_path: Path) -> None:
    async with Emulator(tmp_path) as server:
        pass
    with pytest.raises(RuntimeError, match="not started"):
        await server.documents()


async def test_many_small_uploads_at_once(server: Emulator, caller: Caller) -> None:
    async def bring(number: int) -> None:
        assert (await caller.store(f"/Library/{number}", b"%d" % number)).ok

    await asyncio.gather(*(bring(number) for number in range(150)))
    assert {document.name for document in await server.documents()} == {str(number) for number in range(150)}
    assert await server.open_handlers() == []


async def test_an_error_within_the_emulator_is_a_500(
    server: Emulator, caller: Caller, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    handler = await caller.open()
    (tmp_path / "data" / "staging").rmdir()
    assert (await caller.chunk(handler, b"data")).status == 500
    assert server.calls[-1].status == 500
    assert "FileNotFoundError" in caplog.text


async def test_a_script_that_names_no_fault_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Emulator(tmp_path, script=lambda call: "nonsense") as server, Caller(server.url) as caller:
        assert (await caller.call("ServerInfo")).status == 500
    assert "no such fault: nonsense; known are tryagain" in caplog.text


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
async def test_it_speaks_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=emulator", "-addext", "subjectAltName=IP:127.0.0.1"]
    await anyio.run_process([*make, *names, "-out", str(certificate), "-keyout", str(key)])
    inside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    inside.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with Emulator(tmp_path / "data", ssl_context=inside) as server:
        assert server.url.startswith("https://127.0.0.1:")
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port, ssl=trusting)
        writer.write(b"GET /srv.asmx/ServerInfo HTTP/1.1\r\nHost: e\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.transport.abort()
