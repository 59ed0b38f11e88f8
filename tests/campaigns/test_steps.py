"""The kinds of steps: what does each, once; what does not, and why. On both databases."""

import threading
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, SQLModel, select

from campaigns import ids, missions, participants, privacy
from campaigns.errors import Conflict, Forbidden, Invalid, NotFound
from campaigns.events import Event
from campaigns.missions import CheckedIn, Repeat, Step, StepKind, StepPlan
from campaigns.missions.codes import Witnessed
from campaigns.missions.models import (
    ActCode,
    ExternalAct,
    FriendNaming,
    Membership,
    MissionPlace,
    PublicCode,
    Share,
    StepCompletion,
    Validation,
)
from campaigns.missions.tours import stops_done
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.storage import Database, store
from campaigns.tokens.directory import Entry
from tests.factories import NOON, make_campaign, make_mission, make_organisation, make_place
from tests.racing import race
from tests.scene import FAR, INSIDE, Scene, another_place, minutes, set_scene


def outcomes(done: CheckedIn) -> list[tuple[str, str | None]]:
    return [(one.outcome, one.reason) for one in done.outcomes]


def name(entry: Entry) -> str:
    assert entry.place is not None
    return ids.show("plc", entry.place.id)


def set_tour(database: Database, kind: StepKind, number: int, **params: Any) -> tuple[Scene, list[Entry]]:
    """A scene whose mission is a tour of so many places, and a code in each."""
    scene = set_scene(database)
    entries = [scene.entry, *(another_place(scene, name=f"Shop {n}") for n in range(1, number))]
    with database.transaction() as session:
        plan = StepPlan(kind, params={"places": [name(one) for one in entries], **params})
        missions.set_steps(session, scene.mission, [plan], now=NOON)
    return scene, entries


def visit(scene: Scene, entry: Entry, at: float, cookie: str | None = None, **options: Any) -> CheckedIn:
    """A visit so many minutes after noon."""
    row = scene.scan(entry=entry, at=minutes(at))
    return scene.check_in(row, entry=entry, cookie=cookie, now=minutes(at), position=INSIDE, **options)


def someone(scene: Scene) -> Participant:
    with scene.database.transaction() as session:
        return participants.join(session, scene.campaign.organisation_id, language="fr", now=NOON)[0]


def steps(scene: Scene) -> list[Step]:
    with scene.database.snapshot() as session:
        return list(missions.steps_of(session, scene.mission.id))


def campaign(session: Session, scene: Scene) -> Campaign:
    return session.get_one(Campaign, scene.campaign.id)


def events(scene: Scene, wanted: str) -> int:
    with scene.database.snapshot() as session:
        return len(session.exec(select(Event).where(Event.name == wanted)).all())


def test_distinct_places_count_and_the_last_one_ends_the_step(database: Database) -> None:
    scene, (one, two, three) = set_tour(database, StepKind.VISIT_PLACES, 3, n=2)
    first = visit(scene, one, 0)
    assert outcomes(first) == [("progress", None)]
    assert outcomes(visit(scene, one, 20, first.secret)) == [("already", None)]
    assert scene.counters().get("completions", 0) == 0
    assert outcomes(visit(scene, two, 40, first.secret)) == [("verified", None)]
    assert outcomes(visit(scene, three, 60, first.secret)) == [("already", None)]
    assert scene.counters()["completions"] == 1
    assert events(scene, "mission.completed") == 1
    scene.drain(now=minutes(61))
    assert scene.problems() == []


def test_a_place_that_is_not_named_does_not_count(database: Database) -> None:
    scene, _ = set_tour(database, StepKind.VISIT_PLACES, 2, n=2)
    stranger = another_place(scene, name="Elsewhere")
    assert outcomes(visit(scene, stranger, 0)) == [("refused", "other_place")]


