"""A mail server that keeps what it is sent: SMTP as far as one client speaks it (RFC 5321), on 127.0.0.1."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes, policy
from email.message import EmailMessage

MOST_LETTERS = 100
LONGEST_LINE = 10_000


class MailSink:
    """What arrived. While it is mute it takes connections and says nothing, as a server does that hangs."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.is_mute = False
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client: greeting, envelope, letter, goodbye."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                if self.is_mute:
                    await reader.read()  # until the client gives up
                else:
                    await self._talk(reader, writer)
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        while line := await reader.readline():
            verb = line[:4].upper().strip()
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                text = await reader.readuntil(b"\r\n.\r\n")
                letter = message_from_bytes(text[:-5], policy=policy.default)
                if len(self.letters) < MOST_LETTERS:
                    self.letters.append(letter)
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                return
            writer.write(b"250 ok\r\n")
            await writer.drain()


@contextmanager
def mail_sink() -> Iterator[MailSink]:
    """A sink on a free port, in a thread with a loop of its own."""
    sink, ready, stops = MailSink(), threading.Event(), []

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        async with await asyncio.start_server(sink.serve, "127.0.0.1", 0, limit=LONGEST_LINE) as server:
            sink.port = server.sockets[0].getsockname()[1]
            ready.set()
            await stop.wait()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield sink
    finally:
        stops[0]()
        thread.join(10)
