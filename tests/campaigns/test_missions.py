"""Checking in and completing steps, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session, select

from campaigns import missions, participants, planning, scans
from campaigns.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from campaigns.missions import CheckedIn, Repeat, StepKind, StepPlan
from campaigns.missions.models import StepCompletion
from campaigns.missions.service import free_slug
from campaigns.planning import Campaign, LaunchFacts
from campaigns.scans import CheckIn, Receipt, SealedFix
from campaigns.scans.log import ScanRow
from campaigns.scans.models import ScanConfirmation, ScanPosition, Visit
from campaigns.storage import Database
from campaigns.tokens.directory import Entry
from tests.factories import (
    NOON,
    make_campaign,
    make_entry,
    make_mission,
    make_organisation,
    make_place,
    make_receipt,
    make_scan,
    make_token,
    write,
)
from tests.racing import race
from tests.scene import FAR, INSIDE, VAGUE, Scene, another_token, minutes, set_scene


def outcomes(done: CheckedIn) -> list[tuple[str, str | None]]:
    return [(one.outcome, one.reason) for one in done.outcomes]


@pytest.mark.parametrize(
    ("position", "till_code", "presence", "verdict"),
    [
        (None, False, 0, "valid"),
        (INSIDE, False, 1, "valid"),
        (VAGUE, False, 0, "valid"),
        (FAR, False, 0, "held"),
        (None, True, 2, "valid"),
        (INSIDE, True, 2, "valid"),
        (FAR, True, 2, "held"),
    ],
)
def test_presence_is_fixed_by_the_proof_of_the_check_in(
    database: Database, position: scans.Position | None, till_code: bool, presence: int, verdict: str
) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN)])
    done = scene.check_in(scene.scan(), position=position, till_code_was_right=till_code)
    assert (done.check_in.presence, done.check_in.verdict) == (presence, verdict)
    assert done.check_in.counted is (verdict == "valid")
    assert outcomes(done) == [("verified" if verdict == "valid" else "pending", None)]
    scene.drain()
    assert scene.problems() == []


def test_refusing_the_position_without_another_proof_weighs_fifteen(database: Database) -> None:
    scene = set_scene(database)
    refused = scene.check_in(scene.scan()).check_in
    proven = scene.check_in(scene.scan(), till_code_was_right=True).check_in
    assert (refused.reasons, proven.reasons) == ("location_refused", "")


def test_a_position_given_before_counts_and_the_better_one_of_two(database: Database) -> None:
    scene = set_scene(database)
    row = scene.scan()
    scene.locate(row, VAGUE)
    assert scene.check_in(row, position=INSIDE).check_in.presence == 1
    row = scene.scan()
    scene.locate(row, INSIDE)
    assert scene.check_in(row).check_in.presence == 1
    with database.snapshot() as session:
        assert len(session.exec(select(ScanPosition)).all()) == 3


def test_a_third_position_is_not_taken(database: Database) -> None:
    scene = set_scene(database)
    row = scene.scan()
    scene.locate(row, VAGUE)
    scene.locate(row, VAGUE)
    assert scene.check_in(row, position=INSIDE).check_in.presence == 0


def test_a_closed_shop_gives_no_presence_by_position(database: Database) -> None:
    scene = set_scene(database, place={"opening_hours": {"wed": [["14:00", "18:00"]]}})
    done = scene.check_in(scene.scan(), position=INSIDE).check_in
    assert (done.presence, done.geofence, done.reasons) == (0, "inside", "closed_hours")


def test_a_late_position_is_a_maybe_and_the_act_is_marked_late(database: Database) -> None:
    scene = set_scene(database)
    done = scene.check_in(scene.scan(), position=INSIDE, now=minutes(11)).check_in
    assert (done.presence, done.geofence) == (0, "maybe")
    assert set(done.reasons.split(",")) == {"location_vague", "late"}
    assert done.verdict == "valid"


def test_a_check_in_after_two_days_is_refused(database: Database) -> None:
    scene = set_scene(database)
    row = scene.scan()
    with pytest.raises(Gone):
        scene.check_in(row, now=NOON + timedelta(hours=48, seconds=1))
    assert scene.check_in(row, now=NOON + timedelta(hours=48)).check_in.verdict == "valid"


def test_a_check_in_confirms_its_scan(database: Database) -> None:
    scene = set_scene(database)
    scene.check_in(scene.scan())
    scene.drain()
    assert scene.figures().verified == 1


@pytest.mark.parametrize("position", [INSIDE, FAR, None])
def test_a_replay_returns_the_first_answer(database: Database, position: scans.Position | None) -> None:
    scene = set_scene(
        database, steps=[StepPlan(StepKind.SCAN, 1, Repeat.DAILY), StepPlan(StepKind.SCAN, 0), StepPlan(StepKind.IDEA)]
    )
    row = scene.scan()
    first = scene.check_in(row, position=position)
    again = scene.check_in(row, position=INSIDE, till_code_was_right=True, now=minutes(3))
    assert again.is_replay
    assert not first.is_replay
    assert again.check_in == first.check_in
    assert again.person.id == first.person.id
    assert again.secret is None
    assert outcomes(again) == outcomes(first)
    assert scene.counters().get("check_ins", 0) == int(position is not FAR)
    scene.drain(now=minutes(4))
    assert scene.problems() == []


def test_of_racing_check_ins_of_one_scan_one_counts(database: Database) -> None:
    scene = set_scene(database)
    for number in range(4):
        row = scene.scan(at=minutes(number))

        def act(_: int, row: ScanRow = row) -> CheckedIn:
            return scene.check_in(row, position=INSIDE, now=minutes(5))

        answers = race(6, act)
        done = [one for one in answers if isinstance(one, CheckedIn)]
        assert len({one.check_in.id for one in done}) == 1
        assert sum(not one.is_replay for one in done) == 1
        assert all(isinstance(one, Conflict) for one in answers if one not in done)
    with database.snapshot() as session:
        assert len(session.exec(select(CheckIn)).all()) == 4
        assert len(session.exec(select(Visit)).all()) == 4
        assert len(session.exec(select(participants.Participant)).all()) == 4
    assert scene.counters() == {"participants": 4, "check_ins": 4, "completions": 4}
    scene.drain(now=minutes(6))
    assert scene.problems() == []


def test_one_person_on_many_scans_at_once_visits_once_a_day(database: Database) -> None:
    scene = set_scene(database)
    cookie = scene.check_in(scene.scan(), position=INSIDE).secret
    rows = [scene.scan(at=NOON + timedelta(days=1, minutes=number)) for number in range(6)]
    answers = race(
        6, lambda n: scene.check_in(rows[n], cookie=cookie, position=INSIDE, now=NOON + timedelta(days=1, minutes=8))
    )
    done = [one for one in answers if isinstance(one, CheckedIn)]
    assert len(done) == 6
    assert sum(one.check_in.counted for one in done) == 1
    assert sorted(outcomes(one)[0][0] for one in done) == ["already"] * 5 + ["verified"]
    assert scene.counters() == {"participants": 1, "check_ins": 2, "completions": 2}
    scene.drain(now=NOON + timedelta(days=2))
    assert scene.problems() == []


def test_another_code_of_the_shop_is_another_visit(database: Database) -> None:
    scene = set_scene(database)
    other = another_token(scene)
    cookie = scene.check_in(scene.scan(), position=INSIDE).secret
    done = scene.check_in(scene.scan(entry=other), entry=other, cookie=cookie, position=INSIDE)
    assert done.check_in.counted
    assert outcomes(done) == [("already", None)]


def visits(scene: Scene, repeat: Repeat, instants: list[str]) -> list[str]:
    """What one person's check-ins at these instants do to a step that repeats so."""
    cookie: str | None = None
    found = []
    for text in instants:
        now = datetime.fromisoformat(text).astimezone(UTC)
        done = scene.check_in(scene.scan(at=now), cookie=cookie, position=INSIDE, now=now)
        cookie = cookie or done.secret
        found.append(outcomes(done)[0][0])
    return found


