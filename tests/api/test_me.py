"""`/me`: a phone's person sees all that is held of them, takes it away, erases it, and says their age once."""

import csv
import io
import json
from typing import Any

import httpx2
import pytest

from tests.api.conftest import House
from tests.api.helpers import PLACE, Shop, inside, make_shop, problem
from tests.conftest import Server, wait_until

PAGE = {"Accept": "text/html", "Accept-Language": "en"}
AS_JSON = {"Accept": "application/json"}
FORMULA = "=HYPERLINK(1)"


@pytest.fixture
def shop(server: Server) -> Shop:
    """A shop of its own: these tests look at its totals."""
    return make_shop(server)


def take_part(phone: httpx2.Client, shop: Shop, text: str = FORMULA, **where: float) -> dict[str, Any]:
    """Scan, check in with a position, give an idea; who did it."""
    here = inside(**where)
    receipt = phone.get(f"/t/{shop.code}", headers=AS_JSON).json()["receipt"]
    done = phone.post(f"/t/{shop.code}/check-in", json={"receipt": receipt, **here}, headers=AS_JSON)
    assert done.status_code == 200, done.text
    sent = phone.post(f"/m/{shop.slug}/ideas", json={"text": text}, headers=AS_JSON)
    assert sent.status_code == 201, sent.text
    person: dict[str, Any] = done.json()["participant"]
    return person


def export(phone: httpx2.Client) -> list[dict[str, Any]]:
    people: list[dict[str, Any]] = phone.get("/me/export").raise_for_status().json()["people"]
    return people


def test_a_person_takes_away_everything_that_is_held(server: Server, shop: Shop) -> None:
    with server.phone() as phone:
        person = take_part(phone, shop, lat=45.75781)
        answer = phone.get("/me/export")
    assert answer.headers["content-disposition"] == 'attachment; filename="passerelle-me.json"'
    assert "no-store" in answer.headers["cache-control"]
    (held,) = answer.json()["people"]
    assert (held["participant"]["id"], held["participant"]["pseudonym"]) == (person["id"], person["pseudonym"])
    assert held["participant"]["age"] == "15_or_older"
    (check_in,) = held["check_ins"]
    assert (check_in["place"], check_in["presence"], check_in["geofence"]) == ("Bellecour", 1, "inside")
    assert (check_in["positions"][0]["lat"], check_in["positions"][0]["lon"]) == (45.75781, PLACE["lon"])
    assert [one["kind"] for one in held["steps"]] == ["idea", "scan"]
    assert [one["text"] for one in held["ideas"]] == [FORMULA]
    assert [one["slug"] for one in held["missions"]] == [shop.slug]


