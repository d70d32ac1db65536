"""Which kind of file system a journal stands on: SQLite's log works on a local disk only."""

import os
import re
from pathlib import Path

_NETWORK = re.compile(
    r"(fuse\.)?(nfs4?|cifs|smb[23]?|smbfs|ncpfs|afs|coda|ceph|glusterfs|lustre|gpfs|beegfs|orangefs|gfs2?|ocfs2|davfs2?"
    r"|sshfs|rclone|s3fs|goofys|gcsfuse|blobfuse2?|gvfsd-fuse|vmhgfs(-fuse)?|vboxsf|prl_fs|drvfs)"
)
"""Types of file systems that other machines write to as well, as Linux names them."""

MOUNTS = Path("/proc/self/mountinfo")


def network_of(path: Path) -> str:
    """The type of the network file system that a path is on; empty if it is on none, or nobody can tell. Blocks."""
    if os.name == "nt":
        return "a network share" if str(path.absolute()).startswith("\\\\") else ""
    try:
        mounts = MOUNTS.read_text("utf-8", "surrogateescape")
        folder = os.path.realpath(path.parent)
    except OSError:
        return ""
    kind = kind_of(folder, mounts)
    return kind.removeprefix("fuse.") if _NETWORK.fullmatch(kind) else ""


def kind_of(folder: str, mounts: str) -> str:
    """The type of the file system of a folder, by the lines of ``mountinfo``. Pure."""
    found = (-1, "")
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point, kind = (before.split(" ") + [""] * 5)[4], after.partition(" ")[0]
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point)
        # Of two at one place the later one covers the other.
        if (folder == point or folder.startswith(point.rstrip("/") + "/")) and len(point) >= found[0]:
            found = (len(point), kind)
    return found[1]
