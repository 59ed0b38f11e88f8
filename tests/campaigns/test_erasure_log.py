"""The log of erasures: what was appended is read, whatever happened to the process that appended it."""

import logging
import os
import resource
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from campaigns.errors import Conflict
from campaigns.ids import uuid7
from campaigns.privacy.log import Erasure, ErasureLog
from campaigns.settings import Settings

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)


def appended(log: ErasureLog, count: int) -> list[Erasure]:
    made = [Erasure(uuid7(), NOON + timedelta(seconds=number)) for number in range(count)]
    for one in made:
        log.append(one.participant_id, one.erased_at)
    return made


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_what_processes_append_to_one_folder_is_read_by_anybody(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "erasures"
    assert ErasureLog(folder).read() == []
    assert not folder.exists()
    log = ErasureLog(folder)
    made = appended(log, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any thread; the child only writes
        child = os.fork()
    if not child:  # what a forked server process does with the log it inherited
        log.append(UUID(int=1), NOON + timedelta(hours=1))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    log.append(made[0].participant_id, made[0].erased_at)
    assert ErasureLog(folder).read() == [*made, Erasure(UUID(int=1), NOON + timedelta(hours=1))]
    assert [oct(one.stat().st_mode & 0o777) for one in files(folder)] == ["0o600", "0o600"]
    assert folder.stat().st_mode & 0o777 == 0o700
    log.close()


def test_a_torn_last_line_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = appended(ErasureLog(tmp_path), 3)
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    for cut in (1, 2, 20):
        path.write_bytes(whole[:-cut])
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert ErasureLog(tmp_path).read() == made[:2]
        assert "torn line" in caplog.text


def test_a_damaged_line_before_the_last_is_refused(tmp_path: Path) -> None:
    appended(ErasureLog(tmp_path), 3)
    (path,) = files(tmp_path)
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b"2026", b"2025")
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(Conflict, match="damaged in line 2"):
        ErasureLog(tmp_path).read()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_half_a_line_on_a_full_disk_spoils_no_other(tmp_path: Path) -> None:
    log = ErasureLog(tmp_path)
    made = appended(log, 1)
    (path,) = files(tmp_path)
    with files_of_at_most(path.stat().st_size + 10), pytest.raises(OSError, match="half a line"):
        log.append(uuid7(), NOON)
    made += appended(log, 1)
    assert set(ErasureLog(tmp_path).read()) == set(made)
    log.close()


def test_it_lies_beside_the_database_unless_told_otherwise(tmp_path: Path) -> None:
    assert Settings(database_url=f"sqlite:///{tmp_path}/shop.db").erasure_folder == tmp_path / "shop.db.erasures"
    assert Settings(database_url="postgresql://host/shop").erasure_folder == Path("passerelle-erasures")
    assert Settings(erasure_dir=tmp_path / "kept").erasure_folder == tmp_path / "kept"
