"""Acts for people without a phone, recorded by a shop's phone: the same rights, once, witnessed; both databases."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest

from campaigns import ids
from campaigns.places import till as tills
from campaigns.sealing import Keyring
from tests.api.conftest import House
from tests.api.desk import text_of
from tests.api.helpers import CAMPAIGN, PLACE, Shop, made, problem, signed_in
from tests.api.test_pledges import active
from tests.conftest import SECRET, wait_until
from tests.racing import race

MISSION: dict[str, Any] = {
    "title": {"fr": "Le banc", "en": "The bench"},
    "promise": "A bench",
    "goal": {"metric": "votes", "value": 10},
    "steps": [
        {"kind": "scan", "min_presence": 2},
        {"kind": "staff_validated", "min_presence": 3, "title": "Help at the counter"},
        {"kind": "idea", "min_presence": 2},
        {"kind": "vote", "min_presence": 2},
    ],
}


@pytest.fixture
def bench(house: House) -> Iterator[tuple[Shop, list[str], httpx2.Client]]:
    """A shop with an open vote for its visitors, its cards, and a phone that is signed in."""
    server, now = house.server, datetime.now(UTC)
    with server.api() as api:
        place = made(api.post("/v1/places", json=PLACE))["id"]
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        mission = made(api.post(f"/v1/campaigns/{campaign}/missions", json=MISSION))
        wanted = {"medium": "qr", "place_id": place}
        token = made(api.post(f"/v1/campaigns/{campaign}/tokens", json=wanted))
        cards = {"kind": "serial", "medium": "qr", "count": 20, "purpose": "cards", "label": "Carte"}
        batch = made(api.post(f"/v1/campaigns/{campaign}/token-batches", json=cards))
        codes = api.get(f"/v1/token-batches/{batch['id']}/codes.ndjson").text.splitlines()
        window = {
            "opens_at": (now - timedelta(hours=1)).isoformat(),
            "closes_at": (now + timedelta(days=1)).isoformat(),
        }
        asked = {"electorate": "visitors", "min_presence": 2, "quota": 2, "totals": "shown"}
        made(api.post(f"/v1/missions/{mission['id']}/rounds", json=window | asked))
        assert api.post(f"/v1/campaigns/{campaign}/launch").status_code == 200
    shop = Shop(server, place, campaign, mission["id"], mission["slug"], token["id"], token["code"])
    with signed_in(shop) as till:
        yield shop, [line.partition('"code": "')[2].partition('"')[0] for line in codes], till


def record(till: httpx2.Client, code: str, act: str, **fields: Any) -> httpx2.Response:
    return till.post("/staff/cards", json={"code": code, "act": act, **fields})


def test_a_card_has_the_rights_of_a_phone(bench: tuple[Shop, list[str], httpx2.Client]) -> None:
    shop, codes, till = bench
    known = set(shop.server.passerelle("verify").stdout.splitlines())  # other tests of the house planted some
    assert len(set(codes)) == 20
    here = record(till, codes[0], "check_in")
    assert here.status_code == 201, here.text
    assert here.json()["outcome"] == "verified"
    again = record(till, codes[0], "check_in").json()  # an act of its own, which can be taken back by itself
    assert again == here.json() | {"outcome": "already", "id": again["id"]}
    assert again["id"] != here.json()["id"]
    with shop.server.api() as api:
        step = next(
            s for s in api.get(f"/v1/missions/{shop.mission}").json()["steps"] if s["kind"] == "staff_validated"
        )
        assert record(till, codes[0], "step", step=step["id"]).json()["outcome"] == "verified"
        assert record(till, codes[0], "step", step=step["id"]).json()["outcome"] == "already"
        problem(record(till, codes[0], "idea", text="Pear trees"), 422, "age_missing")
        idea = record(till, f"{shop.server.url}/T/{codes[0]}", "idea", text="Pear trees", age="15_or_older")
        assert idea.status_code == 201, idea.text
        (posted,) = api.get(f"/v1/missions/{shop.mission}/ideas").json()["data"]
        assert posted["pseudonym"] == here.json()["pseudonym"]
        vote = record(till, codes[1], "vote", idea=posted["id"], age="15_or_older")
        assert vote.status_code == 201, vote.text
        problem(record(till, codes[1], "vote", idea=posted["id"]), 409, "already_voted")
        problem(record(till, codes[2], "vote", idea=posted["id"], age="under_15"), 403, "under_age")
        (round,) = api.get(f"/v1/missions/{shop.mission}/rounds").json()["data"]
        result = round["result"]
        assert (result["voters"], result["votes"], result["presence"], result["voided"]) == (1, 1, {}, {})
        assert [(one["idea"], one["text"], one["votes"]) for one in result["ranking"]] == [
            (posted["id"], "Pear trees", 1)
        ]
        totals = api.get(f"/v1/missions/{shop.mission}").json()["totals"]
        assert totals == {"check_ins": 2, "participants": 2, "completions": 5, "ideas": 1, "votes": 1, "referrals": 0}
        stats = api.get(f"/v1/campaigns/{shop.campaign}/stats").json()
        assert (stats["scans"]["raw"], stats["check_ins"], stats["staff_recorded"]) == (0, 2, 6)
        (by_place,) = api.get(f"/v1/campaigns/{shop.campaign}/staff-records").json()["data"]
        acts = {"check_in": 2, "step": 2, "idea": 1, "vote": 1}
        assert by_place == {"place_id": shop.place, "acts": acts, "people": None}
    assert set(shop.server.passerelle("verify").stdout.splitlines()) <= known | {"Everything adds up."}


def test_what_was_recorded_by_mistake_is_taken_back_once_with_all_that_rests_on_it(
    bench: tuple[Shop, list[str], httpx2.Client],
) -> None:
    shop, codes, till = bench
    known = set(shop.server.passerelle("verify").stdout.splitlines())
    with shop.server.api() as api:
        steps = api.get(f"/v1/missions/{shop.mission}").json()["steps"]
        step = next(one["id"] for one in steps if one["kind"] == "staff_validated")
        here = record(till, codes[0], "check_in").json()
        helped = record(till, codes[0], "step", step=step).json()
        idea = record(till, codes[0], "idea", text="Pear trees", age="15_or_older").json()
        (posted,) = api.get(f"/v1/missions/{shop.mission}/ideas").json()["data"]
        voted = record(till, codes[0], "vote", idea=posted["id"]).json()

        def void(one: dict[str, Any], reason: str = "The wrong card") -> dict[str, Any]:
            answer = api.post(f"/v1/staff-records/{one['id']}/void", json={"reason": reason})
            assert answer.status_code == 200, answer.text
            done: dict[str, Any] = answer.json()
            return done | {"undone": sorted(effect["what"] for effect in done["effects"])}

        def totals() -> dict[str, int]:
            found: dict[str, int] = api.get(f"/v1/missions/{shop.mission}").json()["totals"]
            return found

        problem(api.post(f"/v1/staff-records/{here['id']}/void", json={"reason": " "}), 422)
        problem(api.post(f"/v1/staff-records/rec_{'0' * 32}/void", json={"reason": "x"}), 404)
        assert totals()["completions"] == 4
        assert void(helped)["undone"] == ["completion", "mission"]
        assert void(idea)["undone"] == ["completion"]
        assert void(voted)["undone"] == ["completion", "vote"]
        assert record(till, codes[0], "vote", idea=posted["id"]).status_code == 201, "they can act anew"
        first = void(here)
        assert first["undone"] == ["ballot", "check_in", "completion", "completion", "visit"]
        assert void(here, "Another reason") == first
        assert totals() | {"participants": 1} == {
            "check_ins": 0, "participants": 1, "completions": 0, "ideas": 1, "votes": 0, "referrals": 0,
        }  # fmt: skip
        (round,) = api.get(f"/v1/missions/{shop.mission}/rounds").json()["data"]
        assert round["result"]["voided"] == {"record_voided": 1, "scan_voided": 1}
        listed = api.get("/v1/staff-records", params={"campaign_id": shop.campaign}).json()["data"]
        assert [(one["act"], one["void_reason"]) for one in listed] == [
            ("vote", None),
            *((act, "The wrong card") for act in ("vote", "idea", "step", "check_in")),
        ]
        assert record(till, codes[0], "check_in").json()["outcome"] == "verified"
        assert totals()["check_ins"] == 1
    assert set(shop.server.passerelle("verify").stdout.splitlines()) <= known | {"Everything adds up."}


def test_an_act_on_a_card_accrues_and_is_voided_as_a_phones_is(bench: tuple[Shop, list[str], httpx2.Client]) -> None:
    """A sponsor pays for a witnessed visit and a confirmed step as for a visit with the till code, and no longer."""
    shop, codes, till = bench
    known = set(shop.server.passerelle("verify").stdout.splitlines())
    pledge = active(shop, min_presence=2, starts_at=None, ends_at=None)["id"]

    def holds(pending: int) -> None:
        wanted = {"pending_minor": pending, "unlocked_minor": pending}
        wait_until(lambda: wanted.items() <= api.get(f"/v1/pledges/{pledge}").json()["balances"].items(), seconds=30)

    def void(path: str) -> list[str]:
        answer = api.post(f"/v1/{path}/void", json={"reason": "It was somebody else"})
        assert answer.status_code == 200, answer.text
        return [one["what"] for one in answer.json()["effects"]]

    with shop.server.api() as api, shop.server.phone(Accept="application/json") as phone:
        scan = phone.get(f"/t/{shop.code}").json()
        window = tills.window_of(ids.instant_of(UUID(scan["scan_id"][4:])))
        digits = tills.till_code(Keyring(SECRET).derive("till-code"), ids.parse("plc", shop.place), window)
        sent = {"receipt": scan["receipt"], "till_code": digits}
        assert phone.post(f"/t/{shop.code}/check-in", json=sent).json()["presence"] == 2
        holds(10)
        here = record(till, codes[0], "check_in").json()
        holds(20)
        steps = api.get(f"/v1/missions/{shop.mission}").json()["steps"]
        step = next(one["id"] for one in steps if one["kind"] == "staff_validated")
        helped = record(till, codes[0], "step", step=step).json()
        holds(30)
        record(till, codes[0], "check_in")  # once more the same day: one visit
        record(till, codes[1], "idea", text="Pear trees", age="15_or_older")  # an idea is no offline act
        record(till, codes[1], "check_in")
        holds(40)
        assert "accrual" in void(f"scans/{scan['scan_id']}")
        assert "accrual" in void(f"staff-records/{here['id']}")
        holds(20)
        assert "accrual" in void(f"staff-records/{helped['id']}")
        holds(10)
        told = api.get(f"/v1/pledges/{pledge}/statement").json()["moved"]
        assert (told["unlocked_minor"], told["voided_minor"]) == (40, 30)
        record(till, codes[0], "check_in")  # the right card this time
        holds(20)
    assert set(shop.server.passerelle("verify").stdout.splitlines()) <= known | {"Everything adds up."}


def test_only_a_managers_phone_of_the_place_takes_a_record_back(bench: tuple[Shop, list[str], httpx2.Client]) -> None:
    shop, codes, till = bench
    here = record(till, codes[0], "check_in").json()
    asked = {"record": here["id"], "reason": "The wrong card", "code": codes[0]}
    problem(till.post("/staff/cards/voids", json=asked), 403, "manager_needed")
    with shop.server.api() as api, signed_in(shop, role="manager") as manager:
        other = made(api.post("/v1/places", json=PLACE | {"name": "Elsewhere"}))["id"]
        with signed_in(replace(shop, place=other), role="manager") as elsewhere:
            problem(elsewhere.post("/staff/cards/voids", json=asked), 404)
        manager.headers["Accept"] = "text/html"
        shown = manager.get("/staff/cards", params={"code": codes[0]})
        assert here["id"] in shown.text
        assert here["id"] not in till.get("/staff/cards", params={"code": codes[0]}).text
        empty = manager.post("/staff/cards/voids", data=asked | {"reason": " "})
        assert empty.status_code == 422
        done = manager.post("/staff/cards/voids", data=asked | {"reason": "La mauvaise carte"})
        assert done.status_code == 200
        assert "La mauvaise carte" in done.text
        assert api.get(f"/v1/missions/{shop.mission}").json()["totals"]["check_ins"] == 0


def test_one_form_sent_at_once_by_many_counts_once(bench: tuple[Shop, list[str], httpx2.Client]) -> None:
    shop, codes, till = bench
    stack = ExitStack()

    second = stack.enter_context(signed_in(shop))

    def send(number: int) -> Any:
        phone = (till, second)[number // 2 % 2]
        answer = record(phone, codes[3], "check_in", client_id=f"same-{number % 2}")
        return answer.status_code, answer.json()["pseudonym"]

    answers = race(6, send)
    stack.close()
    assert {one[0] for one in answers if isinstance(one, tuple)} == {201}, answers
    assert len({str(one) for one in answers}) == 1, "two tills at once make one person of a card"
    with shop.server.api() as api:
        assert api.get(f"/v1/missions/{shop.mission}").json()["totals"]["check_ins"] == 1


def test_a_phone_has_a_most_of_votes_an_hour(bench: tuple[Shop, list[str], httpx2.Client]) -> None:
    shop, codes, till = bench
    idea = record(till, codes[0], "idea", text="Pear trees", age="15_or_older")
    assert idea.status_code == 201
    with shop.server.api() as api:
        (posted,) = api.get(f"/v1/missions/{shop.mission}/ideas").json()["data"]
    given = [
        record(till, code, "vote", idea=posted["id"], age="15_or_older", client_id=f"v-{number}")
        for number, code in enumerate(codes[:16])
    ]
    assert [one.status_code for one in given] == [201] * 15 + [429]
    assert given[0].json() == record(till, codes[0], "vote", idea=posted["id"], client_id="v-0").json()
    assert problem(given[15], 429, "staff_limit")
    assert "retry-after" in given[15].headers


def test_the_page_offers_each_idea_that_takes_votes(bench: tuple[Shop, list[str], httpx2.Client]) -> None:
    shop, codes, till = bench
    assert record(till, codes[0], "idea", text="Pear trees", age="15_or_older").status_code == 201
    with shop.server.api() as api:
        (posted,) = api.get(f"/v1/missions/{shop.mission}/ideas").json()["data"]
        decided = {"state": "shortlisted", "reason": "Good"}
        made(api.post(f"/v1/ideas/{posted['id']}/decisions", json=decided))
    page = till.get("/staff/cards", params={"code": codes[1]}, headers={"Accept": "text/html"})
    assert posted["id"] in page.text


def test_what_is_no_card_of_this_place_is_told_and_nothing_is_made(
    bench: tuple[Shop, list[str], httpx2.Client], shop: Shop
) -> None:
    mine, codes, till = bench
    for typed in ("", "7K3Q", mine.code, "x" * 300, "https://elsewhere.example/T/0000000000000000"):
        problem(record(till, typed, "check_in"), 404, "unknown_card")
    with signed_in(shop) as elsewhere:
        problem(record(elsewhere, codes[0], "check_in"), 409, "place_apart")
    problem(record(till, codes[0], "step", step=f"stp_{'0' * 32}"), 404)
    problem(record(till, codes[0], "vote"), 422, "age_missing")
    with mine.server.api() as api:
        tokens = api.get(f"/v1/campaigns/{mine.campaign}/tokens?limit=200").json()["data"]
        card = next(one for one in tokens if one["code"] == codes[4])
        assert api.post(f"/v1/tokens/{card['id']}/suspension").status_code == 200
        problem(record(till, codes[4], "check_in"), 410, "card_closed")
        assert api.get(f"/v1/missions/{mine.mission}").json()["totals"]["participants"] == 0
        wanted = {"kind": "serial", "medium": "qr", "count": 1, "purpose": "cards", "handed_over": True}
        problem(api.post(f"/v1/campaigns/{mine.campaign}/token-batches", json=wanted | {"place_id": mine.place}), 422)
    with mine.server.phone(Accept="application/json") as phone:
        problem(phone.post("/staff/cards", json={"code": codes[0], "act": "check_in"}), 401)


def test_the_page_records_and_loses_nothing_that_was_typed(bench: tuple[Shop, list[str], httpx2.Client]) -> None:
    shop, codes, till = bench
    till.headers["Accept"], till.headers["Accept-Language"] = "text/html", "fr"
    assert "/staff/cards" in till.get("/staff").text
    grouped = "-".join(codes[5][at : at + 4] for at in range(0, 16, 4)).lower()
    page = till.get("/staff/cards", params={"code": grouped})
    assert "Une nouvelle carte" in page.text
    done = till.post("/staff/cards", data={"code": codes[5], "act": "check_in", "client_id": "f-1"})
    assert done.status_code == 200, done.text[:300]
    assert "C’est noté." in text_of(done)
    words = "Un banc " + "très long " * 60
    long = till.post("/staff/cards", data={"code": codes[5], "act": "idea", "text": words, "age": "15_or_older"})
    assert long.status_code == 422
    assert words.strip() in long.text
    lost = till.get("/staff/cards", params={"code": "ZZZZ"})
    assert lost.status_code == 404
    assert 'value="ZZZZ"' in lost.text
    with shop.server.api() as api:
        assert api.get(f"/v1/missions/{shop.mission}").json()["totals"]["check_ins"] == 1
