"""Run by a test in a process of its own: move money, killed each time a statement later; the books must stay whole.

`python -m tests.faults.money_kill_points URL STRIDE`. A child does one act of the money, counts the statements it sends
(commits included) and kills itself before the one of its number; the next begins where the dead one left the database.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import event, text
from sqlmodel import col, select

from campaigns import identity, sponsorship, worker
from campaigns.identity import RIGHTS, Member, Role
from campaigns.ids import NIL
from campaigns.sponsorship import payouts
from campaigns.sponsorship.models import Accrual, Beneficiary, LastSlice, Payout, Pledge
from campaigns.storage import Database
from campaigns.verify import verify
from tests.campaigns.test_money_races import WITNESSED, act
from tests.conftest import open_migrated
from tests.factories import NOON
from tests.scene import set_scene
from tests.sponsors import pledged

ACTS = 4
LATER = NOON + timedelta(hours=73)


def accrue(database: Database) -> None:
    while worker.drain(database, now=NOON).done:
        pass


def post(database: Database) -> None:
    worker.post_accruals(database, now=LATER)


def void(database: Database) -> None:
    with database.transaction() as session:
        row = session.exec(select(Accrual).order_by(col(Accrual.id))).first()
        assert row is not None
        sponsorship.void(session, row, session.get_one(Pledge, row.pledge_id), reason="Fraud", by=NIL, now=LATER)


def propose(database: Database) -> None:
    with database.transaction() as session:
        beneficiary = session.exec(select(Beneficiary).order_by(col(Beneficiary.id))).first()
        assert beneficiary is not None
        maker, _ = session.exec(select(Member.id).order_by(Member.email)).all()
        payouts.propose(session, beneficiary, currency="EUR", by=maker, now=LATER)


def approve(database: Database) -> None:
    with database.transaction() as session:
        (payout,) = session.exec(select(Payout)).all()
        _, member = session.exec(select(Member.id).order_by(Member.email)).all()
        payouts.approve(session, payout, member_id=member, now=LATER)


def send(database: Database) -> None:
    with database.transaction() as session:
        (payout,) = session.exec(select(Payout)).all()
        payouts.send(session, payout, reference="VIR 7", sent_at=None, fee_minor=1, now=LATER)


def confirm(database: Database) -> None:
    with database.transaction() as session:
        (payout,) = session.exec(select(Payout)).all()
        payouts.confirm(session, payout, proof={"text": "It came"}, now=LATER)


def kill_at(url: str, number: int, turn: Callable[[Database], None]) -> bool:
    """Do it in a child that is killed before its statement of that number; whether it was."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, -signal.SIGKILL), code
        return code != 0
    try:
        database, sent = open_migrated(url), 0

        def count(*_: object) -> None:
            nonlocal sent
            sent += 1
            if sent == number:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(database.engine, "before_cursor_execute", count)
        event.listen(database.engine, "commit", count)
        turn(database)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def problems(url: str) -> list[str]:
    """What does not add up, once the dead one's connections are gone."""
    database = open_migrated(url)
    try:
        while not database.is_sqlite:
            with database.snapshot() as session:
                others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                if session.execute(text(others)).scalar_one() == 1:
                    break
            time.sleep(0.01)
        return verify(database)
    finally:
        database.close()


def main(url: str, stride: int) -> None:
    database = open_migrated(url)
    scene = set_scene(database, steps=WITNESSED)
    caps = {"unit_minor": 30, "cap_minor": 110, "per_day_cap_minor": 105, "per_person_cap_minor": 50}
    base = pledged(database, scene.mission, last_slice=LastSlice.KEEP_REMAINDER.value, **caps)
    match = {"kind": "match", "matches_id": base.id, "match_percent": 50, "cap_minor": 40}
    pledged(database, scene.mission, **match)
    with database.transaction() as session:
        owner = scene.mission.organisation_id
        for name in ("ana", "ben"):
            fields = {"email": f"{name}@example.org", "name": name, "role": Role.OWNER, "most": RIGHTS[Role.OWNER]}
            identity.invite_member(session, owner, now=NOON, **fields)  # type: ignore[arg-type]  # as they are named
    for _ in range(ACTS):
        act(scene)
    database.close()
    for turn in (accrue, post, void):
        number, kills = 1, 0
        while kill_at(url, number, turn):
            assert (found := problems(url)) == [], (turn.__name__, number, found)
            number, kills = number + stride, kills + 1
        assert (found := problems(url)) == [], (turn.__name__, found)
        assert kills > 10 // stride, (turn.__name__, kills)
    pay(url, 1 if stride == 1 else 3)


def pay(url: str, stride: int) -> None:
    """A payout has few statements, so its stride is shorter."""
    for turn in (propose, approve, send, confirm):
        number = 1
        while kill_at(url, number, turn):
            assert (found := problems(url)) == [], (turn.__name__, number, found)
            number += stride
        assert (found := problems(url)) == [], (turn.__name__, found)
        assert number > 4, (turn.__name__, number)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
