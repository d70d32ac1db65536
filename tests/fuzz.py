"""A million mutated answers for the reader of replies: typed errors only, never a wrong success, never a crash; and
some thousands on a line on which answers come twice, cut off and run together: never the answer to another question.

python tests/fuzz.py --answers 1000000 --questions 5000 --seed 1
"""

import argparse
import asyncio
import random
import re
import sys
import time
from collections import Counter
from typing import Any

from babble import fuzz_line

from asyncupload import AsyncUploadError, _call, _reading, _reply, _wire
from asyncupload._pipeline import SealedChunk
from asyncupload._reply import Answer
from asyncupload._secret import Secret

TICKET = Secret("3f2504e0-4f89-11d3-9a0c-0305e82c3301")
GUID = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
CHUNK = SealedChunk(1, b"123456789", 0xCBF43926, last=True)

CALLS = (
    _wire.server_info(),
    _wire.authenticate("demo", Secret("hush-hush")),
    _wire.document_exists(TICKET, "/L/a"),
    _wire.document(TICKET, "/L/a"),
    _wire.versions(TICKET, "/L/a"),
    _wire.general_settings(TICKET),
    _wire.create_handler(TICKET, 262_144),
    _wire.send_chunk(TICKET, GUID, CHUNK.data, CHUNK.crc32, last=True),
    _wire.finalize(TICKET, "/L/a", GUID, "comment"),
    _wire.finalize_new(TICKET, "/L", "a", GUID, ""),
    _wire.unpack(TICKET, "/L", GUID, changed_only=False, check_out=False, notify=False),
    _reading.open_download(TICKET, "/L/a", 262_144),
    _reading.read_chunk(TICKET, GUID, 0, 9),
)

ANSWERS = (
    b'<?xml version="1.0" encoding="utf-8"?><root success="true" tryagain="false" filehexcrc="CBF43926" />',
    b'<root success="false" tryagain="true" />',
    b'<root success="true" ticket="3f2504e0-4f89-11d3-9a0c-0305e82c3301" username="demo" />',
    b'<response success="true" error="" UploadHandler="a1b2c3d4" ChunkSize="1048576" />',
    b'<root success="true" DocumentId="12345" VersionId="1000001" />',
    b'<response success="true" CRC32LASTVERSION="a3f1c29d" CRC32="b7e4d80c" />',
    b'<response success="true"><document DocumentID="7" CheckoutByUserName="anna" /></response>',
    b'<response success="true"><Versions><Version Number="1"><Comment>x</Comment></Version></Versions></response>',
    b'<response success="true" Size="9" CRC32="cbf43926" ChunkSize="262144" downloadhandler="a1b2" />',
    b'<root success="true" chunkCRC32="CBF43926">MTIzNDU2Nzg5</root>',
    b'<response error="Folder not found." />',
    b'<root success="false" errorCode="4010" error="[901] Session expired or Invalid ticket" />',
    b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>",
    b'<!DOCTYPE r [<!ENTITY a "b">]><root success="&a;" />',
    b'\xef\xbb\xbf<root success="TRUE" DocumentID="1" />',
)

OPENING = (
    b'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
    b'<soap:Body><OpResponse xmlns="http://tempuri.org/"><OpResult>'
)
CLOSING = b"</OpResult></OpResponse></soap:Body></soap:Envelope>"

FAULTS = tuple(
    b'<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault><faultcode>'
    + code
    + b"</faultcode><faultstring>true, but unable to process request</faultstring></soap:Fault></soap:Body>"
    b"</soap:Envelope>"
    for code in (b"soap:Client", b"soap:Server")
)

WHOLE = (*ANSWERS, *(OPENING + answer + CLOSING for answer in ANSWERS if not answer.startswith(b"<?")), *FAULTS)

PIECES = (
    b"<",
    b">",
    b'"',
    b"&",
    b"&#0;",
    b"&amp;",
    b"<!DOCTYPE",
    b"<![CDATA[",
    b"\x00",
    b"\xff\xfe",
    b"success",
    b"true",
)


def mutated(die: random.Random) -> bytes:
    """One of WHOLE with up to eight changes: bytes flipped, cut, doubled, swapped, and syntax thrown in."""
    body = bytearray(die.choice(WHOLE))
    for _ in range(die.randint(0, 8)):
        at, to = sorted((die.randint(0, len(body)), die.randint(0, len(body))))
        match die.randrange(5):
            case 0 if body:
                body[at - 1] = die.randrange(256)
            case 1:
                del body[at : min(to, at + 20)]
            case 2:
                body[at:at] = body[at : min(to, at + 40)]
            case 3:
                body[at:at] = die.choice(PIECES)
            case _:
                body[at:at] = die.choice(WHOLE)[at:to]
    return bytes(body[:20_000])


def spliced(die: random.Random) -> bytes:
    """Whole answers cut off or run together, so that no honest reader can take the sum for one of them."""
    whole, other = die.choice(WHOLE), die.choice(WHOLE)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(other)
    match die.randrange(5):
        case 0:
            return whole[: die.randrange(len(whole))]
        case 1:
            return whole * die.randint(2, 4)
        case 2:
            return whole + other
        case 3:
            return whole + head + other
        case _:
            return whole[: die.randrange(len(whole))] + other


def _bare(body: bytes) -> bytes:
    """Without what may stand before a document."""
    return re.sub(rb"^(?:\xef\xbb\xbf|<\?xml[^>]*\?>)*", b"", body)


def fuzz_spliced(answers: int, seed: int) -> Counter[str]:
    """None of them is a success; anything but a typed error comes out as it is, with the answer in its notes."""
    die, ends = random.Random(f"spliced {seed}"), Counter[str]()
    for _ in range(answers):
        call: _call.Call[Any] = die.choice(CALLS)
        body = spliced(die)
        try:
            _call.understand(call, Answer(200, body))
        except AsyncUploadError as error:
            ends[f"spliced: {type(error).__name__}"] += 1
        except BaseException as error:
            error.add_note(f"{call.operation}: {body!r}")
            raise
        else:
            if _bare(body) not in {_bare(whole) for whole in WHOLE}:  # nothing else may be left of the first
                raise AssertionError(f"{call.operation}: a success was read out of {body!r}")
    return ends


def fuzz(answers: int, seed: int) -> Counter[str]:
    """Anything but a typed error or a success comes out as it is, with the answer in its notes."""
    die, ends = random.Random(seed), Counter[str]()
    for _ in range(answers):
        call: _call.Call[Any] = die.choice(CALLS)
        body, status = mutated(die), die.choice((200, 200, 200, 500))
        try:
            _reply.read_description(Answer(status, body))
            _call.understand(call, Answer(status, body))
        except AsyncUploadError as error:
            ends[type(error).__name__] += 1
        except BaseException as error:
            error.add_note(f"{call.operation}: {body!r}")
            raise
        else:
            ends["success"] += 1
            if status != 200 or b"true" not in body.lower():
                raise AssertionError(f"a success without the word, or of status {status}: {body!r}")
    return ends


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutated answers for the reply reader.")
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--questions", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    began = time.monotonic()
    ends = fuzz(chosen.answers, chosen.seed) + fuzz_spliced(chosen.answers // 10, chosen.seed)
    ends += asyncio.run(fuzz_line(chosen.questions, chosen.seed))
    print(f"{ends.total()} answers in {time.monotonic() - began:.0f} s")
    for end, count in ends.most_common():
        print(f"{count:8}  {end}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
