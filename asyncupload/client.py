"""The front door: one client for one server and one user, for any number of uploads at once."""

import os
from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from typing import Literal

from ._archive import Archive, ArchiveTask
from ._check import Inspection, ServerReport
from ._download import Download
from ._ending import this_ending
from ._following import following
from ._leavings import Tidy
from ._log import get_logger
from ._names import destination, folder
from ._opened import journey
from ._place import IfExists
from ._resume import Resumption
from ._task import Task
from ._verify import Verification
from .checkpoints import Checkpoints, Commit, NoCheckpoints
from .errors import NotFound, ServerError
from .events import Audience, Downloaded, Event, Listener, Receipt, StoredDocument, Unpacked, Verified
from .properties import NONE_GIVEN, Properties, require_text
from .sources import Uploadable, as_source


class Client(Tidy):
    """An infoRouter server, seen by one user.

    To be used as ``async with Client(...) as client``, from one event loop, by any number of tasks. What is under way
    when it is closed is cancelled, has cleaned up before the session ends, and ends in UsageError, or in OutcomeUnknown
    if the request to store may have left.

    Args:
        url: The server's address with its virtual directory, as ``https://host/InfoRouter``.
        user: Login name.
        password: The user's password. It is sent once, when the first operation needs a ticket, and never shown.
        ticket: The ticket of a session that exists already, instead of user and password. It is not logged out.
        ca_file: PEM file with the certificate authorities to trust instead of the system's.
        client_cert: PEM file with the client's own certificate, for a server that asks for one, and with those of the
            authorities in between.
        client_key: PEM file with its private key, if that does not stand in ``client_cert``.
        client_key_password: Of an encrypted key. It is never shown.
        tls_min: The oldest version of TLS to speak, ``1.2`` or ``1.3``; None for what the system allows.
        session: A lent ``aiohttp.ClientSession``. It is not closed.
        settings: Chunk size, read-ahead, time limits, retries.
        observers: Called at the beginning of each upload, for a listener of its own; see
            :data:`~asyncupload.Observer`. Those of :mod:`asyncupload.telemetry` make spans and metrics.

    Raises:
        UsageError: The URL, a certificate file, its key or the combination of credentials cannot work.
    """

    @journey
    async def upload(
        self,
        source: Uploadable,
        *,
        to: str,
        if_exists: IfExists = "version",
        version_comment: str = "",
        properties: Properties = NONE_GIVEN,
        chunk_size: int | None = None,
        folder_exists: bool = False,
        checkpoints: Checkpoints | None = None,
        since: datetime | None = None,
        on_event: Listener | None = None,
    ) -> Receipt:
        """Bring a source into the server: as a new document, or as a new version of one.

        Args:
            source: A path, bytes, a binary file object (``read`` plain or async), an async iterator of bytes, or a
                :class:`~asyncupload.Source`.
            to: The document's path, as ``/Library/Folder/Name.ext``. The folder must exist.
            if_exists: What to do with a document that stands there: ``version`` adds one, with the document checked out
                meanwhile; ``fail`` raises AlreadyExists; ``skip`` reads the source through, unless it can be read only
                once, and sends nothing if the document is equal to it, otherwise adds a version; ``same`` does
                likewise, but raises AlreadyExists otherwise. Whatever is asked for, an equal version that somebody
                stored between the first look and the check-out is not stored again: the receipt says ``unchanged``.
            version_comment: Kept by the server with the version.
            properties: Description, keywords, dates and the like; see :class:`Properties`. With ``if_exists="skip"``
                an equal document keeps what it has.
            chunk_size: Bytes per chunk to ask for, if less than ``settings.chunk_size`` is wanted for this upload.
            folder_exists: Whether that is known of the folder, and need not be asked.
            checkpoints: Awaited at the points from which another process could go on after this one.
            since: Neither is one that was stored since then, by the server's clock (:meth:`server_time`).
            on_event: Called with every :class:`~asyncupload.Event`, on the event loop.

        Returns:
            When the server has stored the document and its checksum was found equal to that of the bytes read.

        Raises:
            UsageError: The destination or the source is not of a usable kind, or the comment has control characters.
            SourceError: The source is missing, unreadable, empty, or changed while it was read.
            ServerError: The server refused.
            RuleViolated: It says that it would, by its limits or the folder's rules: no more than they allow was sent.
            TransportError: The server could not be reached, or did not answer in the protocol's words.
            ChecksumMismatch: The server staged other bytes than were sent.
            OutcomeUnknown: The request to store left, its reply was lost, and looking did not tell. As
                StoredDifferently: a document was made of other bytes. Every other error means: not stored.

        On cancellation: the handler is deleted within ``settings.timeouts.cleanup`` seconds, unless the request to
        store may have left, and ``CancelledError`` goes on.

        Uploads of one client to one destination go one after another, and wait for room within ``settings.uploads`` and
        ``settings.memory``. Each holds at most ``(settings.depth + 2) × chunk size`` bytes of its source.
        """
        threads = self._entered()
        require_text("version_comment", version_comment)
        where, origin = destination(to), as_source(source)
        log = get_logger(source=origin.name, destination=where.path)
        task = Task(
            source=origin,
            to=where,
            comment=version_comment,
            properties=properties,
            if_exists=if_exists,
            chunk_size=chunk_size,
            folder_exists=folder_exists,
            checkpoints=checkpoints or NoCheckpoints(),
            since=since,
        )
        audience = Audience(on_event, log, self._observers)
        with audience.attending(where.path, this_ending().leftovers):
            patience = self._patience.told_to(audience, where.path)
            # The turn first: those who wait for one place must not fill the room of others.
            async with self._turns.at(where.path), self._room_for(origin, chunk_size, patience.waited):
                return await self._upload(patience, threads, audience, log, task).run()

    def upload_events(
        self,
        source: Uploadable,
        *,
        to: str,
        if_exists: IfExists = "version",
        version_comment: str = "",
        properties: Properties = NONE_GIVEN,
        chunk_size: int | None = None,
        folder_exists: bool = False,
        checkpoints: Checkpoints | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The same as a stream of its events: ``async for event in client.upload_events(...)``.

        The last event is :class:`~asyncupload.Stored`, with the receipt, or :class:`~asyncupload.Failed`, before the
        error is raised. The upload begins when the first event is asked for, and goes at its own speed: one who is slow
        to take them sees, in the order of happening, the latest of each kind that was not taken yet.

        Args:
            source: As for :meth:`upload`, and so are the others.

        Raises (while iterating): what :meth:`upload` raises, after the events that came before it.

        On cancellation of the one who iterates, and when the generator is closed, the upload is cancelled as
        :meth:`upload` is, and has cleaned up before that goes on. A loop that may be left early belongs in
        ``async with contextlib.aclosing(client.upload_events(...)) as events``: otherwise the event loop closes the
        generator soon after, and nobody waits for it.
        """
        return following(
            lambda listener: self.upload(
                source,
                to=to,
                if_exists=if_exists,
                version_comment=version_comment,
                properties=properties,
                chunk_size=chunk_size,
                folder_exists=folder_exists,
                checkpoints=checkpoints,
                on_event=listener,
            )
        )

    @journey
    async def preview(
        self,
        source: Uploadable,
        *,
        to: str,
        if_exists: IfExists = "version",
        checkpoints: Checkpoints | None = None,
    ) -> Literal["new", "version", "unchanged"]:
        """What :meth:`upload` would make of it, found out without sending anything. The folder may be missing yet.

        Args:
            source, to, if_exists: As for :meth:`upload`; the source must be one that can be read again.
            checkpoints: Asked whether an earlier upload may have left the document checked out. Nothing is written.

        Raises:
            AsyncUploadError: The upload would fail, and this is why.
        """
        threads = self._entered()
        where, origin = destination(to), as_source(source)
        log = get_logger(source=origin.name, destination=where.path)
        task = Task(source=origin, to=where, if_exists=if_exists, checkpoints=checkpoints or NoCheckpoints())
        return await self._upload(self._patience, threads, Audience(None, log), log, task).preview()

    @journey
    async def resume_commit(
        self,
        commit: Commit,
        *,
        properties: Properties = NONE_GIVEN,
        checkpoints: Checkpoints | None = None,
        may_be_running: bool = True,
    ) -> Receipt | None:
        """Find out what became of a request to store that another process wrote down as leaving, and died: the document
        is looked for; if it is not there, and its bytes are, it is made.

        Args:
            commit: What was written down.
            properties: Those of the upload.
            checkpoints: Awaited before the request leaves again.
            may_be_running: Whether the server may be at work on the request yet, as for some minutes after it left.
                While it may, nothing is deleted, and a document that is not there is not known to stay so.

        Returns:
            None if nothing was stored and nothing will be: the file is to be sent again, from its beginning.

        Raises:
            OutcomeUnknown: Nobody can tell.

        On cancellation nothing is deleted, and ``CancelledError`` goes on.
        """
        self._entered()
        log = get_logger(destination=commit.path)
        journey = Resumption(
            self._patience, log, commit, properties, checkpoints or NoCheckpoints(), may_be_running=may_be_running
        )
        async with self._turns.at(destination(commit.path).path):
            return await journey.run()

    @journey
    async def folder_exists(self, path: str) -> bool:
        """Whether there is such a folder, and the user may see it.

        Raises:
            UsageError: It cannot be a folder's path.
        """
        self._entered()
        target = folder(path)
        await self._patience.persist(self._remote.log_in)
        try:
            await self._patience.persist(lambda: self._remote.folder_exists(target))
        except NotFound:
            return False
        return True

    @journey
    async def create_folder(self, path: str) -> None:
        """Make a folder, and those above it but the library. One that is there already is a success too.

        Raises:
            NotFound: There is no such library.
        """
        self._entered()
        target = folder(path)
        await self._patience.persist(self._remote.log_in)
        try:
            await self._patience.persist(lambda: self._remote.create_folder(target))
        except ServerError:
            # Older servers refuse one that is there without a code, and in the session's language.
            if not await self.folder_exists(target):
                raise

    @property
    def congestion(self) -> int:
        """How many requests the server had no capacity for so far: refused for a while, or not answered in time."""
        return self._patience.congestion

    @journey
    async def upload_zip(
        self,
        source: Uploadable,
        *,
        to: str,
        changed_only: bool = False,
        check_out: bool = False,
        notify: bool = False,
        on_event: Listener | None = None,
    ) -> Unpacked:
        """Bring a ZIP archive, and have the server make documents of its entries.

        Args:
            source: As for :meth:`upload`.
            to: The folder for the entries, which must exist.
            changed_only: Leave out entries that are equal to the document that stands there. Implies ``check_out``.
            check_out: Check existing documents out, and in again.
            notify: Whether the server sends e-mails to those who subscribed.
            on_event: Called with every :class:`~asyncupload.Event`, on the event loop.

        Returns:
            What the server says of the entries; look at ``failed``. Some servers name only those.

        Raises:
            OperationMissing: The server does not unpack archives: nothing was sent.
            OutcomeUnknown: The request to unpack left, its reply was lost, and looking for the entries did not tell of
                all, or the source can be read only once: some entries may be documents now.
            AsyncUploadError: Nothing was unpacked.

        On cancellation as for :meth:`upload`.
        """
        threads = self._entered()
        target, origin = folder(to), as_source(source)
        log = get_logger(source=origin.name, destination=target)
        task = ArchiveTask(source=origin, folder=target, changed_only=changed_only, check_out=check_out, notify=notify)
        audience = Audience(on_event, log)
        with audience.attending(target, this_ending().leftovers):
            async with self._room_for(origin):
                return await Archive(self._patience.told_to(audience, target), threads, audience, log, task).run()

    @journey
    async def download(
        self,
        path: str,
        target: str | os.PathLike[str],
        *,
        version: int | None = None,
        on_event: Listener | None = None,
    ) -> Downloaded:
        """Bring a document back into a file, each chunk's checksum and the whole's compared.

        Args:
            path: The document's path.
            target: The file to write. One that exists is replaced in one step, when everything is right.
            version: The version's packed number, as a receipt's ``version_id``; None for the published version, or else
                the latest.
            on_event: Called with every :class:`~asyncupload.Event`, on the event loop.

        Raises:
            AsyncUploadError: ``target`` is as it was before. What came stays beside it, in a hidden file that ends in
                ``.part``: the next download of the same bytes to the same target goes on from there.

        On cancellation likewise, and ``CancelledError`` goes on.
        """
        threads = self._entered()
        where = destination(path)
        log = get_logger(path=where.path, target=str(target))
        audience = Audience(on_event, log)
        journey = Download(self._patience.told_to(audience, where.path), threads.reading, audience, log)
        return await journey.run(where.path, Path(target), version)

    @journey
    async def verify(
        self,
        source: Uploadable,
        path: str,
        *,
        version: int | None = None,
        deep: bool = False,
        on_event: Listener | None = None,
    ) -> Verified:
        """Find out whether a stored document is what is here.

        Args:
            source: As for :meth:`upload`.
            path: The document's path.
            version: The version's packed number; None for the latest.
            deep: Fetch every byte and compare it, instead of size and CRC-32 as the server tells them. Done in any case
                where the server tells no checksum.
            on_event: Called with every :class:`~asyncupload.Event`, on the event loop.

        Raises:
            ChecksumMismatch: It is not; the message says in what they differ.
            NotFound: There is no such document.
        """
        threads = self._entered()
        where, origin = destination(path), as_source(source)
        log = get_logger(source=origin.name, path=where.path)
        audience = Audience(on_event, log)
        journey = Verification(self._patience.told_to(audience, where.path), threads, audience, log)
        return await journey.run(origin, where.path, version=version, deep=deep)

    @journey
    async def describe(self, path: str, *, version: int | None = None) -> StoredDocument:
        """Ask what the server holds: how many bytes, and with which CRC-32.

        No byte of it moves where the server tells the checksum; otherwise all of them do, to compute it.

        Args:
            path: The document's path.
            version: The version's packed number, as a receipt's ``version_id``; None for the latest.

        Raises:
            NotFound: There is no such document, or no such version of it.
        """
        threads = self._entered()
        where = destination(path)
        log = get_logger(path=where.path)
        return await Verification(self._patience, threads, Audience(None, log), log).describe(where.path, version)

    @journey
    async def check(self) -> ServerReport:
        """Find out whether uploads can work: reach the server, log in, and have a handler granted (and deleted again).

        Raises:
            AsyncUploadError: They cannot, and this is why.
        """
        self._entered()
        return await Inspection(self._patience).run()
