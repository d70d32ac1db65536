"""Bodies of requests, as a server gets them."""

import email.message
import email.parser
import email.policy

from asyncupload._body import Base64, Body


def joined(body: Body) -> bytes:
    """All pieces together, in the slices in which they leave."""
    return b"".join(
        b"".join(piece.slice(number) for number in range(piece.slices)) if isinstance(piece, Base64) else bytes(piece)
        for piece in body.pieces
    )


Part = tuple[str, str | None, bytes]
"""Name, file name, content."""


def parts_by_email(body: Body) -> list[Part]:
    """As the standard library's mail parser reads it."""
    head = f"MIME-Version: 1.0\r\nContent-Type: {body.content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + joined(body))
    assert message.is_multipart()
    assert not message.defects
    found: list[Part] = []
    for part in message.get_payload():
        assert isinstance(part, email.message.EmailMessage)
        assert part.get_content_disposition() == "form-data"
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(name, str)
        assert isinstance(content, bytes)
        found.append((name, part.get_filename(), content))
    return found
