"""What coupons give to a cause: a line of the public ledger, paid once, undone with the act; on both databases."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from campaigns.errors import Conflict
from campaigns.rewards import Choice, Coupon, attested_gifts, gifts_of
from campaigns.rewards.statement import lines_of
from campaigns.sponsorship import chain, lines, meter, payouts
from campaigns.sponsorship.models import Beneficiary, Gift, Payout
from campaigns.storage import Database
from campaigns.verify import verify
from tests.campaigns.counter import Counter, set_counter
from tests.campaigns.test_merging import merge
from tests.campaigns.test_payouts import invited
from tests.campaigns.test_reversal import void
from tests.factories import NOON
from tests.racing import race

LATER = NOON + timedelta(hours=1)
CLIENTS = 8


class Giving:
    """A counter whose offer names a cause, two members, and what is done with gifts: each method one committed act."""

    def __init__(self, database: Database, **overrides: Any) -> None:
        self.counter: Counter = set_counter(database, **overrides)
        self.database = database
        self.cause_id = self.counter.name_cause()
        with database.transaction() as session:
            owner = self.counter.scene.campaign.organisation_id
            self.ana, self.ben = (invited(session, owner, uuid4().hex) for _ in range(2))

    def give(self, coupon: Coupon | None = None) -> UUID:
        """A coupon is chosen to be given, and used; its gift."""
        given = coupon or self.counter.coupon()
        self.counter.choose(given, Choice.GIVE)
        return self.counter.redeem(given.code).redemption.id

    def visit(self) -> tuple[str, UUID, Any]:
        """Somebody earns a coupon by a visit, and gives it; the scan, the gift and the person."""
        row, person, _ = self.counter.visit()
        (coupon,) = self.counter.coupons(person)
        return row.id, self.give(coupon), person

    def propose(self) -> Payout:
        with self.database.transaction() as session:
            cause = session.get_one(Beneficiary, self.cause_id)
            return payouts.propose(session, cause, currency="EUR", by=self.ana, now=LATER)

    def approve(self, payout: Payout) -> None:
        with self.database.transaction() as session:
            payouts.approve(session, session.get_one(Payout, payout.id), member_id=self.ben, now=LATER)

    def send(self, payout: Payout, *, fee_minor: int = 0) -> Payout:
        with self.database.transaction() as session:
            found = session.get_one(Payout, payout.id)
            return payouts.send(session, found, reference="VIR 9", sent_at=None, fee_minor=fee_minor, now=LATER)

    def pay(self, *, fee_minor: int = 0) -> Payout:
        payout = self.propose()
        self.approve(payout)
        return self.send(payout, fee_minor=fee_minor)

    def chained(self) -> list[lines.Line]:
        with self.database.transaction() as session:
            while chain.extend(session, now=LATER):
                pass
        with self.database.snapshot() as session:
            mission_id = self.counter.scene.mission.id
            upto = chain.head_of(session, mission_id).number
            return [line for page in chain.lines_of(session, mission_id, upto=upto) for line in page]

    def gift(self, id: UUID) -> Gift:
        with self.database.snapshot() as session:
            return session.get_one(Gift, id)

    def told(self) -> meter.Given:
        with self.database.snapshot() as session:
            found = meter.given_in(session, self.counter.scene.mission.id)
        return found[0] if found else meter.Given("", "EUR")

    def problems(self) -> list[str]:
        return verify(self.database)


def test_a_given_coupon_is_a_line_of_the_public_ledger_and_is_paid_once(database: Database) -> None:
    giving = Giving(database)
    gift_id = giving.give()
    (line,) = giving.chained()
    assert (line.code, line.beneficiary, line.amount, line.from_account, line.to_account) == (
        "gift",
        "Les Vergers solidaires",
        "2.00",
        "liability",
        "given",
    )
    assert (line.pledge, bool(line.sponsor)) == ("", True)
    assert giving.told() == meter.Given("Les Vergers solidaires", "EUR", gifts=1, given_minor=200)
    payout = giving.pay(fee_minor=5)
    assert (payout.amount_minor, payout.state) == (200, "sent")
    with pytest.raises(Conflict) as refused:
        giving.propose()
    assert refused.value.code == "nothing_due"
    with pytest.raises(Conflict):
        giving.send(payout)
    assert giving.counter.balances() == {"budget": -200, "settled": 195, "fees": 5}
    told = giving.told()
    assert (told.given_minor, told.paid_minor, told.fees_minor, told.due_minor) == (200, 195, 5, 0)
    found = lines.check(giving.chained())
    assert (found.broken, found.lines) == ("", 3)
    assert (found.given_minor, found.paid_minor, found.unlocked_minor) == ({"EUR": 200}, {"EUR": 195}, {})
    assert giving.gift(gift_id).payout_id == payout.id
    assert giving.problems() == []


def test_a_void_before_the_payout_is_sent_undoes_the_gift_and_lets_the_others_go(database: Database) -> None:
    giving = Giving(database)
    scan_id, gift_id, _ = giving.visit()
    other = giving.give()
    payout = giving.propose()
    assert payout.amount_minor == 400
    effects = void(giving.counter.scene, scan_id)
    assert {("coupon", "used"), ("gift", "reversed")} <= set(effects)
    with database.snapshot() as session:
        assert session.get_one(Payout, payout.id).state == "cancelled"
    assert (giving.gift(gift_id).undone_at is None, giving.gift(other).payout_id) == (False, None)
    assert giving.counter.balances() == {"budget": -200, "given": 200}
    told = giving.told()
    assert (told.gifts, told.given_minor, told.undone_gifts, told.undone_minor) == (1, 200, 1, 200)
    found = giving.chained()
    assert [one.code for one in found] == ["gift"] * 3
    (back,) = (int(one.reverses) for one in found if one.reverses)  # the two of one instant have no order
    assert back in (1, 2)
    assert lines.check(found).given_minor == {"EUR": 200}
    with database.snapshot() as session:
        (day,) = lines_of(session, giving.counter.place, since=NOON.date(), until=NOON.date())
    assert (day.given, day.given_minor, day.due_minor) == (2, 200, 0)
    assert giving.pay().amount_minor == 200
    assert giving.problems() == []


def test_a_gift_that_was_sent_stays_paid_and_says_that_its_act_was_voided(database: Database) -> None:
    giving = Giving(database)
    scan_id, gift_id, _ = giving.visit()
    giving.pay()
    effects = void(giving.counter.scene, scan_id, now=LATER)
    assert ("gift", "kept") in effects
    gift = giving.gift(gift_id)
    assert (gift.undone_at, gift.act_undone_at) == (None, LATER)
    told = giving.told()
    assert (told.paid_minor, told.kept_minor, told.kept_gifts) == (200, 200, 1)
    assert giving.problems() == []


def test_a_use_that_is_rolled_back_takes_its_gift_along_until_it_is_sent(database: Database) -> None:
    giving = Giving(database)
    coupon = giving.counter.coupon()
    gift_id = giving.give(coupon)
    payout = giving.propose()
    giving.counter.roll_back(gift_id, now=LATER)
    with database.snapshot() as session:
        assert session.get_one(Payout, payout.id).state == "cancelled"
    assert giving.counter.balances() == {"budget": -200, "liability": 200}
    assert (giving.told().given_minor, giving.told().undone_minor) == (0, 0)
    second = giving.counter.redeem(coupon.code).redemption.id
    assert giving.pay().amount_minor == 200
    another = giving.give()
    giving.pay()
    with pytest.raises(Conflict) as refused:
        giving.counter.roll_back(another, now=LATER)
    assert refused.value.code == "paid"
    assert giving.gift(second).undone_at is None
    assert giving.problems() == []


def test_a_pilots_gift_is_paid_and_in_no_public_ledger(database: Database) -> None:
    giving = Giving(database)
    giving.give(giving.counter.coupon(phase="pilot"))
    assert giving.chained() == []
    with database.snapshot() as session:
        assert meter.given_in(session, giving.counter.scene.mission.id) == []
    giving.give()
    assert giving.pay(fee_minor=4).amount_minor == 400
    chained = sorted((one.code, one.amount_minor) for one in giving.chained())
    assert chained == [("fee", "2"), ("gift", "200"), ("payout", "198")]
    assert giving.problems() == []


def test_whoever_gave_finds_their_line_and_nobody_does_once_they_are_one_with_another(database: Database) -> None:
    giving = Giving(database)
    _, gift_id, person = giving.visit()
    other = giving.counter.person(now=NOON + timedelta(minutes=1))
    giving.chained()
    with database.snapshot() as session:
        (mine,) = attested_gifts(session, [person.id], gift_id=gift_id)
        assert attested_gifts(session, [other.id]) == []
    assert (mine.number, len(mine.hash), mine.amount_minor, mine.cause, mine.is_gift) == (
        1,
        64,
        200,
        "Les Vergers solidaires",
        True,
    )
    assert mine.statement.split("\t")[2:] == ["1", mine.hash, "200", "EUR", "Les Vergers solidaires"]
    merge(database, person, other)
    with database.snapshot() as session:
        heirs = [id for id in (person.id, other.id) if gifts_of(session, [id])]
    assert len(heirs) == 1
    assert giving.problems() == []


def test_of_many_payouts_at_once_one_has_the_gifts(database: Database) -> None:
    giving = Giving(database)
    for _ in range(3):
        giving.give()
    outcomes = race(CLIENTS, lambda _: giving.propose().amount_minor)
    assert sorted(one for one in outcomes if not isinstance(one, Exception)) == [600]
    assert {one.code for one in outcomes if isinstance(one, Conflict)} == {"nothing_due"}
    assert giving.problems() == []


def test_a_send_beside_a_roll_back_pays_or_undoes_and_never_both(database: Database) -> None:
    giving = Giving(database)
    for _ in range(4):
        gift_id = giving.give()
        payout = giving.propose()
        giving.approve(payout)

        def act(index: int, gift_id: UUID = gift_id, payout: Payout = payout) -> object:
            return giving.send(payout) if index else giving.counter.roll_back(gift_id, now=LATER)

        outcomes = race(2, act)
        refused = [one for one in outcomes if isinstance(one, Exception)]
        assert [getattr(one, "code", one) for one in refused] in (["paid"], ["wrong_state"])
        assert giving.problems() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (update(Gift).values(amount_minor=199), "its gift says otherwise"),
        (update(Gift).values(undone_at=NOON, reason="x"), "is not what its transfers come to"),
        (update(Gift).values(beneficiary_id=None), "its gift says otherwise"),
    ],
)
def test_a_recount_tells_of_gifts_that_do_not_add_up(database: Database, change: Any, said: str) -> None:
    giving = Giving(database)
    giving.give()
    with database.transaction() as session:
        if "beneficiary_id" in str(change):
            other = Beneficiary(
                organisation_id=giving.counter.scene.campaign.organisation_id,
                name="Another",
                legal_id="W2",
                created_at=NOON,
                changed_at=NOON,
            )
            session.add(other)
            session.flush()
            change = update(Gift).values(beneficiary_id=other.id)
        session.execute(change)
    assert any(said in one for one in giving.problems())


def test_what_people_gave_is_listed_as_due_and_proposed_without_any_pledge(database: Database) -> None:
    giving = Giving(database)
    giving.give()
    giving.give()
    owner = giving.counter.scene.campaign.organisation_id
    with database.snapshot() as session:
        (due,) = payouts.list_due(session, owner)
    assert (due.amount_minor, [(one.account, one.acts) for one in due.shares]) == (400, [("given", 2)])
    with database.transaction() as session:
        cause = session.get_one(Beneficiary, giving.cause_id)
        payout = payouts.propose(
            session, cause, currency="EUR", pledge_ids=[], with_gifts=True, by=giving.ana, now=LATER
        )
    assert payout.amount_minor == 400
    with database.snapshot() as session:
        assert payouts.list_due(session, owner) == []
