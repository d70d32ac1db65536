"""Where errors come from: chains that end, that are short however long something has failed, and that hold nothing."""

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from chains import LARGEST, behind, rendered, wrong_with
from conftest import FOLDER, PATIENT

from asyncupload import AsyncUploadError, Client, errors
from asyncupload._cutting import ChunkBuffer
from asyncupload._pipeline import Line, sealed_chunks
from asyncupload._raised import another, raise_kept
from asyncupload._reply import Answer, read
from asyncupload.emulator import Emulator, Script
from asyncupload.sources import Content

pytestmark = pytest.mark.anyio

TO = f"{FOLDER}/a.bin"
CHUNK = 256 * 1024

# ── the walk ──


def linked(*links: str) -> AsyncUploadError:
    """Errors with one-letter names: ``a>b`` says that a was caused by b, ``a~b`` that it came while b was handled."""
    made = {name: AsyncUploadError(name) for link in links for name in (link[0], link[2])}
    for link in links:
        setattr(made[link[0]], "__cause__" if link[1] == ">" else "__context__", made[link[2]])
    return made[links[0][0]]


@pytest.mark.parametrize("links", [["a>b"], ["a~b", "b>c"], ["a>b", "a~c", "b~d", "c~d"], ["a>b", "a~b", "b>c", "b~c"]])
def test_a_chain_that_ends_is_walked_and_rendered(links: list[str]) -> None:
    assert wrong_with(linked(*links)) == ""
    assert all("AsyncUploadError" in text for text in rendered(linked(*links)))


@pytest.mark.parametrize("links", [["a>a"], ["a>b", "b~a"], ["a~b", "b>c", "c~b"], ["a>b", "b>c", "a~c", "c~b"]])
def test_a_chain_that_leads_back_is_known(links: list[str]) -> None:
    assert "leads back" in wrong_with(linked(*links))


def test_a_group_is_a_part_of_the_chain() -> None:
    error = AsyncUploadError("the first")
    error.__context__ = ExceptionGroup("both", [ValueError("another"), error])
    assert "leads back" in wrong_with(error)


def test_a_chain_that_is_long_or_full_of_ways_is_known() -> None:
    long = twofold = AsyncUploadError("the last")
    for _ in range(5000):
        before, long = long, AsyncUploadError("one more")
        long.__context__ = before
    for _ in range(6):
        before, twofold = twofold, AsyncUploadError("one more")
        twofold.__cause__ = twofold.__context__ = before
    assert "5001 long" in wrong_with(long)
    assert "64 ways" in wrong_with(twofold)
    while (after := long.__context__) is not None:  # piece by piece: Python itself takes such a chain down by recursion
        long.__context__, long = None, after  # type: ignore[assignment]


class Knotted:
    """A file whose error leads back into itself."""

    def read(self, _: int) -> bytes:
        raise linked("a>b", "b~a")


async def test_a_test_fails_that_meets_an_error_that_leads_back(client: Client, endless: list[str]) -> None:
    with suppress(AsyncUploadError):
        await client.upload(Knotted(), to=TO)
    assert ["leads back" in wrong for wrong in endless] == [True]
    endless.clear()
    with pytest.raises(AsyncUploadError):
        Knotted().read(1)
    assert ["leads back" in wrong for wrong in endless] == [True]
    endless.clear()


# ── kept errors ──


def test_a_kept_error_is_raised_without_what_is_handled_then() -> None:
    first, second = AsyncUploadError("the first"), AsyncUploadError("the second")
    second.__cause__ = first
    with pytest.raises(AsyncUploadError) as caught:
        _raise_kept_within(first, second)
    assert caught.value is first
    assert behind(first) == ()


def _raise_kept_within(error: AsyncUploadError, handled: AsyncUploadError) -> None:
    try:
        raise handled
    except AsyncUploadError:
        raise_kept(error)


def test_whoever_gets_another_shares_the_cause_and_nothing_that_grows() -> None:
    kept = AsyncUploadError("kept")
    kept.__cause__ = OSError("gone")
    kept.add_note("once")
    others = [another(kept) for _ in range(3)]
    for one in others:
        one.add_note("for one")
        with pytest.raises(AsyncUploadError):
            raise one
    assert all(behind(one) == (kept.__cause__,) for one in others)
    assert kept.__notes__ == ["once"]
    assert kept.__traceback__ is None