@pytest.mark.parametrize(
    ("repeat", "instants", "expected"),
    [
        (Repeat.ONCE, ["2026-10-14T12:00+02:00", "2027-10-14T12:00+02:00"], ["verified", "already"]),
        # the civil day is the shop's, not that of UTC
        (Repeat.DAILY, ["2026-10-14T23:59+02:00", "2026-10-15T00:01+02:00"], ["verified", "verified"]),
        (Repeat.DAILY, ["2026-10-14T01:30+02:00", "2026-10-14T02:30+02:00"], ["verified", "already"]),
        # the day clocks go back has 25 hours, the day they go forward 23
        (Repeat.DAILY, ["2026-10-25T00:00+02:00", "2026-10-25T23:59+01:00"], ["verified", "already"]),
        (Repeat.DAILY, ["2026-10-25T23:59+01:00", "2026-10-26T00:00+01:00"], ["verified", "verified"]),
        (Repeat.DAILY, ["2026-03-29T00:00+01:00", "2026-03-29T23:59+02:00"], ["verified", "already"]),
        (Repeat.DAILY, ["2026-03-28T23:59+01:00", "2026-03-29T00:00+01:00"], ["verified", "verified"]),
        # Monday begins a week; the last days of 2026 belong to its week 53
        (Repeat.WEEKLY, ["2026-10-18T23:59+02:00", "2026-10-19T00:00+02:00"], ["verified", "verified"]),
        (Repeat.WEEKLY, ["2026-10-19T00:00+02:00", "2026-10-25T23:59+01:00"], ["verified", "already"]),
        (Repeat.WEEKLY, ["2026-12-28T12:00+01:00", "2027-01-03T12:00+01:00"], ["verified", "already"]),
    ],
)
def test_a_step_counts_once_in_its_period(
    database: Database, repeat: Repeat, instants: list[str], expected: list[str]
) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN, 1, repeat)])
    assert visits(scene, repeat, instants) == expected
    assert scene.counters()["completions"] == expected.count("verified")


