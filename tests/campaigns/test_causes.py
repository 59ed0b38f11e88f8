"""The cause that a person's acts fund, on both databases: chosen, changed, merged, forgotten; and the worker's minute.

Tried by hand, each turning a test red: `open_causes` of pledges that are not active; a second choice that does not
overwrite; `cause_choices` left out of `forget`; `end_due` left out of the worker's minute.
"""

from datetime import timedelta
from functools import partial

import pytest
from sqlmodel import Session, select

from campaigns import privacy, sponsorship, worker
from campaigns.audit import AuditEntry
from campaigns.errors import Conflict, Invalid
from campaigns.participants import Participant
from campaigns.sponsorship import Pledge
from campaigns.sponsorship.models import CauseChoice
from campaigns.storage import Database
from tests.campaigns.test_merging import merge
from tests.campaigns.test_pledges import Ground, accept, make_ground, make_pledge, refused, sign
from tests.factories import NOON, make_mission, make_participant


def make_choice(session: Session, *, accepted: int = 2) -> Ground:
    ground = make_ground(session)
    sign(session, ground, make_pledge(session, ground, beneficiary_ids=[one.id for one in ground.causes]))
    for cause in ground.causes[:accepted]:
        accept(session, ground, cause)
    return ground


def choice(session: Session, ground: Ground, person: Participant) -> str | None:
    found = sponsorship.chosen_cause(session, ground.mission.id, person.id)
    return next((one.name for one in ground.causes if one.id == found), None)


def test_the_last_choice_stands(session: Session) -> None:
    ground = make_choice(session)
    person = make_participant(session, ground.owner)
    assert choice(session, ground, person) is None
    for cause in (ground.causes[0], ground.causes[1]):
        sponsorship.choose(session, ground.mission, person, cause.id, now=NOON)
    assert choice(session, ground, person) == "Y"
    (found,) = sponsorship.choices_of(session, person.id)
    assert (found[1].name, found[2].id) == ("Y", ground.mission.id)


def test_only_an_active_pledge_of_several_causes_leaves_a_choice(session: Session) -> None:
    ground = make_choice(session, accepted=1)
    person = make_participant(session, ground.owner)
    sign(session, ground, make_pledge(session, ground))  # active, of one cause
    assert sponsorship.open_causes(session, ground.mission.id) == []
    act = partial(sponsorship.choose, session, ground.mission, person, ground.causes[0].id, now=NOON)
    refused(Conflict, act, "no_cause")
    accept(session, ground, ground.causes[1])
    assert [one.name for one in sponsorship.open_causes(session, ground.mission.id)] == ["X", "Y"]
    act()
    other = make_choice(session)
    foreign = partial(sponsorship.choose, session, ground.mission, person, other.causes[0].id, now=NOON)
    refused(Invalid, foreign, "cause_missing", "/beneficiary_id")


@pytest.mark.parametrize("last", ["older", "newer"])
def test_of_two_names_the_later_choice_stands(database: Database, last: str) -> None:
    with database.transaction() as session:
        ground = make_choice(session)
        further = make_mission(session, ground.campaign, title={"": "Further"})
        second = Ground(ground.owner, ground.campaign, further, ground.sponsor, ground.causes)
        sign(session, second, make_pledge(session, second, beneficiary_ids=[one.id for one in ground.causes]))
        older = make_participant(session, ground.owner)
        newer = make_participant(session, ground.owner, now=NOON + timedelta(seconds=1))
        minute = {"older": (2, 1), "newer": (1, 2)}[last]
        for person, cause, at in zip((older, newer), ground.causes, minute, strict=True):
            sponsorship.choose(session, ground.mission, person, cause.id, now=NOON + timedelta(minutes=at))
        sponsorship.choose(session, further, newer, ground.causes[0].id, now=NOON)
    merge(database, older, newer)
    with database.snapshot() as session:
        assert choice(session, ground, older) == {"older": "X", "newer": "Y"}[last]
        assert choice(session, second, older) == "X"
        assert {one.participant_id for one in session.exec(select(CauseChoice))} == {older.id}


def test_a_choice_stays_under_a_name_that_is_nobodys(database: Database) -> None:
    """An act that is judged after the erasure still goes to the cause that was chosen (I23)."""
    with database.transaction() as session:
        ground = make_choice(session)
        person = make_participant(session, ground.owner)
        sponsorship.choose(session, ground.mission, person, ground.causes[0].id, now=NOON)
    with database.erasing() as session:
        assert privacy.erase(session, person.id, note=lambda *_: None, now=NOON)
    with database.snapshot() as session:
        (kept,) = session.exec(select(CauseChoice)).all()
        assert kept.beneficiary_id == ground.causes[0].id
        assert kept.participant_id != person.id


def test_the_worker_ends_what_is_over_and_the_log_says_so(database: Database) -> None:
    with database.transaction() as session:
        ground = make_choice(session)
        ends = NOON + timedelta(days=1)
        accepted = sign(session, ground, make_pledge(session, ground, ends_at=ends))
    worker.end_pledges(database, now=ends - timedelta(minutes=1))
    worker.end_pledges(database, now=ends)
    with database.snapshot() as session:
        found = session.get_one(Pledge, accepted.id)
        assert (found.state, found.ended_at) == ("ended", ends)
        entries = session.exec(select(AuditEntry).where(AuditEntry.subject_id == found.id)).all()
        assert [one.author_kind for one in entries if one.changes.get("state", [None])[-1] == "ended"] == ["system"]