@pytest.mark.parametrize("kind", [StepKind.VISIT_PLACES, StepKind.TRAIL])
def test_who_was_too_soon_at_the_last_place_comes_again(database: Database, kind: StepKind) -> None:
    scene, (one, two) = set_tour(database, kind, 2, **({"n": 2} if kind is StepKind.VISIT_PLACES else {}))
    first = visit(scene, one, 0)
    assert outcomes(visit(scene, two, 2, first.secret)) == [("refused", "too_soon")]
    assert outcomes(visit(scene, two, 8, first.secret)) == [("verified", None)]
    assert scene.counters()["completions"] == 1
    scene.drain(now=minutes(61))
    assert scene.problems() == []


def test_a_stop_out_of_order_is_made_good_later_that_day_but_not_in_a_rush(database: Database) -> None:
    scene, (one, two) = set_tour(database, StepKind.TRAIL, 2)
    first = visit(scene, two, 0)
    assert outcomes(first) == [("refused", "order")]
    assert outcomes(visit(scene, one, 10, first.secret)) == [("progress", None)]
    assert outcomes(visit(scene, two, 12, first.secret)) == [("refused", "too_soon")]
    assert outcomes(visit(scene, two, 20, first.secret)) == [("verified", None)]


def test_a_second_place_within_three_minutes_is_no_visit(database: Database) -> None:
    scene, (one, two) = set_tour(database, StepKind.VISIT_PLACES, 2, n=2)
    first = visit(scene, one, 0)
    assert outcomes(visit(scene, two, 2, first.secret)) == [("refused", "too_soon")]
    assert outcomes(visit(scene, two, 4, first.secret)) == [("verified", None)]


def test_of_twenty_racing_check_ins_at_two_places_each_place_counts_once(database: Database) -> None:
    scene, (one, two) = set_tour(database, StepKind.VISIT_PLACES, 2, n=2)
    cookie = scene.check_in(scene.scan(at=minutes(-2000)), now=minutes(-2000), position=FAR).secret
    rows = [(entry, scene.scan(entry=entry, at=minutes(at))) for entry, at in ((one, 0), (two, 10)) for _ in range(10)]

    def act(number: int) -> CheckedIn:
        entry, row = rows[number]
        return scene.check_in(row, entry=entry, cookie=cookie, position=INSIDE, now=minutes(11))

    answers = race(20, act)
    told = [outcomes(one)[0][0] for one in answers if isinstance(one, CheckedIn)]
    assert len(told) == 20, answers
    assert (told.count("verified"), told.count("progress"), told.count("already")) == (1, 1, 18)
    with database.snapshot() as session:
        assert len(session.exec(select(MissionPlace)).all()) == 2
    assert scene.counters() == {"participants": 1, "check_ins": 2, "completions": 1}
    scene.drain(now=minutes(12))
    assert scene.problems() == []


@pytest.mark.parametrize(
    ("visited", "done"),
    [("", 0), ("A", 1), ("B", 0), ("BA", 1), ("AB", 2), ("ACB", 2), ("ACBC", 3), ("AABBCC", 3), ("CBA", 1)],
)
def test_only_the_next_stop_counts(visited: str, done: int) -> None:
    names = {letter: uuid4() for letter in "ABC"}
    assert stops_done(list(names.values()), [names[one] for one in visited]) == done


def test_a_trail_counts_in_its_order(database: Database) -> None:
    scene, (one, two, three) = set_tour(database, StepKind.TRAIL, 3)
    first = visit(scene, one, 0)
    cookie = first.secret
    found = [outcomes(visit(scene, entry, at, cookie))[0] for entry, at in ((three, 10), (two, 20), (one, 30))]
    assert outcomes(first) == [("progress", None)]
    assert found == [("refused", "order"), ("progress", None), ("already", None)]
    assert outcomes(visit(scene, three, 40, cookie)) == [("verified", None)]
    assert scene.counters()["completions"] == 1


def test_a_replay_of_a_tours_check_in_gets_the_first_answer(database: Database) -> None:
    scene, (one, two) = set_tour(database, StepKind.TRAIL, 2)
    row = scene.scan(entry=two)
    early = scene.check_in(row, entry=two, position=INSIDE)
    assert outcomes(early) == [("refused", "order")]
    visit(scene, one, 10, early.secret)
    visit(scene, two, 20, early.secret)
    again = scene.check_in(row, entry=two, position=INSIDE, now=minutes(30))
    assert again.is_replay
    assert outcomes(again) == outcomes(early)


