"""The report for a director: as it stands and frozen, as JSON and as a page, on both databases."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.api.desk import Desk, text_of
from tests.api.helpers import CAMPAIGN, Shop, inside, made, make_shop, problem
from tests.api.test_money import a_cost, on_trial, sell
from tests.conftest import Server

AS_JSON = {"Accept": "application/json"}
AS_PAGE = {"Accept": "text/html"}
HEADINGS = {
    "en": (
        "Nobody can say",
        "Where did we start",
        "Can we carry the load?",
        "Ready for a crisis?",
        "What did it return?",
        "Risks",
        "What was learned",
    ),
    "fr": (
        "Nul ne peut le dire",
        "D’où partons-nous",
        "Tenons-nous la charge",
        "Prêts pour une crise",
        "Qu’est-ce que cela a rapporté",
        "Risques",
        "Ce que nous avons appris",
    ),
}


def come(shop: Shop) -> None:
    with shop.server.phone() as phone:
        scan = phone.get(f"/t/{shop.code}", headers=AS_JSON).json()
        phone.post(f"/t/{shop.code}/check-in", json={"receipt": scan["receipt"], **inside()}, headers=AS_JSON)


def report(shop: Shop, path: str = "", **headers: str) -> Any:
    with shop.server.api() as api:
        return api.get(path or f"/v1/campaigns/{shop.campaign}/report", headers=headers)


def test_a_frozen_report_is_made_again_byte_for_byte_whatever_became_of_the_data(server: Server) -> None:
    shop = make_shop(server)
    come(shop)
    with server.api() as api:
        frozen = made(api.post(f"/v1/campaigns/{shop.campaign}/reports", json={"learned": "Le samedi\r\nporte tout."}))
        path = f"/v1/reports/{frozen['id']}"
        ways = [(path, AS_JSON), (f"{path}?lang=fr", AS_PAGE), (f"{path}?lang=en", AS_PAGE)]
        before = [api.get(where, headers=headers).content for where, headers in ways]
        live = api.get(f"/v1/campaigns/{shop.campaign}/report", headers=AS_PAGE).content
        for _ in range(3):
            come(shop)
        assert api.patch(f"/v1/campaigns/{shop.campaign}", json={"name": "Another name"}).status_code == 200
        assert api.patch("/v1/organisation", json={"mandatory_notice": "Mangez, bougez."}).status_code == 200
        assert api.post(f"/v1/campaigns/{shop.campaign}/pause").status_code == 200
        assert [api.get(where, headers=headers).content for where, headers in ways] == before
        assert api.get(f"/v1/campaigns/{shop.campaign}/report", headers=AS_PAGE).content != live
        api.patch("/v1/organisation", json={"mandatory_notice": None})
        listed = api.get(f"/v1/campaigns/{shop.campaign}/reports").json()["data"]
    assert [one["id"] for one in listed] == [frozen["id"]]
    text = before[0].decode()
    inputs = text[text.index('"inputs": ') + len('"inputs": ') : -1]
    assert hashlib.sha256(inputs.encode()).hexdigest() == frozen["sha256"] == json.loads(text)["sha256"]
    assert json.loads(inputs)["learned"] == "Le samedi\nporte tout."
    assert json.loads(inputs)["made_by"]["kind"] == "key"
    assert len({*before}) == 3
    assert frozen["sha256"] in before[1].decode()
    assert "Le samedi\nporte tout." in before[1].decode()


def test_it_answers_in_one_order_in_both_languages_and_every_figure_names_its_formula(server: Server) -> None:
    shop = make_shop(server)
    come(shop)
    for language, headings in HEADINGS.items():
        page = report(shop, f"/v1/campaigns/{shop.campaign}/report?lang={language}", **AS_PAGE)
        assert page.headers["content-type"].startswith("text/html")
        said = text_of(page)
        places = [said.index(one) for one in headings]
        assert places == sorted(places)
        assert f'<html lang="{language}">' in page.text
        for formula in ("answer/1", "inflation/1", "bridge_rate/2", "return_rate/1", "forecast/1"):
            assert f'href="/docs/figures#{formula.replace("/", "-")}"' in page.text, formula


def test_raw_stands_beside_verified_and_nothing_is_made_up(server: Server) -> None:
    shop = make_shop(server)
    told = report(shop).json()
    assert told["id"] is None
    document = told["inputs"]
    assert document["format"] == "report/1"
    assert document["results"] | {"unique_visitors": 0} == {
        "raw": 0, "human": 0, "verified": 0, "inflation": None, "held_share": None, "unique_visitors": 0,
        "insider_share": None, "participants": 0, "check_ins": 0, "completions": 0, "bridge_rate": None,
        "return_rate": None,
    }  # fmt: skip
    assert document["money"]["verdict"] == "not_measured"
    assert {"risk": "return_unmeasured", "lack": document["money"]["lack"]} in document["risks"]
    assert document["crisis"]["stop_tried_at"] is None
    page = report(shop, **AS_PAGE).text
    assert "None" not in page
    assert "nan" not in page.lower().replace("finance", "")


def test_a_proven_loss_is_the_answer_with_its_interval_and_its_cost(server: Server) -> None:
    campaign, drawn = on_trial(server)
    today = datetime.now(UTC).date()
    period = {"since": (today - timedelta(days=1)).isoformat(), "until": (today + timedelta(days=1)).isoformat()}
    told = [{"place_id": one, "number": 2000} for one in drawn["exposed"] + drawn["held_out"]]
    path = f"/v1/campaigns/{campaign}"
    with server.api() as api:
        made(api.post("/v1/costs", json=a_cost(campaign)))
        api.post(f"{path}/exposures", json=period | {"exposures": told})
        api.patch(f"{path}/money", json={"margin": 0.4})
        for place in drawn["exposed"]:
            sell(server, campaign, place, 24, 80_00)
        before = api.get(f"{path}/report").json()["inputs"]
        assert (before["money"]["verdict"], before["money"]["lack"]) == ("not_proven", "too_few")
        assert "n’est pas prouvé" in text_of(api.get(f"{path}/report?lang=fr", headers=AS_PAGE))
        for place in drawn["held_out"]:
            sell(server, campaign, place, 18, 80_00)
        document = api.get(f"{path}/report").json()["inputs"]
        page = text_of(api.get(f"{path}/report?lang=en", headers=AS_PAGE))
        watched = made(api.post(f"{path}/alerts", json={"watch": "conversions", "comparison": "above", "value": 500}))
    assert (document["answer"]["word"], document["answer"]["basis"]) == ("negative", "return")
    money = document["money"]
    assert (money["cost_minor"], money["conversions"], money["revenue_minor"]) == (50_000_00, 210, 210 * 80_00)
    assert money["roi"]["low"] < money["roi"]["value"] == -0.9808 < money["roi"]["high"] < 0
    assert "Negative so far" in page
    assert "Its return on investment is -98%, between -" in page
    assert "50,000 EUR" in page
    assert watched["now"] == 210


def test_a_stop_that_was_tried_is_told(server: Server) -> None:
    shop = make_shop(server)
    with server.api() as api:
        api.post(f"/v1/campaigns/{shop.campaign}/pause")
        api.post(f"/v1/campaigns/{shop.campaign}/resumption")
    assert report(shop).json()["inputs"]["crisis"]["stop_tried_at"] is not None


def test_a_campaign_in_draft_says_that_nothing_began(server: Server) -> None:
    with server.api() as api:
        draft = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        told = api.get(f"/v1/campaigns/{draft}/report").json()["inputs"]
        assert told["answer"]["word"] == "not_begun"
        page = api.get(f"/v1/campaigns/{draft}/report", params={"lang": "fr"}, headers=AS_PAGE)
        assert "Rien n’a encore commencé" in text_of(page)
        assert api.post(f"/v1/campaigns/{draft}/reports").status_code == 201


def test_an_unknown_language_and_too_many_words_are_refused(server: Server, shop: Shop) -> None:
    with server.api() as api:
        path = f"/v1/campaigns/{shop.campaign}/report"
        problem(api.get(path, params={"lang": "de"}), 422)
        problem(api.post(f"{path}s", json={"learned": "x" * 1001}), 422, "learned_too_long")
        problem(api.post(f"{path}s", json={"learned": "\u202e"}), 422)
        problem(api.post(f"{path}s", json={"learnt": "x"}), 422)
        problem(api.get("/v1/reports/rep_" + "0" * 32), 404)
        assert api.get(f"{path}s").json()["data"] == []


def test_the_console_shows_freezes_and_keeps_what_was_typed(desk: Desk) -> None:
    shop = make_shop(desk.server)
    path = f"/console/campaigns/{shop.campaign}"
    with desk.signed_in("marketer") as it:
        assert f'href="{path}/report"' in it.get("/console").text
        assert "Figer ce bilan" in text_of(it.get(f"{path}/report"))
        refused = it.post(f"{path}/reports", data={"learned": "y" * 1001})
        assert refused.status_code == 422
        assert "y" * 1001 in refused.text
        frozen = it.post(f"{path}/reports", data={"learned": "Un écran à la caisse aide."})
        assert frozen.status_code == 303
        shown = it.get(frozen.headers["location"])
        assert "Un écran à la caisse aide." in shown.text
        assert "Figé" in text_of(shown)
        assert it.get(f"{path}/reports/rep_{'0' * 32}").status_code == 404
    with desk.signed_in("analyst") as it:
        assert "Figer ce bilan" not in text_of(it.get(f"{path}/report"))
        assert it.post(f"{path}/reports", data={"learned": ""}).status_code == 403


def test_the_command_prints_freezes_and_writes_the_page(server: Server, tmp_path: Path) -> None:
    shop = make_shop(server)
    options = ("--server", server.url, "--key", server.key)
    told = server.passerelle("report", shop.campaign, *options)
    assert told.returncode == 0, told.stderr
    assert "check_ins: 0 of 2,000" in told.stdout
    out = tmp_path / "report.html"
    frozen = server.passerelle(
        "report", shop.campaign, "--freeze", "--learned", "Samedi", "--lang", "fr", "--out", str(out), *options
    )
    assert "frozen as rep_" in frozen.stdout
    assert '<html lang="fr">' in out.read_text()
    assert "Samedi" in out.read_text()
    whole = json.loads(server.passerelle("report", shop.campaign, "--json", *options).stdout)
    assert whole["inputs"]["format"] == "report/1"


@pytest.mark.parametrize(
    "wrong", [("--lang", "de"), ("--learned", "words"), ("--out", "/nowhere/at/all.html"), ("--key", "psr_live_no")]
)
def test_the_command_refuses_in_words(server: Server, shop: Shop, wrong: tuple[str, str]) -> None:
    options = {"--server": server.url, "--key": server.key, wrong[0]: wrong[1]}
    done = server.passerelle("report", shop.campaign, *(part for pair in options.items() for part in pair))
    assert done.returncode == 1
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
