"""An infoRouter document server on this machine, to try uploads against.

It reads the vendor's pages independently of the client: it shares no code with the rest of the package.

::

    async with Emulator("data", users={"demo": "demo"}) as server:
        ...  # a client of server.url
"""

from asyncupload.emulator.exchange import CallRecord
from asyncupload.emulator.faults import FAULTS, PASSING, Fault
from asyncupload.emulator.generations import GENERATIONS
from asyncupload.emulator.handlers import UploadHandler
from asyncupload.emulator.library import Document, Version
from asyncupload.emulator.scripts import Call, Hit, Script, at, everywhere, once, rates, together
from asyncupload.emulator.server import Emulator
from asyncupload.emulator.threaded import ThreadedEmulator
from asyncupload.emulator.variants import VARIANTS

__all__ = [
    "FAULTS",
    "GENERATIONS",
    "PASSING",
    "VARIANTS",
    "Call",
    "CallRecord",
    "Document",
    "Emulator",
    "Fault",
    "Hit",
    "Script",
    "ThreadedEmulator",
    "UploadHandler",
    "Version",
    "at",
    "everywhere",
    "once",
    "rates",
    "together",
]
