"""Batches of tokens, and serial codes that are good once, on both databases."""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func
from sqlmodel import Session, col, select

from campaigns import jobs, planning, scans, tokens, worker
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.identity import Organisation
from campaigns.ids import uuid7
from campaigns.jobs import CHUNK, Job, JobState
from campaigns.missions import CheckedIn, Repeat, StepKind, StepPlan
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.scans import CheckIn
from campaigns.storage import Database
from campaigns.tokens import Good, Medium, Token, TokenBatch, codes
from campaigns.tokens.directory import Entry
from campaigns.tokens.models import SerialUse
from tests.factories import NOON, make_campaign, make_entry, make_organisation, make_place
from tests.racing import race
from tests.scene import FAR, INSIDE, Scene, minutes, set_scene

RACERS = 200 if os.environ.get("PASSERELLE_SOAK") else 20
ME = uuid7()


def make_serials(session: Session, campaign: Campaign, **overrides: Any) -> TokenBatch:
    fields: dict[str, Any] = {"count": 3, "medium": Medium.QR, "place": None, "now": NOON, **overrides}
    return tokens.issue_serials(session, campaign, **fields)


def codes_of(database: Database, batch_id: UUID) -> list[str]:
    """Every code of a batch in the order of its list, read page by page."""
    found: list[str] = []
    after = None
    with database.snapshot() as session:
        while lines := tokens.lines_of(session, batch_id, after=after):
            found += [line.code for line in lines]
            after = lines[-1].token_id
    return found


def read_job(database: Database, batch: TokenBatch) -> Job:
    with database.snapshot() as session:
        job = tokens.job_of(session, batch)
    assert job is not None
    return job


def open_batch(database: Database, **overrides: Any) -> tuple[Scene, TokenBatch]:
    scene = set_scene(database)
    with database.transaction() as session:
        return scene, make_serials(session, session.get_one(Campaign, scene.campaign.id), **overrides)


# Making ----------------------------------------------------------------------------------------------------------


def test_a_small_batch_is_made_at_once(session: Session) -> None:
    organisation = make_organisation(session)
    campaign, place = make_campaign(session, organisation), make_place(session, organisation)
    batch = make_serials(session, campaign, count=500, place=place, label="Coffret", channel="pack", medium=Medium.NFC)
    made = session.exec(select(Token).where(Token.batch_id == batch.id)).all()
    assert len({token.code for token in made}) == 500
    assert {len(token.code) for token in made} == {16}
    assert {codes.normalise(codes.grouped(token.code).lower()) for token in made} == {token.code for token in made}
    assert {(t.kind, t.medium, t.place_id, t.label, t.channel, t.state) for t in made} == {
        ("serial", "nfc", place.id, "Coffret", "pack", "active")
    }
    assert tokens.job_of(session, batch) is None
    tokens.require_made(session, batch)


def test_a_large_batch_is_a_job_of_chunks(database: Database) -> None:
    _, batch = open_batch(database, count=3 * CHUNK + 1)
    assert codes_of(database, batch.id) == []
    seen = []
    while worker.work(database, by=ME, now=NOON):
        job = read_job(database, batch)
        seen.append((job.state, job.done, len(codes_of(database, batch.id))))
        if job.is_unfinished:
            with database.snapshot() as session, pytest.raises(Conflict) as refusal:
                tokens.require_made(session, batch)
            assert refusal.value.code == "job_running"
    chunks = [("running", CHUNK), ("running", 2 * CHUNK), ("running", 3 * CHUNK), ("done", 3 * CHUNK + 1)]
    assert seen == [(state, done, done) for state, done in chunks]
    found = codes_of(database, batch.id)
    assert len(set(found)) == 3 * CHUNK + 1
    assert codes_of(database, batch.id) == found
    job = read_job(database, batch)
    assert job.result_path == f"/v1/token-batches/tbt_{batch.id.hex}/codes.csv"
    with database.snapshot() as session:
        tokens.require_made(session, batch)


