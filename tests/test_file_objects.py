"""File objects that do not keep the promises of files: they are read for what they are, or refused in words."""

import bz2
import codecs
import functools
import gzip
import io
import lzma
import os
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from asyncupload import UsageError
from asyncupload.errors import SourceUnreadable
from asyncupload.sources import FileSource, as_source

pytestmark = pytest.mark.anyio

DATA = bytes(range(256)) * 20


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


async def content_of(thing: Any, threads: Executor) -> bytes:
    async with as_source(thing).open(threads) as content:
        return b"".join([bytes(chunk) async for chunk in content.chunks(1000)])


_open: list[Any] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def kept(file: Any) -> Any:
    """To be closed at the end of the test."""
    _open.append(file)
    return file


def in_tar(folder: Path) -> Any:
    with tarfile.open(folder / "a.tar", "w") as archive:
        member = tarfile.TarInfo("member")
        member.size = len(DATA)
        archive.addfile(member, io.BytesIO(DATA))
    return kept(tarfile.open(folder / "a.tar")).extractfile("member")


def in_streamed_tar(folder: Path) -> Any:
    in_tar(folder).close()
    opened = kept(tarfile.open(folder / "a.tar", "r|*"))  # noqa: SIM115
    return opened.extractfile(opened.next() or "")


def in_zip(folder: Path) -> Any:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", DATA)
    return kept(zipfile.ZipFile(folder / "a.zip")).open("member")


def compressed(module: Any) -> Callable[[Path], Any]:
    def opened(folder: Path) -> Any:
        (folder / "compressed").write_bytes(module.compress(DATA))
        return kept(module.open(folder / "compressed"))

    return opened


def spooled(*, rolled: bool) -> Callable[[Path], Any]:
    def opened(_: Path) -> Any:
        file = kept(tempfile.SpooledTemporaryFile(max_size=1 if rolled else 1 << 20))  # noqa: SIM115
        file.write(DATA)
        file.seek(0)
        return file

    return opened


# aio-libs/aiohttp#6732, smore-inc/tinys3#31, python/cpython#82753
KINDS: dict[str, Callable[[Path], Any]] = {
    "a member of a tar": in_tar,
    "a member of a tar that is read once": in_streamed_tar,
    "an entry of a zip": in_zip,
    "gzip": compressed(gzip),
    "bz2": compressed(bz2),
    "lzma": compressed(lzma),
    "spooled in memory": spooled(rolled=False),
    "spooled on disk": spooled(rolled=True),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_what_libraries_call_a_file_is_read(kind: str, tmp_path: Path, threads: Executor) -> None:
    file = KINDS[kind](tmp_path)
    assert await content_of(file, threads) == DATA


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"a member of a tar that is read once"}))
async def test_what_can_be_moved_is_read_again(kind: str, tmp_path: Path, threads: Executor) -> None:
    source = as_source(KINDS[kind](tmp_path))
    assert source.rereadable
    for _ in range(2):
        assert await content_of(source, threads) == DATA


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the library's)
        """Nothing."""


async def test_the_body_of_a_response_is_read(threads: Executor) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with requests.get(f"http://127.0.0.1:{server.server_port}/", stream=True, timeout=30) as answer:  # noqa: ASYNC210
            assert await content_of(answer.raw, threads) == DATA
        server.shutdown()


ERRORS: list[type[Exception]] = [
    AttributeError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    KeyError,
    io.UnsupportedOperation,
    PermissionError,
    EOFError,
    UnicodeError,
]


def lying(error: type[Exception], *names: str) -> io.BytesIO:
    """In memory, with methods and attributes that raise when they are used."""

    def fail(*_: object, **__: object) -> Any:
        raise error("not here")

    ready: dict[str, Any] = {name: property(fail) if name in {"name", "mode", "closed"} else fail for name in names}
    return type("Lying", (io.BytesIO,), ready)(DATA)  # type: ignore[no-any-return]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    "names", [("fileno",), ("seekable",), ("tell",), ("seek",), ("name", "mode"), ("__len__", "__bool__", "__eq__")]
)
async def test_whatever_is_raised_for_an_answer_is_a_no(  # jjjake/internetarchive#175
    names: tuple[str, ...], error: type[Exception], threads: Executor
) -> None:
    assert await content_of(lying(error, *names), threads) == DATA


