"""User and system time of processes with everything that descends from them, from /proc (proc(5))."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")


class CpuOf:
    """CPU seconds of a process tree since this object was made.

    A process that was waited for has left its time with its parent (cutime, cstime), one that is there has its own:
    the sum over the tree misses neither who was born meanwhile nor who is gone.
    """

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._before = _tree_ticks(pid)

    def seconds(self) -> float:
        return (_tree_ticks(self._pid) - self._before) / TICKS


def tree_of(pid: int) -> list[int]:
    """A process and everything that descends from it."""
    return list(_tree(pid, _processes()))


class _Process(NamedTuple):
    parent: int
    ticks: int


def _tree_ticks(pid: int | None) -> int:
    if pid is None:
        return 0
    processes = _processes()
    return sum(processes[number].ticks for number in _tree(pid, processes) if number in processes)


def _tree(pid: int, processes: Mapping[int, _Process]) -> Iterator[int]:
    children = defaultdict(list)
    for number, one in processes.items():
        children[one.parent].append(number)
    waiting = [pid]
    while waiting:
        yield (number := waiting.pop())
        waiting += children[number]


def _processes() -> dict[int, _Process]:
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
                continue
            found[int(folder.name)] = _Process(int(fields[1]), sum(int(one) for one in fields[11:15]))
    return found
