"""Tags of sun tokens and the counters they spend, on both databases."""

import os
from typing import Any

import pytest
from sqlmodel import Session, select

from campaigns import tokens
from campaigns.errors import Invalid
from campaigns.planning import Campaign
from campaigns.sealing import Keyring
from campaigns.storage import Database
from campaigns.tokens import Kind, Medium, SunTag, TagPlan, Token
from campaigns.tokens.sun import MacInput, Mode, Reason
from tests.conftest import SECRET
from tests.factories import make_campaign, make_organisation, make_token
from tests.ntag424 import FILE_READ, META_READ, UID, Tag
from tests.racing import race
from tests.scene import set_scene

RACERS = 200 if os.environ.get("PASSERELLE_SOAK") else 20
KEYRING = Keyring(SECRET)
SHOWN_UID = UID.hex().upper()
OTHER_UID = "04958CAA5C5E80"


def plan(**overrides: Any) -> TagPlan:
    return TagPlan(KEYRING.seal_tag_keys(META_READ + FILE_READ), **overrides)


def make_sun_token(session: Session, campaign: Campaign, **overrides: Any) -> Token:
    fields: dict[str, Any] = {"medium": Medium.NFC, "kind": Kind.SUN, "tag": plan(), **overrides}
    return make_token(session, campaign, None, **fields)


def tag_of(session: Session, token: Token) -> SunTag:
    tag = tokens.find_tag(session, token.id)
    assert tag is not None
    session.refresh(tag)
    return tag


@pytest.fixture
def campaign(session: Session) -> Campaign:
    return make_campaign(session, make_organisation(session))


def test_a_tag_is_enrolled_with_its_keys_sealed(session: Session, campaign: Campaign) -> None:
    tag = tag_of(session, make_sun_token(session, campaign, tag=plan(mode=Mode.LRP, uid=SHOWN_UID.lower())))
    assert (tag.uid, tag.mode, tag.mac_input, tag.last_counter) == (SHOWN_UID, "lrp", "empty", -1)
    assert tag.sealed_keys[0] == KEYRING.key_id
    assert META_READ not in tag.sealed_keys
    assert FILE_READ not in tag.sealed_keys
    assert KEYRING.open_tag_keys(tag.sealed_keys) == META_READ + FILE_READ
    with pytest.raises(Invalid):
        Keyring("another secret key of enough characters").open_tag_keys(tag.sealed_keys)
    with pytest.raises(Invalid):
        KEYRING.open_answer(tag.sealed_keys)


@pytest.mark.parametrize("is_lrp", [False, True])
def test_an_enrolled_tag_is_read(session: Session, campaign: Campaign, is_lrp: bool) -> None:
    mode = Mode.LRP if is_lrp else Mode.AES
    tag = tag_of(session, make_sun_token(session, campaign, tag=plan(mode=mode, mac_input=MacInput.FILE)))
    opened = KEYRING.open_tag_keys(tag.sealed_keys)
    chip = Tag(is_lrp=is_lrp, counter=41)
    taken = tag.read(chip.tap(file_data=b"16 bytes of text"), opened)
    assert (taken.uid, taken.counter, taken.file_data) == (SHOWN_UID, 42, b"16 bytes of text")
    assert tag.read(chip.tap(), opened).reason is Reason.BAD_MAC
    tag.uid = OTHER_UID
    assert tag.read(chip.tap(file_data=b"16 bytes of text"), opened).reason is Reason.BAD_MAC


@pytest.mark.parametrize(
    ("overrides", "pointer"),
    [
        ({"tag": None}, "/sun"),
        ({"kind": Kind.STATIC}, "/sun"),
        ({"medium": Medium.QR}, "/medium"),
        ({"medium": Medium.LINK}, "/medium"),
    ],
)
def test_a_sun_token_is_an_nfc_tag_with_keys(
    session: Session, campaign: Campaign, overrides: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        make_sun_token(session, campaign, **overrides)
    assert refusal.value.context["pointer"] == pointer
    assert session.exec(select(Token)).all() == []


def test_a_counter_is_spent_once_and_in_order(session: Session, campaign: Campaign) -> None:
    token, other = make_sun_token(session, campaign), make_sun_token(session, campaign)
    spent = [tokens.advance_counter(session, token.id, counter) for counter in (0, 0, 1, 5, 5, 3, 6, 2**24 - 1, 7)]
    assert spent == [True, False, True, True, False, False, True, True, False]
    assert tag_of(session, token).last_counter == 2**24 - 1
    assert tag_of(session, other).last_counter == -1
    assert not tokens.advance_counter(session, make_token(session, campaign, None).id, 1)


def test_the_first_tag_that_taps_is_the_token_s_own(session: Session, campaign: Campaign) -> None:
    token = make_sun_token(session, campaign)
    assert tokens.advance_counter(session, token.id, 1)  # a tag that hides its UID names nothing
    assert tokens.advance_counter(session, token.id, 2, uid=SHOWN_UID)
    assert not tokens.advance_counter(session, token.id, 3, uid=OTHER_UID)
    assert (tag_of(session, token).uid, tag_of(session, token).last_counter) == (SHOWN_UID, 2)
    assert tokens.advance_counter(session, token.id, 3, uid=SHOWN_UID)


def enrolled(database: Database) -> Token:
    scene = set_scene(database)
    with database.transaction() as session:
        return make_sun_token(session, session.get_one(Campaign, scene.campaign.id))


def test_of_racing_taps_of_one_counter_one_counts(database: Database) -> None:
    token = enrolled(database)

    def tap(_: int) -> bool:
        with database.transaction() as session:
            return tokens.advance_counter(session, token.id, 7, uid=SHOWN_UID)

    outcomes = race(RACERS, tap)
    assert (outcomes.count(True), outcomes.count(False)) == (1, RACERS - 1)


def test_of_racing_taps_the_highest_counter_stays(database: Database) -> None:
    token = enrolled(database)

    def tap(index: int) -> bool:
        with database.transaction() as session:
            return tokens.advance_counter(session, token.id, index // 2)

    outcomes = race(RACERS, tap)
    assert all(isinstance(one, bool) for one in outcomes)
    for counter in range(RACERS // 2):
        assert outcomes[2 * counter : 2 * counter + 2].count(True) <= 1
    assert outcomes[-2:].count(True) == 1
    with database.snapshot() as session:
        assert tag_of(session, token).last_counter == RACERS // 2 - 1


def test_of_two_tags_that_tap_first_at_once_one_is_the_token_s_own(database: Database) -> None:
    token = enrolled(database)

    def tap(index: int) -> bool:
        with database.transaction() as session:
            return tokens.advance_counter(session, token.id, index, uid=SHOWN_UID if index % 2 else OTHER_UID)

    outcomes = race(RACERS, tap)
    with database.snapshot() as session:
        own = tag_of(session, token).uid
    won = {index % 2 for index, one in enumerate(outcomes) if one is True}
    assert won == {1 if own == SHOWN_UID else 0}
