"""Tokens, and the directory that the scan path looks them up in."""

from datetime import timedelta

import pytest
from sqlalchemy import event
from sqlmodel import Session, select

from campaigns import places, planning, tokens
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.places import Place
from campaigns.planning import Campaign, LaunchFacts, State
from campaigns.storage import Database
from campaigns.tokens import Kind, Medium, Token, codes
from campaigns.tokens.addresses import require_destination
from campaigns.tokens.directory import Directory, Entry
from tests.factories import NOON, make_campaign, make_organisation, make_place, make_token
from tests.racing import race
from tests.scene import set_scene


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def load(directory: Directory, database: Database, code: str) -> Entry | None:
    with database.snapshot() as session:
        return directory.load(session, code)


def test_a_token_has_a_code_that_reads_back(session: Session) -> None:
    campaign = make_campaign(session, make_organisation(session))
    token = make_token(session, campaign, None)
    assert codes.normalise(codes.grouped(token.code).lower()) == token.code
    assert token.url("https://passerelle.example") == f"HTTPS://PASSERELLE.EXAMPLE/T/{token.code}"
    assert token.url("https://brand.example/go") == f"https://brand.example/go/t/{token.code}"


def test_a_code_that_is_taken_is_drawn_again(session: Session) -> None:
    campaign = make_campaign(session, make_organisation(session))
    draws = iter([b"\0\0\0\1\0\1", b"\0\0\0\1\0\1", b"\0\0\0\1\0\2", *[b"\0\0\0\1\0\1"] * 9])
    first, second = (make_token(session, campaign, None, random_bytes=lambda _: next(draws)) for _ in range(2))
    assert first.code != second.code
    with pytest.raises(Conflict):
        make_token(session, campaign, None, random_bytes=lambda _: next(draws))


def test_tokens_issued_at_once_have_codes_of_their_own(database: Database) -> None:
    scene = set_scene(database)

    def issue(index: int) -> str:
        with database.transaction() as session:
            draws = iter([bytes(6), (index + 1 << 20).to_bytes(6, "big")])  # the first draw is everybody's
            campaign = session.get_one(Campaign, scene.campaign.id)
            return make_token(session, campaign, None, random_bytes=lambda _: next(draws)).code

    assert all(isinstance(code, str) for code in race(6, issue))
    with database.snapshot() as session:
        assert len(session.exec(select(Token)).all()) == 7


def test_a_token_belongs_to_a_running_campaign_and_its_name_is_its_own(session: Session) -> None:
    organisation = make_organisation(session)
    campaign = make_campaign(session, organisation)
    token = make_token(session, campaign, None, external_id="poster")
    with pytest.raises(Conflict):
        make_token(session, campaign, None, external_id="poster")
    assert tokens.token_by_id(session, organisation.id, token.id) == token
    with pytest.raises(NotFound):
        tokens.token_by_id(session, make_organisation(session).id, token.id)
    planning.end(session, campaign, now=NOON)
    with pytest.raises(Conflict):
        make_token(session, campaign, None)


def test_the_launch_checklist_hears_of_tokens_and_places(session: Session) -> None:
    organisation = make_organisation(session)
    campaign, place = make_campaign(session, organisation), make_place(session, organisation)
    for where in (place, place, None):
        make_token(session, campaign, where)
    assert tokens.launch_facts(session, campaign.id, missions=1) == LaunchFacts(3, 1, 1, 1)


@pytest.mark.parametrize(
    "url",
    [
        None,
        "https://example.org",
        "HTTP://example.org:8080/a?b=c#d",
        "https://example.org/@brand",
        "https://xn--caf-dma.example/",
        "https://example.org/" + "a" * 1900,
    ],
)
def test_a_web_address_is_a_destination(url: str | None) -> None:
    require_destination(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "javascript:alert(1)",
        "ftp://example.org",
        "https://",
        "https:///path",
        "//example.org",
        "https://user@example.org/",
        "https://user:secret@example.org",
        "https://example.org/a b",
        "https://example.org/\r\nSet-Cookie: a",
        "https://café.example/",
        "https://example.org/<script>",
        'https://example.org/"',
        "https://example.org\\@evil.example",
        "https://example.org/" + "a" * 2000,
        "https://a@b@c/",
    ],
)
def test_anything_else_is_no_destination(url: str) -> None:
    with pytest.raises(Invalid) as refusal:
        require_destination(url)
    assert refusal.value.context["pointer"] == "/destination"


# The directory ---------------------------------------------------------------------------------------------------