def test_a_cancelled_batch_keeps_what_was_made(database: Database) -> None:
    _, batch = open_batch(database, count=3 * CHUNK + 1)
    assert worker.work(database, by=ME, now=NOON)
    with database.transaction() as session:
        jobs.ask_to_cancel(session, session.get_one(Job, batch.job_id), now=NOON)
    while worker.work(database, by=ME, now=NOON):
        pass
    assert read_job(database, batch).state == JobState.CANCELLED
    assert len(codes_of(database, batch.id)) == CHUNK
    with database.snapshot() as session:
        tokens.require_made(session, batch)


def test_a_batch_whose_campaign_ends_meanwhile_stops_with_the_reason(database: Database) -> None:
    scene, batch = open_batch(database, count=3 * CHUNK)
    assert worker.work(database, by=ME, now=NOON)
    with database.transaction() as session:
        planning.end(session, session.get_one(Campaign, scene.campaign.id), now=NOON)
    assert worker.work(database, by=ME, now=NOON)
    job = read_job(database, batch)
    assert (job.state, job.done) == (JobState.FAILED, CHUNK)
    assert "ended" in (job.error or "")


def test_codes_that_are_taken_are_drawn_again(session: Session) -> None:
    campaign = make_campaign(session, make_organisation(session))
    draws = iter([bytes(30), bytes([1] * 15), bytes(15), bytes([2] * 15)])
    batches = [make_serials(session, campaign, count=count, random_bytes=lambda _: next(draws)) for count in (2, 1)]
    for batch, expected in zip(batches, ("01", "2"), strict=True):
        made = session.exec(select(Token.code).where(Token.batch_id == batch.id)).all()
        assert sorted(code[0] for code in made) == list(expected)
    with pytest.raises(Conflict):
        make_serials(session, campaign, random_bytes=bytes)


def test_racing_batches_share_no_code(database: Database) -> None:
    scene = set_scene(database)

    def make(index: int) -> UUID:
        draws = iter([bytes(15 * 20), bytes([index + 1]) * 15 * 20])

        def draw(number: int) -> bytes:
            try:
                return next(draws)[:number]
            except StopIteration:
                return os.urandom(number)

        with database.transaction() as session:
            campaign = session.get_one(Campaign, scene.campaign.id)
            return make_serials(session, campaign, count=20, random_bytes=draw).id

    made = race(6, make)
    assert all(isinstance(id, UUID) for id in made)
    found = [code for id in made if isinstance(id, UUID) for code in codes_of(database, id)]
    assert len(found) == len(set(found)) == 120


@pytest.mark.parametrize("count", [-1, 0, 100_001, 2**63])
def test_a_batch_has_one_to_a_hundred_thousand_codes(session: Session, count: int) -> None:
    campaign = make_campaign(session, make_organisation(session))
    with pytest.raises(Invalid) as refusal:
        make_serials(session, campaign, count=count)
    assert refusal.value.context["pointer"] == "/count"


def test_codes_are_handed_over_somewhere(session: Session) -> None:
    campaign = make_campaign(session, make_organisation(session))
    with pytest.raises(Invalid) as refusal:
        make_serials(session, campaign, handed_over=True)
    assert refusal.value.context["pointer"] == "/place_id"


def test_a_campaign_that_is_over_takes_no_batch(session: Session) -> None:
    organisation = make_organisation(session)
    place = make_place(session, organisation)
    over = make_campaign(session, organisation, ends_at=NOON - timedelta(hours=1))
    ended = make_campaign(session, organisation)
    planning.end(session, ended, now=NOON)
    for campaign in (over, ended):
        with pytest.raises(Conflict):
            make_serials(session, campaign)
        with pytest.raises(Conflict):
            tokens.issue_statics(session, campaign, media=[Medium.QR], places=[place], now=NOON)


