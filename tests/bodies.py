"""Bodies of requests, as a server gets them."""

from asyncupload._body import Base64, Body


def joined(body: Body) -> bytes:
    """All pieces together, in the slices in which they leave."""
    return b"".join(
        b"".join(piece.slice(number) for number in range(piece.slices)) if isinstance(piece, Base64) else bytes(piece)
        for piece in body.pieces
    )
