"""What one upload is told to do."""

from dataclasses import dataclass, field
from datetime import datetime

from ._names import Destination
from ._place import IfExists
from .checkpoints import Checkpoints, NoCheckpoints
from .properties import NONE_GIVEN, Properties
from .sources import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be done."""

    source: Source
    to: Destination
    comment: str = ""
    properties: Properties = NONE_GIVEN
    if_exists: IfExists = "version"
    chunk_size: int | None = None
    folder_exists: bool = False
    """Whether that is known, and need not be asked."""
    checkpoints: Checkpoints = field(default_factory=NoCheckpoints)
    since: datetime | None = None
    """An equal version that was stored since then is not stored again, by the server's clock."""
