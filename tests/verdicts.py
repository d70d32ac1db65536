"""What an upload of the storm was told, held against what the server has: tests/storm.py."""

import asyncio
from dataclasses import dataclass, field

from chains import judged
from weather import LATE, Round

from asyncupload import AsyncUploadError, Client, Committing, Event, HandlerOpened, OutcomeUnknown, Receipt
from asyncupload.emulator import Document, Emulator

LONGEST = 600.0
"""Seconds after which an upload has frozen."""


@dataclass
class Journey:
    """One upload of a round, and what is known of it."""

    to: str
    data: bytes
    client: int = 0
    cancel_after: float | None = None
    """Seconds."""
    end: Receipt | BaseException | None = None
    handlers: set[str] = field(default_factory=set)
    committed: bool = False
    """Whether the request to store may have left."""
    told: set[str] = field(default_factory=set)
    """Handlers and paths that it was told are left on the server."""

    def note(self, event: Event) -> None:
        self._hear(event)
        match event:
            case HandlerOpened():
                self.handlers.add(event.handler)
                self.committed = False
            case Committing():
                self.committed = True
            case _:
                pass

    def _hear(self, teller: object) -> None:
        self.told |= {left.name for left in getattr(teller, "left", ())}

    @property
    def may_be_stored(self) -> bool:
        """Whether nobody was told that it is not."""
        cut_off = isinstance(self.end, asyncio.CancelledError) and self.committed
        return isinstance(self.end, Receipt | OutcomeUnknown) or cut_off

    async def go(self, client: Client) -> None:
        try:
            async with asyncio.timeout(self.cancel_after or LONGEST):
                self.end = await client.upload(self.data, to=self.to, on_event=self.note)
        except AsyncUploadError as error:
            self.end = error
        except TimeoutError as error:
            self.end = asyncio.CancelledError() if self.cancel_after else error
        except Exception as error:  # noqa: BLE001  (nothing else may come out, and it is judged, too)
            self.end = error
        self._hear(self.end)

    def outcome(self, *, stored: bool) -> str:
        """In words, for counting."""
        match self.end:
            case Receipt(resent=resent, restarted=restarted):
                return "stored after trouble" if resent or restarted else "stored"
            case asyncio.CancelledError():
                return f"cancelled, and {'stored' if stored else 'not stored'}"
            case OutcomeUnknown():
                return f"{type(self.end).__name__}, and {'stored' if stored else 'not stored'}"
            case end:
                return f"not stored: {type(end).__name__}"


async def judge(this: Round, server: Emulator, journeys: list[Journey], existing: set[str]) -> None:
    """Write down in the round what came of its journeys, and what is wrong with it."""
    documents = {document.path: document for document in await server.documents()}
    for path in sorted({journey.to for journey in journeys}):
        here = [journey for journey in journeys if journey.to == path]
        await _judge_place(this, server, here, documents.get(path), (1 + this.history) * (path in existing))
    await _judge_leavings(this, server, journeys)
    for journey in journeys:
        if isinstance(journey.end, Exception):
            # In a thread: other rounds go on meanwhile, and their time is short.
            this.wrong.extend(filter(None, [await asyncio.to_thread(judged, journey.end)]))


async def _judge_place(
    this: Round, server: Emulator, here: list[Journey], document: Document | None, before: int
) -> None:
    """Hold what those who went to one place were told against its versions."""
    path, versions = here[0].to, document.versions[before:] if document else ()
    stored = {version.number: (await server.content(path, version.number)).read_bytes() for version in versions}
    for journey in here:
        made = sum(content == journey.data for content in stored.values())
        this.wrong.extend(f"{path}: {what}" for what in _wrong_with(journey, stored, made))
        if made > 1 and isinstance(journey.end, OutcomeUnknown):
            this.doubled.append(f"{path}: {made} versions were made, and {journey.end!r} was told")
        outcome = journey.outcome(stored=made > 0)
        this.outcomes[outcome] += 1
        if len(here) == 1 and journey.cancel_after is None:
            this.uncontested[outcome] += 1
    if strange := [number for number, content in stored.items() if content not in {one.data for one in here}]:
        this.wrong.append(f"{path}: versions with other bytes were made: {strange}")


def _wrong_with(journey: Journey, stored: dict[int, bytes], made: int) -> list[str]:
    end = journey.end
    told = isinstance(end, Receipt)
    wrong = [
        (made > 1 and not isinstance(end, OutcomeUnknown), f"{made} versions were made, and {end!r} was told"),
        (told and made == 0, f"told as stored, but it is not: {end!r}"),
        (isinstance(end, Receipt) and not _named_rightly(end, stored, journey.data), f"told as another: {end!r}"),
        (not journey.may_be_stored and made > 0, f"told as not stored ({end!r}), but it is"),
        (
            not isinstance(end, Receipt | AsyncUploadError | asyncio.CancelledError),
            f"something else than an error of the package's came out: {end!r}",
        ),
    ]
    return [what for it_is, what in wrong if it_is]


def _named_rightly(receipt: Receipt, stored: dict[int, bytes], data: bytes) -> bool:
    return receipt.version_id is None or stored.get(receipt.version_id) == data


async def _judge_leavings(this: Round, server: Emulator, journeys: list[Journey]) -> None:
    """No handler that the client knew is left, unless its outcome is unknown, and no document is checked out; unless
    who left it was told.

    A lock whose request is applied after its reply was lost, and everybody has gone, is nobody's to give back; nor
    is a handler that is bound to a session that the server forgot.
    """
    told = {name for journey in journeys for name in journey.told}
    checkouts = {path: user for path, user in (await server.checkouts()).items() if path not in told}
    late = sum(call.operation == "Lock" and call.applied and bool(LATE & set(call.faults)) for call in server.calls)
    if len(checkouts) > late:
        this.wrong.append(f"documents are left checked out, and nobody was told: {checkouts}")
    known = {
        handler
        for journey in journeys
        if isinstance(journey.end, Receipt) or not journey.may_be_stored
        for handler in journey.handlers
    }
    left = ({handler.guid for handler in await server.open_handlers()} & known) - told
    if left and "ticket-bound" not in this.variants:
        this.wrong.append(f"handlers are left, and nobody was told: {left}")