def test_a_table_of_it_is_rfc_4180_and_starts_no_formula(server: Server, shop: Shop) -> None:
    with server.phone() as phone:
        person = take_part(phone, shop, lat=45.75782)
        answer = phone.get("/me/export", params={"format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "no-store" in answer.headers["cache-control"]
    assert not answer.content.startswith(b"\xef\xbb\xbf")
    assert answer.text.count("\r\n") == answer.text.count("\n")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    values = {(row["record"], row["field"]): row["value"] for row in rows}
    assert values["participant", "pseudonym"] == person["pseudonym"]
    assert values["ideas", "text"] == "'" + FORMULA
    assert values["check_ins", "positions.1.lat"] == "45.75782"
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


def test_a_phone_sees_nothing_of_another(server: Server, shop: Shop) -> None:
    with server.phone() as one, server.phone() as other, server.phone() as third:
        person = take_part(one, shop, "Un secret de jardin")
        take_part(other, shop, "Des poires")
        for answer in (other.get("/me/export"), other.get("/me", headers=PAGE), third.get("/me/export")):
            assert person["id"] not in answer.text
            assert person["pseudonym"] not in answer.text
            assert "secret de jardin" not in answer.text


def test_a_form_is_asked_once_more_and_then_erases(server: Server, shop: Shop) -> None:
    with server.phone(**PAGE) as phone:
        person = take_part(phone, shop, "Un secret de jardin")
        before = phone.get(f"/m/{shop.slug}").text
        assert "Un secret de jardin" in before
        asked = phone.post("/me/erasure")
        assert asked.status_code == 200
        assert person["pseudonym"] in asked.text
        assert 'name="confirm"' in asked.text
        assert len(export(phone)) == 1, "nothing is erased yet"
        done = phone.post("/me/erasure", data={"confirm": "yes"})
        assert (done.status_code, done.headers["location"]) == (303, "/me?just=erased")
        assert not phone.cookies
        assert "You are erased" in phone.get("/me?just=erased").text
        after = phone.get(f"/m/{shop.slug}").text
    assert "Un secret de jardin" not in after
    assert person["pseudonym"] not in after
    assert "Taken back by its author" in after


def test_json_erases_at_once_and_totals_stay(server: Server, shop: Shop) -> None:
    with server.phone() as phone, server.api() as api:
        take_part(phone, shop)
        before = api.get(f"/v1/missions/{shop.mission}").json()
        assert phone.post("/me/erasure", json={}).json() == {"erased": 1}
        assert phone.post("/me/erasure", json={}).json() == {"erased": 0}
        after = api.get(f"/v1/missions/{shop.mission}").json()
        (idea,) = api.get(f"/v1/missions/{shop.mission}/ideas").json()["data"]
    assert after == before
    assert (idea["state"], idea["text"], idea["pseudonym"]) == ("erased", "", "")
    verified = json.loads(server.passerelle("verify", "--json").stdout)
    # Other files mint receipts of scans that never were.
    assert [one for one in verified["problems"] if "is not in the log" not in one] == []


def test_a_page_that_was_made_before_an_erasure_is_shown_to_nobody_after_it(server: Server, shop: Shop) -> None:
    with server.phone() as phone, server.phone() as other:
        take_part(phone, shop, "Quetsches 1871")
        url = f"/t/{shop.code}"
        wait_until(lambda: "Quetsches 1871" in other.get(url, headers=PAGE).text)
        erase = phone.post("/me/erasure", json={})
        assert erase.json() == {"erased": 1}
        after = other.get(url, headers=PAGE)
    assert after.status_code == 200
    assert "Quetsches 1871" not in after.text


def test_an_erased_cookie_is_nobodys_and_the_next_act_a_new_persons(server: Server, shop: Shop) -> None:
    with server.phone() as phone:
        person = take_part(phone, shop)
        cookies = dict(phone.cookies)
        phone.post("/me/erasure", json={}).raise_for_status()
        phone.cookies.update(cookies)
        assert export(phone) == []
        assert phone.post("/me/erasure", json={}).json() == {"erased": 0}
        phone.cookies.update(cookies)
        assert take_part(phone, shop)["id"] != person["id"]


def test_one_organisation_may_be_left_and_the_other_kept(house: House, server: Server, shop: Shop) -> None:
    other = make_shop(Server(server.url, house.other_key, server.process, server.environment))
    with server.phone(**PAGE) as phone:
        take_part(phone, shop)
        kept = take_part(phone, other)
        both = export(phone)
        assert len(both) == 2
        left = both[0]["participant"]["organisation_id"]
        assert phone.post("/me/erasure", json={"organisation": left}, headers=AS_JSON).json() == {"erased": 1}
        assert [one["participant"]["id"] for one in export(phone)] == [kept["id"]]
        assert len([name for name in phone.cookies if name.startswith("passerelle_p_")]) == 1


def test_an_erasure_from_another_site_is_refused(server: Server, shop: Shop) -> None:
    with server.phone() as phone:
        take_part(phone, shop)
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            problem(phone.post("/me/erasure", json={}, headers=headers), 403, "cross_site")
        assert len(export(phone)) == 1


def test_a_forged_cookie_erases_nobody_and_is_dropped(server: Server) -> None:
    with server.phone() as phone:
        for forged in ("x", "x" * 5000, "erased:00", "%00", "a b"):
            cookie = {"Cookie": f"passerelle_p_0123456789ab={forged}"}
            answer = phone.post("/me/erasure", json={}, headers=cookie)
            assert (answer.status_code, answer.json()) == (200, {"erased": 0})
            assert "passerelle_p_0123456789ab=" in answer.headers["set-cookie"]


@pytest.mark.parametrize("body", [{"organisation": "org_x"}, {"organisation": 7}, {"confirm": "no"}, {"person": "x"}])
def test_an_odd_erasure_is_refused_and_erases_nobody(server: Server, shop: Shop, body: dict[str, Any]) -> None:
    with server.phone() as phone:
        take_part(phone, shop)
        assert phone.post("/me/erasure", json=body).status_code in (404, 422)
        assert len(export(phone)) == 1


def test_a_check_in_that_was_erased_is_gone_when_it_is_sent_again(server: Server, shop: Shop) -> None:
    with server.phone() as phone:
        receipt = shop.scan()["receipt"]
        phone.post(f"/t/{shop.code}/check-in", json={"receipt": receipt}).raise_for_status()
        phone.post("/me/erasure", json={}).raise_for_status()
        problem(phone.post(f"/t/{shop.code}/check-in", json={"receipt": receipt}), 410, "erased")


def idea_form(phone: httpx2.Client, shop: Shop, **fields: str) -> httpx2.Response:
    return phone.post(f"/m/{shop.slug}/ideas", data={"text": "Des <poires>", **fields}, headers=PAGE)


def checked_in(phone: httpx2.Client, shop: Shop) -> None:
    receipt = shop.scan()["receipt"]
    phone.post(f"/t/{shop.code}/check-in", json={"receipt": receipt, **inside()}).raise_for_status()


def test_a_form_asks_for_the_age_once_and_keeps_what_was_typed(server: Server, shop: Shop) -> None:
    with server.phone() as phone:
        checked_in(phone, shop)
        assert 'name="age"' in phone.get(f"/m/{shop.slug}", headers=PAGE).text
        unsaid = idea_form(phone, shop)
        assert unsaid.status_code == 422
        assert "Say whether you are 15 or older." in unsaid.text
        assert "Des &lt;poires&gt;</textarea>" in unsaid.text
        assert idea_form(phone, shop, age="15_or_older").status_code == 303
        assert 'name="age"' not in phone.get(f"/m/{shop.slug}", headers=PAGE).text
        assert idea_form(phone, shop).status_code == 303, "asked once"


def test_who_is_under_15_may_check_in_but_gives_no_idea_and_no_position(server: Server, shop: Shop) -> None:
    with server.phone() as phone:
        checked_in(phone, shop)
        refused = idea_form(phone, shop, age="under_15")
        assert refused.status_code == 403
        assert "Des &lt;poires&gt;</textarea>" in refused.text
        assert "go on checking in" in refused.text
        (held,) = export(phone)
        assert held["participant"]["age"] == "under_15"
        assert "lat" not in held["check_ins"][0]["positions"][0], "the precise position of before goes"

        receipt = shop.scan()["receipt"]
        position = {"receipt": receipt, **inside()}
        answer = phone.post(f"/t/{shop.code}/position", json=position)
        assert (answer.status_code, answer.json()["geofence"]) == (200, "none")
        done = phone.post(f"/t/{shop.code}/check-in", json=position)
        assert (done.status_code, done.json()["presence"]) == (200, 0)
        assert export(phone)[0]["check_ins"][0]["positions"] == []


@pytest.mark.parametrize("later", [{"age": "15_or_older"}, {}])
def test_nobody_grows_older_by_the_same_form(server: Server, shop: Shop, later: dict[str, str]) -> None:
    with server.phone() as phone:
        checked_in(phone, shop)
        idea_form(phone, shop, age="under_15")
        problem(phone.post(f"/m/{shop.slug}/ideas", json={"text": "Poires", **later}), 403, "under_age")
        del phone.cookies["passerelle_young"]
        problem(phone.post(f"/m/{shop.slug}/ideas", json={"text": "Poires", **later}), 403, "under_age")
        assert "passerelle_young" in phone.cookies


def test_who_is_under_15_and_nobody_yet_is_not_kept(server: Server, shop: Shop) -> None:
    with server.phone() as phone:
        answer = phone.post(f"/m/{shop.slug}/ideas", json={"text": "Poires", "age": "under_15"})
        problem(answer, 403, "under_age")
        assert dict(phone.cookies) == {"passerelle_young": "1"}


def test_who_is_under_15_may_join(server: Server, shop: Shop) -> None:
    with server.phone() as phone:
        assert phone.post(f"/m/{shop.slug}/join", data={"age": "under_15"}).status_code == 303
        assert export(phone)[0]["participant"]["age"] == "under_15"
        page = phone.get(f"/m/{shop.slug}", headers=PAGE).text
        assert 'name="text"' not in page


@pytest.mark.parametrize("age", ["14", "", "15_OR_OLDER", "x" * 10_000])
def test_an_odd_age_is_refused(server: Server, shop: Shop, age: str) -> None:
    with server.phone() as phone:
        problem(phone.post(f"/m/{shop.slug}/ideas", json={"text": "Poires", "age": age}), 422, "invalid")


@pytest.mark.parametrize("objection", [{"Sec-GPC": "1"}, {"DNT": "1"}])
def test_who_objects_is_somebody_else_in_each_campaign(server: Server, shop: Shop, objection: dict[str, str]) -> None:
    second = make_shop(server)
    with server.phone(**objection) as phone:
        people = {take_part(phone, one)["id"] for one in (shop, second, shop)}
        assert len(people) == 2
        assert {one["participant"]["id"] for one in export(phone)} == people
        assert "asks not to be followed" in phone.get("/me", headers=PAGE).text
        assert phone.post("/me/erasure", json={}).json() == {"erased": 2}
    with server.phone() as phone:
        assert len({take_part(phone, one)["id"] for one in (shop, second)}) == 1
        assert "does not object" in phone.get("/me", headers=PAGE).text


def test_the_report_runs_beside_the_server(server: Server, shop: Shop) -> None:
    with server.phone() as phone:
        take_part(phone, shop)
    said = server.passerelle("privacy", "report", "--json")
    assert said.returncode == 0, said.stderr
    body = json.loads(said.stdout)
    assert body["ok"] is True
    lines = {(one["class"], one["table"]): one for one in body["held"]}
    assert lines["participant", "participants"]["rows"] >= 1
    assert lines["participant", "participants"]["oldest_at"]
    assert lines["participant", "participants"]["term"] == "90 days after the end of their last campaign"
    shown = server.passerelle("privacy", "report")
    assert shown.returncode == 0
    assert "scan_log" in shown.stdout
