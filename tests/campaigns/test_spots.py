"""Which tokens are printed, on both databases."""

from typing import Any

import pytest
from sqlmodel import Session

from campaigns import tokens
from campaigns.errors import Conflict, Invalid
from campaigns.planning import Campaign
from campaigns.storage import Database
from campaigns.tokens import Good, Kind, Medium, TagPlan, spots
from tests.factories import NOON, make_campaign, make_organisation, make_place, make_token


def ground(session: Session) -> tuple[Campaign, Any, Any]:
    """A campaign with a QR code in each of two places, made in the order B, A."""
    organisation = make_organisation(session)
    campaign = make_campaign(session, organisation)
    second, first = (make_place(session, organisation, name=name) for name in ("B", "A"))
    for place in (second, first):
        make_token(session, campaign, place)
    session.flush()
    return campaign, first, second


def test_codes_come_by_the_names_of_their_places(database: Database) -> None:
    with database.transaction() as session:
        campaign, first, second = ground(session)
        make_token(session, campaign, first)
        make_token(session, campaign, None)
        found = spots.standing_of_campaign(session, campaign.id, now=NOON)
        assert [one.place for one in found] == ["", "A", "A", "B"]
        assert [
            one.place for one in spots.standing_of_campaign(session, campaign.id, place_id=second.id, now=NOON)
        ] == ["B"]
        by_place = spots.standing_of_places(session, campaign.id, now=NOON)
        assert {id: len(some) for id, some in by_place.items()} == {first.id: 2, second.id: 1}
        assert list(by_place) == [first.id, second.id]


def test_what_is_withdrawn_carried_away_or_sent_is_left_out(database: Database) -> None:
    with database.transaction() as session:
        campaign, first, _ = ground(session)
        gone = make_token(session, campaign, first)
        tag = make_token(session, campaign, first, medium=Medium.NFC)
        for token in (gone, tag):
            tokens.revoke(session, token, now=NOON)
        make_token(session, campaign, first, medium=Medium.LINK)
        make_token(session, campaign, first, onward={"expires_at": NOON})
        tokens.issue_serials(session, campaign, count=2, medium=Medium.QR, place=first, good=Good.ONCE, now=NOON)
        session.flush()
        found = spots.standing_of_campaign(session, campaign.id, now=NOON)
        assert len(found) == 2
        assert gone.code not in {one.code for one in found}
        assert spots.places_with_tags(session, campaign.id, now=NOON) == set()


def test_a_tag_has_a_sheet_of_its_own_only_where_no_code_shows_it(database: Database) -> None:
    with database.transaction() as session:
        campaign, first, second = ground(session)
        elsewhere = make_place(session, make_organisation(session, name="X"), name="C")
        shared = make_token(session, campaign, first, medium=Medium.NFC)
        plan = TagPlan(b"sealed")
        alone = make_token(session, campaign, elsewhere, medium=Medium.NFC, kind=Kind.SUN, tag=plan)
        session.flush()
        shown = {one.code for one in spots.standing_of_campaign(session, campaign.id, now=NOON)}
        assert (shared.code in shown, alone.code in shown) == (False, True)
        only = [one.code for one in spots.standing_of_campaign(session, campaign.id, medium=Medium.NFC, now=NOON)]
        assert only == [shared.code, alone.code]
        tagged = spots.places_with_tags(session, campaign.id, now=NOON)
        assert tagged == {first.id, elsewhere.id}
        made = [
            spots.spot(one, "https://a.fr", tagged=tagged, caption=None)
            for one in spots.standing_of_campaign(session, campaign.id, now=NOON)
        ]
        assert [(one.caption, one.url is None, one.has_tag) for one in made] == [
            ("A", False, True),
            ("B", False, False),
            ("C", True, True),
        ]
        assert second.id not in tagged


def test_a_batch_keeps_its_numbers_when_codes_are_withdrawn(database: Database) -> None:
    with database.transaction() as session:
        campaign, first, _ = ground(session)
        batch = tokens.issue_serials(session, campaign, count=7, medium=Medium.QR, place=first, now=NOON)
        session.flush()
        listed = [line.code for line in tokens.lines_of(session, batch.id, after=None)]
        tokens.revoke(session, tokens.token_by_id(session, campaign.organisation_id, line_id(session, batch)), now=NOON)
        session.flush()
        whole = spots.stretch_of_batch(session, batch, first=1, count=100, now=NOON)
        assert ([one.code for one in whole.standing], whole.next) == (listed[1:], None)
        some = spots.stretch_of_batch(session, batch, first=3, count=3, now=NOON)
        assert ([one.code for one in some.standing], some.next) == (listed[2:5], 6)
        last = spots.stretch_of_batch(session, batch, first=6, count=2, now=NOON)
        assert ([one.code for one in last.standing], last.next) == (listed[5:], None)
        with pytest.raises(Invalid):
            spots.stretch_of_batch(session, batch, first=8, count=2, now=NOON)
        with pytest.raises(Conflict) as refusal:
            spots.stretch_of_batch(session, batch, first=1, count=1, now=NOON)
        assert refusal.value.code == "nothing_to_print"


def line_id(session: Session, batch: Any) -> Any:
    return tokens.lines_of(session, batch.id, after=None)[0].token_id


def test_a_caption_is_filled_in_for_each() -> None:
    one = spots.Standing("7K3Q9XABW4", "qr", None, "Bellecour")
    made = spots.spot(one, "https://a.fr", tagged=set(), caption="{place}: {code} {other}")
    assert made.caption == "Bellecour: 7K3Q-9XAB-W4 {other}"
    assert made.url == "HTTPS://A.FR/T/7K3Q9XABW4"
    assert not made.has_tag
