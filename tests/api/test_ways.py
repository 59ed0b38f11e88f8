"""The ways up: a page offers every proof of presence that the place has, and none that it has not, without scripts."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.desk import text_of
from tests.api.helpers import CAMPAIGN, PLACE, Shop, made, problem, signed_in
from tests.conftest import Server

PAGE = {"Accept": "text/html"}
MISSION: dict[str, Any] = {
    "title": {"fr": "Le puits", "en": "The well"},
    "promise": "A well",
    "goal": {"metric": "votes", "value": 10},
    "steps": [{"kind": "scan", "min_presence": 1}, {"kind": "idea", "min_presence": 2}, {"kind": "vote"}],
}
WAYS = {
    "position": ("share your position", "partagez votre position"),
    "live": ("Scan the code on the shop’s screen", "Scannez le code de l’écran"),
    "digits": ("type the six digits", "saisissez les six chiffres"),
    "tag": ("Hold your phone to the shop’s NFC tag", "Approchez votre téléphone de la puce"),
    "handed": ("Scan the code that the shop hands you", "le code que la boutique vous remet"),
    "card": ("Ask the staff for a paper card", "Demandez une carte en papier"),
    "staff": ("Ask the staff to help", "L’équipe du magasin peut vous aider"),
}
KEYS = {"meta_read_key": "00" * 16, "file_read_key": "11" * 16}


def open_shop(server: Server, *, with_everything: bool) -> Shop:
    """A shop with an open vote at presence 2; with or without all that proves presence."""
    now = datetime.now(UTC)
    with server.api() as api:
        place = made(api.post("/v1/places", json=PLACE))["id"]
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        mission = made(api.post(f"/v1/campaigns/{campaign}/missions", json=MISSION))
        tokens = f"/v1/campaigns/{campaign}/tokens"
        token = made(api.post(tokens, json={"medium": "qr", "place_id": place}))
        if with_everything:
            made(api.post(tokens, json={"medium": "qr", "kind": "live", "place_id": place}))
            made(api.post(tokens, json={"medium": "nfc", "kind": "sun", "place_id": place, "sun": KEYS}))
            batches, serials = f"/v1/campaigns/{campaign}/token-batches", {"kind": "serial", "medium": "qr", "count": 2}
            made(api.post(batches, json=serials | {"place_id": place, "handed_over": True}))
            made(api.post(batches, json=serials | {"purpose": "cards"}))
        window = {"opens_at": (now - timedelta(hours=1)).isoformat(), "closes_at": (now + timedelta(1)).isoformat()}
        made(api.post(f"/v1/missions/{mission['id']}/rounds", json=window | {"min_presence": 2}))
        assert api.post(f"/v1/campaigns/{campaign}/launch").status_code == 200
    return Shop(server, place, campaign, mission["id"], mission["slug"], token["id"], token["code"])


@pytest.fixture
def all_ways(server: Server) -> Iterator[Shop]:
    """A shop with every way, and a phone of the staff signed in."""
    shop = open_shop(server, with_everything=True)
    with signed_in(shop):
        yield shop


def offered(text: str, language: int = 0) -> set[str]:
    return {name for name, words in WAYS.items() if words[language] in text}


@pytest.mark.parametrize(("language", "tongue"), [(0, "en"), (1, "fr")])
def test_every_way_of_the_place_is_offered_everywhere(all_ways: Shop, language: int, tongue: str) -> None:
    everything = set(WAYS)
    with all_ways.server.phone(**PAGE, **{"Accept-Language": tongue}) as phone:
        scanned = text_of(phone.get(f"/t/{all_ways.code}"))
        assert offered(scanned, language) >= everything - {"position", "digits"}, "these two have fields of their own"
        assert 'name="till_code"' in phone.get(f"/t/{all_ways.code}").text
        receipt = phone.get(f"/t/{all_ways.code}", headers={"Accept": "application/json"}).json()["receipt"]
        assert phone.post(f"/t/{all_ways.code}/check-in", data={"receipt": receipt}).status_code == 303
        page = text_of(phone.get(f"/m/{all_ways.slug}"))
        asked, _, ballot = page.rpartition("Vote for the ideas" if tongue == "en" else "Votez pour les idées")
        assert offered(asked, language) == everything, "for the steps"
        assert offered(ballot, language) == everything - {"position"}, "a position is not enough for this ballot"
        steps = "Counts with: the live code on the screen" if tongue == "en" else "Compte avec : le code de l’écran"
        assert steps in page.replace("\u00a0", " ")


def test_what_is_not_there_is_not_offered(server: Server) -> None:
    shop = open_shop(server, with_everything=False)
    with server.phone(**PAGE, **{"Accept-Language": "en"}) as phone:
        before = text_of(phone.get(f"/m/{shop.slug}"))
        assert offered(before) == {"staff"}, "two is asked for, and a position is one"
        assert "Counts with: the word of the staff" in before
        with signed_in(shop):
            assert offered(text_of(phone.get(f"/m/{shop.slug}"))) == {"staff", "digits"}


def test_of_several_places_it_is_told_where_a_way_is(server: Server, all_ways: Shop) -> None:
    with server.api() as api, server.phone(**PAGE, **{"Accept-Language": "en"}) as phone:
        other = made(api.post("/v1/places", json=PLACE | {"name": "Terreaux"}))["id"]
        wanted = {"medium": "qr", "place_id": other}
        made(api.post(f"/v1/campaigns/{all_ways.campaign}/tokens", json=wanted))
        page = text_of(phone.get(f"/m/{all_ways.slug}"))
        assert "NFC tag. (Bellecour)" in page
        assert "six digits on the shop’s screen or phone. (Bellecour)" in page


def test_a_step_may_ask_for_a_pack_by_name(server: Server) -> None:
    with ExitStack() as stack:
        api, phone = stack.enter_context(server.api()), stack.enter_context(server.phone(Accept="application/json"))
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        step = {"kind": "scan", "params": {"possession": True}}
        missions = f"/v1/campaigns/{campaign}/missions"
        for wrong in (False, 1, "yes"):
            body = MISSION | {"steps": [{"kind": "scan", "params": {"possession": wrong}}]}
            problem(api.post(missions, json=body), 422)
        mission = made(api.post(missions, json=MISSION | {"steps": [step]}))
        place = made(api.post("/v1/places", json=PLACE))["id"]
        code = made(api.post(f"/v1/campaigns/{campaign}/tokens", json={"medium": "qr", "place_id": place}))["code"]
        serials = {"kind": "serial", "medium": "qr", "count": 1}
        batch = made(api.post(f"/v1/campaigns/{campaign}/token-batches", json=serials))["id"]
        pack = api.get(f"/v1/token-batches/{batch}/codes.csv").text.splitlines()[1].partition(",")[0].strip('"')
        assert api.post(f"/v1/campaigns/{campaign}/launch").status_code == 200
        outcomes = []
        for one in (code, pack):
            receipt = phone.get(f"/t/{one}").json()["receipt"]
            (done,) = phone.post(f"/t/{one}/check-in", json={"receipt": receipt}).json()["steps"]
            outcomes.append((done["state"], done.get("reason")))
            page = phone.get(f"/m/{mission['slug']}", headers=PAGE | {"Accept-Language": "en"})
            assert ("Scan the code on the pack you have." in page.text) is (one == code)
        assert outcomes == [("refused", "possession"), ("verified", None)]
