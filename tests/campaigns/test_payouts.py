"""Payouts: what is due is paid once, by two people, and a void beside them leaves nothing half done; both databases."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from campaigns import identity, worker
from campaigns.audit import AuditEntry
from campaigns.errors import CampaignError, Conflict, Forbidden, Invalid, NotFound
from campaigns.events import record_event
from campaigns.identity import RIGHTS, Member, Role
from campaigns.missions.models import StepCompletion
from campaigns.scans.log import ScanRow
from campaigns.sponsorship import end_due, end_pledge, payouts, recount, statement_of
from campaigns.sponsorship.ledger import Code, Transfer
from campaigns.sponsorship.models import Accrual, Beneficiary, Payout, PayoutItem, Pledge, PledgeBeneficiary
from campaigns.sponsorship.payouts import fee_by_share
from campaigns.storage import Database, store
from tests.campaigns.test_accrual import DAILY, REVIEW, acts
from tests.campaigns.test_reversal import void
from tests.factories import NOON
from tests.racing import race
from tests.scene import Scene, set_scene
from tests.sponsors import accruals, book, make_cause, pledged, standing, told

PAID = NOON + REVIEW + timedelta(hours=1)


def due(database: Database, number: int = 3, **overrides: Any) -> tuple[Scene, Pledge, list[ScanRow]]:
    """A pledge on which so many acts are due."""
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission, **overrides)
    rows = acts(scene, number)
    scene.drain()
    worker.post_accruals(database, now=NOON + REVIEW)
    return scene, pledge, rows


def member(database: Database, pledge: Pledge, name: str = "ana") -> UUID:
    with database.transaction() as session:
        return invited(session, pledge.organisation_id, name)


def invited(session: Session, organisation_id: UUID, name: str) -> UUID:
    """A new owner of an organisation."""
    made, _, __ = identity.invite_member(
        session,
        organisation_id,
        email=f"{name}@example.org",
        name=name,
        role=Role.OWNER,
        most=RIGHTS[Role.OWNER],
        now=NOON,
    )
    return made.id


def propose(database: Database, pledge: Pledge, *, by: UUID | None = None, **options: Any) -> Payout:
    with database.transaction() as session:
        cause = session.exec(
            select(Beneficiary)
            .join(PledgeBeneficiary, col(PledgeBeneficiary.beneficiary_id) == Beneficiary.id)
            .where(PledgeBeneficiary.pledge_id == pledge.id)
            .order_by(col(PledgeBeneficiary.position))
        ).first()
        assert cause is not None
        maker = by or invited(session, pledge.organisation_id, uuid4().hex)
        fields = {"currency": pledge.currency, "by": maker, "now": PAID, **options}
        return payouts.propose(session, cause, **fields)


def move(database: Database, payout: Payout, act: Any, **options: Any) -> Payout:
    with database.transaction() as session:
        found = session.get_one(Payout, payout.id)
        moved: Payout = act(session, found, **{"now": PAID, **options})
        return moved


def approved(database: Database, pledge: Pledge, **options: Any) -> Payout:
    payout = propose(database, pledge, **options)
    return move(database, payout, payouts.approve, member_id=member(database, pledge, uuid4().hex))


def stored(database: Database, payout: Payout) -> Payout:
    with database.snapshot() as session:
        return session.get_one(Payout, payout.id)


def test_what_is_due_is_proposed_approved_sent_and_confirmed(database: Database) -> None:
    scene, pledge, _ = due(database)
    ana = member(database, pledge)
    payout = propose(database, pledge)
    assert (payout.amount_minor, payout.state) == (30, "proposed")
    assert move(database, payout, payouts.approve, member_id=ana).approved_by == ana
    assert book(database, pledge) == {"commitment": -30, "due": 30}
    move(database, payout, payouts.send, reference="VIR 7", sent_at=None, fee_minor=2)
    assert book(database, pledge) == {"commitment": -30, "settled": 28, "fees": 2}
    done = move(database, payout, payouts.confirm, proof={"text": "They wrote back"})
    assert (done.state, done.confirmed_at, done.proof) == ("confirmed", PAID, {"text": "They wrote back"})
    assert scene.problems() == []


def test_every_step_of_a_payout_is_audited_with_the_state_before(database: Database) -> None:
    _, pledge, __ = due(database)
    payout = approved(database, pledge)
    move(database, payout, payouts.send, reference="VIR 7", sent_at=None)
    move(database, payout, payouts.confirm, proof={"reference": "R1"})
    with database.snapshot() as session:
        entries = session.exec(
            select(AuditEntry).where(AuditEntry.subject_id == payout.id).order_by(col(AuditEntry.id))
        ).all()
    assert sorted(one.action for one in entries) == ["payout.changed"] * 3 + ["payout.created"]
    states = [one.changes["state"] for one in entries if one.action == "payout.changed"]
    assert sorted(states) == [["approved", "sent"], ["proposed", "approved"], ["sent", "confirmed"]]


def test_what_is_in_a_payout_enters_no_other(database: Database) -> None:
    _, pledge, __ = due(database)
    payout = propose(database, pledge)
    with pytest.raises(Conflict, match="Nothing is due"):
        propose(database, pledge)
    (first, *_) = accruals(database)
    with database.transaction() as session, pytest.raises(IntegrityError), session.begin_nested():
        store(session, PayoutItem, accrual_id=first.id, payout_id=payout.id)


def test_only_what_is_posted_is_paid(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    acts(scene, 2)
    scene.drain()
    with pytest.raises(Conflict, match="Nothing is due"):
        propose(database, pledge)


def test_a_payout_is_of_one_cause_and_currency_and_of_the_pledges_named(database: Database) -> None:
    scene, pledge, _ = due(database)
    with database.transaction() as session:
        stranger = make_cause(session, pledge.organisation_id, "Le choeur")
        ben = invited(session, pledge.organisation_id, "ben")
        with pytest.raises(Conflict, match="Nothing is due"):
            payouts.propose(session, stranger, currency="EUR", by=ben, now=PAID)
    with pytest.raises(Conflict, match="Nothing is due"):
        propose(database, pledge, currency="JPY")
    with pytest.raises(Invalid, match="no currency"):
        propose(database, pledge, currency="EUX")
    with pytest.raises(Invalid, match="is in EUR"):
        propose(database, pledge, currency="JPY", pledge_ids=[pledge.id])
    with pytest.raises(NotFound, match="no such pledge"):
        propose(database, pledge, pledge_ids=[uuid4()])
    other = pledged(database, scene.mission)
    with pytest.raises(Conflict, match="Nothing is due"):
        propose(database, pledge, pledge_ids=[other.id])


def test_things_are_paid_out_pledge_by_pledge(database: Database) -> None:
    _, pledge, __ = due(database, currency="XXX", kind="in_kind", unit_minor=1, unit_label={"en": "meals"})
    with pytest.raises(Invalid, match="pledge by pledge"):
        propose(database, pledge)
    assert propose(database, pledge, pledge_ids=[pledge.id]).amount_minor == 3


def test_who_proposed_does_not_approve_nor_a_key_of_which_nobody_knows_whose_it_is(database: Database) -> None:
    _, pledge, __ = due(database)
    ana, ben, gone = (member(database, pledge, name) for name in ("ana", "ben", "gone"))
    with database.transaction() as session:
        identity.remove_member(session, session.get_one(Member, gone), now=NOON)
    payout = propose(database, pledge, by=ana)
    for whom, code in (
        (ana, "own_proposal"),
        (None, "maker_unknown"),
        (uuid4(), "maker_unknown"),
        (gone, "maker_unknown"),
    ):
        with pytest.raises(Forbidden) as refused:
            move(database, payout, payouts.approve, member_id=whom)
        assert refused.value.code == code
    assert stored(database, payout).state == "proposed"
    assert move(database, payout, payouts.approve, member_id=ben).state == "approved"


def test_a_key_that_is_nobodys_proposes_nothing_and_what_one_had_proposed_nobody_approves(database: Database) -> None:
    """The key of `passerelle init` and its only member may be one person: nobody can tell."""
    _, pledge, __ = due(database)
    ana = member(database, pledge)
    with database.transaction() as session:
        cause = session.exec(select(Beneficiary)).first()
        assert cause is not None
        for whose in (None, uuid4()):
            with pytest.raises(Forbidden) as refused:
                payouts.propose(session, cause, currency="EUR", by=whose, now=PAID)
            assert refused.value.code == "maker_unknown"
    payout = propose(database, pledge, by=ana)
    with database.transaction() as session:
        session.execute(update(Payout).where(col(Payout.id) == payout.id).values(proposed_by=uuid4()))
    with pytest.raises(Forbidden) as unknown:
        move(database, payout, payouts.approve, member_id=ana)
    assert unknown.value.code == "maker_unknown"
    assert move(database, payout, payouts.cancel, reason="By a key that is nobody's").state == "cancelled"


def test_a_recount_tells_of_an_accrual_whose_act_was_reversed(database: Database) -> None:
    scene, pledge, _ = due(database, 1)
    (one,) = accruals(database)
    with database.transaction() as session:
        gone = update(StepCompletion).where(col(StepCompletion.id) == one.completion_id)
        session.execute(gone.values(state="reversed", reason="Fraud"))
    assert any("stands, and its act was reversed" in told for told in scene.problems())
    with database.transaction() as session:
        record_event(session, "step.reversed", now=PAID, completion_id=one.completion_id)
    assert not any("its act was reversed" in told for told in scene.problems())
    scene.drain(now=PAID)
    assert told(database, pledge) == [(10, "reversed", "Fraud")]


def test_the_database_lets_nobody_approve_what_they_proposed(database: Database) -> None:
    _, pledge, __ = due(database)
    ana = member(database, pledge)
    payout = propose(database, pledge, by=ana)
    with database.transaction() as session, pytest.raises(IntegrityError), session.begin_nested():
        session.execute(update(Payout).where(col(Payout.id) == payout.id).values(approved_by=ana))


def test_a_payout_moves_only_from_the_state_before(database: Database) -> None:
    _, pledge, __ = due(database)
    payout = propose(database, pledge)
    ana = member(database, pledge)
    sending: tuple[Any, dict[str, Any]] = (payouts.send, {"reference": "VIR 7", "sent_at": None})
    approving: tuple[Any, dict[str, Any]] = (payouts.approve, {"member_id": ana})
    confirming: tuple[Any, dict[str, Any]] = (payouts.confirm, {"proof": {"text": "ok"}})
    cancelling: tuple[Any, dict[str, Any]] = (payouts.cancel, {"reason": "Too early"})

    def refuse(*ways: tuple[Any, dict[str, Any]]) -> None:
        for act, options in ways:
            with pytest.raises(Conflict) as refused:
                move(database, payout, act, **options)
            assert refused.value.code == "wrong_state"

    refuse(sending, confirming)
    move(database, payout, *approving[:1], **approving[1])
    refuse(approving, confirming)
    move(database, payout, *sending[:1], **sending[1])
    refuse(approving, sending, cancelling)
    move(database, payout, *confirming[:1], **confirming[1])
    refuse(approving, sending, confirming, cancelling)
    assert book(database, pledge) == {"commitment": -30, "settled": 30}


def test_a_cancelled_payout_lets_what_it_held_go(database: Database) -> None:
    scene, pledge, _ = due(database)
    payout = approved(database, pledge)
    move(database, payout, payouts.cancel, reason="Wrong account")
    assert (stored(database, payout).state, stored(database, payout).state_reason) == ("cancelled", "Wrong account")
    assert scene.problems() == []
    assert propose(database, pledge).amount_minor == 30


@pytest.mark.parametrize("fee", [-1, 30, 31])
def test_a_fee_leaves_something(database: Database, fee: int) -> None:
    _, pledge, __ = due(database)
    payout = approved(database, pledge)
    with pytest.raises(Invalid):
        move(database, payout, payouts.send, reference="VIR 7", sent_at=None, fee_minor=fee)
    assert book(database, pledge) == {"commitment": -30, "due": 30}


@pytest.mark.parametrize("late", [timedelta(seconds=1), timedelta(days=-2)])
def test_it_was_sent_neither_before_its_approval_nor_in_the_future(database: Database, late: timedelta) -> None:
    _, pledge, __ = due(database)
    payout = approved(database, pledge)
    with pytest.raises(Invalid):
        move(database, payout, payouts.send, reference="VIR 7", sent_at=PAID + late)


def test_a_fee_is_split_by_shares_to_the_last_minor_unit() -> None:
    assert fee_by_share(10, [100, 100, 100]) == [4, 3, 3]
    assert fee_by_share(1, [1, 999]) == [0, 1]
    assert fee_by_share(0, [5]) == [0]
    assert fee_by_share(999, [1, 999]) == [1, 998]


def test_one_payout_pays_from_several_pledges_each_its_own(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    with database.transaction() as session:
        cause = make_cause(session, scene.mission.organisation_id)
    first, second = (pledged(database, scene.mission, causes=[cause], unit_minor=unit) for unit in (10, 30))
    acts(scene, 2)
    scene.drain()
    worker.post_accruals(database, now=NOON + REVIEW)
    payout = approved(database, first)
    assert payout.amount_minor == 80
    move(database, payout, payouts.send, reference="VIR 7", sent_at=None, fee_minor=3)
    assert book(database, first) == {"commitment": -20, "settled": 19, "fees": 1}
    assert book(database, second) == {"commitment": -60, "settled": 58, "fees": 2}
    with database.snapshot() as session:
        paid = select(Transfer).where(col(Transfer.code).in_((Code.PAYOUT.value, Code.FEE.value)))
        found = session.exec(paid).all()
    assert {one.subject_id for one in found} == {payout.id}
    assert len(found) == 4
    assert len({one.group_id for one in found}) == 1
    assert scene.problems() == []


def test_a_void_cancels_what_was_not_sent_and_leaves_what_was(database: Database) -> None:
    scene, pledge, rows = due(database)
    payout = approved(database, pledge)
    void(scene, rows[0].id, now=PAID)
    assert (stored(database, payout).state, stored(database, payout).state_reason) == ("cancelled", "Scanned from home")
    with pytest.raises(Conflict):
        move(database, payout, payouts.send, reference="VIR 7", sent_at=None)
    again = approved(database, pledge)
    assert again.amount_minor == 20
    move(database, again, payouts.send, reference="VIR 8", sent_at=None)
    void(scene, rows[1].id, now=PAID)
    assert book(database, pledge) == {"commitment": -20, "settled": 20}
    assert sum(one.act_undone_at is not None for one in accruals(database)) == 1
    assert scene.problems() == []


def test_a_pledge_is_settled_once_nothing_is_due_any_more(database: Database) -> None:
    scene, pledge, _ = due(database)
    with database.transaction() as session:
        end_pledge(session, session.get_one(Pledge, pledge.id), reason="Enough", now=PAID)
    later = PAID + timedelta(days=4)

    def turn() -> str:
        with database.transaction() as session:
            end_due(session, now=later)
        return standing(database, pledge).state

    assert turn() == "ended"
    payout = approved(database, pledge)
    assert turn() == "ended"
    move(database, payout, payouts.send, reference="VIR 7", sent_at=None)
    assert turn() == "settled"
    assert scene.problems() == []


@pytest.mark.parametrize("step", ["propose", "approve", "send"])
def test_a_void_beside_a_step_of_a_payout_pays_or_frees_and_never_both(database: Database, step: str) -> None:
    scene, pledge, rows = due(database, 4)
    ana = member(database, pledge)
    payout = None if step == "propose" else (propose if step == "approve" else approved)(database, pledge)

    def act(which: int) -> object:
        if which == 0:
            return void(scene, rows[0].id, now=PAID)
        if payout is None:
            return propose(database, pledge)
        if step == "approve":
            return move(database, payout, payouts.approve, member_id=ana)
        return move(database, payout, payouts.send, reference="VIR 7", sent_at=None)

    outcomes = race(2, act)
    assert not isinstance(outcomes[0], Exception), outcomes[0]
    assert not isinstance(outcomes[1], Exception) or isinstance(outcomes[1], Conflict), outcomes[1]
    with database.snapshot() as session:
        (made,) = session.exec(select(Payout)).all()
    if made.state == "sent":
        assert book(database, pledge) == {"commitment": -40, "settled": 40}
    else:
        assert book(database, pledge) == {"commitment": -30, "due": 30}
        assert made.state == "cancelled" or (step == "propose" and made.amount_minor == 30)
    assert scene.problems() == []


@pytest.mark.parametrize("step", ["propose", "approve", "send"])
def test_of_eight_at_once_one_does_it(database: Database, step: str) -> None:
    scene, pledge, _ = due(database)
    people = [member(database, pledge, f"m{at}") for at in range(8)] if step == "approve" else []
    payout = None if step == "propose" else (propose if step == "approve" else approved)(database, pledge)

    def act(which: int) -> object:
        if payout is None:
            return propose(database, pledge)
        if step == "approve":
            return move(database, payout, payouts.approve, member_id=people[which])
        return move(database, payout, payouts.send, reference=f"VIR {which}", sent_at=None)

    outcomes = race(8, act)
    refused = [one for one in outcomes if isinstance(one, Exception)]
    assert len(refused) == 7
    assert all(isinstance(one, Conflict) for one in refused), refused
    assert book(database, pledge) == {"commitment": -30, "settled" if step == "send" else "due": 30}
    assert scene.problems() == []


def broken(database: Database, statement: Any) -> list[str]:
    """What a recount says of it; nothing of it stays."""
    found: list[str] = []
    try:
        with database.transaction() as session:
            session.execute(statement)
            found = recount(session)
            raise CampaignError("roll back")
    except CampaignError:
        return found


def test_a_recount_tells_of_payouts_that_do_not_add_up(database: Database) -> None:
    scene, pledge, _ = due(database)
    sent = approved(database, pledge)
    move(database, sent, payouts.send, reference="VIR 7", sent_at=None, fee_minor=1)
    assert scene.problems() == []
    mine = update(Payout).where(col(Payout.id) == sent.id)
    assert any("its items come to" in one for one in broken(database, mine.values(amount_minor=29)))
    assert any("moved another amount" in one for one in broken(database, mine.values(state="approved")))
    assert any("has a fee of 2" in one for one in broken(database, mine.values(fee_minor=2)))
    (first, *_) = accruals(database)
    lost = PayoutItem.__table__.delete().where(col(PayoutItem.accrual_id) == first.id)  # type: ignore[attr-defined]  # SQLModel does not type it
    assert any("its items come to 20" in one for one in broken(database, lost))
    other = update(Accrual).where(col(Accrual.id) == first.id).values(state="pending", posted_at=None)
    assert any("that are not due" in one for one in broken(database, other))


def test_a_statement_is_what_the_transfers_say(database: Database) -> None:
    """Recounted from the transfers and accounts by another way, for windows that cut it anywhere."""
    scene, pledge, rows = due(database, 5)
    payout = approved(database, pledge)
    move(database, payout, payouts.send, reference="VIR 7", sent_at=None, fee_minor=3)
    acts(scene, 3, at=PAID, first=50)
    scene.drain(now=PAID)
    with database.snapshot() as session:
        pending = session.exec(select(Accrual).where(Accrual.state == "pending")).all()
    assert len(pending) == 3
    void(scene, rows[0].id, now=PAID)  # it was paid: it stays
    worker.post_accruals(database, now=PAID + REVIEW)
    last = acts(scene, 2, at=PAID + REVIEW, first=80)
    scene.drain(now=PAID + REVIEW)
    void(scene, last[0].id, now=PAID + REVIEW)
    with database.snapshot() as session:
        whole = statement_of(session, session.get_one(Pledge, pledge.id))
        held = whole.closing
        balances = book(database, pledge)
        assert held.pending_minor == balances["pending"] == 10
        assert held.due_minor == balances["due"] == 30
        assert (held.paid_minor, held.fees_minor) == (balances["settled"], balances["fees"]) == (47, 3)
        assert whole.moved.unlocked_minor - whole.moved.voided_minor == -balances["commitment"] == 90
        assert whole.opening == type(held)()
        assert whole.days[-1].closing == held
        assert [one.references for one in whole.days if one.references] == [["VIR 7"]]
        for cut in (NOON, NOON + timedelta(seconds=1), PAID, PAID + REVIEW, PAID + REVIEW + timedelta(days=9)):
            before = statement_of(session, pledge, until=cut)
            after = statement_of(session, pledge, since=cut)
            assert before.closing == after.opening
            assert after.closing == held
            assert before.moved + after.moved == whole.moved
        with pytest.raises(Invalid):
            statement_of(session, pledge, since=PAID, until=PAID)


def test_a_statement_tells_what_was_reversed_after_it_was_due(database: Database) -> None:
    scene, pledge, rows = due(database)
    void(scene, rows[0].id, now=PAID)
    with database.snapshot() as session:
        found = statement_of(session, pledge)
    assert (found.moved.posted_minor, found.moved.reversed_minor, found.moved.voided_minor) == (30, 10, 10)
    assert (found.closing.pending_minor, found.closing.due_minor) == (0, 20)
