"""Server-sent events: figures that move, to any number of open pages at the cost of one reading.

One task of a process reads all that anybody watches, at most twice a second, and wakes the streams of what changed. A
frame is a whole snapshot under a tag of its content: a stream that fell behind is given the newest one and misses
nothing that still holds, and one that comes back with `Last-Event-ID` hears at once when there is something new.
"""

import asyncio
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from campaigns import stats
from campaigns.errors import CampaignError
from campaigns.scans.rollups import Sums
from campaigns.storage import Database

PERIOD_S: Final = 0.5  # between two frames at least
QUIET_S: Final = 0.9  # between two looks while nothing changes: a scan shows well within two seconds
BEAT_S: Final = 15.0  # a comment at least so often: proxies close what is silent
MOST: Final = 1_000  # streams of a process
MOST_OF_ONE: Final = {"key": 600, "page": 8}  # of one key; of one signed-in phone or browser
AT_ONCE: Final = 25  # streams that are woken before the scan path has its turn
RETRY_MS: Final = 2_000  # after which a browser comes back

log = logging.getLogger("passerelle.streams")


@dataclass
class Reading:
    """One moment of the database, for all that is read in it. `fresh` are the scans that wait for the worker."""

    session: Session
    now: datetime
    fresh: Sums
    complete_up_to: datetime

    @classmethod
    def begin(cls, session: Session, now: datetime) -> "Reading":
        rollups, complete_up_to = stats.fresh_sums(session, now)
        return cls(session, now, rollups.sums, complete_up_to)


Read = Callable[[Reading], dict[str, Any]]
Check = Callable[[Session, datetime], bool]


@dataclass(frozen=True)
class Watched:
    """What a stream shows, the same for all with the same `key`. `moves` are its members that time alone changes."""

    key: Hashable
    read: Read
    moves: frozenset[str] = frozenset({"as_of", "complete_up_to"})
    event: str = "figures"


@dataclass(frozen=True)
class Watcher:
    """Who watches: a `kind` of bound, an id, and whether they still may."""

    kind: str
    id: Hashable
    may_still: Check


@dataclass(frozen=True)
class Frame:
    """A snapshot, ready to send, and its tag."""

    tag: str
    body: str
    chunk: bytes

    @classmethod
    def of(cls, watched: Watched, shown: dict[str, Any]) -> "Frame":
        body = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
        still = json.dumps({name: value for name, value in shown.items() if name not in watched.moves}, sort_keys=True)
        tag = hashlib.sha256(still.encode()).hexdigest()[:16]
        return cls(tag, body, f"id: {tag}\nevent: {watched.event}\ndata: {body}\n\n".encode())


@dataclass(eq=False)
class Topic:
    """What is read for somebody, the newest frame of it, and who waits for the next."""

    watched: Watched
    frame: Frame | None = None
    streams: "set[Stream]" = field(default_factory=set)