def test_a_held_visit_is_no_stop(database: Database) -> None:
    scene, (one, _) = set_tour(database, StepKind.TRAIL, 2)
    done = scene.check_in(scene.scan(entry=one), entry=one, position=FAR)
    assert outcomes(done) == [("pending", None)]
    assert outcomes(visit(scene, one, 10, done.secret)) == [("progress", None)]


def test_a_step_that_counts_three_times_counts_three_visits(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN, 0, 3, 5)])
    cookie = None
    found = []
    for day in (0, 0.01, 1, 2, 3):
        now = NOON + timedelta(days=day)
        done = scene.check_in(scene.scan(at=now), cookie=cookie, now=now, position=INSIDE)
        cookie = cookie or done.secret
        found += [one for one, _ in outcomes(done)]
    assert found == ["verified", "already", "verified", "verified", "already"]
    assert scene.counters()["completions"] == 3
    assert events(scene, "mission.completed") == 1
    with database.snapshot() as session:
        rows = session.exec(select(StepCompletion)).all()
    assert [(row.period, row.points) for row in sorted(rows, key=lambda one: one.period)] == [
        ("1", 5),
        ("2", 5),
        ("3", 5),
    ]


def test_a_mission_is_complete_when_all_its_steps_are(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN), StepPlan(StepKind.IDEA)])
    done = scene.check_in(scene.scan(), position=INSIDE)
    assert events(scene, "mission.completed") == 0
    scene.post_idea(done.person)
    assert events(scene, "mission.completed") == 1
    with database.snapshot() as session:
        (membership,) = session.exec(select(Membership)).all()
    assert membership.completed_at == NOON


@pytest.mark.parametrize(
    ("plan", "pointer"),
    [
        (StepPlan(StepKind.VISIT_PLACES), "/steps/0/params/n"),
        (StepPlan(StepKind.VISIT_PLACES, params={"n": True}), "/steps/0/params/n"),
        (StepPlan(StepKind.VISIT_PLACES, params={"n": 0}), "/steps/0/params/n"),
        (StepPlan(StepKind.VISIT_PLACES, params={"n": 2, "places": ["ext_one"]}), "/steps/0/params/n"),
        (StepPlan(StepKind.VISIT_PLACES, repeat=Repeat.DAILY, params={"n": 2}), "/steps/0/repeat"),
        (StepPlan(StepKind.TRAIL), "/steps/0/params/places"),
        (StepPlan(StepKind.TRAIL, params={"places": ["ext_one"]}), "/steps/0/params/places"),
        (StepPlan(StepKind.TRAIL, params={"places": ["ext_one", "ext_one"]}), "/steps/0/params/places"),
        (StepPlan(StepKind.TRAIL, params={"places": ["ext_one", "plc_7"]}), "/steps/0/params/places/1"),
        (StepPlan(StepKind.TRAIL, params={"places": ["ext_one", 7]}), "/steps/0/params/places/1"),
        (StepPlan(StepKind.SCAN, params={"n": 2}), "/steps/0/params/n"),
        (StepPlan(StepKind.SHARE, params={"places": []}), "/steps/0/params/places"),
        (StepPlan(StepKind.SCAN, repeat=1), "/steps/0/repeat"),
        (StepPlan(StepKind.SCAN, repeat=101), "/steps/0/repeat"),
        (StepPlan(StepKind.SCAN, repeat="monthly"), "/steps/0/repeat"),
    ],
)
def test_params_that_do_not_fit_name_the_field(session: Session, plan: StepPlan, pointer: str) -> None:
    organisation = make_organisation(session)
    make_place(session, organisation, external_id="one")
    stranger = make_organisation(session)
    make_place(session, stranger, external_id="two")
    session.flush()
    with pytest.raises(Invalid) as refused:
        make_mission(session, make_campaign(session, organisation), steps=[plan])
    assert refused.value.context["pointer"] == pointer