def test_a_step_that_asks_for_more_presence_refuses_and_says_so(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN, 2)])
    first = scene.check_in(scene.scan(), position=INSIDE)
    assert outcomes(first) == [("refused", "presence")]
    assert outcomes(scene.check_in(scene.scan(), cookie=first.secret, till_code_was_right=True)) == [("verified", None)]
    assert scene.counters()["completions"] == 1


def test_a_held_act_waits_and_a_good_one_of_the_same_day_takes_its_place(database: Database) -> None:
    scene = set_scene(database)
    first = scene.check_in(scene.scan(), position=FAR, till_code_was_right=True)
    assert outcomes(first) == [("pending", None)]
    assert scene.counters() == {"participants": 1}
    second = scene.check_in(scene.scan(at=minutes(5)), cookie=first.secret, position=INSIDE, now=minutes(6))
    assert outcomes(second) == [("verified", None)]
    third = scene.check_in(scene.scan(at=minutes(7)), cookie=first.secret, position=INSIDE, now=minutes(8))
    assert outcomes(third) == [("already", None)]
    assert scene.counters() == {"participants": 1, "check_ins": 1, "completions": 1}
    with database.snapshot() as session:
        (completion,) = session.exec(select(StepCompletion)).all()
    assert (completion.state, completion.source_id) == ("verified", second.check_in.id)
    scene.drain(now=minutes(9))
    assert scene.problems() == []


def test_acts_of_a_draft_are_tests_and_enter_no_live_total(database: Database) -> None:
    scene = set_scene(database, live=False)
    done = scene.check_in(scene.scan(), position=INSIDE)
    assert (done.check_in.verdict, done.check_in.phase, done.check_in.counted) == ("test", "draft", False)
    assert outcomes(done) == [("verified", None)]
    scene.post_idea(done.person)
    assert scene.counters() == {}
    assert scene.counters("draft") == {"participants": 1, "completions": 2, "ideas": 1}
    scene.drain()
    assert (scene.figures().raw, scene.figures().verified) == (0, 0)
    assert scene.problems() == []


