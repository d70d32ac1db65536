"""Every kind of source gives its bytes, all of them, in chunks of one size; and says so when it cannot."""

import array
import asyncio
import gc
import io
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any, ParamSpec, TypeVar, cast

import aiofiles
import aiofiles.tempfile
import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncupload import (
    AsyncUploadError,
    BytesSource,
    EmptySource,
    FileSource,
    IteratorSource,
    NotAFile,
    PathSource,
    Source,
    SourceChanged,
    SourceError,
    SourceMissing,
    SourceUnreadable,
    UsageError,
)
from asyncupload._cutting import Buffer
from asyncupload.settings import SMALLEST_CHUNK
from asyncupload.sources import Content, as_source

P = ParamSpec("P")
R = TypeVar("R")

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 5 + b"tail"
"""1284 bytes, no two neighbours of which are alike: what is lost, doubled or swapped is seen."""


@pytest.fixture
def threads() -> Iterator[Executor]:
    """Where blocking calls go."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


async def all_chunks(content: Content, size: int) -> list[bytes]:
    return [bytes(chunk) async for chunk in content.chunks(size)]


async def read_all(thing: Any, threads: Executor, size: int = 100) -> list[bytes]:
    async with as_source(thing).open(threads) as content:
        return await all_chunks(content, size)


def descriptors(path: Path) -> int:
    """How many open descriptors of this process lead to ``path``."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += str(Path(f"/proc/self/fd/{name}").readlink()).removesuffix(" (deleted)") == str(path)
        except FileNotFoundError:  # the listing's own
            continue
    return found


# ── things that are read ──────────────────────────────────────────────────────────────────────────────────────────────


class PathLike:
    """A path of somebody else's making."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)


class Trickle:
    """A plain ``read`` that gives less than it is asked for, as a socket's does, and says nothing else of itself."""

    def __init__(self, data: bytes, *steps: int) -> None:
        self._file = io.BytesIO(data)
        self._steps = steps or (3, 1, 7)
        self._turn = 0
        self.threads: set[int] = set()

    def read(self, size: int, /) -> bytes:
        self.threads.add(threading.get_ident())
        self._turn += 1
        return self._file.read(min(size, self._steps[self._turn % len(self._steps)]))


class FormFile:
    """A file of a form, as web frameworks hand it over: an async ``read``, and the file object inside."""

    def __init__(self, data: bytes) -> None:
        self.filename = "form.bin"
        self.file = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        await asyncio.sleep(0)
        return self.file.read(size)


