"""The archive's files: whose they are, what a killed run left, a disk that lies; and what its command refuses."""

import fcntl
import gzip
import os
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from campaigns.errors import Conflict
from campaigns.scans import archiving
from campaigns.scans.models import ReceiptTries
from campaigns.stats import parquet
from campaigns.storage import Database
from tests.campaigns.test_archiving import BEFORE, NOW, START, kept
from tests.conftest import SECRET, run_passerelle
from tests.scene import Scene, set_scene


def _as_parquet(path: Path, pages: archiving.Pages) -> None:
    parquet.write(path, archiving.COLUMNS, pages)


def _a_few(database: Database) -> Scene:
    """A scan in each of four months; the last stays."""
    begin = START - timedelta(days=1)
    scene = set_scene(database, campaign={"now": begin}, place={"now": begin})
    for number, days in enumerate((0, 20, 50, 70)):
        at = START + timedelta(days=days)
        scene.scan_and_confirm(at=at, visitor_key=number)
        scene.drain(now=at + timedelta(minutes=5))
    return scene


def _others_may(path: Path) -> int:
    return path.stat().st_mode & 0o077


def test_files_are_their_owners_alone_whatever_a_killed_run_left(database: Database, tmp_path: Path) -> None:
    _a_few(database)
    folder = tmp_path / "archive"
    made = archiving.archive(database, folder, before=BEFORE, parquet=_as_parquet, now=NOW)
    next(made)
    assert _others_may(folder) == 0
    for name in ("scans-2026-08.ndjson.gz.part", "scans-2026-08.parquet.part"):
        (folder / name).write_text("half of a file")
        (folder / name).chmod(0o644)
    list(made)
    assert sorted(one.name for one in folder.iterdir()) == [
        f"scans-2026-{month}.{kind}"
        for month in ("07", "08", "09")
        for kind in ("ndjson.gz", "ndjson.gz.manifest.json", "parquet")
    ]
    for one in folder.iterdir():
        assert _others_may(one) == 0, one


def test_a_scan_that_came_late_goes_to_a_file_of_its_own(database: Database, tmp_path: Path) -> None:
    scene = _a_few(database)
    first = {one.file: (one, gone) for one, gone in archiving.archive(database, tmp_path, before=BEFORE, now=NOW)}
    untouched = {name: (tmp_path / name).read_bytes() for name in first}
    late = scene.scan(at=START, visitor_key=77)
    scene.drain(now=START + timedelta(minutes=1))
    ((one, gone),) = archiving.archive(database, tmp_path, before=BEFORE, now=NOW)
    assert (one.file, gone) == ("scans-2026-07-2.ndjson.gz", 1)
    assert list(archiving.read_back(tmp_path / one.file)) == [UUID(late.id)]
    assert {name: (tmp_path / name).read_bytes() for name in first} == untouched


def test_tries_of_a_till_code_go_with_their_scan(database: Database, tmp_path: Path) -> None:
    _a_few(database)
    old, *_, new = sorted(kept(database))
    with database.transaction() as session:
        session.add_all([ReceiptTries(scan_id=one, tries=2) for one in (old, new)])
    list(archiving.archive(database, tmp_path, before=BEFORE, now=NOW))
    with database.snapshot() as session:
        assert session.get(ReceiptTries, old) is None
        assert session.get(ReceiptTries, new) is not None


def test_nothing_is_deleted_when_the_disk_kept_less_than_was_written(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that says yes and loses the last line: what is left is a good file, with a scan too few."""
    _a_few(database)
    scans = kept(database)

    def losing(descriptor: int) -> None:
        held = gzip.decompress(Path(f"/proc/self/fd/{descriptor}").read_bytes())
        left = gzip.compress(b"".join(held.splitlines(keepends=True)[:-1]))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, left, 0)

    with monkeypatch.context() as lying:
        lying.setattr(os, "fsync", losing)
        with pytest.raises(Conflict, match="does not hold what was written"):
            list(archiving.archive(database, tmp_path, before=BEFORE, now=NOW))
    assert kept(database) == scans
    assert len(list(archiving.archive(database, tmp_path, before=BEFORE, now=NOW))) == 3


# The command -----------------------------------------------------------------------------------------------------


def _archive(database_url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PASSERELLE_")}
    environment |= {"PASSERELLE_DATABASE_URL": database_url, "PASSERELLE_SECRET_KEY": SECRET, "COLUMNS": "999"}
    return run_passerelle(environment, "archive", *arguments)


REFUSED = (
    (("--before", "2026-10-02"), "name the first day"),
    (("--before", "October"), "is no day"),
    (("--before", "2026-10-01", "--format", "csv"), "ndjson, or as parquet"),
)


@pytest.fixture
def whole(database: Database) -> Iterator[Database]:
    """A database of which no scan may go."""
    _a_few(database)
    scans = kept(database)
    yield database
    assert kept(database) == scans


def test_the_command_says_what_it_cannot_do(whole: Database, tmp_path: Path) -> None:
    for arguments, words in REFUSED:
        done = _archive(whole.url, *arguments, "--out", str(tmp_path / "archive"))
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "archive").exists()


def test_the_command_says_what_is_in_its_way(whole: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = _archive(whole.url, "--before", "2026-10-01", "--out", str(tmp_path / "file"))
    assert (done.returncode, "could not be written" in done.stderr) == (1, True), done.stderr
    if whole.path is not None:
        with Path(f"{whole.path}.lock").open("a") as lock:  # as `serve` holds it
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = _archive(whole.url, "--before", "2026-10-01", "--out", str(tmp_path / "archive"))
        assert (done.returncode, "Stop it first" in done.stderr) == (1, True), done.stderr
        nowhere = tmp_path / "nowhere.db"
        done = _archive(f"sqlite:///{nowhere}", "--before", "2026-10-01", "--out", str(tmp_path / "x"))
        assert (done.returncode, "There is no database" in done.stderr) == (1, True), done.stderr
        assert not nowhere.exists()
