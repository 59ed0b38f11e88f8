"""Tags of sun tokens and their keys, on both databases."""

from typing import Any

import pytest
from sqlmodel import Session, select

from campaigns import tokens
from campaigns.errors import Invalid
from campaigns.planning import Campaign
from campaigns.sealing import Keyring
from campaigns.tokens import Kind, Medium, SunTag, TagPlan, Token
from campaigns.tokens.directory import Directory
from campaigns.tokens.sun import MacInput, Mode, Reason, diversify
from tests.conftest import SECRET
from tests.factories import make_campaign, make_organisation, make_token
from tests.ntag424 import FILE_READ, META_READ, UID, Tag

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
    signed = tag.opened(KEYRING.open_tag_keys)
    chip = Tag(is_lrp=is_lrp, counter=41)
    taken = signed.read(chip.tap(file_data=b"16 bytes of text"))
    assert (taken.uid, taken.counter, taken.file_data) == (SHOWN_UID, 42, b"16 bytes of text")
    assert signed.read(chip.tap()).reason is Reason.BAD_MAC
    tag.uid = OTHER_UID
    other = tag.opened(KEYRING.open_tag_keys)
    assert other.read(chip.tap(file_data=b"16 bytes of text")).reason is Reason.BAD_MAC


def test_a_tag_of_a_batch_has_a_key_of_its_own(session: Session, campaign: Campaign) -> None:
    diversifier = bytes.fromhex("3042F5") + b"NXP Abu"
    tag = tag_of(session, make_sun_token(session, campaign, tag=plan(diversifier=diversifier)))
    signed = tag.opened(KEYRING.open_tag_keys)
    chip = Tag(file_read=diversify(FILE_READ, UID + diversifier))
    assert signed.read(chip.tap()).uid == SHOWN_UID
    assert signed.read(Tag().tap()).reason is Reason.BAD_MAC


def test_keys_of_another_installation_cost_the_proof_and_not_the_page(
    session: Session, campaign: Campaign, caplog: pytest.LogCaptureFixture
) -> None:
    token = make_sun_token(session, campaign)
    session.flush()
    other = Directory(open_keys=Keyring("another secret key of enough characters").open_tag_keys)
    entry = other.load(session, token.code)
    assert entry is not None
    assert entry.sun is None
    assert "do not open" in caplog.text


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