class Pieces:
    """An async iterator that is no generator."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = iter(pieces)

    def __aiter__(self) -> "Pieces":
        return self

    async def __anext__(self) -> bytes:
        try:
            return next(self._pieces)
        except StopIteration:
            raise StopAsyncIteration from None


async def generated(*pieces: bytes) -> AsyncGenerator[bytes, None]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


def cut(data: bytes, *steps: int) -> list[bytes]:
    """``data`` in pieces of the given lengths, in turns."""
    pieces, turn = [], 0
    while data:
        step = steps[turn % len(steps)]
        pieces.append(data[:step])
        data, turn = data[step:], turn + 1
    return pieces


Kind = Callable[[bytes, Path], AbstractAsyncContextManager[Any]]
KINDS: dict[str, Kind] = {}
KNOWN, UNKNOWN = True, False
SIZE_IS: dict[str, bool] = {}
TWICE: dict[str, bool] = {}


def kind(*, size: bool, twice: bool) -> Callable[[Callable[[bytes, Path], AsyncIterator[Any]]], None]:
    def register(make: Callable[[bytes, Path], AsyncIterator[Any]]) -> None:
        name = make.__name__.replace("_", " ")
        KINDS[name], SIZE_IS[name], TWICE[name] = asynccontextmanager(make), size, twice

    return register


def written(data: bytes, path: Path) -> Path:
    path.write_bytes(data)
    return path


@kind(size=KNOWN, twice=True)
async def path_as_string(data: bytes, path: Path) -> AsyncIterator[Any]:
    yield str(written(data, path))


@kind(size=KNOWN, twice=True)
async def path_object(data: bytes, path: Path) -> AsyncIterator[Any]:
    yield written(data, path)


@kind(size=KNOWN, twice=True)
async def path_of_anothers_making(data: bytes, path: Path) -> AsyncIterator[Any]:
    yield PathLike(written(data, path))


@kind(size=KNOWN, twice=True)
async def symbolic_link(data: bytes, path: Path) -> AsyncIterator[Any]:
    link = path.with_name("link")
    link.symlink_to(written(data, path))
    yield link


@kind(size=KNOWN, twice=True)
async def bytes_(data: bytes, path: Path) -> AsyncIterator[Any]:
    yield data


@kind(size=KNOWN, twice=True)
async def bytearray_(data: bytes, path: Path) -> AsyncIterator[Any]:
    yield bytearray(data)


@kind(size=KNOWN, twice=True)
async def memoryview_(data: bytes, path: Path) -> AsyncIterator[Any]:
    yield memoryview(b"not this" + data)[8:]


@kind(size=KNOWN, twice=True)
async def bytes_io(data: bytes, path: Path) -> AsyncIterator[Any]:
    yield io.BytesIO(data)


@kind(size=KNOWN, twice=True)
async def file_object(data: bytes, path: Path) -> AsyncIterator[Any]:
    with written(data, path).open("rb") as file:
        yield file


@kind(size=KNOWN, twice=True)
async def file_object_at_an_offset(data: bytes, path: Path) -> AsyncIterator[Any]:
    with written(b"not this" + data, path).open("rb") as file:
        file.seek(8)
        yield file


@kind(size=KNOWN, twice=True)
async def unbuffered_file(data: bytes, path: Path) -> AsyncIterator[Any]:
    with written(data, path).open("rb", buffering=0) as file:
        yield file


@kind(size=KNOWN, twice=True)
async def temporary_file_just_written(data: bytes, path: Path) -> AsyncIterator[Any]:
    # Not flushed: its buffer holds what its owner wrote, and that changes the time stamp when it goes out.
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file


@kind(size=KNOWN, twice=True)
async def spooled_in_memory(data: bytes, path: Path) -> AsyncIterator[Any]:
    with tempfile.SpooledTemporaryFile(max_size=10_000_000) as file:
        file.write(data)
        file.seek(0)
        yield file


@kind(size=KNOWN, twice=True)
async def spooled_to_disk(data: bytes, path: Path) -> AsyncIterator[Any]:
    with tempfile.SpooledTemporaryFile(max_size=1) as file:
        file.write(data)
        file.seek(0)
        yield file


@kind(size=UNKNOWN, twice=False)
async def plain_read_in_short_steps(data: bytes, path: Path) -> AsyncIterator[Any]:
    yield Trickle(data)


@kind(size=UNKNOWN, twice=False)
async def pipe(data: bytes, path: Path) -> AsyncIterator[Any]:
    end, other = os.pipe()
    os.write(other, data)
    os.close(other)
    with os.fdopen(end, "rb") as file:
        yield file


@kind(size=UNKNOWN, twice=False)
async def aiofiles_object(data: bytes, path: Path) -> AsyncIterator[Any]:
    async with aiofiles.open(written(data, path), "rb") as file:
        yield file


@kind(size=UNKNOWN, twice=False)
async def anyio_file(data: bytes, path: Path) -> AsyncIterator[Any]:
    async with await anyio.open_file(written(data, path), "rb") as file:
        yield file


@kind(size=UNKNOWN, twice=False)
async def form_file(data: bytes, path: Path) -> AsyncIterator[Any]:
    yield FormFile(data)


@kind(size=UNKNOWN, twice=False)
async def stream_reader(data: bytes, path: Path) -> AsyncIterator[Any]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    yield reader


@kind(size=UNKNOWN, twice=False)
async def generator(data: bytes, path: Path) -> AsyncIterator[Any]:
    yield generated(*cut(data, 1, 250, 99))


@kind(size=UNKNOWN, twice=False)
async def generator_with_empty_pieces(data: bytes, path: Path) -> AsyncIterator[Any]:
    yield generated(b"", b"", *(part for piece in cut(data, 70) for part in (piece, b"")), b"")


@kind(size=UNKNOWN, twice=False)
async def iterator(data: bytes, path: Path) -> AsyncIterator[Any]:
    yield Pieces(*cut(data, 33))


@kind(size=KNOWN, twice=False)
async def generator_with_declared_size(data: bytes, path: Path) -> AsyncIterator[Any]:
    yield IteratorSource(generated(*cut(data, 33)), size=len(data))


# ── all bytes, in chunks ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [1, 100, len(CONTENT) - 1, len(CONTENT), len(CONTENT) + 1, len(CONTENT) // 2])
async def test_every_kind_gives_all_its_bytes_in_chunks_of_the_size_asked_for(
    name: str, size: int, tmp_path: Path, threads: Executor
) -> None:
    """Exact multiples among them (fault 13), and less than one chunk (fault 14)."""
    async with KINDS[name](CONTENT, tmp_path / "file") as thing:
        chunks = await read_all(thing, threads, size)

    assert b"".join(chunks) == CONTENT
    assert {len(chunk) for chunk in chunks[:-1]} <= {size}
    assert 0 < len(chunks[-1]) <= size


@pytest.mark.parametrize("name", KINDS)
async def test_every_kind_knows_its_size_or_that_nobody_does(name: str, tmp_path: Path, threads: Executor) -> None:
    async with KINDS[name](CONTENT, tmp_path / "file") as thing, as_source(thing).open(threads) as content:
        assert content.size == (len(CONTENT) if SIZE_IS[name] else None)


@pytest.mark.parametrize("name", KINDS)
async def test_every_kind_is_known_to_be_empty_when_it_is_opened(name: str, tmp_path: Path, threads: Executor) -> None:
    """Fault 12: before anything is asked of the server."""
    async with KINDS[name](b"", tmp_path / "file") as thing:
        with pytest.raises(EmptySource, match="is empty"):
            async with as_source(thing).open(threads):
                pytest.fail("it was opened")


@pytest.mark.parametrize("name", KINDS)
async def test_every_kind_says_whether_it_can_be_read_twice_and_keeps_that_word(
    name: str, tmp_path: Path, threads: Executor
) -> None:
    async with KINDS[name](CONTENT, tmp_path / "file") as thing:
        source = as_source(thing)
        assert source.rereadable is TWICE[name]
        if not source.rereadable:
            return
        async with source.open(threads) as content:
            chunks = content.chunks(100)
            await anext(chunks)  # left in the middle, as a failed attempt leaves it
            await chunks.aclose()
        for _ in range(2):
            assert b"".join(await read_all(source, threads)) == CONTENT


@pytest.mark.parametrize("name", KINDS)
async def test_every_kind_has_a_name_that_can_be_printed(name: str, tmp_path: Path) -> None:
    async with KINDS[name](CONTENT, tmp_path / "file") as thing:
        source = as_source(thing)

        assert source.name
        source.name.encode()
        assert isinstance(source, Source)
        assert as_source(source) is source


FRAGMENTS = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def as_form(form: str, data: bytes, steps: list[int]) -> Any:
    match form:
        case "bytes":
            return data
        case "file":
            return io.BytesIO(data)
        case "short reads":
            return Trickle(data, *steps)
        case "async reads":
            return FormFile(data)
        case "generator":
            return generated(*cut(data, *steps))
        case _:
            return generated(*(part for piece in cut(data, *steps) for part in (b"", piece)), b"")


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(min_size=1, max_size=200),
    size=st.integers(1, 250),
    steps=FRAGMENTS,
    form=st.sampled_from(["bytes", "file", "short reads", "async reads", "generator", "empty pieces"]),
)
def test_chunks_are_the_content_however_it_arrives(data: bytes, size: int, steps: list[int], form: str) -> None:
    async def read() -> list[bytes]:
        with ThreadPoolExecutor(1) as pool:
            return await read_all(as_form(form, data, steps), pool, size)

    chunks = asyncio.run(read())

    assert b"".join(chunks) == data
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert 0 < len(chunks[-1]) <= size


@settings(max_examples=100, deadline=None)
@given(
    data=st.binary(min_size=1, max_size=100),
    declared=st.integers(0, 120),
    size=st.integers(1, 120),
    steps=FRAGMENTS,
    form=st.sampled_from(["iterator", "read", "seekable", "async read"]),
)
def test_a_declared_size_is_a_contract(data: bytes, declared: int, size: int, steps: list[int], form: str) -> None:
    """Fault 26. Too few bytes never end as if they were all; of too many, none beyond the declared size comes out."""
    handed_out: list[bytes] = []

    async def read() -> None:
        source = _declared(form, data, steps, declared)
        with ThreadPoolExecutor(1) as pool:
            async with source.open(pool) as content:
                assert content.size == declared
                async for chunk in content.chunks(size):
                    handed_out.append(bytes(chunk))  # noqa: PERF401  (what came before an error is kept)

    if declared == len(data):
        asyncio.run(read())
        assert b"".join(handed_out) == data
        return
    with pytest.raises(SourceChanged, match=f"{declared} bytes"):
        asyncio.run(read())
    got = b"".join(handed_out)
    assert data.startswith(got)
    assert len(got) <= declared


def _declared(form: str, data: bytes, steps: list[int], size: int) -> Source:
    match form:
        case "iterator":
            return IteratorSource(generated(*cut(data, *steps)), size=size)
        case "read":
            return FileSource(Trickle(data, *steps), size=size)
        case "seekable":
            return FileSource(io.BytesIO(data), size=size)
        case _:
            return FileSource(FormFile(data), size=size)


async def test_larger_items_are_counted_in_bytes(threads: Executor) -> None:
    numbers = array.array("I", range(50))
    source = BytesSource(memoryview(numbers))

    async with source.open(threads) as content:
        assert content.size == 50 * numbers.itemsize
        chunks = await all_chunks(content, 30)

    assert b"".join(chunks) == numbers.tobytes()
    assert {len(chunk) for chunk in chunks[:-1]} == {30}


async def test_bytes_are_not_copied(threads: Executor) -> None:
    data = bytearray(CONTENT)
    async with BytesSource(data).open(threads) as content:
        chunks = [chunk async for chunk in content.chunks(100)]
    data[0] = 77

    assert chunks[0][0] == 77


async def test_a_chunk_stays_as_it_was_when_the_iterator_reuses_its_buffer(threads: Executor) -> None:
    """What is in the sender's hands is checksummed already."""

    async def reusing() -> AsyncGenerator[bytes, None]:
        buffer = bytearray(4)
        for number in range(10):
            buffer[:] = bytes([number]) * 4
            yield cast(bytes, buffer)

    async with IteratorSource(reusing()).open(threads) as content:
        chunks = [chunk async for chunk in content.chunks(6)]  # kept, and looked at when all are there

    assert b"".join(chunks) == b"".join(bytes([number]) * 4 for number in range(10))