def test_the_directory_knows_what_a_scan_needs(database: Database) -> None:
    scene = set_scene(database, campaign={"destination": "https://campaign.example"})
    directory = Directory()
    assert directory.find(scene.token.code) is None
    entry = load(directory, database, scene.token.code)
    assert directory.find(scene.token.code) is entry
    assert entry is not None
    assert (entry.token_id, entry.campaign.id, entry.destination) == (
        scene.token.id,
        scene.campaign.id,
        "https://campaign.example",
    )
    assert entry.place is not None
    assert (entry.place.name, entry.place_hex, entry.closed_at(NOON)) == ("Bellecour", entry.place.id.hex, None)
    assert entry.state_at(NOON) is State.LIVE


def test_an_unknown_code_is_remembered_for_a_minute(database: Database) -> None:
    clock = Clock()
    directory = Directory(clock)
    assert not directory.is_unknown("7K3Q9XABW4")
    assert load(directory, database, "7K3Q9XABW4") is None
    assert directory.is_unknown("7K3Q9XABW4")
    clock.now += 59.9
    assert directory.is_unknown("7K3Q9XABW4")
    clock.now += 0.2
    assert not directory.is_unknown("7K3Q9XABW4")


def test_a_new_code_makes_the_unknown_ones_worth_another_look(database: Database) -> None:
    directory = Directory()
    database.listen(directory.hear)
    scene = set_scene(database)
    load(directory, database, "7K3Q9XABW4")
    with database.transaction() as session:
        make_token(session, session.get_one(Campaign, scene.campaign.id), None)
    assert not directory.is_unknown("7K3Q9XABW4")


@pytest.mark.parametrize("what", ["campaign", "place", "token", "revoked"])
def test_a_change_is_seen_at_the_next_scan(database: Database, what: str) -> None:
    directory = Directory()
    database.listen(directory.hear)
    scene, other = set_scene(database), set_scene(database)
    code = scene.token.code
    load(directory, database, code)
    untouched = load(directory, database, other.token.code)
    with database.transaction() as session:
        if what == "campaign":
            planning.pause(session, session.get_one(Campaign, scene.campaign.id), now=NOON)
        elif what == "place":
            place = session.get_one(Place, scene.token.place_id)
            places.change_place(session, place, now=NOON, name="Part-Dieu")
        elif what == "token":
            token = session.get_one(Token, scene.token.id)
            tokens.change_token(session, token, now=NOON, destination="https://new.example")
        else:
            tokens.revoke(session, session.get_one(Token, scene.token.id), now=NOON)
        assert directory.find(code) is not None
    assert directory.find(code) is None
    assert directory.find(other.token.code) is untouched
    entry = load(directory, database, code)
    assert entry is not None
    assert entry.place is not None
    found = {
        "campaign": entry.state_at(NOON) is State.PAUSED,
        "place": entry.place.name == "Part-Dieu",
        "token": entry.destination == "https://new.example",
        "revoked": entry.closed_at(NOON) == "revoked",
    }
    assert found == {name: name == what for name in found}


def test_a_load_that_a_change_overtook_is_not_kept(database: Database) -> None:
    """The change is committed and announced between the read of the old row and the end of the load."""
    directory = Directory()
    database.listen(directory.hear)
    scene = set_scene(database)
    pausing = True

    def overtake(*arguments: object) -> None:
        nonlocal pausing
        if pausing and "FROM places" in str(arguments[2]):
            pausing = False
            with database.transaction() as session:
                planning.pause(session, session.get_one(Campaign, scene.campaign.id), now=NOON)

    event.listen(database.engine, "after_cursor_execute", overtake)
    stale = load(directory, database, scene.token.code)
    event.remove(database.engine, "after_cursor_execute", overtake)
    assert not pausing
    assert stale is not None
    assert stale.campaign.state == "live"  # what was read may be used once
    assert directory.find(scene.token.code) is None
    fresh = load(directory, database, scene.token.code)
    assert fresh is not None
    assert fresh.campaign.state == "paused"


def test_the_flight_is_followed_without_a_new_load(database: Database) -> None:
    scene = set_scene(database, campaign={"ends_at": NOON + timedelta(hours=1)})
    states = [scene.entry.state_at(NOON + timedelta(hours=1, microseconds=offset)) for offset in (-1, 0)]
    assert states == [State.LIVE, State.ENDED]


def test_kinds_and_media_are_those_this_version_makes() -> None:
    assert (set(Medium), set(Kind)) == ({"qr", "nfc", "link"}, {"static", "serial", "live", "sun"})
