"""The least a server can do for a scan, with the flags of `passerelle serve`: `python -m tests.bench.bare PORT`."""

import sys

import uvicorn
from starlette.types import Receive, Scope, Send

from api.cli import SERVER_FLAGS

DESTINATION = "https://shop.example/verger"


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """A redirect, and nothing else."""
    if scope["type"] != "http":
        return
    headers = [(b"location", DESTINATION.encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 302, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    uvicorn.run(bare, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", **SERVER_FLAGS)
