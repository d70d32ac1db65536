"""Words that must not be seen: passwords and tickets."""

import html
import re
from urllib.parse import quote, quote_plus


class Secret:
    """A string that shows itself only when asked to, so that no log, repr or traceback can give it away."""

    __slots__ = ("_text", "_written")

    def __init__(self, text: str) -> None:
        self._text = text
        self._written: re.Pattern[str] | None = None

    @classmethod
    def of(cls, value: "str | Secret | None") -> "Secret | None":
        """Wrap a string; what is wrapped already, or absent, stays as it is."""
        return cls(value) if isinstance(value, str) else value

    def reveal(self) -> str:
        """The string itself: to be called where the request's bytes are made, and nowhere else."""
        return self._text

    def blot(self, text: str) -> str:
        """``text`` with the secret struck out wherever it stands, also as pages, addresses and forms write it."""
        if not self._text:
            return text
        if self._written is None:
            page = html.escape(self._text)
            address, form = quote(self._text, safe=""), quote_plus(self._text)
            forms = {self._text, page, page.replace("&#x27;", "&#39;"), address, quote(self._text), form}
            # The longest first, or what is left of one would still tell of it.
            ordered = sorted(forms, key=len, reverse=True)
            self._written = re.compile("|".join(map(re.escape, ordered)), re.IGNORECASE)
        return self._written.sub("•••", text)

    def __repr__(self) -> str:
        return "Secret(•••)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)