def test_an_act_on_a_closed_campaigns_scan_earns_nothing(database: Database) -> None:
    scene = set_scene(database, campaign={"ends_at": NOON})
    done = scene.check_in(scene.scan(), position=INSIDE)
    assert (done.check_in.verdict, done.check_in.counted) == ("invalid", False)
    assert outcomes(done) == [("refused", "not_counted")]
    scene.drain()
    assert scene.problems() == []


def test_check_ins_before_there_is_a_mission_are_not_the_missions(database: Database) -> None:
    scene = set_scene(database)
    with database.transaction() as session:
        campaign = make_campaign(session, make_organisation(session))
        place = make_place(session, make_organisation(session))
        entry = make_entry(session, make_token(session, campaign, place))
    early = scene.check_in(scene.scan(entry=entry), entry=entry, position=INSIDE)
    assert (early.mission, early.check_in.counted) == (None, True)
    with database.transaction() as session:
        mission = make_mission(session, campaign)
    later = scene.scan(entry=entry, at=minutes(1500))
    scene.check_in(later, entry=entry, cookie=early.secret, position=INSIDE, now=minutes(1501))
    with database.snapshot() as session:
        assert missions.counters(session, mission.id)["check_ins"] == 1
    scene.drain(now=minutes(1502))
    assert scene.problems() == []


def test_a_cookie_of_another_organisation_is_nobody_here(database: Database) -> None:
    scene = set_scene(database)
    with database.transaction() as session:
        stranger, cookie = participants.join(session, make_organisation(session).id, language="fr", now=NOON)
    done = scene.check_in(scene.scan(), cookie=cookie)
    assert done.person.id != stranger.id
    assert done.secret is not None
    assert scene.check_in(scene.scan(), cookie="forged").person.id != done.person.id


def test_racing_joins_make_one_member(database: Database) -> None:
    scene = set_scene(database)
    with database.transaction() as session:
        person, _ = participants.join(session, scene.campaign.organisation_id, language="fr", now=NOON)

    def join(_: int) -> bool:
        with database.transaction() as session:
            return missions.take_part(session, scene.mission, person, phase="live", now=NOON)

    assert sorted(race(6, join), key=str) == [False] * 5 + [True]
    assert scene.counters() == {"participants": 1}


def test_a_person_sees_where_they_stand(database: Database) -> None:
    scene = set_scene(database)
    done = scene.check_in(scene.scan(), position=INSIDE)
    scene.check_in(scene.scan(at=minutes(3)), cookie=done.secret, position=FAR, now=minutes(4))
    with database.transaction() as session:
        stranger, _ = participants.join(session, scene.campaign.organisation_id, language="fr", now=NOON)
        standing = missions.standing(session, scene.mission, done.person)
        nobody = missions.standing(session, scene.mission, stranger)
    assert (standing.member, standing.presence, standing.done, standing.check_ins) == (True, 1, {1: "verified"}, 1)
    assert (nobody.member, nobody.presence, nobody.done) == (False, None, {})


def test_steps_are_fixed_once_somebody_did_one(database: Database) -> None:
    scene = set_scene(database)
    with database.transaction() as session:
        missions.set_steps(session, scene.mission, [StepPlan(StepKind.SCAN, 0)], now=NOON)
        with pytest.raises(Invalid):
            missions.set_steps(session, scene.mission, [], now=NOON)
    scene.check_in(scene.scan())
    with database.transaction() as session, pytest.raises(Conflict) as refusal:
        missions.set_steps(session, scene.mission, [StepPlan(StepKind.SCAN, 2)], now=NOON)
    assert refusal.value.code == "rules_frozen"