def test_a_static_batch_is_one_code_a_place_and_medium(session: Session) -> None:
    organisation = make_organisation(session)
    shops = [make_place(session, organisation, name=name) for name in ("Bellecour", "Part-Dieu")]
    campaign = make_campaign(session, organisation)
    batch = tokens.issue_statics(session, campaign, media=[Medium.QR, Medium.NFC], places=shops, now=NOON)
    lines = tokens.lines_of(session, batch.id, after=None)
    assert [(line.place, line.medium) for line in lines] == [
        ("Bellecour", "qr"),
        ("Bellecour", "nfc"),
        ("Part-Dieu", "qr"),
        ("Part-Dieu", "nfc"),
    ]
    assert {(len(line.code), line.state) for line in lines} == {(10, "active")}
    assert batch.count == 4
    with pytest.raises(Invalid):
        tokens.issue_statics(session, campaign, media=[Medium.QR], places=[], now=NOON)
    with pytest.raises(Invalid):
        tokens.issue_statics(session, campaign, media=[Medium.QR], places=shops * 5_001, now=NOON)


def test_a_large_static_batch_is_a_job_that_keeps_the_order(database: Database) -> None:
    scene = set_scene(database)
    with database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        organisation = session.get_one(Organisation, campaign.organisation_id)
        shops = [make_place(session, organisation, name=f"Shop {number}") for number in range(7)] * 36
        batch = tokens.issue_statics(session, campaign, media=[Medium.QR, Medium.NFC], places=shops, now=NOON)
        assert batch.job_id is not None
    sizes: list[int] = []
    while worker.work(database, by=ME, now=minutes(len(sizes))):
        sizes.append(len(codes_of(database, batch.id)))
    assert sizes == [200, 400, 504]
    assert read_job(database, batch).state == JobState.DONE
    with database.snapshot() as session:
        lines = tokens.lines_of(session, batch.id, after=None)
    assert [(line.place, line.medium) for line in lines] == [
        (f"Shop {number}", medium) for number in range(7) for medium in ("qr", "nfc")
    ] * 36
    assert {len(line.code) for line in lines} == {10}
    assert len({line.code for line in lines}) == 504


def test_jobs_are_dropped_a_month_after_their_end_and_their_batches_stay(database: Database) -> None:
    scene, cancelled = open_batch(database, count=3 * CHUNK)
    assert worker.work(database, by=ME, now=NOON)
    with database.transaction() as session:
        jobs.ask_to_cancel(session, session.get_one(Job, cancelled.job_id), now=NOON)
    assert worker.work(database, by=ME, now=NOON)
    with database.transaction() as session:
        waiting = make_serials(session, session.get_one(Campaign, scene.campaign.id), count=3 * CHUNK)
    worker.purge_jobs(database, now=NOON + timedelta(days=30))
    assert read_job(database, cancelled).done == CHUNK
    worker.purge_jobs(database, now=NOON + timedelta(days=30, seconds=1))
    with database.snapshot() as session:
        kept = session.get_one(TokenBatch, cancelled.id)
        assert (kept.count, kept.job_id) == (CHUNK, None)
        assert session.exec(select(Job.id)).all() == [waiting.job_id]
        assert session.get_one(TokenBatch, waiting.id).count == 3 * CHUNK
    assert len(codes_of(database, cancelled.id)) == CHUNK


def test_a_batch_belongs_to_its_organisation(session: Session) -> None:
    organisation = make_organisation(session)
    campaign = make_campaign(session, organisation)
    first, second = make_serials(session, campaign), make_serials(session, campaign, now=NOON + timedelta(seconds=1))
    assert tokens.batch_by_id(session, organisation.id, first.id) == first
    assert tokens.list_batches(session, campaign.id, before=None, limit=5) == [second, first]
    assert tokens.list_batches(session, campaign.id, before=second.id, limit=5) == [first]
    with pytest.raises(NotFound):
        tokens.batch_by_id(session, make_organisation(session).id, first.id)


def test_serials_stand_in_no_place_that_somebody_must_look_after(session: Session) -> None:
    organisation = make_organisation(session)
    campaign, place = make_campaign(session, organisation), make_place(session, organisation)
    make_serials(session, campaign, place=place)
    assert tokens.tokens_of_place(session, place.id) == []
    assert len(session.exec(tokens.ids_of_place(place.id)).all()) == 3


# Using -----------------------------------------------------------------------------------------------------------


