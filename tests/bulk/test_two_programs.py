"""Programs of one account that send the same at the same time: a part of what ``make twins`` plays.

A seed that goes wrong is printed, and played again by ``python tests/twins.py --seed N``.
"""

from datetime import timedelta
from pathlib import Path

import pytest
import twins

from asyncupload import Client
from asyncupload.bulk.begun import BEGUN
from asyncupload.bulk.journal import Journal
from asyncupload.bulk.options import LoadOptions
from asyncupload.emulator import Emulator
from bulk.loads import OPTIONS, TO, Files, load, many, states

pytestmark = pytest.mark.anyio

FILES = 12


@pytest.mark.timeout(300)
async def test_two_programs_store_each_content_once() -> None:
    """With copied journals and with some that were never related; one is killed while it holds a check-out."""
    plays = [
        twins.Play(1, "an original and a copy", "version", FILES, FILES, kills=False, others=False),
        twins.Play(2, "two copies", "version", FILES, FILES, kills=True, others=False),
        twins.Play(3, "never related", "version", FILES, FILES // 2, kills=False, others=True),
    ]

    played = await twins.twins(plays)

    assert not [play for play in played if play.wrong], "\n".join(map(str, played))


VERSION = LoadOptions(if_exists="version", retry_after=OPTIONS.retry_after, lease=OPTIONS.lease)


async def test_a_load_leaves_alone_what_another_stored_since_it_was_begun(
    client: Client, emulator: Emulator, tmp_path: Path
) -> None:
    """The first load was begun before the other one, and comes to its files after it."""
    items = Files(tmp_path / "tree").write(many(3))
    async with Journal.open(tmp_path / "first.journal") as journal:
        began = await client.server_time()
        assert began is not None
        await journal.note_run(**{BEGUN: began.isoformat()})
    await load(client, tmp_path / "other.journal", items, VERSION)

    progress, _ = await load(client, tmp_path / "first.journal", items, VERSION)

    assert states(progress) == {"unchanged": 3}
    assert {len(document.versions) for document in await emulator.documents()} == {1}
    assert await emulator.open_handlers() == []


async def test_a_load_that_is_begun_later_adds_a_version_as_it_was_told(
    client: Client, emulator: Emulator, tmp_path: Path
) -> None:
    items = Files(tmp_path / "tree").write(many(3))
    await load(client, tmp_path / "first.journal", items, VERSION)

    progress, _ = await load(client, tmp_path / "other.journal", items, VERSION)

    assert states(progress) == {"stored": 3}
    assert {len(document.versions) for document in await emulator.documents()} == {2}


async def test_only_the_latest_version_counts(client: Client, emulator: Emulator) -> None:
    """What was stored since, and is no longer the latest, is stored again."""
    await client.create_folder(TO)
    began = await client.server_time()
    assert began is not None
    for data in (b"ours", b"theirs"):
        await client.upload(data, to=f"{TO}/a")

    receipt = await client.upload(b"ours", to=f"{TO}/a", since=began - timedelta(seconds=1))

    assert receipt.status == "stored"
    assert (await emulator.content(f"{TO}/a")).read_bytes() == b"ours"
