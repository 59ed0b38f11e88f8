"""Run by the tests of backups in a process of its own: do something again and again, killed each time a step later.

A step is a call or a return in a function of `campaigns.backup`, what it calls in C included: each rename, link, sync
and statement. What must hold after each kill is asserted here.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from sqlmodel import Session

from campaigns.backup.archive import require_whole
from campaigns.errors import Conflict
from campaigns.privacy.log import Erasure
from campaigns.storage import Database
from campaigns.verify import verify
from tests.conftest import wait_until
from tests.faults.backups import name_in, note_replay, put, rename_and_die, take

WATCHED = ("/campaigns/backup/", "/campaigns/migrations/unfinished.py")


def is_watched(frame: FrameType) -> bool:
    """Whether a step is ours; of what clears up behind a killed one there is more each time, so it is none."""
    code = frame.f_code
    return code.co_name == "copyfileobj" or any(one in code.co_filename for one in WATCHED)


def steps_of(act: Callable[[], object]) -> int:
    """How many steps an act has."""
    count = 0

    def step(frame: FrameType, event: str, _: Any) -> None:
        nonlocal count
        count += is_watched(frame)

    sys.setprofile(step)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def kill_at(number: int, act: Callable[[], object]) -> None:
    """Do it in a child that is killed at its step of that number."""
    child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        return
    left = number

    def step(frame: FrameType, event: str, _: Any) -> None:
        nonlocal left
        left -= is_watched(frame)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(step)
    try:
        act()
        os.kill(os.getpid(), signal.SIGKILL)  # it took a step less this time: killed right after its last
    finally:
        os._exit(1)


def points(steps: int, wanted: int) -> list[int]:
    """So many of the steps, evenly, and the last ones, where it is decided."""
    late = [steps - back for back in (1, 20, 40)]
    return sorted({*late, *(max(1, steps * (one + 1) // (wanted + 1)) for one in range(wanted))})


def backups(url: str, folder: Path, wanted: int) -> None:
    """Whatever moment a backup is killed at, no file has its final name; the next one clears up behind it."""
    steps = steps_of(lambda: take(url, folder / "first.backup"))
    cut_off = 0
    for point in points(steps - 1, wanted):
        file = folder / f"{point}.backup"
        kill_at(point, lambda file=file: take(url, file))  # type: ignore[misc]  # bound now
        if file.exists():
            require_whole(file)
        else:
            cut_off += 1
    assert cut_off > wanted // 2, cut_off
    take(url, folder / "last.backup")
    assert [one.name for one in folder.iterdir() if not one.name.endswith(".backup")] == []


def restores(url: str, folder: Path, wanted: int) -> None:
    """Whatever moment a restore is killed at: what was there, or the restored one with its replay, or no service."""

    def restore(name: str) -> None:
        put(url, folder / f"{name}.backup", folder / "erasures", replay=note_replay)

    def set_the_scene() -> None:
        if name_served(url) != "After, 1 erased":
            until_quiet(lambda: restore("after"))
        if url.startswith("sqlite"):
            rename_and_die(url, "After, 1 erased")  # so that there is a WAL to lose

    set_the_scene()
    steps = steps_of(lambda: restore("it"))
    served: Counter[str] = Counter()
    for point in points(steps - 1, wanted):
        set_the_scene()
        kill_at(point, lambda: restore("it"))
        served[name_served(url)] += 1
    until_quiet(lambda: restore("after"))
    kill_at(sys.maxsize, lambda: put(url, folder / "it.backup", folder / "erasures", replay=die_replaying))
    assert name_served(url) == ("After, 1 erased" if url.startswith("sqlite") else "nothing")
    assert served.keys() <= {"After, 1 erased", "Before, 1 erased", "nothing"}, served
    assert min(served["After, 1 erased"], served["Before, 1 erased"]) > 0, served
    assert (served["nothing"] > 0) != url.startswith("sqlite"), served
    until_quiet(lambda: restore("it"))
    assert name_served(url) == "Before, 1 erased"
    database = Database(url)
    assert verify(database) == []
    database.close()


def die_replaying(session: Session, erasures: Sequence[Erasure]) -> int:
    note_replay(session, erasures)
    session.flush()
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def name_served(url: str) -> str:
    """Whose database a server would serve from now; nothing when it would refuse."""
    try:
        return name_in(url)
    except Conflict:
        return "nothing"


def until_quiet(act: Callable[[], object]) -> None:
    """Do it as soon as a dead process's connections are gone."""

    def is_done() -> bool:
        with suppress(Conflict):
            act()
            return True
        return False

    wait_until(is_done, seconds=20)


if __name__ == "__main__":
    url, folder, wanted = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    (folder / "cut").mkdir()
    backups(url, folder / "cut", wanted)
    restores(url, folder, wanted)
