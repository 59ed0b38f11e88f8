"""A ZIP of any number of files, sent while it is written: it is never whole in memory."""

import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

Files = AsyncIterator[Sequence[tuple[str, bytes]]]  # some at a time; name, content

# Of SVG, in ms and bytes a code: stored 0.012 and 3,355, level 1 0.035 and 1,041, level 6 0.059 and 917.
_LEVEL: Final = 1


class ZipResponse(StreamingResponse):
    """A ZIP download. Whatever the files come from is closed with it, also when its client leaves or a file fails.

    After a failure the connection is dropped before the archive's directory: nobody takes a part for the whole.
    """

    def __init__(self, name: str, files: Files, *, made_at: datetime) -> None:
        headers = {"Content-Disposition": f'attachment; filename="{name}.zip"', "Cache-Control": "private, no-store"}
        self._chunks = _zipped(files, made_at)
        super().__init__(self._chunks, media_type="application/zip", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._chunks):
            await super().__call__(scope, receive, send)


class _Outlet:
    """What `zipfile` writes to: it cannot seek, so sizes follow each file in a data descriptor (APPNOTE 4.3.9)."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """`zipfile` leaves it open: it did not open it."""

    def take(self) -> bytes:
        """What was written since it was last asked."""
        taken = bytes(self._held)
        self._held.clear()
        return taken


async def _zipped(files: Files, made_at: datetime) -> AsyncGenerator[bytes, None]:
    outlet, written_at = _Outlet(), made_at.timetuple()[:6]  # one for all: `zipfile` keeps what it was told of each
    archive = zipfile.ZipFile(outlet, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)

    def add(some: Sequence[tuple[str, bytes]]) -> bytes:
        for name, content in some:
            archive.writestr(zipfile.ZipInfo(name, written_at), content, zipfile.ZIP_DEFLATED, _LEVEL)
        archive.NameToInfo.clear()  # 10 MB of 100,000 files, only to warn of a name given twice
        return outlet.take()

    async for some in files:
        yield await run_in_threadpool(add, some)
    archive.close()  # writes the directory, in ZIP64 above 65,535 files
    yield outlet.take()
