"""Sponsor money in any order of acts, verdicts, voids, posting, payouts, pauses, merges and erasures, beside a model.

The acts are light ones: a scan, its confirmation and its check-in are written as rows, and the verdicts change at will.
1,000 steps on SQLite, counting each act of several, and 200 on PostgreSQL; `PASSERELLE_SOAK=1` (`make soak`) takes
100,000 and 3,000.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import bindparam, delete, func, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import identity, merging, missions, participants, planning, privacy, sponsorship, worker
from campaigns.clock import civil_day
from campaigns.errors import Conflict
from campaigns.events import Event, record_event
from campaigns.identity import RIGHTS, Organisation, Role
from campaigns.ids import uuid7_at
from campaigns.missions import Repeat, StepKind, StepPlan
from campaigns.missions.models import CompletionState
from campaigns.participants import Participant
from campaigns.scans import CheckIn, Scan
from campaigns.scans.judge import id_after
from campaigns.scans.models import ScanConfirmation, ScanJudgement
from campaigns.scans.service import standing_judgements
from campaigns.sponsorship import payouts
from campaigns.sponsorship.ledger import Account
from campaigns.sponsorship.models import Accrual, Beneficiary, LastSlice, Pledge, PledgeKind
from campaigns.storage import Database, columns_of, store
from tests.booth import SECRET
from tests.campaigns.test_reversal import void
from tests.factories import NOON
from tests.machines import sized
from tests.money_model import Act, Model, Money, Paid, Person, Promise
from tests.scene import set_scene
from tests.sponsors import make_cause, make_pledge, turn_campaign

ZONE = "Europe/Paris"
VERDICTS = ("valid", "valid", "provisional", "held", "invalid")
_IDS: Any = bindparam("ids", expanding=True)
_P, _A, _B = columns_of(Pledge), columns_of(Accrual), columns_of(Account)
_PLEDGES = columns(_P.id, _P.state, _P.acts).where(_P.id.in_(_IDS))
_ACCRUALS = columns(_A.pledge_id, _A.amount_minor, _A.state, _A.act_undone_at.is_not(None)).where(
    _A.pledge_id.in_(_IDS)
)
_BALANCES = columns(_B.book_id, _B.kind, _B.balance_minor).where(_B.book_id.in_(_IDS))
# What happens, as often as named.
WHAT = (
    *["act"] * 8,
    *["judge", "judge", "void", "void", "drain", "post", "post", "pay", "pay", "void_accrual"],
    *["pass_time", "release", "pause", "resume", "resume", "merge", "erase"],
)


class MoneyMachine(RuleBasedStateMachine):
    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        worker.make_months(database, now=NOON)
        self.scene = set_scene(database, steps=[StepPlan(StepKind.SCAN, 0, Repeat.DAILY)])
        self.now = NOON
        self.people: list[Person] = []
        self.changed = 0
        with database.transaction() as session:
            self.organisation = session.get_one(Organisation, self.scene.campaign.organisation_id)
            self.step = missions.steps_of(session, self.scene.mission.id)[0]
            causes = [make_cause(session, self.organisation.id)]
            self.cause_id = causes[0].id
            fields: dict[str, Any] = {"email": "ana@example.org", "name": "Ana", "role": Role.OWNER}
            member, _, __ = identity.invite_member(
                session, self.organisation.id, most=RIGHTS[Role.OWNER], now=NOON, **fields
            )
            self.member_id = member.id
            fields |= {"email": "ben@example.org", "name": "Ben"}
            proposer, _, __ = identity.invite_member(
                session, self.organisation.id, most=RIGHTS[Role.OWNER], now=NOON, **fields
            )
            self.proposer_id = proposer.id
            keep = LastSlice.KEEP_REMAINDER.value
            shared: dict[str, Any] = {"causes": causes, "review_h": 24}
            whole = make_pledge(
                session,
                self.scene.mission,
                unit_minor=30,
                cap_minor=400,
                last_slice=keep,
                per_person_cap_minor=100,
                per_day_cap_minor=160,
                **shared,
            )
            match: dict[str, Any] = {
                "kind": PledgeKind.MATCH.value,
                "matches_id": whole.id,
                "match_percent": 50,
            }
            half = make_pledge(session, self.scene.mission, cap_minor=100, unit_minor=15, **match, **shared)
            reach: dict[str, Any] = {"kind": PledgeKind.THRESHOLD.value, "threshold": 3, "unit_minor": 70}
            often = make_pledge(session, self.scene.mission, cap_minor=250, **reach, **shared)
            strict: dict[str, Any] = {"min_presence": 2, "unit_minor": 7, "per_person_cap_minor": 10}
            sure = make_pledge(session, self.scene.mission, cap_minor=45, **strict, **shared)
        base = Promise(whole.id, 30, 400, pays_remainder=False, person_cap=100, day_cap=160)
        self.model = Model(
            [
                base,
                Promise(often.id, 70, 250, threshold=3),
                Promise(sure.id, 7, 45, min_presence=2, person_cap=10),
                Promise(half.id, 15, 100, matches=base, percent=50),
            ]
        )

    @rule(what=st.sampled_from(WHAT), one=st.integers(0, 999), other=st.integers(0, 999), flag=st.booleans())
    def happens(self, what: str, one: int, other: int, *, flag: bool) -> None:
        """One rule for all: of rules of their own Hypothesis leaves many out of each example."""
        is_paused, which = self.model.is_paused, one % 4
        turns: dict[str, Callable[[], None]] = {
            "act": lambda: self.act(one % 10, 1 + other % 5, other // 5 % 4, is_judged=one % 3 > 0, is_drained=flag),
            "judge": lambda: self.judge(one, VERDICTS[other % len(VERDICTS)]),
            "void": lambda: self.void(one),
            "drain": self.drain,
            "post": lambda: self.post((0, 0, 13, 25)[one % 4]),
            "pay": lambda: self.pay(which, is_sent=flag),
            "void_accrual": lambda: self.void_accrual(which, other),
            "pass_time": lambda: self.pass_time((1, 6, 20)[one % 3]),
            "release": lambda: self.release(which),
            "pause": self.pause,
            "resume": lambda: self.resume(is_drained=flag),
            "merge": lambda: self.merge(one, other),
            "erase": lambda: self.erase(one),
        }
        if what not in (("act", "release", "pause") if is_paused else ("resume",)):
            turns[what]()

    # What people do.

    def act(self, who: int, number: int, presence: int, *, is_judged: bool, is_drained: bool) -> None:
        """Some people check in, one after the other: some are known, some new."""
        for one in range(number):
            self.now += timedelta(minutes=6)
            with self.database.transaction() as session:
                person = self._person(session, (who + one) % 10)
                scan_id = self._check_in(session, person, presence, is_judged)
            act = Act(scan_id, person, civil_day(self.now, ZONE), presence, is_judged=is_judged)
            self.model.act(act, self.now)
        if is_drained:
            self.drain()

    def _person(self, session: Session, who: int) -> Person:
        alive = [one for one in self.people if one.heir is None and not one.is_erased]
        if who < len(alive):
            return alive[who]
        row, secret = participants.join(session, self.organisation.id, language="fr", now=self.now)
        person = Person(row.id, secret)
        self.people.append(person)
        return person

    def _check_in(self, session: Session, person: Person, presence: int, is_judged: bool) -> UUID:
        scan_id, check_in_id = uuid7_at(self.now), uuid7_at(self.now)
        token = self.scene.token
        common = {"token_id": token.id, "campaign_id": self.scene.campaign.id, "phase": "live", "verdict": "valid"}
        scan = {
            "place_id": token.place_id,
            "code": None,
            "visitor_key": 1,
            "score": 0,
            "reasons": "",
            "rules_version": 3,
        }
        store(session, Scan, id=scan_id, **common, **scan, device="phone", language="fr", country=None, city=None)
        key = {"scan_id": scan_id, "token_id": token.id, "visitor_key": 1}
        store(session, ScanConfirmation, **key, confirmed_at=self.now, is_judged=is_judged)
        fence = {"presence": presence, "geofence": "inside", "by_till_code": False, "reasons": "", "counted": False}
        when = {"occurred_at": self.now, "checked_in_at": self.now, "place_id": token.place_id}
        row = session.get_one(Participant, person.id)
        store(session, CheckIn, id=check_in_id, scan_id=scan_id, participant_id=row.id, **common, **fence, **when)
        missions.take_part(session, self.scene.mission, row, phase="live", now=self.now)
        missions.complete(
            session,
            self.scene.mission,
            self.step,
            row,
            period=civil_day(self.now, ZONE).isoformat(),
            presence=presence,
            phase="live",
            source_id=check_in_id,
            state=CompletionState.VERIFIED,
            now=self.now,
        )
        return scan_id

    def pass_time(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    # What the judge and members do.

    def judge(self, which: int, verdict: str) -> None:
        act = self._act(which)
        if act is not None and not act.is_voided:
            self._judge(act, verdict)

    def _act(self, which: int) -> Act | None:
        """One of the acts so far, mostly a late one."""
        return self.model.acts[-1 - which % min(20, len(self.model.acts))] if self.model.acts else None

    def _judge(self, act: Act, verdict: str) -> None:
        with self.database.transaction() as session:
            before = standing_judgements(session, [act.scan_id]).get(act.scan_id)
            ruling = {"rules_version": 3, "verdict": verdict, "score": 0, "reasons": "", "decided_by": "judge"}
            id = id_after(before.id if before else None, self.now)
            store(session, ScanJudgement, id=id, scan_id=act.scan_id, decided_at=self.now, **ruling)
            seen = update(ScanConfirmation).where(col(ScanConfirmation.scan_id) == act.scan_id).values(is_judged=True)
            session.execute(seen)
            record_event(session, "scans.judged", now=self.now, scan_ids=[act.scan_id.hex])
        act.verdict, act.is_judged = verdict, True
        self.model.touched |= {one for one in self.model.dones if one.act is act}

    def void(self, which: int) -> None:
        act = self._act(which)
        if act is None:
            return
        first = void(self.scene, act.scan_id, now=self.now)
        assert void(self.scene, act.scan_id, now=self.now) == first
        self.model.void(act, self.now)

    def drain(self) -> None:
        with self.database.transaction() as session:  # the judge would judge these scans by their rows
            session.execute(delete(Event).where(col(Event.name).in_(("scan.voided", "participant.merged"))))
        while worker.drain(self.database, now=self.now).done:
            pass
        self.model.drain(self.now)

    def post(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        worker.post_accruals(self.database, now=self.now)
        self.model.post(self.now)

    def release(self, which: int) -> None:
        promise = self.model.pledges[which]
        with self.database.transaction() as session:
            sponsorship.release(session, session.get_one(Pledge, promise.id), now=self.now)
        for one in promise.money:
            one.state = "posted" if one.state == "pending" else one.state

    def void_accrual(self, pledge: int, which: int) -> None:
        standing = [one for one in self.model.pledges[pledge].money if one.stands]
        if not standing:
            return
        one = standing[which % len(standing)]
        id = self._id_of(one, self.model.pledges[pledge])
        try:
            with self.database.transaction() as session:
                row, of = sponsorship.accrual_of(session, self.organisation.id, id)
                sponsorship.void(session, row, of, reason="Fraud", by=uuid4(), now=self.now)
        except Conflict:
            assert one.payout is not None
            assert one.payout.is_sent
            return
        assert one.payout is None or not one.payout.is_sent
        self.model.reckon([one.done], self.now, member=one)

    def _id_of(self, one: Money, promise: Promise) -> UUID:
        """Of the accruals that stand both have the same, in the same order."""
        number = [other for other in promise.money if other.stands].index(one)
        query = select(Accrual.id).where(Accrual.pledge_id == promise.id, col(Accrual.state).in_(("pending", "posted")))
        with self.database.snapshot() as session:
            return (
                session.exec(query.order_by(col(Accrual.accrued_at), col(Accrual.id)).offset(number)).first() or uuid4()
            )

    def pay(self, which: int, *, is_sent: bool) -> None:
        """Everything that is due of a pledge goes into a payout, which is approved, and sent or not."""
        promise = self.model.pledges[which]
        free = [one for one in promise.money if one.state == "posted" and one.payout is None]
        with self.database.transaction() as session:
            cause = session.get_one(Beneficiary, self.cause_id)
            due: dict[str, Any] = {
                "currency": "EUR",
                "pledge_ids": [promise.id],
                "by": self.proposer_id,
                "now": self.now,
            }
            try:
                payout = payouts.propose(session, cause, **due)
            except Conflict:
                assert not free
                return
            assert payout.amount_minor == sum(one.amount for one in free)
            payouts.approve(session, payout, member_id=self.member_id, now=self.now)
            if is_sent:
                fee = payout.amount_minor // 50
                payouts.send(session, payout, reference="VIR 7", sent_at=None, fee_minor=fee, now=self.now)
        made = Paid(payout.id, free, is_sent)
        for one in free:
            one.payout = made

    # What stops and joins.

    def pause(self) -> None:
        turn_campaign(self.database, self.scene.campaign, planning.pause, now=self.now)
        self.model.is_paused = True

    def resume(self, *, is_drained: bool) -> None:
        """What waits comes with what came meanwhile: in one round, in the order in which it was done."""
        if is_drained:
            self.drain()
        turn_campaign(self.database, self.scene.campaign, planning.resume, now=self.now)
        self.model.is_paused = False
        worker.post_accruals(self.database, now=self.now)  # it hands on what waits as well
        self.model.post(self.now)
        self.model.touched |= self.model.waiting
        self.model.waiting = set()

    def merge(self, one: int, other: int) -> None:
        alive = [person for person in self.people if person.heir is None and not person.is_erased]
        if len(alive) < 2:
            return
        first, second = alive[one % len(alive)], alive[other % len(alive)]
        if first is second:
            return
        with self.database.between_rounds() as session:
            merging.merge(session, first.id, second.id, ballot_secret=lambda _: SECRET, now=self.now)
        older, newer = sorted((first, second), key=self.people.index)
        self.model.merge(older, newer, self.now)

    def erase(self, who: int) -> None:
        """Nothing the model counts may change."""
        alive = [person for person in self.people if person.heir is None and not person.is_erased]
        if not alive:
            return
        person = alive[who % len(alive)]
        with self.database.erasing() as session:
            assert privacy.erase(session, person.id, note=lambda *_: None, now=self.now)
        person.is_erased = True

    # What always holds.

    @invariant()
    def the_money_is_that_of_the_model(self) -> None:
        """Three statements for all pledges: most of a step's time would go here."""
        found: dict[UUID, list[tuple[int, str, bool]]] = {one.id: [] for one in self.model.pledges}
        held: dict[UUID, dict[str, int]] = {one.id: {} for one in self.model.pledges}
        with self.database.snapshot() as session:
            stands = {id: (state, acts) for id, state, acts in session.execute(_PLEDGES, {"ids": list(found)})}
            for pledge_id, amount, state, is_told in session.execute(_ACCRUALS, {"ids": list(found)}):
                found[pledge_id].append((amount, state, is_told))
            for book_id, kind, balance in session.execute(_BALANCES, {"ids": list(found)}):
                held[book_id][kind] = balance
        for promise in self.model.pledges:
            assert stands[promise.id] == (promise.state, promise.acts)
            # Acts of one round accrue at one instant, in no order among themselves.
            assert sorted(found[promise.id]) == sorted((one.amount, one.state, one.is_told) for one in promise.money)
            balances = held[promise.id]
            assert sum(balances.values()) == 0
            assert -balances["commitment"] == promise.drawn(promise.money) <= promise.cap
            assert balances["pending"] == sum(one.amount for one in promise.money if one.state == "pending")

    @invariant()
    def the_books_add_up(self) -> None:
        self.changed += 1
        if self.changed % 40 == 0:
            self.recount()

    def recount(self) -> None:
        with self.database.snapshot() as session:
            found = sponsorship.recount(session)
            assert not found, found
            assert session.execute(select(func.sum(Account.balance_minor))).scalar() == 0

    def teardown(self) -> None:
        self.drain()
        self.the_money_is_that_of_the_model()
        self.recount()


def test_any_order_of_what_happens_to_money_adds_up(anew: Callable[[], Database]) -> None:
    is_sqlite = anew().is_sqlite
    run_state_machine_as_test(  # any callable will do, its annotation is narrower
        lambda: MoneyMachine(anew()),  # type: ignore[arg-type]
        settings=sized(
            examples=5 if is_sqlite else 2,
            soak=500 if is_sqlite else 30,
            steps=120 if is_sqlite else 60,
            soak_steps=120 if is_sqlite else 60,
        ),
    )