@dataclass
class Packs:
    """A scene whose codes are serials."""

    scene: Scene
    entries: list[Entry]

    def use(self, number: int = 0, *, at: float = 0, **overrides: Any) -> CheckedIn:
        """Scan a serial and check in on it."""
        entry = self.entries[number]
        row = self.scene.scan_and_confirm(entry=entry, at=minutes(at), **overrides.pop("scan", {}))
        return self.scene.check_in(row, entry=entry, now=minutes(at), **overrides)

    def refused(self, number: int = 0, **options: Any) -> bool:
        try:
            self.use(number, **options)
        except Conflict as refusal:
            return refusal.code == "serial_used"
        return False

    def counted(self) -> int:
        with self.scene.database.snapshot() as session:
            return session.exec(select(func.count()).where(col(CheckIn.counted))).one()

    def uses(self) -> int:
        with self.scene.database.snapshot() as session:
            return session.exec(select(func.count()).select_from(SerialUse)).one()


def open_packs(database: Database, *, least: int = 0, at_place: bool = True, live: bool = True, **batch: Any) -> Packs:
    """Serials in a live campaign whose one step asks for `least` presence."""
    scene = set_scene(database, live=live, steps=[StepPlan(StepKind.SCAN, least, Repeat.DAILY)])
    with database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        place = session.get_one(Place, scene.token.place_id) if at_place else None
        made = make_serials(session, campaign, place=place, **batch)
    with database.snapshot() as session:
        lines = tokens.lines_of(session, made.id, after=None)
        return Packs(scene, [make_entry(session, session.get_one(Token, line.token_id)) for line in lines])


def test_a_serial_is_good_once(database: Database) -> None:
    packs = open_packs(database)
    done = packs.use()
    assert (done.check_in.counted, [one.outcome for one in done.outcomes]) == (True, ["verified"])
    assert packs.refused(at=1)
    assert packs.refused(at=60 * 24 * 3, cookie=done.secret)
    assert packs.use(1, at=2).check_in.counted
    packs.scene.drain()
    assert (packs.counted(), packs.scene.problems()) == (2, [])


def test_a_refused_second_use_leaves_nothing(database: Database) -> None:
    packs = open_packs(database)
    packs.use()
    before = packs.scene.counters()
    assert packs.refused(at=1)
    assert packs.scene.counters() == before
    with database.snapshot() as session:
        assert len(session.exec(select(CheckIn)).all()) == 1


def test_a_replay_gets_the_first_answer_and_not_that_the_code_was_used(database: Database) -> None:
    packs = open_packs(database)
    row = packs.scene.scan_and_confirm(entry=packs.entries[0])
    first = packs.scene.check_in(row, entry=packs.entries[0])
    again = packs.scene.check_in(row, entry=packs.entries[0], now=minutes(1))
    assert (again.is_replay, again.check_in.id) == (True, first.check_in.id)


def test_a_serial_for_each_person_is_good_once_for_each(database: Database) -> None:
    packs = open_packs(database, good=Good.ONCE_PER_PERSON)
    first, second = packs.use(), packs.use(at=1)
    assert (first.check_in.counted, second.check_in.counted) == (True, True)
    assert packs.refused(at=2, cookie=first.secret)
    assert packs.refused(at=60 * 24 * 3, cookie=second.secret)
    assert packs.use(at=3).check_in.counted
    assert packs.counted() == 3


def test_a_serial_on_a_pack_proves_possession_and_no_presence(database: Database) -> None:
    packs = open_packs(database, at_place=False)
    check = packs.use().check_in
    assert (check.presence, check.reasons, check.verdict) == (0, "possession", "valid")
    with database.snapshot() as session:
        assert [scan.reasons for scan in scans.list_scans(session, check.campaign_id, limit=5)] == ["possession"]


def test_a_serial_handed_over_in_the_shop_proves_strong_presence_once(database: Database) -> None:
    packs = open_packs(database, handed_over=True, good=Good.ONCE_PER_PERSON)
    first, second = packs.use().check_in, packs.use(at=1).check_in
    assert (first.presence, first.reasons) == (2, "")
    assert second.presence == 0  # whoever got it from the first one need not have come