def test_a_mission_has_a_readable_name_of_its_own(session: Session) -> None:
    campaign = make_campaign(session, make_organisation(session))
    slugs = [make_mission(session, campaign).slug for _ in range(3)]
    assert slugs == ["un-verger-pour-l-ecole", "un-verger-pour-l-ecole-2", "un-verger-pour-l-ecole-3"]
    assert free_slug(session, "果樹園") == "mission"
    assert missions.mission_by_name(session, slugs[1]).slug == slugs[1]
    with pytest.raises(NotFound):
        missions.mission_by_name(session, "elsewhere")


def test_an_ended_campaign_takes_no_new_mission(session: Session) -> None:
    campaign = make_campaign(session, make_organisation(session))
    planning.end(session, campaign, now=NOON)
    with pytest.raises(Conflict):
        make_mission(session, campaign)


def test_a_failed_check_in_leaves_nothing(database: Database) -> None:
    scene = set_scene(database)
    row = scene.scan()

    def broken(_: object) -> bytes:
        raise Forbidden("no seal")

    with pytest.raises(Forbidden):
        scene.check_in(row, position=INSIDE, seal=broken)
    with database.snapshot() as session:
        assert session.exec(select(ScanConfirmation)).all() == []
        assert session.exec(select(participants.Participant)).all() == []


def test_who_tried_the_draft_can_still_do_it_for_real(database: Database) -> None:
    with database.transaction() as session:
        organisation = make_organisation(session)
        place = make_place(session, organisation)
        campaign = make_campaign(session, organisation, live=False)
        mission = make_mission(session, campaign)
        token = make_token(session, campaign, place)
        entry = make_entry(session, token)
    tried = make_scan(entry)
    write(database, tried)
    with database.transaction() as session:
        proof = _check_in(session, make_receipt(entry, tried), entry, cookie=None, now=NOON)
        assert [one.outcome for one in proof.outcomes] == ["verified"]
        planning.launch(session, session.get_one(Campaign, campaign.id), LaunchFacts(1, 0, 1, 1), now=minutes(1))
    with database.transaction() as session:
        entry = make_entry(session, token)
    real = make_scan(entry, at=minutes(2))
    write(database, real, now=minutes(2))
    with database.transaction() as session:
        done = _check_in(session, make_receipt(entry, real), entry, cookie=proof.secret, now=minutes(3))
        assert [one.outcome for one in done.outcomes] == ["verified"]
        standing = missions.standing(session, mission, done.person)
        assert (standing.member, standing.check_ins) == (True, 1)
    with database.snapshot() as session:
        assert missions.counters(session, mission.id) == {"participants": 1, "check_ins": 1, "completions": 1}


def _check_in(session: Session, receipt: Receipt, entry: Entry, *, cookie: str | None, now: datetime) -> CheckedIn:
    return missions.check_in(
        session,
        receipt,
        entry,
        missions.ground_of(session, receipt, missions.led_to(session, entry.campaign.id)),
        cookie=cookie,
        language="fr",
        position=INSIDE,
        seal=lambda _: SealedFix(b"sealed", None),
        till_window=None,
        occurred_at=None,
        now=now,
    )


def test_a_code_that_is_shown_goes_with_its_step_and_a_first_stop_fixes_them(database: Database) -> None:
    scene = set_scene(database)
    with database.transaction() as session:
        missions.set_steps(session, scene.mission, [StepPlan(StepKind.BRING_FRIEND)], now=NOON)
        (step,) = missions.steps_of(session, scene.mission.id)
        person, _ = participants.join(session, scene.campaign.organisation_id, language="fr", now=NOON)
        campaign = session.get_one(Campaign, scene.campaign.id)
        missions.show_code(session, scene.mission, campaign, step, person, now=NOON)
    with database.transaction() as session:
        missions.set_steps(session, scene.mission, [StepPlan(StepKind.VISIT_PLACES, params={"n": 2})], now=NOON)
    assert [one.outcome for one in scene.check_in(scene.scan(), position=INSIDE).outcomes] == ["progress"]
    with database.transaction() as session, pytest.raises(Conflict) as refusal:
        missions.set_steps(session, scene.mission, [StepPlan(StepKind.SCAN)], now=NOON)
    assert refusal.value.code == "rules_frozen"