def test_a_place_of_another_brand_is_no_place_here(session: Session) -> None:
    organisation, stranger = make_organisation(session), make_organisation(session)
    make_place(session, organisation, external_id="one")
    make_place(session, stranger, external_id="two")
    session.flush()
    plan = StepPlan(StepKind.TRAIL, params={"places": ["ext_one", "ext_two"]})
    with pytest.raises(Invalid, match="no such place"):
        make_mission(session, make_campaign(session, organisation), steps=[plan])


# A till's witness -----------------------------------------------------------------------------------------------


def show(scene: Scene, person: Participant, *, now: datetime = NOON, step: int = 0, **options: Any) -> ActCode:
    with scene.database.transaction() as session:
        return missions.show_code(
            session, scene.mission, campaign(session, scene), steps(scene)[step], person, now=now, **options
        )


def witness(scene: Scene, code: str, *, now: datetime = NOON) -> Witnessed:
    assert scene.entry.place is not None
    with scene.database.transaction() as session:
        return missions.validate(session, scene.entry.place, uuid4(), code, now=now)


STAFF = [StepPlan(StepKind.STAFF_VALIDATED, 3, points=7)]


def test_a_till_witnesses_an_act_by_the_code_on_a_phone(database: Database) -> None:
    scene = set_scene(database, steps=STAFF)
    person = someone(scene)
    shown = show(scene, person)
    assert (len(shown.code), shown.expires_at) == (6, NOON + timedelta(minutes=10))
    assert show(scene, person, now=minutes(9)).id == shown.id
    done = witness(scene, f"{shown.code[:3]} {shown.code[3:]}", now=minutes(9))
    assert (done.outcome.outcome, done.person.id) == ("verified", person.id)
    with database.snapshot() as session:
        standing = missions.standing(session, scene.mission, person)
        (completion,) = session.exec(select(StepCompletion)).all()
    assert (standing.presence, standing.done, completion.points) == (3, {1: "verified"}, 7)
    assert scene.problems() == []


@pytest.mark.parametrize(("late", "refusal"), [(10, NotFound), (9.9, None)])
def test_a_code_is_good_for_ten_minutes(database: Database, late: float, refusal: type[Exception] | None) -> None:
    scene = set_scene(database, steps=STAFF)
    shown = show(scene, someone(scene))
    if refusal is None:
        assert witness(scene, shown.code, now=minutes(late)).outcome.outcome == "verified"
        return
    with pytest.raises(refusal):
        witness(scene, shown.code, now=minutes(late))


def test_of_twenty_racing_tills_one_takes_a_code(database: Database) -> None:
    scene = set_scene(database, steps=STAFF)
    shown = show(scene, someone(scene))
    answers = race(20, lambda _: witness(scene, shown.code))
    refused = [one for one in answers if isinstance(one, Conflict)]
    assert sum(isinstance(one, Witnessed) for one in answers) == 1, answers
    assert {one.code for one in refused} == {"act_code_used"}
    assert len(refused) == 19
    assert scene.counters() == {"participants": 1, "completions": 1}
    assert scene.problems() == []


def test_a_step_done_again_in_its_period_counts_once(database: Database) -> None:
    """I10: two codes of one person, one completion."""
    scene = set_scene(database, steps=STAFF)
    person = someone(scene)
    first = witness(scene, show(scene, person).code)
    second = witness(scene, show(scene, person, now=minutes(1)).code, now=minutes(1))
    assert (first.outcome.outcome, second.outcome.outcome) == ("verified", "already")
    assert scene.counters()["completions"] == 1


def test_a_code_of_another_brand_is_not_known(database: Database) -> None:
    scene, other = set_scene(database, steps=STAFF), set_scene(database, steps=STAFF)
    shown = show(other, someone(other))
    with pytest.raises(NotFound):
        witness(scene, shown.code)


def test_a_code_that_is_taken_is_drawn_anew(database: Database) -> None:
    scene = set_scene(database, steps=STAFF)
    show(scene, someone(scene), draw=lambda: "111111")
    drawn = iter(["111111", "222222"])
    assert show(scene, someone(scene), draw=lambda: next(drawn)).code == "222222"


# Friends --------------------------------------------------------------------------------------------------------

FRIENDS = [StepPlan(StepKind.BRING_FRIEND)]


