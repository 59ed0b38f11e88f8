"""A process that has imported the application and forks a server at each order: importing takes most of a start.

Run by `Warm`, one for each process of the tests. An order comes through the socket on its standard input, with the
two files that the server writes to; the answer is the server's number, and later, by its number, how it ended.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn


class Warm:
    """The side of the tests."""

    def __init__(self, folder: Path) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen([sys.executable, "-m", "tests.warm"], cwd=folder, stdin=theirs.fileno())
        self._ended: dict[int, int] = {}

    def start(self, environment: dict[str, str], module: str, arguments: Sequence[str]) -> "Forked":
        """Have `python -m module arguments` run with this environment, and standard output and error as they are."""
        order = json.dumps({"environment": environment, "module": module, "arguments": list(arguments)})
        socket.send_fds(self._socket, [order.encode()], [1, 2])
        while True:
            if "started" in (told := self._told()):
                self._ended.pop(told["started"], None)  # of an earlier one that had its number
                return Forked(self, told["started"])

    def code(self, pid: int, timeout: float) -> int | None:
        """How a server ended; None when it did not within so many seconds."""
        until = time.monotonic() + timeout
        while pid not in self._ended:
            if not select.select([self._socket], [], [], max(0.0, until - time.monotonic()))[0]:
                return None
            self._told()
        return self._ended[pid]

    def close(self) -> None:
        self._socket.close()
        self._process.wait(timeout=20)

    def _told(self) -> dict[str, int]:
        told: dict[str, int] = json.loads(self._socket.recv(4096))
        if "ended" in told:
            self._ended[told["ended"]] = told["code"]
        return told


class Forked:
    """A server that was forked, with what the tests use of `Popen`."""

    def __init__(self, warm: Warm, pid: int) -> None:
        self.pid = pid
        self._warm = warm

    def poll(self) -> int | None:
        return self._warm.code(self.pid, 0)

    def wait(self, timeout: float = 60) -> int:
        code = self._warm.code(self.pid, timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"server {self.pid}", timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def main() -> None:
    """Import what a server imports, then fork one at each order, until the tests close their end."""
    gc.disable()
    for name in ("uvicorn", "api.cli", "api.app", "api.deadlines"):
        import_module(name)
    gc.freeze()
    gc.enable()
    tests = socket.socket(fileno=os.dup(0))
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the tests end their servers themselves
    while True:
        ready, _, _ = select.select([tests.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell_of_the_dead(tests)
        if tests.fileno() in ready:
            order, files, *_ = socket.recv_fds(tests, 1 << 16, 2)
            if not order:
                return
            child = os.fork()
            if not child:
                signal.set_wakeup_fd(-1)
                _become(json.loads(order), files, [tests.detach(), woken, wakes])
            for file in files:
                os.close(file)
            tests.send(json.dumps({"started": child}).encode())


def _tell_of_the_dead(tests: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        tests.send(json.dumps({"ended": pid, "code": os.waitstatus_to_exitcode(status)}).encode())


def _become(order: dict[str, Any], files: list[int], ours: list[int]) -> NoReturn:
    """Be a process that was just started as the order says."""
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), *files)):
        os.dup2(file, number)
        os.close(file)
    for file in ours:
        os.close(file)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = [order["module"], *order["arguments"]]
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    main()
