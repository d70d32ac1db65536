"""A ledger held against the server, and against the files that it came from."""

import asyncio
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import FOLDER, PATIENT

from asyncupload import Client, ConnectFailed, LoginRefused, StoredDocument
from asyncupload.bulk.audit import HOPELESS, Audit, Finding, Origin, Verdict, compared, origin_of
from asyncupload.bulk.ledger import Entry
from asyncupload.emulator import Emulator

pytestmark = pytest.mark.anyio


def entry(data: bytes, name: str = "a", version: int | None = 1_000_000, source: Path = Path("/nowhere/a")) -> Entry:
    return Entry(
        source=bytes(source),
        destination=f"{FOLDER}/{name}",
        size=len(data),
        mtime_ns=1,
        crc32=zlib.crc32(data),
        sha256=None,
        document_id=1,
        version_id=version,
        stored_at="2026-01-01T00:00:00+00:00",
        server="",
        user="",
    )


async def found(client: Client, *entries: Entry, at_once: int = 4, sources: bool = False) -> dict[str, Finding]:
    findings: list[Finding] = []
    await Audit(client, findings.append, at_once=at_once, sources=sources).run(iter(entries))
    assert len(findings) == len(entries)
    return {finding.entry.destination.rpartition("/")[2]: finding for finding in findings}


async def test_each_document_is_held_against_its_own_version(client: Client) -> None:
    for name in ("a", "b"):
        await client.upload(b"first", to=f"{FOLDER}/{name}")
    second = await client.upload(b"second", to=f"{FOLDER}/a")

    findings = await found(
        client,
        entry(b"first", "a"),
        entry(b"wrong", "b"),
        entry(b"x", "none"),
    )
    assert {name: finding.verdict for name, finding in findings.items()} == {
        "a": Verdict.VERIFIED,
        "b": Verdict.DIFFERENT,
        "none": Verdict.MISSING,
    }
    assert "CRC-32" in findings["b"].reason
    later = await found(client, entry(b"second", "a", second.version_id))
    assert later["a"].verdict is Verdict.VERIFIED
    gone = await found(client, entry(b"second", "a", 9_000_000))
    assert gone["a"].verdict is Verdict.MISSING


async def test_a_server_that_is_gone_is_not_asked_for_ever(emulator: Emulator) -> None:
    class Counting(Client):
        asked = 0

        async def describe(self, path: str, *, version: int | None = None) -> StoredDocument:
            self.asked += 1
            return await super().describe(path, version=version)

    settings = replace(PATIENT, retries=replace(PATIENT.retries, attempts=1))
    async with Counting("http://127.0.0.1:9", user="demo", password="demo", settings=settings) as client:
        findings: list[Finding] = []
        await Audit(client, findings.append, at_once=1).run(entry(b"x", str(n)) for n in range(HOPELESS + 5))

    assert client.asked == HOPELESS
    assert [finding.verdict for finding in findings] == [Verdict.UNREACHABLE] * (HOPELESS + 5)
    assert "not asked" in findings[-1].reason


async def test_a_refused_login_ends_it_at_once(emulator: Emulator) -> None:
    async with Client(emulator.url, user="demo", password="wrong", settings=PATIENT) as client:
        with pytest.raises(LoginRefused):
            await Audit(client, lambda _: None).run(entry(b"x", str(n)) for n in range(50))
    assert [call.operation for call in emulator.calls].count("AuthenticateUser") == 1


async def test_only_so_many_are_asked_about_at_once() -> None:
    class Slow:
        now = most = 0

        async def describe(self, path: str, *, version: int | None = None) -> StoredDocument:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0)
            self.now -= 1
            raise ConnectFailed("no")

    def entries() -> Iterator[Entry]:
        yield from (entry(b"x", str(n)) for n in range(12))

    slow = Slow()
    await Audit(slow, lambda _: None, at_once=3).run(entries())
    assert 1 <= slow.most <= 3


def test_what_the_ledger_does_not_know_is_not_taken_for_verified() -> None:
    there = StoredDocument(path="/A/a", size=5, crc32=zlib.crc32(b"first"), version_id=1)
    known = entry(b"first")

    assert compared(known, there)[0] is Verdict.VERIFIED
    assert compared(replace(known, size=None), there)[0] is Verdict.VERIFIED
    assert compared(replace(known, crc32=None), there)[0] is Verdict.UNREACHABLE
    assert compared(replace(known, size=4), there)[0] is Verdict.DIFFERENT


async def test_sources_are_read_again_if_that_is_wanted(client: Client, tmp_path: Path) -> None:
    await client.upload(b"first", to=f"{FOLDER}/a")
    file = tmp_path / "a"
    file.write_bytes(b"firsT")

    wanted = await found(client, entry(b"first", source=file), sources=True)
    assert (wanted["a"].verdict, wanted["a"].origin) == (Verdict.VERIFIED, Origin.CHANGED)
    assert (await found(client, entry(b"first", source=file)))["a"].origin is Origin.NOT_READ


def test_a_source_is_told_by_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"first")
    known = entry(b"first", source=file)

    assert origin_of(known) is Origin.SAME
    assert origin_of(replace(known, sha256="00" * 32)) is Origin.CHANGED
    assert origin_of(replace(known, size=None, crc32=1)) is Origin.CHANGED
    assert origin_of(replace(known, source=bytes(tmp_path))) is Origin.UNREADABLE
    assert origin_of(replace(known, source=bytes(tmp_path / "b"))) is Origin.GONE