async def test_an_iterator_may_resize_the_buffer_it_handed_out(threads: Executor) -> None:
    async def collecting() -> AsyncGenerator[bytes, None]:
        buffer = bytearray()
        for number in range(3):
            buffer += bytes([number]) * 4
            yield cast(bytes, buffer)
            buffer.clear()

    assert await read_all(collecting(), threads, 5) == [b"\0\0\0\0\1", b"\1\1\1\2\2", b"\2\2"]


async def test_blocking_reads_happen_in_the_given_threads(threads: Executor) -> None:
    file = Trickle(CONTENT)

    await read_all(file, threads)

    assert file.threads
    assert threading.get_ident() not in file.threads
    assert file.threads <= {thread.ident for thread in cast(ThreadPoolExecutor, threads)._threads}


async def test_a_file_object_stays_open(tmp_path: Path, threads: Executor) -> None:
    with written(CONTENT, tmp_path / "file").open("rb") as file:
        await read_all(file, threads)
        assert not file.closed


async def test_a_spooled_file_in_memory_stays_in_memory(threads: Executor) -> None:
    """To ask it for a descriptor writes it to the disk, and in the middle of the event loop at that."""
    with tempfile.SpooledTemporaryFile(max_size=10_000_000) as file:
        file.write(CONTENT)
        file.seek(0)
        await read_all(file, threads)

        assert not vars(file)["_rolled"]


