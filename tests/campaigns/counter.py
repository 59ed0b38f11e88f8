"""A shop with an offer: every method is one committed act. What tests of coupons begin with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from sqlmodel import Session, col, select

from campaigns import missions, rewards
from campaigns.identity import Organisation
from campaigns.missions import Repeat, StepKind, StepPlan
from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.rewards import Answer, Choice, Claim, Coupon, Offer, OfferPlan, Redemption, Unlock, Want
from campaigns.scans.log import ScanRow
from campaigns.sponsorship import ledger
from campaigns.sponsorship.models import Beneficiary
from campaigns.storage import Database
from tests.factories import NOON, make_participant
from tests.scene import INSIDE, Scene, another_place, set_scene

DAILY = [StepPlan(StepKind.SCAN, 0, Repeat.DAILY), StepPlan(StepKind.REDEEM, repeat=Repeat.DAILY)]
TITLE = {"fr": "Deux euros de pommes", "en": "Two euros of apples"}
_visitors = count(1)


@dataclass
class Counter:
    """A scene with one offer of 2.00 EUR, which its first step unlocks unless told otherwise."""

    scene: Scene
    offer_id: UUID
    place: Place
    nonces: Any = field(default_factory=lambda: count(1))

    @property
    def database(self) -> Database:
        return self.scene.database

    def offer(self) -> Offer:
        with self.database.snapshot() as session:
            return session.get_one(Offer, self.offer_id)

    def person(self, *, now: datetime = NOON) -> Participant:
        with self.database.transaction() as session:
            organisation = session.get_one(Organisation, self.scene.campaign.organisation_id)
            return make_participant(session, organisation, now=now)

    def visit(self, *, now: datetime = NOON, cookie: str | None = None) -> tuple[ScanRow, Participant, str | None]:
        """Somebody new scans, checks in, and the worker looks at it."""
        row = self.scene.scan(at=now, visitor_key=next(_visitors))
        done = self.scene.check_in(row, position=INSIDE, now=now, cookie=cookie)
        self.scene.drain(now=now)
        return row, done.person, done.secret

    def coupon(self, person: Participant | None = None, *, now: datetime = NOON, phase: str = "live") -> Coupon:
        """A coupon of somebody's, issued for an act of its own."""
        owner = person or self.person(now=now)
        with self.database.transaction() as session:
            (issued,) = rewards.issue(session, [Want(self.offer_id, owner.id, uuid4(), phase)], now=now)
        return issued

    def coupons(self, person: Participant | None = None) -> Sequence[Coupon]:
        mine = select(Coupon).where(Coupon.offer_id == self.offer_id)
        query = mine.order_by(col(Coupon.issued_at), col(Coupon.id))
        with self.database.snapshot() as session:
            return session.exec(query if person is None else query.where(Coupon.participant_id == person.id)).all()

    def read(self, coupon: Coupon) -> Coupon:
        with self.database.snapshot() as session:
            return session.get_one(Coupon, coupon.id)

    def redeem(
        self, code: str, *, now: datetime = NOON, place: Place | None = None, nonce: str | None = None, **claim: Any
    ) -> Answer:
        sent = Claim(code, claim.pop("device", "till-1"), nonce or f"n{next(self.nonces)}", **claim)
        with self.database.transaction() as session:
            return rewards.redeem(session, place or self.place, sent, now=now)

    def roll_back(self, redemption_id: UUID, *, now: datetime = NOON, place: Place | None = None) -> Redemption:
        with self.database.transaction() as session:
            return rewards.roll_back(session, place or self.place, redemption_id, by="key", now=now)

    def choose(self, coupon: Coupon, choice: Choice, *, now: datetime = NOON) -> Coupon:
        with self.database.transaction() as session:
            return rewards.choose(session, coupon.id, choice, now=now)

    def held(self, session: Session) -> Offer:
        return rewards.offer_by_id(session, self.scene.campaign.organisation_id, self.offer_id, lock=True)

    def edit(self, **fields: Any) -> None:
        with self.database.transaction() as session:
            rewards.change_offer(session, self.held(session), now=NOON, **fields)

    def another(self) -> Place:
        """A second shop of the same organisation."""
        entry = another_place(self.scene, name="Part-Dieu")
        assert entry.place is not None
        with self.database.snapshot() as session:
            return session.get_one(Place, entry.place.id)

    def name_cause(self) -> UUID:
        """A beneficiary that accepted, whom the offer names."""
        id = uuid4()
        named: dict[str, Any] = {"name": "Les Vergers solidaires", "legal_id": "W691234567", "accepted_at": NOON}
        named |= {"organisation_id": self.scene.campaign.organisation_id, "created_at": NOON, "changed_at": NOON}
        with self.database.transaction() as session:
            session.add(Beneficiary(id=id, **named))
            session.flush()
            self.held(session).beneficiary_id = id
        return id

    def balances(self) -> dict[str, int]:
        """What the offer's accounts hold, without those at zero."""
        with self.database.snapshot() as session:
            return {kind: amount for kind, amount in ledger.balances(session, self.offer_id).items() if amount}

    def totals(self, phase: str = "live") -> dict[str, int]:
        found = self.scene.counters(phase)
        return {name: number for name, number in found.items() if "coupons" in name and number}


def set_counter(database: Database, *, steps: Sequence[StepPlan] = DAILY, **overrides: Any) -> Counter:
    """Overrides are those of the offer, but `campaign`, a dict of its own."""
    scene = set_scene(database, steps=steps, campaign=overrides.pop("campaign", {}))
    with database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        first = missions.steps_of(session, scene.mission.id)[0]
        unlock = overrides.pop("unlock", Unlock.STEP)
        fields: dict[str, Any] = {
            "title": TITLE,
            "max_issue": 100,
            "unlock": unlock,
            "step_id": first.id if unlock is Unlock.STEP else None,
            "face_value_minor": 200,
            "currency": "EUR",
            **overrides,
        }
        offer = rewards.make_offer(session, campaign, OfferPlan(**fields), now=fields.pop("now", NOON))
    assert scene.entry.place is not None
    with database.snapshot() as session:
        place = session.get_one(Place, scene.entry.place.id)
    return Counter(scene, offer.id, place)
