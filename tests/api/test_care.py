"""Reporting a code from a phone, and what marketers and staff see of it, over HTTP on both databases."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.conftest import House
from tests.api.helpers import Shop, make_shop, owner, problem
from tests.conftest import Server

PAGE = {"Accept": "text/html", "Accept-Language": "fr"}
UNKNOWN = "0123456789"


@pytest.fixture
def shop(server: Server) -> Shop:
    """A shop of its own: reports change what is listed."""
    return make_shop(server)


def reports(shop: Shop, query: str = "") -> list[dict[str, Any]]:
    with shop.server.api() as api:
        answer = api.get(f"/v1/code-reports?campaign_id={shop.campaign}{query}").raise_for_status()
        found: list[dict[str, Any]] = answer.json()["data"]
        return found


def send(shop: Shop, agent: str = "", **fields: Any) -> httpx2.Response:
    """A report as JSON, by a phone of its own."""
    headers = {"User-Agent": f"Mozilla/5.0 (iPhone) {agent or uuid4().hex}"}
    with shop.server.phone(Accept="application/json", **headers) as phone:
        return phone.post(f"/report/{shop.code}", json={"kind": "covered", **fields})


def test_a_scan_page_leads_to_a_report_without_a_script(shop: Shop) -> None:
    with shop.server.phone(**PAGE) as phone:
        scanned = phone.get(f"/t/{shop.code}").text
        assert '<button class="quiet" form="report">Signaler ce code</button>' in scanned
        assert f'<form id="report" action="/report/{shop.code}"></form>' in scanned
        english = phone.get(f"/t/{shop.code}?lang=en").text
        hidden = '<input type="hidden" name="lang" value="en">'
        assert f'<form id="report" action="/report/{shop.code}">{hidden}</form>' in english
        page = phone.get(f"/report/{shop.code}")
        assert page.status_code == 200
        assert page.text.count('type="radio"') == 4
        assert "<script" not in page.text
        assert "La Halle" in page.text
        assert "set-cookie" not in page.headers


def test_a_form_is_thanked_and_the_report_listed(shop: Shop) -> None:
    with shop.server.phone(**PAGE, Origin=shop.server.url) as phone:
        sent = phone.post(f"/report/{shop.code}", data={"kind": "odd", "text": "Une banque ?!\r\nBizarre. 🐟"})
        assert sent.status_code == 303
        thanks = phone.get(sent.headers["location"])
        assert "Merci" in thanks.text
        assert "L’équipe du magasin le voit sur son écran" in thanks.text
        again = phone.post(f"/report/{shop.code}", data={"kind": "damaged"}, follow_redirects=True)
        assert "Vous aviez déjà signalé ce code" in again.text
        assert phone.cookies.jar.__len__() == 0
    (listed,) = reports(shop)
    assert listed["text"] == "Une banque ?!\nBizarre. 🐟"
    assert (listed["kind"], listed["token_id"], listed["place_id"]) == ("odd", shop.token, shop.place)
    assert listed["handled_at"] is None


def test_nothing_typed_is_lost_on_an_error(shop: Shop) -> None:
    typed = 'Un <b>"autocollant"</b>'
    wrong = [
        ({"text": typed}, "choisissez l’une des quatre réponses", typed),
        ({"kind": "else", "text": typed}, "choisissez l’une des quatre réponses", typed),
        ({"kind": "covered", "text": typed + "x" * 500}, "500 caractères au plus", typed),
        ({"kind": "covered", "text": typed + "\u202e"}, "caractères que nous ne pouvons pas prendre", typed),
    ]
    with shop.server.phone(**PAGE) as phone:
        for fields, reason, kept in wrong:
            page = phone.post(f"/report/{shop.code}", data=fields)
            assert page.status_code == 422, fields
            assert reason in page.text
            assert kept.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;") in page.text
            assert ('value="covered" required checked' in page.text) is (fields.get("kind") == "covered")
    assert reports(shop) == []


def test_json_is_answered_in_json_and_a_repeat_gets_the_first_answer(shop: Shop) -> None:
    first = send(shop, "one phone", text="first")
    assert first.status_code == 201
    assert first.json()["id"].startswith("rpt_")
    assert send(shop, "one phone", kind="other").json() == first.json()
    problem(send(shop, text="x" * 501), 422, "report_too_long")
    for fields in ({"kind": "bad"}, {"kind": None}, {"more": 1}, {"text": "\x00"}, {"text": 5}):
        problem(send(shop, **fields), 422, "invalid")
    assert len(reports(shop)) == 1


def test_a_report_from_another_site_is_refused(shop: Shop) -> None:
    with shop.server.phone() as phone:
        answer = phone.post(f"/report/{shop.code}", data={"kind": "odd"}, headers={"Origin": "https://evil.example"})
        problem(answer, 403, "cross_site")
    assert reports(shop) == []


@pytest.mark.parametrize("code", [UNKNOWN, "X", "0" * 64, "%F0%9F%92%A5", "a%00b", "%22%3E%3Cscript%3E", "%E2%80%AE"])
def test_a_code_that_is_not_ours_may_be_reported_too(shop: Shop, code: str) -> None:
    with shop.server.phone(**PAGE) as phone:
        page = phone.get(f"/report/{code}")
        assert page.status_code == 200
        assert "<script" not in page.text
        sent = phone.post(f"/report/{code}", data={"kind": "odd"}, follow_redirects=True)
        assert sent.status_code == 200
        assert "Vous aviez déjà" in sent.text or "Ce code n’est pas l’un des nôtres" in sent.text
        problem(phone.get(f"/report/{'x' * 65}", headers={"Accept": "application/json"}), 422)
    assert reports(shop) == []


def test_the_pages_that_explain_a_dead_code_offer_to_report_it(shop: Shop) -> None:
    with shop.server.phone(**PAGE) as phone, shop.server.api() as api:
        unknown = phone.get(f"/t/{UNKNOWN}").text
        assert f'<a class="quiet" href="/report/{UNKNOWN}">Signaler ce code</a>' in unknown
        assert api.post(f"/v1/tokens/{shop.token}/revocation").is_success
        closed = phone.get(f"/t/{shop.code}").text
        assert '<button class="quiet" form="report">Signaler ce code</button>' in closed
        assert f'<form id="report" action="/report/{shop.code}">' in closed
        assert 'id="act"' not in closed
        assert "/report/" not in phone.get("/m/nothing").text


def test_reports_are_pages_and_are_handled_once(shop: Shop) -> None:
    sent = [send(shop).json()["id"] for _ in range(3)]
    with shop.server.api() as api:
        page = api.get(f"/v1/code-reports?place_id={shop.place}&limit=2").json()
        assert [one["id"] for one in page["data"]] == sent[:0:-1]
        rest = api.get(f"/v1/code-reports?place_id={shop.place}&cursor={page['next_cursor']}").json()
        assert [one["id"] for one in rest["data"]] == sent[:1]
        first = api.post(f"/v1/code-reports/{sent[0]}/handling").raise_for_status().json()
        assert first["handled_at"]
        assert api.post(f"/v1/code-reports/{sent[0]}/handling").json() == first
        problem(api.get("/v1/code-reports?campaign_id=nothing"), 404)
        problem(api.get("/v1/code-reports?place_id=plc_x"), 404)


def test_reports_and_alerts_of_another_organisation_are_not_found(house: House, shop: Shop) -> None:
    sent = send(shop).json()["id"]
    with owner(house.server, house.other_key) as other:
        assert other.get("/v1/code-reports").json()["data"] == []
        assert other.get("/v1/alerts").json()["data"] == []
        problem(other.post(f"/v1/code-reports/{sent}/handling"), 404)
        problem(other.get(f"/v1/code-reports?campaign_id={shop.campaign}"), 404)
        problem(other.get(f"/v1/alerts?campaign_id={shop.campaign}"), 404)


def test_alerts_are_listed_by_whether_they_are_open(shop: Shop) -> None:
    with shop.server.api() as api:
        for query in ("", "&open=true", "&open=false"):
            assert api.get(f"/v1/alerts?campaign_id={shop.campaign}{query}").json() == {"data": [], "next_cursor": None}
        problem(api.get("/v1/alerts?open=perhaps"), 422)
