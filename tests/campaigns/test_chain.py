"""The chain of a public ledger: gapless, in order, never renumbered, and nothing missed. On both databases."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import Session, col, select

from campaigns.ids import show, uuid7_at
from campaigns.sponsorship import chain, ledger
from campaigns.sponsorship.chain import Chainer
from campaigns.sponsorship.ledger import AccountKind, Code, Transfer, Unchained
from campaigns.sponsorship.lines import GENESIS, Head, Line, check, hash_of
from campaigns.sponsorship.models import LedgerHead, LedgerLine, Sponsor
from campaigns.storage import Database, is_shared, store
from campaigns.verify import problems
from tests.factories import NOON, make_campaign, make_mission, make_organisation
from tests.racing import race
from tests.treasury import Purse, accrue, make_purse, pay, public_transfers, release, take_back

DAY = timedelta(days=1)


def fund(session: Session, **overrides: object) -> Purse:
    return make_purse(session, make_mission(session, make_campaign(session, make_organisation(session))), **overrides)


def posted(session: Session, purse: Purse, number: int = 1) -> None:
    release(session, purse, [accrue(session, purse) for _ in range(number)])


def lines(session: Session, purse: Purse) -> list[Line]:
    upto = chain.head_of(session, purse.mission.id).number
    return [line for page in chain.lines_of(session, purse.mission.id, upto=upto) for line in page]


def column(found: Sequence[Line], name: str) -> list[str]:
    return [getattr(line, name) for line in found]


def test_the_money_facts_become_lines_that_anybody_can_check(session: Session) -> None:
    purse = fund(session)
    kept, undone = accrue(session, purse, 30), accrue(session, purse, 40)
    accrue(session, purse, 5)  # under review: a sum of the meter, no line
    take_back(session, purse, accrue(session, purse, 7))  # voided before it was posted: no line either
    release(session, purse, [kept, undone])
    take_back(session, purse, undone)
    pay(session, purse, [kept], fee=2)
    assert chain.extend(session, now=NOON) is False
    found = lines(session, purse)
    assert column(found, "number") == ["1", "2", "3", "4", "5"]
    assert sorted(column(found, "code")) == ["fee", "payout", "posting", "posting", "posting"]
    (back,) = [line for line in found if line.reverses]
    original = found[int(back.reverses) - 1]
    assert (back.from_account, back.to_account, back.amount) == ("due", "pending", "0.40")
    assert (original.from_account, original.to_account, original.amount) == ("pending", "due", "0.40")
    assert found[0].previous_hash == GENESIS
    assert check(found).broken == ""
    assert problems(session, now=NOON) == []
    money = check(found)
    assert (money.unlocked_minor, money.paid_minor) == ({"EUR": 30}, {"EUR": 28})


def test_who_reads_a_ledger_slowly_keeps_no_connection(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "LINES_A_PAGE", 2)
    with database.transaction() as session:
        purse = fund(session)
        posted(session, purse, 5)
        chain.extend(session, now=NOON)
        expected = lines(session, purse)
    found: list[Line] = []
    for page in chain.pages_of(database, purse.mission.id, upto=5):
        assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool
        found += page
    assert found == expected
    assert len(found) == 5


def test_a_line_tells_of_no_person_no_act_and_no_instant(session: Session) -> None:
    purse = fund(session, sponsor="=SUM(A1)\tMoulins", cause="-1 arbre")
    first = accrue(session, purse)
    again = accrue(session, purse, surrogate=first.surrogate)
    release(session, purse, [first, again], now=NOON + timedelta(minutes=59))
    chain.extend(session, now=NOON)
    one, other = lines(session, purse)
    assert one.recorded_at == "2026-10-14T10:00Z"
    assert (one.sponsor, one.beneficiary, one.pledge) == (
        "'=SUM(A1) Moulins",
        "'-1 arbre",
        show("pld", purse.pledge.id),
    )
    assert one.reference != other.reference
    hidden = {first.id, again.id, first.surrogate, first.completion_id}
    hidden |= {id for row in public_transfers(session) for id in (row.id, row.group_id, row.debit_id, row.credit_id)}
    for id in hidden:
        assert not any(id.hex in text or str(id) in text for line in (one, other) for text in line)


def test_a_transfer_with_a_smaller_id_that_comes_later_is_not_missed(session: Session) -> None:
    purse = fund(session)
    posted(session, purse, 3)
    chain.extend(session, now=NOON)
    before = lines(session, purse)
    late = accrue(session, purse, 8)
    release(session, purse, [late], now=NOON - DAY)  # its id is smaller than those of all three
    chain.extend(session, now=NOON)
    assert lines(session, purse)[:3] == before
    assert column(lines(session, purse), "amount_minor")[3:] == ["8"]
    assert problems(session, now=NOON) == []


def test_what_takes_a_line_back_comes_after_it_whatever_its_id(session: Session) -> None:
    purse = fund(session)
    one = accrue(session, purse)
    release(session, purse, [one])
    take_back(session, purse, one, now=NOON - DAY)
    chain.extend(session, now=NOON)
    assert column(lines(session, purse), "reverses") == ["", "1"]
    assert problems(session) == []


def test_reversals_that_fill_a_batch_keep_no_original_waiting(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LINES_A_ROUND", "LINES_ALONE"):
        monkeypatch.setattr(chain, name, 3)
    purse = fund(session)
    acts = [accrue(session, purse) for _ in range(4)]
    release(session, purse, acts)
    for one in acts:
        take_back(session, purse, one, now=NOON - DAY)
    while chain.extend(session, now=NOON):
        pass
    assert column(lines(session, purse), "reverses")[:4] == [""] * 4
    assert len(lines(session, purse)) == 8
    assert problems(session) == []


def test_while_one_chains_the_others_stand_by(postgres_database: Database) -> None:
    with postgres_database.transaction() as session:
        purse = fund(session)
        posted(session, purse, 2)
    other = Chainer(postgres_database)
    other.turn(NOON)
    with postgres_database.transaction() as session:
        assert session.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": chain.CHAIN_LOCK}).scalar_one()
        assert other.turn(NOON) is False
        assert lines(session, purse) == []
    other.turn(NOON)
    with postgres_database.snapshot() as session:
        assert len(lines(session, purse)) == 2


def test_a_batch_has_an_end_and_the_next_goes_on(session: Session) -> None:
    purse = fund(session)
    most = 500 if is_shared(session) else 100
    posted(session, purse, most + 2)
    assert chain.extend(session, now=NOON) is True
    assert chain.head_of(session, purse.mission.id).number == most
    assert chain.extend(session, now=NOON) is False
    found = lines(session, purse)
    assert column(found, "number") == [str(number) for number in range(1, most + 3)]
    assert check(found).broken == ""
    assert session.exec(select(Unchained)).all() == []


def test_each_mission_has_a_chain_of_its_own(session: Session) -> None:
    one, other = fund(session), fund(session, currency="JPY", unit_minor=5)
    for _ in range(3):
        posted(session, one, 2)
        posted(session, other, 1)
        chain.extend(session, now=NOON)
    assert column(lines(session, one), "number") == ["1", "2", "3", "4", "5", "6"]
    assert column(lines(session, other), "number") == ["1", "2", "3"]
    assert column(lines(session, other), "amount") == ["10", "10", "10"]
    assert problems(session) == []


@pytest.mark.parametrize(("currency", "amount"), [("EUR", "12.34"), ("JPY", "1234"), ("KWD", "1.234"), ("XXX", "1234")])
def test_amounts_have_the_decimals_of_their_currency(session: Session, currency: str, amount: str) -> None:
    purse = fund(session, currency=currency)
    release(session, purse, [accrue(session, purse, 1234)])
    chain.extend(session, now=NOON)
    assert column(lines(session, purse), "amount") == [amount]


def test_renaming_a_sponsor_changes_no_line(session: Session) -> None:
    purse = fund(session)
    posted(session, purse)
    chain.extend(session, now=NOON)
    before = lines(session, purse)
    session.execute(update(Sponsor).values(name="Autre nom"))
    posted(session, purse)
    chain.extend(session, now=NOON)
    assert lines(session, purse)[:1] == before
    assert column(lines(session, purse), "sponsor") == ["Moulins & fils", "Autre nom"]
    assert problems(session) == []


@pytest.mark.parametrize("table", ["ledger_lines", "ledger_heads"])
@pytest.mark.parametrize("change", ["UPDATE {} SET number = 9", "DELETE FROM {}"])
def test_lines_and_heads_only_come(session: Session, table: str, change: str) -> None:
    posted(session, fund(session))
    chain.extend(session, now=NOON)
    chain.publish_heads(session, now=NOON + DAY)
    with pytest.raises(DBAPIError, match=f"{table} only grows"), session.begin_nested():
        session.execute(text(change.format(table)))


def test_a_transfer_is_one_line_and_a_number_one_transfer(session: Session) -> None:
    purse = fund(session)
    posted(session, purse, 2)
    chain.extend(session, now=NOON)
    first, second = session.exec(select(LedgerLine).order_by(col(LedgerLine.number))).all()
    posted(session, purse, 1)
    third = public_transfers(session)[-1]  # a transfer there is, so that only the number is taken
    for clash in ({"number": 3}, {"transfer_id": third.id, "number": 2}):
        fields = first.model_dump() | clash
        with pytest.raises(IntegrityError), session.begin_nested():
            store(session, LedgerLine, **fields)
    assert second.number == 2


def test_chainers_that_race_leave_one_chain(database: Database) -> None:
    with database.transaction() as session:
        purse = fund(session)

    def act(index: int) -> None:
        for _ in range(5):
            if index % 2:
                with database.transaction() as session:
                    posted(session, purse, 3)
            else:
                Chainer(database).turn(NOON)

    assert race(6, act) == [None] * 6
    chainer = Chainer(database)
    chainer.turn(NOON)
    while chainer.turn(NOON):
        pass
    with database.snapshot() as session:
        assert len(lines(session, purse)) == 45
        assert problems(session, now=NOON + DAY) == []


def test_the_head_of_a_day_is_published_at_the_first_round_of_the_next(database: Database) -> None:
    with database.transaction() as session:
        purse = fund(session)
        posted(session, purse, 2)
    chainer = Chainer(database)
    for at in (NOON, NOON, NOON + timedelta(hours=1)):
        chainer.turn(at)
    Chainer(database).turn(NOON + timedelta(hours=2))  # a worker that starts: the day is not over for it either
    with database.transaction() as session:
        assert session.exec(select(LedgerHead)).all() == []
        posted(session, purse, 1)
    for at in (NOON + DAY, NOON + DAY, NOON + 2 * DAY, NOON + 3 * DAY):
        chainer.turn(at)
    with database.snapshot() as session:
        heads = chain.newest_heads(session, purse.mission.id, limit=9)
        found = lines(session, purse)
        assert [(head.day.isoformat(), head.number) for head in heads] == [("2026-10-15", 3), ("2026-10-14", 2)]
        for head in heads:
            assert check(found, head=Head(head.number, head.hash)).broken == ""
        assert problems(session) == []


def forged(session: Session, purse: Purse, **changes: object) -> None:
    """A line written past the worker, over the last one."""
    head = chain.head_of(session, purse.mission.id)
    (id,) = session.exec(select(Unchained.transfer_id)).all()
    texts = [str(head.number + 1), "2026-10-14T10:00Z", "posting", show("pld", purse.pledge.id), "", "", "pending"]
    texts += ["due", "0.10", "10", "EUR", "0" * 16, ""]
    fields = {"number": head.number + 1, "text": "\t".join(texts), "hash": hash_of([*texts, head.hash])} | changes
    store(session, LedgerLine, mission_id=purse.mission.id, transfer_id=id, chained_at=NOON, **fields)
    session.execute(delete(Unchained))


def test_the_recount_tells_what_is_wrong_with_a_chain(session: Session) -> None:
    purse = fund(session)
    posted(session, purse, 1)
    chain.extend(session, now=NOON)
    posted(session, purse, 1)
    with session.begin_nested() as trial:
        forged(session, purse)
        assert list(chain.recount(session)) == []  # written well, it is a line like others
        trial.rollback()
    for changes, told in (
        ({"number": 3}, "follows number 1"),
        ({"hash": "f" * 64}, "has a hash that is not that of its text"),
        ({"text": "2\t2026-10-14T11:00Z"}, "does not say what trf_"),
    ):
        with session.begin_nested() as trial:
            forged(session, purse, **changes)
            assert any(told in one for one in list(chain.recount(session))), told
            trial.rollback()


def test_the_recount_tells_of_lost_and_late_transfers_and_wrong_heads(session: Session) -> None:
    purse = fund(session)
    posted(session, purse, 1)
    assert list(chain.recount(session)) == []
    assert list(chain.recount(session, now=NOON + timedelta(seconds=59))) == []
    (late,) = chain.recount(session, now=NOON + timedelta(seconds=61))
    assert "more than a minute" in late
    session.execute(text("DELETE FROM unchained_transfers"))
    (lost,) = chain.recount(session)
    assert "is in no public ledger" in lost
    head = LedgerHead(mission_id=purse.mission.id, day=NOON.date(), number=1, hash="0" * 64, published_at=NOON)
    session.add(head)
    session.flush()
    assert any("the head of 2026-10-14" in one for one in list(chain.recount(session)))


def test_a_reversal_whose_original_is_no_line_holds_up_nobody(session: Session) -> None:
    purse = fund(session)
    book = ledger.book_of(session, purse.pledge.id)  # without the mission: not for the public
    one = accrue(session, purse)
    move = ledger.Move(AccountKind.PENDING, AccountKind.DUE, 10, Code.POSTING, one.id)
    (id,) = ledger.post(session, book, [move], now=NOON)
    first = session.get_one(Transfer, id)
    kinds: dict[UUID, AccountKind] = {account: AccountKind(kind) for kind, account in book.accounts.items()}
    back = ledger.reversal_of(first, kinds, group_id=uuid7_at(NOON))
    ledger.post(session, purse.book(session), [back], now=NOON)
    posted(session, purse, 2)
    assert chain.extend(session, now=NOON) is False
    assert len(lines(session, purse)) == 2
    assert any("more than a minute" in one for one in list(chain.recount(session, now=NOON + DAY)))
