"""Which tag carries which code, on both databases: a tag has one code, and a code one tag."""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from sqlmodel import Session, select

from campaigns import tokens
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.identity import Organisation
from campaigns.ids import uuid7
from campaigns.places import Place, StaffSession
from campaigns.planning import Campaign
from campaigns.storage import Database
from campaigns.tokens import Kind, Medium, TagPlan, TagWriting, Token, Was
from tests.factories import NOON, make_campaign, make_organisation, make_phone, make_place, make_token
from tests.racing import race

UID, OTHER_UID = "04A21B5C7D8E90", "04DE5F1EACC040"
RACERS = 12


class Shop(NamedTuple):
    organisation: Organisation
    campaign: Campaign
    place: Place
    staff: StaffSession
    poster: Token
    counter: Token


def open_shop(session: Session, organisation: Organisation | None = None) -> Shop:
    organisation = organisation or make_organisation(session)
    campaign, place = make_campaign(session, organisation), make_place(session, organisation)
    staff, _ = make_phone(session, place)
    session.flush()
    poster, counter = (make_nfc(session, campaign, place, label=label) for label in ("Poster", "Counter"))
    return Shop(organisation, campaign, place, staff, poster, counter)


def make_nfc(session: Session, campaign: Campaign, place: Place | None, **overrides: Any) -> Token:
    return make_token(session, campaign, place, **{"medium": Medium.NFC, **overrides})


@pytest.fixture
def shop(session: Session) -> Shop:
    return open_shop(session)


def write(session: Session, shop: Shop, token: Token, uid: str | None = UID, **overrides: Any) -> TagWriting:
    fields = {"was": Was.EMPTY, "replace": False, "now": NOON, **overrides}
    return tokens.record_writing(session, token, shop.staff, uid=uid, **fields)


def writings(session: Session, token: Token) -> list[TagWriting]:
    rows = session.exec(select(TagWriting).where(TagWriting.token_id == token.id)).all()
    return sorted(rows, key=lambda one: one.id)


def bound_uid(session: Session, token_id: UUID) -> str | None:
    """The UID of the tag that carries a token, as far as a phone told it."""
    found = tokens.find_binding(session, token_id)
    return found.uid if found else None


def test_a_writing_binds_the_tag_to_code_place_and_phone(session: Session, shop: Shop) -> None:
    assert bound_uid(session, shop.poster.id) is None
    made = write(session, shop, shop.poster, was=Was.OTHER)
    assert (made.uid, made.place_id, made.staff_session_id, made.was) == (UID, shop.place.id, shop.staff.id, "other")
    assert (made.written_at, made.locked_at, made.released_at) == (NOON, None, None)
    assert bound_uid(session, shop.poster.id) == UID
    assert bound_uid(session, shop.counter.id) is None


def test_a_new_tag_takes_the_place_of_the_former_one_and_the_log_keeps_both(session: Session, shop: Shop) -> None:
    first = write(session, shop, shop.poster)
    later = NOON + timedelta(days=1)
    write(session, shop, shop.poster, OTHER_UID, now=later)
    session.refresh(first)
    assert first.released_at == later
    assert bound_uid(session, shop.poster.id) == OTHER_UID
    assert [one.uid for one in writings(session, shop.poster)] == [UID, OTHER_UID]
    assert write(session, shop, shop.counter, UID).uid == UID  # the former tag is free again


def test_a_tag_of_another_code_is_refused_by_name_unless_it_is_to_change_hands(session: Session, shop: Shop) -> None:
    write(session, shop, shop.counter)
    with pytest.raises(Conflict) as refusal:
        write(session, shop, shop.poster)
    assert (refusal.value.code, refusal.value.context["label"]) == ("tag_taken", "Counter")
    assert bound_uid(session, shop.counter.id) == UID
    write(session, shop, shop.poster, replace=True)
    assert bound_uid(session, shop.poster.id) == UID
    assert bound_uid(session, shop.counter.id) is None