async def test_a_refused_password_is_told_to_many_without_growing(emulator: Emulator) -> None:
    async with Client(emulator.url, user="demo", password="wrong", settings=PATIENT) as client:
        told = await asyncio.gather(*(client.ping() for _ in range(20)), return_exceptions=True)
    found = [error for error in told if isinstance(error, errors.LoginRefused)]
    assert len({id(error) for error in found}) == 20
    assert all(wrong_with(error) == "" and depth(error) < 20 for error in found)


def depth(error: BaseException) -> int:
    """How many frames an error has passed."""
    trace, found = error.__traceback__, 0
    while trace is not None:
        trace, found = trace.tb_next, found + 1
    return found


# ── what is kept with an error ──


class Bytes(bytearray):
    """Bytes that tell whether anybody holds them."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


class Given:
    """A source of many chunks, which knows which of them are held."""

    name, size, rereadable = "given", None, True

    def __init__(self, chunks: int) -> None:
        self._chunks = chunks
        self.held = weakref.WeakSet[Bytes]()

    @asynccontextmanager
    async def open(self, threads: Executor) -> AsyncIterator[Content]:
        yield self

    async def chunks(self, size: int) -> AsyncGenerator[ChunkBuffer, None]:
        await self.gone()  # those of the pass before
        for _ in range(self._chunks):
            chunk = Bytes(size)
            self.held.add(chunk)
            yield chunk
            del chunk

    async def gone(self) -> None:
        """Wait until nobody holds any."""
        gc.collect()  # what anyio and aiohttp have left of a cancelled thread, and of a broken connection
        while self.held:  # noqa: ASYNC110  (the thread that made its checksum tells nobody)
            await asyncio.sleep(0.01)


def failing(operation: str, fault: str, first: int = 1) -> Script:
    return lambda call: fault if call.operation == operation and call.number >= first else None


TRIED = replace(PATIENT.retries, attempts=50, restarts=8, first_wait=1e-5, longest_wait=1e-5, first_attempts=None)
LONG = replace(PATIENT, retries=TRIED, timeouts=replace(PATIENT.timeouts, settle=0.3, finalize=0.3))

VAIN = {
    "retried": failing("UploadFileChunk", "drop-body", 3),
    "refused": failing("UploadFileChunk", "refuse-503-date", 3),
    "begun anew": failing("UploadFileChunk", "lose-handler", 3),
    "answered strangely": failing("UploadFileChunk", "html", 3),
    "not finalized": failing("UploadNewDocumentWidthHandler", "refuse-403"),
}


@pytest.mark.parametrize("how", VAIN)
async def test_a_failed_upload_keeps_no_chunk_and_a_short_chain(tmp_path: Path, how: str) -> None:
    source, settings = Given(6), replace(LONG, prove=lambda _: False)
    async with (
        Emulator(tmp_path, script=VAIN[how], chunk_sizes=(CHUNK, CHUNK)) as server,
        Client(server.url, user="demo", password="demo", settings=settings) as client,
    ):
        with pytest.raises(AsyncUploadError) as caught:
            await client.upload(source, to=TO)
        await source.gone()
        assert len(getattr(caught.value, "__notes__", [])) <= 2
        assert all(len(text) < LARGEST / 4 for text in rendered(caught.value))


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("error", [None, OSError("gone")])
async def test_a_line_that_is_left_waits_for_no_collector(error: Exception | None) -> None:
    async def few() -> AsyncGenerator[ChunkBuffer, None]:
        yield b"data"
        if error is not None:
            raise error

    async def pull() -> "weakref.ref[Line]":
        async with sealed_chunks(few(), depth=2, threads=anyio.CapacityLimiter(1)) as line:
            with suppress(OSError):
                async for _ in line:
                    pass
            return weakref.ref(line)

    line = await pull()
    if error is not None:
        error.__traceback__ = None
    assert line() is None


class Hiding:
    """Strikes nothing out."""

    def __call__(self, text: str) -> str:
        return text


@pytest.mark.usefixtures("no_collector")
def test_an_answer_that_is_no_xml_keeps_nothing_of_its_request() -> None:
    hide = Hiding()
    hidden = weakref.ref(hide)
    try:
        read("FolderExists", Answer(200, b"<p>"), hide)
    except errors.ForeignReply:
        del hide
    assert hidden() is None