async def test_an_async_spooled_file_is_read_without_a_warning(threads: Executor) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        async with aiofiles.tempfile.SpooledTemporaryFile(max_size=10_000_000) as file:
            await file.write(CONTENT)
            await file.seek(0)
            assert b"".join(await read_all(file, threads)) == CONTENT
        gc.collect()

    assert [str(warning.message) for warning in seen] == []


# ── what cannot be uploaded ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "thing", [None, 7, 1.5, [b"a"], (n for n in [b"a"]), {"a": b"b"}, object()], ids=lambda thing: type(thing).__name__
)
def test_what_is_no_source_is_refused_by_its_name(thing: object) -> None:
    with pytest.raises(UsageError, match=f"cannot upload a {type(thing).__name__}: give a path, bytes"):
        as_source(cast(bytes, thing))


async def test_a_text_file_is_refused(tmp_path: Path, threads: Executor) -> None:
    with (
        written(b"text", tmp_path / "file").open("r", encoding="utf-8") as file,
        pytest.raises(UsageError, match="not bytes; open it in binary mode"),
    ):
        await read_all(file, threads)


@pytest.mark.parametrize("text", [cast(bytes, "text"), cast(bytes, 7)])
async def test_an_iterator_of_something_else_is_refused(text: bytes, threads: Executor) -> None:
    with pytest.raises(UsageError, match=f"the iterator gave {type(text).__name__}, not bytes"):
        await read_all(generated(text), threads)
    with pytest.raises(UsageError, match=f"the iterator gave {type(text).__name__}, not bytes"):
        await read_all(generated(b"right", text), threads)


def test_a_view_with_gaps_is_refused() -> None:
    with pytest.raises(UsageError):
        as_source(memoryview(b"abcdef")[::2])


async def test_a_closed_file_is_refused(tmp_path: Path, threads: Executor) -> None:
    with written(CONTENT, tmp_path / "file").open("rb") as file:
        pass

    with pytest.raises(AsyncUploadError, match="closed"):
        await read_all(file, threads)


async def test_a_file_that_is_closed_while_it_is_read_ends_in_an_error_of_ours(
    tmp_path: Path, threads: Executor
) -> None:
    with written(bytes(3_000_000), tmp_path / "file").open("rb") as file:
        async with as_source(file).open(threads) as content:
            chunks = content.chunks(1_000_000)
            await anext(chunks)
            file.close()
            with pytest.raises(AsyncUploadError, match="closed"):
                await anext(chunks)


async def test_a_file_object_beyond_its_end_is_empty(tmp_path: Path, threads: Executor) -> None:
    with written(CONTENT, tmp_path / "file").open("rb") as file:
        file.seek(len(CONTENT) + 100)
        with pytest.raises(EmptySource):
            await read_all(file, threads)


async def test_a_read_that_gives_more_than_it_was_asked_for_makes_no_larger_chunks(threads: Executor) -> None:
    """The server fixed the chunks' size; a larger one breaks the memory formula too."""

    class Generous:
        def __init__(self) -> None:
            self._left = [CONTENT]

        async def read(self, size: int, /) -> bytes:
            return self._left.pop() if self._left else b""

    try:
        chunks = await read_all(Generous(), threads, 100)
    except AsyncUploadError:
        return  # refused: as good
    assert b"".join(chunks) == CONTENT
    assert max(len(chunk) for chunk in chunks) == 100


# ── paths that are no files, or not to be read ────────────────────────────────────────────────────────────────────────


async def refused(path: str | Path, threads: Executor, error: type[SourceError]) -> SourceError:
    with anyio.fail_after(10), pytest.raises(error) as caught:
        await read_all(path, threads)
    assert type(caught.value) is error
    return caught.value


async def test_a_missing_file(tmp_path: Path, threads: Executor) -> None:
    """Fault 5."""
    error = await refused(tmp_path / "missing", threads, SourceMissing)

    assert str(tmp_path / "missing") in str(error)
    assert isinstance(error.__cause__, FileNotFoundError)


async def test_a_path_through_a_file(tmp_path: Path, threads: Executor) -> None:
    written(b"x", tmp_path / "file")

    assert isinstance((await refused(tmp_path / "file" / "x", threads, SourceMissing)).__cause__, NotADirectoryError)


async def test_a_link_to_nothing(tmp_path: Path, threads: Executor) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "missing")

    await refused(tmp_path / "link", threads, SourceMissing)


async def test_a_link_to_itself(tmp_path: Path, threads: Executor) -> None:
    """Fault 10."""
    (tmp_path / "link").symlink_to(tmp_path / "link")

    assert isinstance((await refused(tmp_path / "link", threads, SourceUnreadable)).__cause__, OSError)


async def test_a_name_that_is_too_long(tmp_path: Path, threads: Executor) -> None:
    await refused(tmp_path / ("x" * 300), threads, SourceUnreadable)