def name_friend(scene: Scene, person: Participant, code: str, *, now: datetime = NOON) -> str:
    with scene.database.transaction() as session:
        (step,) = steps(scene)
        done = missions.name_friend(session, scene.mission, campaign(session, scene), step, person, code, now=now)
        return done.outcome


def test_two_friends_who_came_together_and_named_one_another_are_done(database: Database) -> None:
    scene = set_scene(database, steps=FRIENDS)
    one, two = visit(scene, scene.entry, 0).person, visit(scene, scene.entry, 10).person
    first, second = show(scene, one, now=minutes(10)), show(scene, two, now=minutes(10))
    assert name_friend(scene, one, second.code, now=minutes(11)) == "progress"
    assert name_friend(scene, two, first.code, now=minutes(11)) == "verified"
    assert name_friend(scene, one, second.code, now=minutes(12)) == "already"
    assert scene.counters()["completions"] == 2
    scene.drain(now=minutes(13))
    assert scene.problems() == []


def test_friends_who_came_ten_minutes_apart_are_not_together(database: Database) -> None:
    scene = set_scene(database, steps=FRIENDS)
    one, two = visit(scene, scene.entry, 0).person, visit(scene, scene.entry, 10.1).person
    first, second = show(scene, one, now=minutes(11)), show(scene, two, now=minutes(11))
    found = [name_friend(scene, who, code, now=minutes(11)) for who, code in ((one, second.code), (two, first.code))]
    assert found == ["progress", "progress"]


def test_friends_at_two_places_are_not_together(database: Database) -> None:
    scene = set_scene(database, steps=FRIENDS)
    one, two = visit(scene, scene.entry, 0).person, visit(scene, another_place(scene, name="B"), 1).person
    first, second = show(scene, one), show(scene, two)
    assert [name_friend(scene, one, second.code), name_friend(scene, two, first.code)] == ["progress", "progress"]


def test_nobody_is_their_own_friend(database: Database) -> None:
    scene = set_scene(database, steps=FRIENDS)
    one = visit(scene, scene.entry, 0).person
    with pytest.raises(Invalid) as refused:
        name_friend(scene, one, show(scene, one).code)
    assert refused.value.code == "own_code"


def test_friends_who_name_one_another_at_once_are_both_done(database: Database) -> None:
    scene = set_scene(database, steps=FRIENDS)
    pair = [visit(scene, scene.entry, 0).person, visit(scene, scene.entry, 1).person]
    codes = [show(scene, who).code for who in pair]
    answers = race(8, lambda n: name_friend(scene, pair[n % 2], codes[1 - n % 2]))
    assert answers.count("verified") == 1, answers
    assert scene.counters()["completions"] == 2


def test_the_second_of_two_friends_waits_for_the_first_and_sees_what_they_did(database: Database) -> None:
    """Without the hold of memberships each would miss the other's naming, and nobody would be done."""
    scene = set_scene(database, steps=FRIENDS)
    one, two = (visit(scene, scene.entry, at).person for at in (0, 1))
    first, second = show(scene, one).code, show(scene, two).code
    (step,) = steps(scene)
    answers: list[str] = []
    other = threading.Thread(target=lambda: answers.append(name_friend(scene, two, first)), daemon=True)
    with database.transaction() as session:
        missions.name_friend(session, scene.mission, campaign(session, scene), step, one, second, now=NOON)
        other.start()
        other.join(timeout=1.5)
    other.join(timeout=30)
    assert answers == ["verified"]


# Online ---------------------------------------------------------------------------------------------------------


def share(scene: Scene, person: Participant, *, now: datetime = NOON) -> tuple[str, str]:
    with scene.database.transaction() as session:
        done = missions.share(session, scene.mission, campaign(session, scene), person, now=now)
        return done.code, done.outcome.outcome


def test_a_share_counts_once_a_day_and_its_link_stays(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SHARE, 0, Repeat.DAILY)])
    person = someone(scene)
    code, outcome = share(scene, person)
    assert outcome == "verified"
    assert share(scene, person, now=minutes(5)) == (code, "already")
    assert share(scene, person, now=NOON + timedelta(days=1)) == (code, "verified")
    assert share(scene, someone(scene))[0] != code
    assert scene.problems() == []