def test_a_code_without_a_label_is_named_by_its_characters(session: Session, shop: Shop) -> None:
    bare = make_nfc(session, shop.campaign, shop.place)
    write(session, shop, bare)
    with pytest.raises(Conflict) as refusal:
        write(session, shop, shop.poster)
    assert str(refusal.value.context["label"]).replace("-", "") == bare.code


def test_a_tag_that_no_phone_can_name_stands_in_nobody_s_way(session: Session, shop: Shop) -> None:
    write(session, shop, shop.counter, None)
    write(session, shop, shop.poster, None)
    found = {one.token.id: one for one in tokens.tags_of_place(session, shop.place.id)}
    for token in (shop.counter, shop.poster):
        assert bound_uid(session, token.id) is None
        assert found[token.id].held is not None


def test_another_organisation_s_tag_is_none_of_ours(session: Session, shop: Shop) -> None:
    other = open_shop(session, make_organisation(session, name="Autre Maison"))
    write(session, other, other.poster)
    write(session, shop, shop.poster, replace=True)
    assert bound_uid(session, other.poster.id) == bound_uid(session, shop.poster.id) == UID


def test_a_lock_is_for_good(session: Session, shop: Shop) -> None:
    made = write(session, shop, shop.poster)
    for after in (1, 2):
        tokens.record_lock(session, shop.poster, made.id, now=NOON + timedelta(hours=after))
    session.refresh(made)
    assert made.locked_at == NOON + timedelta(hours=1)
    assert write(session, shop, shop.poster, was=Was.SAME).locked_at == made.locked_at
    assert write(session, shop, shop.poster, OTHER_UID).locked_at is None
    for token, id in ((shop.counter, made.id), (shop.poster, uuid7())):
        with pytest.raises(NotFound):
            tokens.record_lock(session, token, id, now=NOON)


@pytest.mark.parametrize(
    ("said", "uid"),
    [
        ("04:a2:1b:5c:7d:8e:90", UID),
        ("04a21b5c7d8e90", UID),
        ("DE:AD:BE:EF", "DEADBEEF"),
        ("01:02:03:04:05:06:07:08:09:0a", "0102030405060708090A"),
        ("", None),
    ],
)
def test_a_serial_number_is_read_as_web_nfc_says_it(said: str, uid: str | None) -> None:
    assert tokens.uid_of(said) == uid


@pytest.mark.parametrize(
    "said",
    [
        "04:a2:1b",
        "04",
        ":".join(["04"] * 11),
        "04:a2:1b:5g",
        "04:a2:1b:5c:",
        "04 a2 1b 5c",
        "a" * 10_000,
        "\0",
        "٠٤٠٤٠٤٠٤",
    ],
)
def test_what_is_no_uid_is_refused(said: str) -> None:
    with pytest.raises(Invalid) as refusal:
        tokens.uid_of(said)
    assert refusal.value.context["pointer"] == "/uid"


def test_a_withdrawn_code_and_a_tag_that_signs_take_no_writing(session: Session, shop: Shop) -> None:
    signing = make_nfc(session, shop.campaign, shop.place, kind=Kind.SUN, tag=TagPlan(b"sealed"))
    tokens.revoke(session, shop.poster, now=NOON)
    for token in (signing, shop.poster):
        with pytest.raises(Conflict):
            write(session, shop, token)
        assert tokens.find_binding(session, token.id) is None