class Streams:
    """The streams of a process. Everything but the reading happens on its event loop.

    `recheck_s`: seconds between two looks whether each may still see what it is shown.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime], *, recheck_s: float) -> None:
        self._recheck_s = recheck_s
        self._database = database
        self._clock = clock
        self._topics: dict[Hashable, Topic] = {}
        self._held: Counter[tuple[str, Hashable]] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._checked = 0.0
        self._is_closed = False

    def open(
        self, watched: Watched, watcher: Watcher, *, last_id: str | None = None, frames: int | None = None
    ) -> "Stream | None":
        """A stream to answer with; None when there are too many. `frames`: it ends after so many."""
        is_full = self.number >= MOST or self._held[watcher.kind, watcher.id] >= MOST_OF_ONE[watcher.kind]
        return None if is_full or self._is_closed else Stream(self, watched, watcher, last_id, frames)

    async def newest(self, watched: Watched) -> Frame:
        """The snapshot of now: of those who watch it, else read for this once."""
        topic = self._topics.get(watched.key)
        if topic is not None and topic.frame is not None:
            return topic.frame
        return (await asyncio.to_thread(self._read, [watched]))[watched.key]

    @property
    def number(self) -> int:
        """How many are open."""
        return self._held.total()

    def close(self) -> None:
        """End every stream at once: the server stops."""
        self._is_closed = True
        for topic in self._topics.values():
            for stream in topic.streams:
                stream.end()

    def _join(self, stream: "Stream") -> Topic:
        topic = self._topics.setdefault(stream.watched.key, Topic(stream.watched))
        topic.streams.add(stream)
        self._held[stream.watcher.kind, stream.watcher.id] += 1
        if self._is_closed:
            stream.end()
        elif self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return topic

    def _leave(self, stream: "Stream", topic: Topic) -> None:
        topic.streams.discard(stream)
        if not topic.streams:
            self._topics.pop(stream.watched.key, None)
        whose = (stream.watcher.kind, stream.watcher.id)
        self._held[whose] -= 1
        if self._held[whose] <= 0:
            del self._held[whose]

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._topics and not self._is_closed:
            began = loop.time()
            moved: list[Topic] = []
            try:
                moved = await self._round(began)
            except Exception:  # the database is away, or a reading failed: the streams stay, and beat
                log.exception("what is streamed could not be read")
            await self._wake(moved, loop.time())
            took = loop.time() - began
            # Never more than half of a thread's time, whatever there is to read.
            await asyncio.sleep(max((PERIOD_S if moved else QUIET_S) - took, took))

    async def _round(self, began: float) -> list[Topic]:
        """Read what is watched; the topics that changed."""
        if began - self._checked >= self._recheck_s:
            self._checked = began
            await self._recheck()
        topics = dict(self._topics)
        frames = await asyncio.to_thread(self._read, [one.watched for one in topics.values()])
        moved = []
        for key, topic in topics.items():
            if topic.frame is None or topic.frame.tag != frames[key].tag:
                topic.frame = frames[key]
                moved.append(topic)
        return moved

    async def _wake(self, moved: Sequence[Topic], now: float) -> None:
        changed = set(map(id, moved))
        due = [
            stream
            for topic in list(self._topics.values())
            for stream in topic.streams
            if id(topic) in changed or now - stream.heard >= BEAT_S
        ]
        for start in range(0, len(due), AT_ONCE):
            for stream in due[start : start + AT_ONCE]:
                stream.wake.set()
            await asyncio.sleep(0)

    def _read(self, wanted: Sequence[Watched]) -> dict[Hashable, Frame]:
        now = self._clock()
        # Of one moment: a scan that the worker counts meanwhile is neither there twice nor missing.
        with self._database.moment() as session:
            reading = Reading.begin(session, now)
            return {one.key: Frame.of(one, one.read(reading)) for one in wanted}

    async def _recheck(self) -> None:
        """End the streams of those who may no longer see what they are shown."""
        streams = [stream for topic in self._topics.values() for stream in topic.streams]
        whose = {(stream.watched.key, stream.watcher.kind, stream.watcher.id): stream.watcher for stream in streams}
        gone = await asyncio.to_thread(self._gone, whose)
        for stream in streams:
            if (stream.watched.key, stream.watcher.kind, stream.watcher.id) in gone:
                stream.end()

    def _gone(self, whose: dict[Any, Watcher]) -> set[Any]:
        now = self._clock()
        with self._database.snapshot() as session:
            return {key for key, watcher in whose.items() if not _may_still(watcher, session, now)}


def _may_still(watcher: Watcher, session: Session, now: datetime) -> bool:
    try:
        return watcher.may_still(session, now)
    except CampaignError:
        return False


class Stream(Response):
    """One open answer: a head, then frames and now and then a comment, until its reader leaves or it is ended.

    While its reader takes nothing it waits in `send`; the frames of that time are one when it goes on.
    """

    media_type = "text/event-stream"

    def __init__(
        self, streams: Streams, watched: Watched, watcher: Watcher, last_id: str | None, frames: int | None
    ) -> None:
        super().__init__()
        del self.headers["content-length"]
        self.headers.update({"cache-control": "no-store", "x-accel-buffering": "no"})
        self.watched, self.watcher = watched, watcher
        self.wake = asyncio.Event()
        self.heard = 0.0
        self._streams = streams
        self._last_id = last_id
        self._left = frames
        self._is_over = False

    def end(self) -> None:
        """Let it end in a moment."""
        self._is_over = True
        self.wake.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        topic = self._streams._join(self)  # the two are one thing
        watch = asyncio.create_task(self._until_left(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send(send, f"retry: {RETRY_MS}\n\n".encode())
            while not self._is_over and self._left != 0:
                await self._next(topic, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._streams._leave(self, topic)
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _next(self, topic: Topic, send: Send) -> None:
        """Send the newest frame if it is new, else a comment when it is time; then wait."""
        frame = topic.frame
        if frame is not None and frame.tag != self._last_id:
            self._last_id = frame.tag
            self._left = None if self._left is None else self._left - 1
            await self._send(send, frame.chunk)
        elif asyncio.get_running_loop().time() - self.heard >= BEAT_S:
            await self._send(send, b": still here\n\n")
        else:
            await self.wake.wait()
            self.wake.clear()

    async def _send(self, send: Send, chunk: bytes) -> None:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        self.heard = asyncio.get_running_loop().time()

    async def _until_left(self, receive: Receive) -> None:
        message: Message = {"type": "http.request"}
        while message["type"] != "http.disconnect":
            message = await receive()
        self.end()
