"""Two processes that draw codes in bulk: there while somebody downloads, shared by all who do, gone after the last.

Processes of `multiprocessing` would import the server's main module, and outlive a server that was killed. These are
plain ones, each on a line of its own that the system closes with the server.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import Pipe
from queue import Empty, SimpleQueue
from typing import Final

from campaigns.errors import CampaignError
from campaigns.tokens.bulk_drawing import Order

PROCESSES: Final = 2
_PATIENCE_S: Final = 5.0  # for a process that was dismissed to end

Draw = Callable[[Order], Future[list[bytes]]]


class Workshop:
    """Where a server process has its codes drawn in bulk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._crew: _Crew | None = None
        self._users = 0

    @contextmanager
    def open(self) -> Generator[Draw, None, None]:
        """Somewhere to leave orders, which are drawn in turn with those of others.

        A future raises Invalid when a code of it does not read back, RuntimeError when its process died. Cancel those
        nobody waits for any more. The end of the block waits for nothing.
        """
        with self._lock:
            self._crew = crew = self._crew or _Crew()
            self._users += 1
        try:
            yield crew.draw
        finally:
            with self._lock:
                self._users -= 1
                is_last = not self._users
                if is_last:
                    self._crew = None
            if is_last:
                crew.dismiss()


class _Crew:
    """As many threads as processes: each order is given to a process that is free, started when there is none yet."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(PROCESSES, thread_name_prefix="drawing")
        self._free: SimpleQueue[_Draughtsman] = SimpleQueue()

    def draw(self, order: Order) -> Future[list[bytes]]:
        return self._threads.submit(self._draw, order)

    def dismiss(self) -> None:
        """End the processes once each has drawn what it is drawing, without anybody waiting for it."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        threading.Thread(target=self._end, name="drawing ends").start()

    def _draw(self, order: Order) -> list[bytes]:
        try:
            draughtsman = self._free.get_nowait()
        except Empty:
            draughtsman = _Draughtsman()
        try:
            images = draughtsman.draw(order)
        except CampaignError:
            self._free.put(draughtsman)
            raise
        except BaseException:
            draughtsman.end()
            raise
        self._free.put(draughtsman)
        return images

    def _end(self) -> None:
        self._threads.shutdown(wait=True)
        while not self._free.empty():
            self._free.get().end()


class _Draughtsman:
    """One drawing process, in a session of its own: a Ctrl-C in the server's terminal is for the server."""

    def __init__(self) -> None:
        self._line, theirs = Pipe()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [sys.executable, "-m", "campaigns.draughtsman", str(descriptor)],
                stdin=subprocess.DEVNULL,
                pass_fds=[descriptor],
                start_new_session=True,
                env=_environment(),
            )

    def draw(self, order: Order) -> list[bytes]:
        try:
            self._line.send(order)
            answer: list[bytes] | CampaignError = self._line.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError("a drawing process died") from error
        if isinstance(answer, CampaignError):
            raise answer
        return answer

    def end(self) -> None:
        self._line.close()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _environment() -> dict[str, str]:
    """The server's own, with its import path and without its secrets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PASSERELLE_")}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