def test_the_tags_of_a_place_are_its_standing_nfc_codes(session: Session, shop: Shop) -> None:
    signing = make_nfc(session, shop.campaign, shop.place, kind=Kind.SUN, tag=TagPlan(b"sealed", uid=OTHER_UID))
    elsewhere = open_shop(session, shop.organisation)
    qr = make_token(session, shop.campaign, shop.place)
    serial = make_nfc(session, shop.campaign, shop.place, kind=Kind.SERIAL)
    gone = tokens.revoke(session, make_nfc(session, shop.campaign, shop.place), now=NOON)
    session.flush()
    found = tokens.tags_of_place(session, shop.place.id)
    assert {one.token.id for one in found} == {shop.poster.id, shop.counter.id, signing.id}
    assert [one.uid for one in found if one.token.kind == Kind.SUN] == [OTHER_UID]
    assert tokens.tag_of_place(session, shop.place.id, gone.id).token == gone
    for token in (qr, serial, elsewhere.poster):
        with pytest.raises(NotFound):
            tokens.tag_of_place(session, shop.place.id, token.id)


def test_the_tags_of_a_campaign_are_its_nfc_codes_that_still_hold(session: Session, shop: Shop) -> None:
    made = [shop.poster.id, shop.counter.id, *(make_nfc(session, shop.campaign, None).id for _ in range(3))]
    make_token(session, shop.campaign, shop.place)
    open_shop(session, shop.organisation)
    tokens.revoke(session, make_nfc(session, shop.campaign, None), now=NOON)
    session.flush()
    write(session, shop, shop.poster)
    assert tokens.tags_of_campaign(session, shop.campaign.id, place_id=None) == sorted(made)
    here = tokens.tags_of_campaign(session, shop.campaign.id, place_id=shop.place.id)
    assert here == sorted([shop.poster.id, shop.counter.id])
    found = tokens.tags_by_ids(session, here[::-1])
    assert [one.token.id for one in found] == here
    assert {one.uid for one in found} == {UID, None}
    assert {one.place for one in found} == {"Bellecour"}
    assert tokens.tags_by_ids(session, []) == []


@pytest.mark.parametrize("replace", [False, True])
def test_of_racing_codes_for_one_tag_one_gets_it(database: Database, replace: bool) -> None:
    with database.transaction() as session:
        shop = open_shop(session)
        rivals = [make_nfc(session, shop.campaign, shop.place, label=f"{n}") for n in range(RACERS)]

    def bind(index: int) -> str:
        with database.transaction() as session:
            token = session.get_one(Token, rivals[index].id)
            return str(write(session, shop, token, replace=replace).token_id)

    outcomes = race(RACERS, bind)
    won = [one for one in outcomes if isinstance(one, str)]
    assert all(isinstance(one, str | Conflict) for one in outcomes), outcomes
    with database.snapshot() as session:
        held = [one.id for one in rivals if bound_uid(session, one.id) == UID]
    assert len(held) == 1
    if not replace:
        assert won == [str(held[0])]


def test_of_racing_phones_with_one_code_one_tag_stays(database: Database) -> None:
    with database.transaction() as session:
        shop = open_shop(session)

    def bind(index: int) -> TagWriting:
        with database.transaction() as session:
            return write(session, shop, session.get_one(Token, shop.poster.id), f"04A21B5C7D8E{index:02X}")

    outcomes = race(RACERS, bind)
    assert all(isinstance(one, TagWriting | Conflict) for one in outcomes), outcomes
    with database.snapshot() as session:
        standing = [one for one in writings(session, shop.poster) if one.released_at is None]
    assert len(standing) == 1


def test_codes_that_swap_their_tags_at_once_do_not_wait_for_each_other(database: Database) -> None:
    with database.transaction() as session:
        shop = open_shop(session)
        write(session, shop, shop.poster, UID)
        write(session, shop, shop.counter, OTHER_UID)

    def swap(index: int) -> TagWriting:
        token, uid = ((shop.poster, OTHER_UID), (shop.counter, UID))[index % 2]
        with database.transaction() as session:
            return write(session, shop, session.get_one(Token, token.id), uid, replace=True)

    outcomes = race(RACERS, swap)
    assert all(isinstance(one, TagWriting | Conflict) for one in outcomes), outcomes
    with database.snapshot() as session:
        bound = [bound_uid(session, token.id) for token in (shop.poster, shop.counter)]
    assert len(bound) == len(set(bound))