def test_a_serial_moved_to_another_place_proves_nothing_of_it(database: Database) -> None:
    packs = open_packs(database, handed_over=True)
    with database.transaction() as session:
        organisation = session.get_one(Organisation, packs.scene.campaign.organisation_id)
        elsewhere = make_place(session, organisation, name="Part-Dieu")
        token = session.get_one(Token, packs.entries[0].token_id)
        tokens.change_token(session, token, now=NOON, place_id=elsewhere.id)
    with database.snapshot() as session:
        packs.entries[0] = make_entry(session, token)
    assert packs.use().check_in.presence == 0


def test_a_check_in_that_cannot_count_uses_nothing_up(database: Database) -> None:
    packs = open_packs(database, least=1)
    assert packs.use().check_in.presence == 0
    assert packs.uses() == 0
    done = packs.use(at=1, position=INSIDE)
    assert (done.check_in.presence, done.check_in.counted) == (1, True)
    assert packs.refused(at=2, position=INSIDE)


def test_a_check_in_that_waits_for_its_verdict_uses_the_serial_up(database: Database) -> None:
    packs = open_packs(database)
    assert packs.use(position=FAR).check_in.verdict == "held"
    assert packs.refused(at=1)


def test_a_trial_of_a_draft_uses_nothing_up(database: Database) -> None:
    packs = open_packs(database, live=False)
    assert [packs.use(at=at).check_in.verdict for at in range(3)] == ["test"] * 3
    assert packs.uses() == 0


def test_a_pause_uses_nothing_up(database: Database) -> None:
    packs = open_packs(database)
    row = packs.scene.scan_and_confirm(entry=packs.entries[0])
    with database.transaction() as session:
        planning.pause(session, session.get_one(Campaign, packs.scene.campaign.id), now=minutes(1))
    with database.snapshot() as session:
        token = session.get_one(Token, packs.entries[0].token_id)
        packs.entries[0] = make_entry(session, token)
    assert packs.scene.check_in(row, entry=packs.entries[0], now=minutes(2)).check_in.verdict == "invalid"
    assert packs.uses() == 0


@pytest.mark.parametrize("handed_over", [False, True])
def test_of_racing_check_ins_on_one_serial_one_counts(database: Database, handed_over: bool) -> None:
    packs = open_packs(database, handed_over=handed_over)
    rows = [packs.scene.scan_and_confirm(entry=packs.entries[0], visitor_key=key) for key in range(1, RACERS + 1)]
    outcomes = race(RACERS, lambda index: packs.scene.check_in(rows[index], entry=packs.entries[0]))
    won = [one for one in outcomes if isinstance(one, CheckedIn)]
    lost = [one for one in outcomes if isinstance(one, Conflict) and one.code == "serial_used"]
    assert (len(won), len(lost)) == (1, RACERS - 1)
    packs.scene.drain()
    assert (packs.counted(), packs.uses()) == (1, 1)
    assert packs.scene.counters()["check_ins"] == 1
    assert packs.scene.problems() == []


def test_of_racing_people_on_a_serial_for_each_all_count_and_one_was_there(database: Database) -> None:
    packs = open_packs(database, handed_over=True, good=Good.ONCE_PER_PERSON)
    rows = [packs.scene.scan_and_confirm(entry=packs.entries[0], visitor_key=key) for key in range(1, RACERS + 1)]
    outcomes = race(RACERS, lambda index: packs.scene.check_in(rows[index], entry=packs.entries[0]))
    levels = sorted(one.check_in.presence for one in outcomes if isinstance(one, CheckedIn))
    assert levels == [0] * (RACERS - 1) + [2]


def test_a_check_in_that_arrives_twice_at_once_is_no_second_use(database: Database) -> None:
    packs = open_packs(database)
    row = packs.scene.scan_and_confirm(entry=packs.entries[0])
    outcomes = race(8, lambda _: packs.scene.check_in(row, entry=packs.entries[0]))
    done = {one.check_in.id for one in outcomes if isinstance(one, CheckedIn)}
    twins = {one.code for one in outcomes if isinstance(one, Conflict)}
    assert len(done) == 1
    assert twins <= {"already_checked_in"}
    assert len([one for one in outcomes if isinstance(one, CheckedIn | Conflict)]) == 8