@pytest.mark.parametrize("answer", [None, -1, "7", 10**6, b"", True], ids=repr)
@pytest.mark.parametrize("name", ["fileno", "tell", "seekable"])
async def test_an_answer_that_is_none_is_a_no(name: str, answer: object, threads: Executor) -> None:
    if (name, answer) in {("fileno", True), ("tell", True), ("tell", 10**6), ("seekable", True)}:
        pytest.skip("it may be true")
    file = type("Lying", (io.BytesIO,), {name: lambda _: answer})(DATA)
    assert await content_of(file, threads) == DATA


async def test_a_seek_that_returns_nothing_moves_nevertheless(threads: Executor) -> None:
    class Old(io.BytesIO):
        def seek(self, *where: int) -> int:
            super().seek(*where)
            return None  # type: ignore[return-value]  # as a SpooledTemporaryFile before Python 3.11

    source = as_source(Old(DATA))
    for _ in range(2):
        assert await content_of(source, threads) == DATA
    assert source.rereadable


async def test_what_says_that_it_went_back_and_did_not_is_not_sent(threads: Executor) -> None:
    class Stuck(io.BytesIO):
        def seek(self, offset: int, whence: int = 0) -> int:
            return super().seek(offset, whence) if whence else offset

    with pytest.raises(SourceUnreadable, match="cannot be brought back"):
        await content_of(Stuck(DATA), threads)


async def test_what_cannot_go_back_is_not_read_on_as_if_it_had(threads: Executor) -> None:
    source = as_source(lying(OSError, "seek"))
    assert await content_of(source, threads) == DATA
    with pytest.raises(SourceUnreadable, match="only once"):
        await content_of(source, threads)


async def test_a_read_that_is_asynchronous_in_disguise_is_awaited(threads: Executor) -> None:
    class Wrapped:
        def __init__(self) -> None:
            self._file = io.BytesIO(DATA)
            self.read = functools.partial(self._read)

        async def _read(self, size: int) -> bytes:
            return self._file.read(size)

    class Hidden(Wrapped):
        def __init__(self) -> None:
            super().__init__()
            reading = self.read
            self.read = lambda size: reading(size)  # type: ignore[assignment]  # noqa: PLW0108  (no coroutine function)

    assert await content_of(Wrapped(), threads) == await content_of(Hidden(), threads) == DATA


@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_bytes_of_other_kinds_are_bytes(kind: Callable[[bytes], Any], threads: Executor) -> None:
    class Other:
        def __init__(self) -> None:
            self._file = io.BytesIO(DATA)

        def read(self, size: int) -> Any:
            return kind(self._file.read(size))

    assert await content_of(Other(), threads) == DATA


def text_files(folder: Path) -> Iterator[Any]:
    """Of bytes that are no UTF-8."""
    (folder / "file").write_bytes(b"caf\xe9" * 10)
    yield (folder / "file").open(encoding="utf-8")
    yield (folder / "file").open(encoding="latin-1")
    yield codecs.open(str(folder / "file"), encoding="utf-8")  # noqa: SIM115
    yield io.StringIO("text")
    temporary = tempfile.NamedTemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
    os.pwrite(temporary.fileno(), b"caf\xe9", 0)
    yield temporary


async def test_a_file_that_is_open_as_text_is_refused_in_words(tmp_path: Path, threads: Executor) -> None:
    """What is wrong is how the file was opened, and not its content."""
    for file in text_files(tmp_path):
        with file, pytest.raises(UsageError, match="binary mode"):
            await content_of(file, threads)


def test_a_name_that_is_no_text_can_be_printed(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(path)).write_bytes(b"x")
    with open(path, "rb") as by_bytes, Path(os.fsdecode(path)).open("rb") as by_text:  # noqa: PTH123
        assert FileSource(by_text).name.endswith("caf?")
        assert FileSource(by_bytes).name == "BufferedReader"