@pytest.mark.parametrize("path", ["a\0b", "a\ud800b"], ids=ascii)
async def test_a_path_that_no_system_takes(path: str, threads: Executor) -> None:
    with pytest.raises(AsyncUploadError):
        await read_all(path, threads)


async def test_a_directory(tmp_path: Path, threads: Executor) -> None:
    assert "is a directory" in str(await refused(tmp_path, threads, NotAFile))


async def test_a_pipe_is_refused_without_waiting_for_its_other_end(tmp_path: Path, threads: Executor) -> None:
    """Fault 9: to open it would wait until somebody writes."""
    os.mkfifo(tmp_path / "pipe")

    assert "is not a regular file" in str(await refused(tmp_path / "pipe", threads, NotAFile))


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
async def test_a_device_is_refused(device: str, threads: Executor) -> None:
    await refused(device, threads, NotAFile)


PRIVILEGES = """
import asyncio, os, sys
from concurrent.futures import ThreadPoolExecutor
from asyncupload import PathSource

async def opened(path: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        async with PathSource(path).open(pool) as content:
            print(content.size, flush=True)

asyncio.run(opened(sys.executable))  # whatever is imported late is imported now
if os.geteuid() == 0:
    os.setuid(65534)  # root may read everything
try:
    asyncio.run(opened(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, type(error.__cause__).__name__, error)
"""


async def test_a_file_without_permission_to_read_it(tmp_path: Path) -> None:
    """Fault 8."""
    secret = written(CONTENT, tmp_path / "file")
    secret.chmod(0)

    with anyio.fail_after(30):
        ended = await anyio.run_process([sys.executable, "-c", PRIVILEGES, str(secret)], stderr=subprocess.STDOUT)

    told = ended.stdout.decode().splitlines()[1]
    assert told.startswith("SourceUnreadable PermissionError")
    assert "Permission denied" in told
    assert str(secret) in told


async def test_a_name_that_is_no_text_is_read_and_can_be_printed(tmp_path: Path, threads: Executor) -> None:
    """Fault 18."""
    path = os.fsencode(tmp_path) + b"/caf\xe9.bin"
    Path(os.fsdecode(path)).write_bytes(CONTENT)
    source = PathSource(os.fsdecode(path))

    assert b"".join(await read_all(source, threads)) == CONTENT
    assert source.name.endswith("caf?.bin")
    missing = await refused(os.fsdecode(path + b"x"), threads, SourceMissing)
    str(missing).encode()


class Failing:
    """A disk that goes bad: it gives some bytes and then an error of the operating system."""

    name = "disk"

    def __init__(self, error: OSError, good: int) -> None:
        self._error = error
        self._good = good

    def read(self, size: int, /) -> bytes:
        self._good -= 1
        if self._good < 0:
            raise self._error
        return b"x" * size


@pytest.mark.parametrize("good", [0, 1, 2, 3])
async def test_a_read_that_fails_is_told_with_its_cause(good: int, threads: Executor) -> None:
    """Fault 6."""
    cause = OSError(5, "Input/output error")

    with pytest.raises(SourceUnreadable, match="disk cannot be read: Input/output error") as caught:
        await read_all(Failing(cause, good), threads)

    assert caught.value.__cause__ is cause


# ── files that change while they are read ─────────────────────────────────────────────────────────────────────────────


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def grow_much(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(path.stat().st_size))


def rewrite(path: Path) -> None:
    then = path.stat().st_mtime_ns
    with path.open("r+b") as file:
        file.write(b"?" * 16)
    # Time stamps have a grain, within which a change is invisible; this test is not about luck.
    os.utime(path, ns=(then, then + 50_000_000))


def replace(path: Path) -> None:
    beside = path.with_name("beside")
    beside.write_bytes(path.read_bytes())
    before = path.stat()
    os.utime(beside, ns=(before.st_atime_ns, before.st_mtime_ns))  # alike in everything but its identity
    beside.replace(path)


def remove(path: Path) -> None:
    path.unlink()


SEEN_FROM_INSIDE: dict[str, Callable[[Path], None]] = {
    "shrank": shrink,
    "was emptied": empty,
    "grew": grow,
    "doubled": grow_much,
    "was rewritten": rewrite,
}
"""Faults 1 to 3: the open file is another."""

SEEN_FROM_OUTSIDE: dict[str, Callable[[Path], None]] = {"was replaced": replace, "was removed": remove}
"""Faults 4 and 5: the open file is the same, but its name leads elsewhere."""

SMALL, LARGE = 300_000, 3_000_000
"""Bytes. Even the small file is too large to be read at once when it is opened."""


