"""The folders on the server, each made once."""

from asyncupload._place import Turns
from asyncupload.client import Client


class Folders:
    """Makes folders that are missing.

    Args:
        client: The server's.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known = set[str]()
        self._turns = Turns()

    async def ensure(self, path: str) -> None:
        """Make the folder and those above it, unless that has been seen to.

        Raises:
            AsyncUploadError: It is not there and cannot be made.
        """
        key = path.casefold()
        if key in self._known:
            return
        async with self._turns.at(path):
            if key not in self._known:
                # Looked for first: where it is there, the user may lack the right to make it.
                if not await self._client.folder_exists(path):
                    await self._client.create_folder(path)
                self._known.add(key)

    def forget(self, path: str) -> None:
        """It may be gone, after all."""
        self._known.discard(path.casefold())
