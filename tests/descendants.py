"""Which processes a process has started, from /proc."""

import os
from pathlib import Path


def drawing_processes(parent: int) -> list[int]:
    """The pids of its drawing processes."""
    return [pid for pid in all_drawing_processes() if _parent_of(pid) == parent]


def all_drawing_processes() -> list[int]:
    """The same of the whole machine, whoever started them."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:  # it ended while we looked
                continue
            if b"campaigns.draughtsman" in command.split(b"\0"):
                found.append(int(folder.name))
    return found


def is_there(pid: int) -> bool:
    """Whether the process has not ended, or not been waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