def test_sharing_below_its_presence_or_under_15_is_refused(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SHARE, 1)])
    with pytest.raises(Forbidden) as refused:
        share(scene, someone(scene))
    assert refused.value.code == "presence_missing"
    with database.transaction() as session:
        young = participants.declare_age(session, someone(scene), is_under_15=True, now=NOON)
    with pytest.raises(Forbidden) as refused:
        share(scene, young)
    assert refused.value.code == "under_age"


def tell(scene: Scene, code: str, external_id: str) -> str:
    with scene.database.transaction() as session:
        return missions.tell(
            session, scene.mission, campaign(session, scene), code=code, external_id=external_id, now=NOON
        )


def test_an_act_told_by_another_system_counts_once_by_its_id(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.EXTERNAL, 0, 2)])
    with database.transaction() as session:
        code = missions.public_code(session, scene.mission, someone(scene), now=NOON)
    answers = race(6, lambda _: tell(scene, code, "order-1"))
    assert answers.count("verified") >= 1
    assert all(one == "verified" or isinstance(one, Conflict) for one in answers), answers
    assert tell(scene, code.lower(), "order-1") == "verified"
    assert scene.counters()["completions"] == 1
    assert [tell(scene, code, "order-2"), tell(scene, code, "order-3")] == ["verified", "already"]
    with pytest.raises(NotFound):
        tell(scene, "NOBODYHERE", "order-4")
    with database.snapshot() as session:
        assert len(session.exec(select(ExternalAct)).all()) == 3


def test_erasing_a_person_takes_their_codes_and_leaves_their_acts_counted(database: Database) -> None:
    scene = set_scene(database, steps=[*STAFF, StepPlan(StepKind.SHARE)])
    person = someone(scene)
    witness(scene, show(scene, person).code)
    share(scene, person)
    before = scene.counters()
    with database.erasing() as session:
        assert privacy.erase(session, person.id, note=lambda *_: None, now=NOON)
    with database.snapshot() as session:
        assert session.exec(select(ActCode)).all() == []
        assert session.exec(select(PublicCode)).all() == []
        assert session.get(Participant, person.id) is None
    assert scene.counters() == before
    assert scene.problems() == []


def test_the_database_takes_no_act_of_a_step_twice(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN, 0)])
    one, friend = someone(scene), someone(scene)
    step, mission, day = steps(scene)[0].id, scene.mission.id, {"phase": "live", "participant_id": one.id}
    place = scene.entry.place
    assert place is not None
    twice: list[tuple[type[SQLModel], dict[str, Any]]] = [
        (Share, {"mission_id": mission, "civil_day": "2026-10-01", "shared_at": NOON, **day}),
        (
            ExternalAct,
            {
                "mission_id": mission, "external_id": "o-1", "step_id": step, "outcome": "verified", "acted_at": NOON,
                **day,
            },
        ),
        (
            Validation,
            {
                "code_id": uuid4(), "step_id": step, "place_id": place.id, "staff_session_id": uuid4(),
                "validated_at": NOON, **day,
            },
        ),
        (FriendNaming, {"step_id": step, "friend_id": friend.id, "period": "once", "named_at": NOON, **day}),
        (
            StepCompletion,
            {
                "step_id": step, "mission_id": mission, "period": "once", "state": "verified", "presence": 0,
                "source_id": uuid4(), "completed_at": NOON, **day,
            },
        ),
    ]  # fmt: skip
    for table, fields in twice:
        with database.transaction() as session:
            store(session, table, id=uuid4(), **fields)
        with pytest.raises(IntegrityError, match=r"(?i)unique"), database.transaction() as session:
            store(session, table, id=uuid4(), **fields)


def test_a_recount_tells_of_a_place_that_rests_on_no_visit(database: Database) -> None:
    scene, (one, _) = set_tour(database, StepKind.VISIT_PLACES, 2, n=2)
    visit(scene, one, 0)
    assert scene.problems() == []
    with database.transaction() as session:
        session.exec(select(MissionPlace)).one().presence += 1
    (told,) = scene.problems()
    assert told.startswith(f"place {name(one)} of par_")