async def read_on_while(
    source: Source, path: Path, change: Callable[[Path], None], threads: Executor, after: int
) -> list[bytes]:
    """Read ``after`` chunks of about a quarter, change the file, and read on."""
    size = max(1, path.stat().st_size // 4)
    async with source.open(threads) as content:
        chunks = content.chunks(size)
        got = [bytes(await anext(chunks)) for _ in range(after)]
        await anyio.to_thread.run_sync(change, path)
        got.extend([bytes(chunk) async for chunk in chunks])
    return got


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("after", [0, 1, 3, 4])
@pytest.mark.parametrize("how", [*SEEN_FROM_INSIDE, *SEEN_FROM_OUTSIDE])
async def test_a_path_whose_file_changes_is_not_vouched_for(
    how: str, after: int, size: int, tmp_path: Path, threads: Executor
) -> None:
    """Between opening and the first read, in the middle, and after the last byte."""
    path = written(os.urandom(size), tmp_path / "file")
    change = {**SEEN_FROM_INSIDE, **SEEN_FROM_OUTSIDE}[how]

    with pytest.raises(SourceChanged) as caught:
        await read_on_while(PathSource(path), path, change, threads, after)

    assert str(path) in str(caught.value)
    assert descriptors(path) == 0


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("after", [0, 1, 4])
@pytest.mark.parametrize("how", SEEN_FROM_INSIDE)
@pytest.mark.parametrize("buffering", [0, -1])
async def test_a_file_object_whose_file_changes_is_not_vouched_for(
    how: str, after: int, size: int, buffering: int, tmp_path: Path, threads: Executor
) -> None:
    path = written(os.urandom(size), tmp_path / "file")

    with path.open("rb", buffering=buffering) as file, pytest.raises(SourceChanged):
        await read_on_while(FileSource(cast(Any, file)), path, SEEN_FROM_INSIDE[how], threads, after)


@pytest.mark.parametrize("how", SEEN_FROM_INSIDE)
async def test_an_async_file_object_whose_file_changes_is_not_vouched_for(
    how: str, tmp_path: Path, threads: Executor
) -> None:
    path = written(os.urandom(LARGE), tmp_path / "file")

    async with aiofiles.open(path, "rb") as file:
        with pytest.raises(SourceChanged):
            await read_on_while(FileSource(file), path, SEEN_FROM_INSIDE[how], threads, 1)


@pytest.mark.parametrize(("length", "word"), [(150, "shrank: 150 of 300"), (400, "grew: more than 300")])
async def test_a_file_object_without_a_descriptor_is_held_to_its_size(
    length: int, word: str, threads: Executor
) -> None:
    """Nobody can look at its time stamp, but it told its size when it was opened (fault 2)."""
    file = io.BytesIO(bytes(300))
    async with as_source(file).open(threads) as content:
        chunks = content.chunks(100)
        await anext(chunks)
        file.truncate(min(length, 300))
        file.seek(0, io.SEEK_END)
        file.write(bytes(max(0, length - 300)))
        file.seek(100)
        with pytest.raises(SourceChanged, match=word):
            async for _ in chunks:
                pass


@pytest.mark.parametrize("how", SEEN_FROM_OUTSIDE)
async def test_a_file_object_does_not_care_for_its_name(how: str, tmp_path: Path, threads: Executor) -> None:
    content = os.urandom(LARGE)
    path = written(content, tmp_path / "file")

    with path.open("rb") as file:
        got = await read_on_while(FileSource(file), path, SEEN_FROM_OUTSIDE[how], threads, 1)

    assert b"".join(got) == content


MESSAGES: dict[str, str] = {
    "shrank": r"(shrank: \d+ of 300000 bytes|went from 300000 to 150000 bytes)",
    "grew": r"(grew: more than 300000 bytes|went from 300000 to 300004 bytes)",
    "was rewritten": "was written to while it was read",
    "was replaced": "was replaced by another file while it was read",
    "was removed": "was removed while it was read",
}


@pytest.mark.parametrize("how", MESSAGES)
async def test_what_happened_to_the_file_is_said(how: str, tmp_path: Path, threads: Executor) -> None:
    path = written(os.urandom(SMALL), tmp_path / "file")

    with pytest.raises(SourceChanged, match=MESSAGES[how]):
        await read_on_while(PathSource(path), path, {**SEEN_FROM_INSIDE, **SEEN_FROM_OUTSIDE}[how], threads, 1)


@pytest.mark.parametrize("size", [1, 100, SMALLEST_CHUNK])
@pytest.mark.parametrize("how", [*SEEN_FROM_INSIDE, *SEEN_FROM_OUTSIDE])
async def test_what_is_read_at_once_stays_as_it_was(how: str, size: int, tmp_path: Path, threads: Executor) -> None:
    """All of a file that fits into any server's chunk is read when it is opened, and what happens to it later does not
    matter."""
    before = os.urandom(size)
    path = written(before, tmp_path / "file")

    async with PathSource(path).open(threads) as content:
        assert descriptors(path) == 0
        await anyio.to_thread.run_sync({**SEEN_FROM_INSIDE, **SEEN_FROM_OUTSIDE}[how], path)
        assert b"".join(await all_chunks(content, SMALLEST_CHUNK)) == before


@pytest.mark.parametrize("moment", ["c_call", "c_return"], ids=["before the bytes are read", "after"])
@pytest.mark.parametrize("how", [*SEEN_FROM_INSIDE, *SEEN_FROM_OUTSIDE])
async def test_what_is_read_at_once_is_not_vouched_for_if_it_changes_meanwhile(
    how: str, moment: str, tmp_path: Path
) -> None:
    path, changed = written(os.urandom(10_000), tmp_path / "file"), False
    os.utime(path, ns=(0, 0))  # or what is written at once could have the time stamp of before

    def change(frame: FrameType, event: str, called: object) -> None:
        nonlocal changed
        if not changed and event == moment and getattr(called, "__name__", "") == "readinto":
            changed = True
            {**SEEN_FROM_INSIDE, **SEEN_FROM_OUTSIDE}[how](path)

    threading.setprofile(change)
    try:
        with ThreadPoolExecutor(1) as fresh, pytest.raises(SourceChanged):
            async with PathSource(path).open(fresh):
                pass
    finally:
        threading.setprofile(None)

    assert changed
    assert descriptors(path) == 0


async def test_nothing_is_said_of_a_file_that_was_only_looked_at(tmp_path: Path, threads: Executor) -> None:
    """Reading changes the time of access, and a new link changes the inode's: neither changes a byte."""
    path = written(CONTENT, tmp_path / "file")

    def look(path: Path) -> None:
        path.read_bytes()
        path.with_name("second").hardlink_to(path)
        path.chmod(0o640)

    assert b"".join(await read_on_while(PathSource(path), path, look, threads, 1)) == CONTENT


# ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def slowly(data: bytes, step: int) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), step):
        yield data[start : start + step]


@pytest.mark.parametrize("kind", ["path", "iterator"])
@pytest.mark.parametrize("kept", [0, 1, 3])
async def test_memory_is_used_again_as_soon_as_nobody_holds_it(
    kept: int, kind: str, tmp_path: Path, threads: Executor
) -> None:
    """Fresh memory for each chunk costs the system more than to read it. One more than are held is being filled."""
    data, size, seen = os.urandom(20 * 50_000), 50_000, set()
    held: list[memoryview] = []
    source = PathSource(written(data, tmp_path / "file")) if kind == "path" else IteratorSource(slowly(data, 7_000))

    async with source.open(threads) as content:
        async for chunk in content.chunks(size):
            assert isinstance(chunk, memoryview)
            seen.add(id(chunk.obj))
            held = [*held, chunk][-kept:] if kept else []
            del chunk

    assert len(seen) == kept + 1


async def test_a_chunk_that_is_held_stays_as_it_was(tmp_path: Path, threads: Executor) -> None:
    data = os.urandom(1_000_000)

    async with PathSource(written(data, tmp_path / "file")).open(threads) as content:
        held = [chunk async for chunk in content.chunks(70_000)]

    assert b"".join(held) == data


async def test_an_error_that_is_kept_keeps_no_buffer(tmp_path: Path, threads: Executor) -> None:
    """Neither in frames of ours, nor in those of the library that brings the work to a thread."""
    path = written(os.urandom(SMALL), tmp_path / "file")
    before = alive_buffers()

    with pytest.raises(SourceChanged) as kept:  # noqa: PT012
        async with PathSource(path).open(threads) as content:
            chunks = content.chunks(1000)
            await anext(chunks)
            assert alive_buffers() > before
            shrink(path)
            while await anext(chunks):
                pass

    assert alive_buffers() == before
    assert kept.value.__traceback__ is not None


def alive_buffers() -> int:
    gc.collect()
    return sum(isinstance(one, Buffer) and len(one) > 0 for one in gc.get_objects())


# ── what is released ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_path_is_closed_after_reading(tmp_path: Path, threads: Executor) -> None:
    path = written(os.urandom(SMALL), tmp_path / "file")
    async with PathSource(path).open(threads) as content:
        assert descriptors(path) == 1
        await all_chunks(content, 1000)
        assert descriptors(path) == 0


async def test_a_path_is_closed_when_it_is_left_early(tmp_path: Path, threads: Executor) -> None:
    path = written(os.urandom(SMALL), tmp_path / "file")
    with pytest.raises(LookupError):  # noqa: PT012
        async with PathSource(path).open(threads) as content:
            await anext(content.chunks(100))
            raise LookupError

    assert descriptors(path) == 0


async def test_an_empty_path_is_closed(tmp_path: Path, threads: Executor) -> None:
    path = written(b"", tmp_path / "file")

    await refused(path, threads, EmptySource)

    assert descriptors(path) == 0


@pytest.mark.parametrize("natively", [True, False], ids=["native", "scope"])
async def test_a_path_is_closed_when_its_reader_is_cancelled(natively: bool, tmp_path: Path, threads: Executor) -> None:
    path = written(CONTENT, tmp_path / "file")
    reading, scope = asyncio.Event(), anyio.CancelScope()

    async def read() -> None:
        with scope:
            async with PathSource(path).open(threads) as content:
                await anext(content.chunks(100))
                reading.set()
                await asyncio.Event().wait()

    task = asyncio.ensure_future(read())
    await reading.wait()
    if natively:
        task.cancel()
    else:
        scope.cancel()
    await asyncio.wait({task})

    assert task.cancelled() is natively
    assert descriptors(path) == 0


class Gated(ThreadPoolExecutor):
    """Threads that begin nothing before they are let, as those of a network drive that hangs."""

    def __init__(self, free: int) -> None:
        super().__init__(1)
        self._free = free
        self.gate = threading.Event()
        self.waiting = threading.Event()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
        def when_let() -> R:
            self._free -= 1
            if self._free < 0:
                self.waiting.set()
                self.gate.wait(10)
            return fn(*args, **kwargs)

        return super().submit(when_let)


@pytest.mark.parametrize("natively", [True, False], ids=["native", "scope"])
async def test_a_path_that_is_cancelled_while_it_is_opened_leaves_no_descriptor(natively: bool, tmp_path: Path) -> None:
    """The call in the thread goes on after the cancellation, and what it opens must be closed, not just forgotten."""
    path = written(CONTENT, tmp_path / "file")
    scope = anyio.CancelScope()

    async def read(pool: Executor) -> None:
        with scope:
            async with PathSource(path).open(pool):
                pytest.fail("it was opened")

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with Gated(0) as pool:
            task = asyncio.ensure_future(read(pool))
            await anyio.to_thread.run_sync(pool.waiting.wait)
            if natively:
                task.cancel()
            else:
                scope.cancel()
            await anyio.wait_all_tasks_blocked()
            pool.gate.set()
            await asyncio.wait({task})
        gc.collect()

    assert task.cancelled() is natively
    assert descriptors(path) == 0
    assert [str(warning.message) for warning in seen] == []


async def test_a_read_under_way_ends_before_a_cancelled_reader_does(threads: Executor) -> None:
    """The file object's owner may use or close it as soon as the cancellation has come through."""
    begun, let, ended = threading.Event(), threading.Event(), threading.Event()

    class Slow:
        def read(self, size: int, /) -> bytes:
            begun.set()
            let.wait(10)
            ended.set()
            return b""

    task = asyncio.ensure_future(read_all(Slow(), threads))
    await anyio.to_thread.run_sync(begun.wait)
    task.cancel()
    await anyio.wait_all_tasks_blocked()
    assert not task.done()
    let.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


class Tidy:
    """A generator's resources."""

    def __init__(self) -> None:
        self.closed = False

    async def pieces(self, *pieces: bytes) -> AsyncGenerator[bytes, None]:
        try:
            for piece in pieces:
                yield piece
        finally:
            await asyncio.sleep(0)  # as when a response is closed
            self.closed = True


async def test_a_generator_that_is_left_early_is_closed(threads: Executor) -> None:
    tidy = Tidy()

    async with as_source(tidy.pieces(b"a", b"b", b"c")).open(threads) as content:
        await anext(content.chunks(1))
        assert not tidy.closed

    assert tidy.closed


async def test_a_generator_that_is_never_cut_is_closed(threads: Executor) -> None:
    tidy = Tidy()

    async with as_source(tidy.pieces(b"a")).open(threads):
        pass

    assert tidy.closed


async def test_a_generator_is_closed_when_an_error_passes(threads: Executor) -> None:
    tidy = Tidy()

    with pytest.raises(LookupError):
        async with as_source(tidy.pieces(b"a", b"b")).open(threads):
            raise LookupError

    assert tidy.closed


@pytest.mark.parametrize("pieces", [[], [b""], [b"", b""]])
async def test_a_generator_without_a_byte_is_closed(pieces: list[bytes], threads: Executor) -> None:
    tidy = Tidy()

    with pytest.raises(EmptySource):
        await read_all(tidy.pieces(*pieces), threads)

    assert tidy.closed


async def test_a_generators_own_error_comes_out_as_it_is(threads: Executor) -> None:
    """Fault 28: a client of the application's that went away, for instance."""
    error = ConnectionResetError("the browser has gone")

    async def broken() -> AsyncGenerator[bytes, None]:
        yield b"a"
        raise error

    with pytest.raises(ConnectionResetError) as caught:
        await read_all(broken(), threads)

    assert caught.value is error


async def test_a_source_of_somebody_elses_is_taken_as_it_is(threads: Executor) -> None:
    class Mine:
        name = "mine"
        rereadable = True

        @asynccontextmanager
        async def open(self, threads: Executor) -> AsyncIterator[Content]:
            async with BytesSource(CONTENT).open(threads) as content:
                yield content

    mine = Mine()

    assert as_source(mine) is mine
    assert b"".join(await read_all(mine, threads)) == CONTENT


class Rewinding:
    """Begins anew whenever it is asked for its iterator, as some file wrappers do."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self._left = list(pieces)
        self.asked = 0

    def __aiter__(self) -> "Rewinding":
        self.asked += 1
        if self.asked > 10:
            raise LookupError("it would go on for ever")
        self._left = list(self._pieces)
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop(0)


async def test_an_iterator_is_asked_for_once_though_it_would_rewind(threads: Executor) -> None:
    """37 GB of one file went up, and it would have gone on."""
    pieces = Rewinding(b"abc", b"", b"def", b"g")
    assert b"".join(await read_all(pieces, threads, 2)) == b"abcdefg"
    assert pieces.asked == 1


class Endless(Rewinding):
    """Never ends, however it is read. Counts what it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0

    async def __anext__(self) -> bytes:
        return self.read(3)

    def read(self, size: int, /) -> bytes:
        self.given += 3
        return b"abc"[:size]


class AsyncEndless(Endless):
    """The same with an async ``read``."""

    async def read(self, size: int, /) -> bytes:  # type: ignore[override]
        return super().read(size)


@pytest.mark.parametrize("form", ["iterator", "read", "async read"])
async def test_a_declared_size_is_a_bound_while_reading(form: str, threads: Executor) -> None:
    """What never ends is left at its first byte too many, not when a chunk is full of it."""
    endless = AsyncEndless() if form == "async read" else Endless()
    source = IteratorSource(endless, size=10) if form == "iterator" else FileSource(endless, size=10)
    with pytest.raises(SourceChanged, match="more than 10 bytes"):
        async with source.open(threads) as content:
            await all_chunks(content, 1_000)
    assert endless.given <= 15
