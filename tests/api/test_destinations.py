"""Where printed codes lead, over HTTP and on both databases: rules, states, history, verified hosts."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.api.conftest import House
from tests.api.helpers import BELLECOUR, Shop, ask, issue, make_shop, newest_scan, owner, problem, way
from tests.conftest import PHONE, Server, wait_until

A, B = "https://a.example/landing?x=1#top", "https://b.example/"
ANDROID = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Mobile Safari/537.36"
)
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1 (KHTML, like Gecko) Version/17.5 Safari/605.1"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.fixture
def api(server: Server) -> Iterator[httpx2.Client]:
    with server.api() as client:
        yield client


def receipt_of(html: str) -> str:
    found = re.search(r'name="receipt" value="([A-Za-z0-9_-]+)"', html)
    assert found, html[-600:]
    return found[1]


def scan_in(url: str) -> str:
    (id,) = parse_qs(urlsplit(url).query)["passerelle_scan"]
    return id


def is_confirmed(api: httpx2.Client, scan_id: str) -> bool:
    return bool(api.get(f"/v1/scans/{scan_id}").json()["confirmed"])


# Rules -----------------------------------------------------------------------------------------------------------


def test_the_first_rule_that_fits_the_phone_decides(server: Server, shop: Shop, api: httpx2.Client) -> None:
    rules = [
        {"when": {"languages": ["de"]}, "hosted": True},
        {"when": {"devices": ["android"], "languages": ["pt-br", "fr"]}, "destination": A},
        {"when": {"devices": ["ios", "android"]}, "destination": B},
    ]
    token = issue(api, shop, rules=rules, destination="https://home.example/")
    assert token["rules"] == rules
    code = token["code"]
    assert way(server, code, **{"Accept-Language": "de-AT,en;q=0.9"}) is None
    assert way(server, code, **{"User-Agent": ANDROID, "Accept-Language": "fr-FR,fr;q=0.9,en;q=0.8"}) == A
    assert way(server, code, **{"User-Agent": ANDROID, "Accept-Language": "pt-BR"}) == A
    assert way(server, code, **{"User-Agent": ANDROID, "Accept-Language": "pt-PT"}) == B
    assert way(server, code) == B
    assert way(server, code, **{"User-Agent": MAC}) == "https://home.example/"
    # A language chosen by hand counts more than the phone's.
    assert (
        ask(server, code, query="?lang=fr", **{"User-Agent": ANDROID, "Accept-Language": "en"}).headers["location"] == A
    )
    told = ask(server, code, Accept="application/json", **{"User-Agent": ANDROID, "Accept-Language": "fr"}).json()
    assert (told["destination"], told["state"], told["replaced_by"]) == (A, "active", None)


def test_a_rule_about_the_time_is_held_against_the_clock_of_the_place(
    server: Server, shop: Shop, api: httpx2.Client
) -> None:
    today = datetime.now(UTC)
    near = {"from_date": f"{today - timedelta(days=2):%Y-%m-%d}", "to_date": f"{today + timedelta(days=2):%Y-%m-%d}"}
    past = {"to_date": f"{today - timedelta(days=2):%Y-%m-%d}"}
    rules = [{"when": past, "destination": B}, {"when": near, "destination": A}]
    assert way(server, issue(api, shop, rules=rules)["code"]) == A


def test_a_country_nobody_knows_and_a_position_nobody_gave_fit_no_rule(
    server: Server, shop: Shop, api: httpx2.Client
) -> None:
    rules = [
        {"when": {"countries": ["FR"]}, "destination": B},
        {"when": {"geofence": "inside"}, "destination": B},
        {"when": {"geofence": "outside"}, "destination": B},
    ]
    assert way(server, issue(api, shop, rules=rules, destination=A)["code"]) == A


def test_a_visitor_who_scans_again_is_returning_and_a_robot_or_a_head_is_forgotten(
    server: Server, shop: Shop, api: httpx2.Client
) -> None:
    rules = [{"when": {"returning": True}, "destination": B}]
    code = issue(api, shop, rules=rules, destination=A)["code"]
    assert ask(server, code, method="HEAD").headers["location"] == A
    assert way(server, code, **{"Sec-Purpose": "prefetch"}) == A
    assert way(server, code) == A
    assert way(server, code) == way(server, code) == B
    assert ask(server, code, method="HEAD").headers["location"] == B
    assert way(server, code, **{"User-Agent": ANDROID}) == A
    assert way(server, issue(api, shop, rules=rules, destination=A)["code"]) == A


def test_a_split_leads_one_visitor_to_one_place_all_day(server: Server, shop: Shop, api: httpx2.Client) -> None:
    split = [{"weight": 1, "destination": A}, {"weight": 1, "destination": B}]
    code = issue(api, shop, rules=[{"split": split}])["code"]
    ways = [[way(server, code, **{"User-Agent": f"{PHONE} {n}"}) for _ in range(2)] for n in range(24)]
    assert all(first == second for first, second in ways)
    assert {first for first, _ in ways} == {A, B}


def test_a_campaign_leads_codes_that_have_nothing_of_their_own(server: Server, api: httpx2.Client) -> None:
    rules = [{"when": {"devices": ["ios"]}, "destination": A}]
    shop = make_shop(server, rules=rules, destination=B, utm={"source": "shop"})
    assert way(server, shop.code) == A.replace("?x=1", "?x=1&utm_source=shop")
    assert way(server, shop.code, **{"User-Agent": MAC}) == B + "?utm_source=shop"
    own = issue(api, shop, destination="https://own.example/", utm={"source": "poster"})
    assert way(server, own["code"]) == "https://own.example/?utm_source=poster"
    assert api.patch(f"/v1/campaigns/{shop.campaign}", json={"rules": None, "utm": None}).json()["rules"] is None
    assert way(server, shop.code) == B


def test_an_edit_leads_the_next_scan_of_a_printed_code(server: Server, shop: Shop, api: httpx2.Client) -> None:
    token = issue(api, shop, destination=A)
    path = f"/v1/tokens/{token['id']}"
    assert way(server, token["code"]) == A
    assert api.patch(path, json={"destination": B}).status_code == 200
    assert way(server, token["code"]) == B
    assert api.patch(path, json={"rules": [{"destination": A}]}).status_code == 200
    assert way(server, token["code"]) == A
    assert api.patch(path, json={"rules": None, "destination": None}).status_code == 200
    assert way(server, token["code"]) is None


def test_utm_parameters_name_place_and_code(server: Server, shop: Shop, api: httpx2.Client) -> None:
    utm = {"source": "{place}", "medium": "{medium}", "campaign": "{campaign}", "content": "{token} {label}"}
    token = issue(api, shop, destination=A, utm=utm, label="Été & co")
    added = (
        f"utm_source=Bellecour&utm_medium=qr&utm_campaign=Verger&utm_content={token['code']}%20%C3%89t%C3%A9%20%26%20co"
    )
    assert way(server, token["code"]) == f"https://a.example/landing?x=1&{added}#top"
    patched = api.patch(f"/v1/tokens/{token['id']}", json={"utm": {"content": None, "term": "t"}}).json()
    assert patched["utm"] == {"source": "{place}", "medium": "{medium}", "campaign": "{campaign}", "term": "t"}


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"rules": [{"when": {"weather": "rain"}, "destination": A}]}, "/rules/0/when/weather"),
        ({"rules": [{"destination": "javascript:alert(1)"}]}, "/rules/0/destination"),
        ({"rules": [{"destination": "https://me@a.example"}]}, "/rules/0/destination"),
        ({"rules": [{"destination": A}] * 21}, "/rules"),
        ({"rules": [{"split": [{"weight": 0, "destination": A}] * 2}]}, "/rules/0/split/0/weight"),
        ({"rules": {"destination": A}}, "/rules"),
        ({"utm": {"source": "{shop}"}}, "/utm/source"),
        ({"utm": {"origin": "x"}}, "/utm/origin"),
        ({"pass_scan_id": "yes"}, "/pass_scan_id"),
        ({"continue_page": 1}, "/continue_page"),
        ({"expires_at": "2026-01-01T00:00:00"}, "/expires_at"),
        ({"destination": "{base}/t/7K3Q9XABW4"}, "/destination"),
        ({"rules": [{"destination": "{base}/T/7K3Q9XABW4"}]}, "/rules/0/destination"),
    ],
)
def test_what_a_code_cannot_do_is_named(
    server: Server, shop: Shop, api: httpx2.Client, fields: dict[str, Any], pointer: str
) -> None:
    fields = json.loads(json.dumps(fields).replace("{base}", server.url))
    tokens = f"/v1/campaigns/{shop.campaign}/tokens"
    for answer in (
        api.post(tokens, json={"medium": "qr", **fields}),
        api.patch(f"/v1/tokens/{shop.token}", json=fields),
    ):
        assert pointer in [fault["pointer"] for fault in problem(answer, 422)["errors"]]


# Confirming a redirect -------------------------------------------------------------------------------------------


def test_the_destination_s_server_confirms_the_scan_it_was_told_of(
    house: House, server: Server, shop: Shop, api: httpx2.Client
) -> None:
    token = issue(api, shop, destination=A, pass_scan_id=True)
    url = way(server, token["code"])
    assert url is not None
    scan_id = scan_in(url)
    assert url == f"https://a.example/landing?x=1&passerelle_scan={scan_id}#top"
    assert not is_confirmed(api, scan_id)
    path = f"/v1/scans/{scan_id}/confirmation"
    with owner(server, house.other_key) as other:
        problem(other.post(path), 404, "not_found")
    with server.phone() as phone:
        problem(phone.post(path), 401, "unauthenticated")
    first, again = api.post(path), api.post(path)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert is_confirmed(api, scan_id)
    problem(api.post(f"/v1/scans/scn_{'0' * 32}/confirmation"), 404, "not_found")
    stats = f"/v1/campaigns/{shop.campaign}/stats"
    before = api.get(stats).json()["scans"]["verified"]
    wait_until(lambda: api.get(stats).json()["scans"]["verified"] >= max(before, 1))


@pytest.mark.parametrize(
    ("campaign", "token", "verified"),
    [
        ({"destination": A}, {}, None),
        ({"destination": A}, {"pass_scan_id": True}, 0),
        ({"destination": A}, {"continue_page": True}, 0),
        ({"destination": A}, {"rules": [{"when": {"languages": ["xx"]}, "hosted": True}], "destination": A}, 0),
        ({"destination": A}, {"rules": [{"destination": B}], "destination": A}, None),
        ({"rules": [{"hosted": True}], "destination": A}, {"destination": A}, 0),
        ({}, {"destination": A}, 0),
    ],
)
def test_what_nothing_can_confirm_is_not_measured_rather_than_zero(
    server: Server, api: httpx2.Client, campaign: dict[str, Any], token: dict[str, Any], verified: int | None
) -> None:
    shop = make_shop(server, **campaign)
    issue(api, shop, **token)
    ask(server, shop.code)
    stats = api.get(f"/v1/campaigns/{shop.campaign}/stats").json()
    assert (stats["scans"]["raw"], stats["scans"]["verified"], stats["inflation"]) == (1, verified, None)


def test_a_key_confirms_no_scan_whose_id_was_passed_to_nobody(server: Server, shop: Shop, api: httpx2.Client) -> None:
    token = issue(api, shop, destination=A)
    assert way(server, token["code"]) == A
    scan = newest_scan(api, shop, token)
    problem(api.post(f"/v1/scans/{scan['id']}/confirmation"), 409, "wrong_state")
    assert not is_confirmed(api, scan["id"])


def test_a_robot_s_scan_may_be_confirmed_and_stays_a_robot_s(server: Server, shop: Shop, api: httpx2.Client) -> None:
    token = issue(api, shop, destination=A, pass_scan_id=True)
    url = way(server, token["code"], **{"User-Agent": GOOGLEBOT})
    assert url is not None
    assert api.post(f"/v1/scans/{scan_in(url)}/confirmation").status_code == 200
    assert newest_scan(api, shop, token)["verdict"] == "bot"


def test_the_page_before_names_the_host_and_its_button_confirms_and_leads_on(
    server: Server, shop: Shop, api: httpx2.Client
) -> None:
    token = issue(api, shop, destination=A, continue_page=True, pass_scan_id=True)
    with server.phone(**{"Accept": "text/html", "Accept-Language": "en"}) as phone:
        page = phone.get(f"/t/{token['code']}")
        assert (page.status_code, "location" in page.headers) == (200, False)
        assert "a.example" in page.text
        assert "landing" not in page.text
        assert "<script" not in page.text
        assert "form-action 'self' https: http:" in page.headers["content-security-policy"]
        with phone.stream("GET", f"/t/{token['code']}", headers={"Accept-Encoding": "gzip"}) as packed:
            assert sum(len(chunk) for chunk in packed.iter_raw()) < 8_000
        scan = newest_scan(api, shop, token)
        assert not scan["confirmed"]
        receipt = receipt_of(page.text)
        on = phone.post(f"/t/{token['code']}/confirm", data={"receipt": receipt})
        assert on.status_code == 303
        location = on.headers["location"]
        assert location.startswith("https://a.example/landing?x=1&passerelle_scan=scn_")
        assert is_confirmed(api, scan_in(location))
        assert phone.post(f"/t/{token['code']}/confirm", data={"receipt": receipt}).headers["location"] == location
        quiet = phone.post(f"/t/{token['code']}/confirm", json={"receipt": receipt}, headers={"Accept": "*/*"})
        assert quiet.status_code == 204
        assert "Vous allez sur un autre site" in phone.get(f"/t/{token['code']}?lang=fr").text
    hosted = ask(server, shop.code, Accept="text/html")
    assert "form-action 'self';" in hosted.headers["content-security-policy"]


def test_a_continue_page_without_a_destination_is_the_hosted_page(
    server: Server, shop: Shop, api: httpx2.Client
) -> None:
    token = issue(api, shop, continue_page=True)
    page = ask(server, token["code"], **{"Accept-Language": "en"}).text
    assert "/check-in" in page
    assert "An orchard for the school" in page


@pytest.mark.parametrize(("lat", "host"), [(BELLECOUR["lat"], "inside"), (BELLECOUR["lat"] + 0.1, "outside")])
def test_a_position_shared_on_the_page_before_decides_where_it_leads(
    server: Server, shop: Shop, api: httpx2.Client, lat: float, host: str
) -> None:
    rules = [
        {"when": {"geofence": "inside"}, "destination": "https://inside.example/"},
        {"when": {"geofence": "outside"}, "destination": "https://outside.example/"},
    ]
    token = issue(api, shop, rules=rules, destination="https://unknown.example/", continue_page=True)
    with server.phone(**{"Accept": "text/html", "Accept-Language": "en"}) as phone:
        page = phone.get(f"/t/{token['code']}").text
        assert all(f"{one}.example" in page for one in ("inside", "outside", "unknown"))
        assert 'id="locate"' in page
        form = {"receipt": receipt_of(page)}
        confirm = f"/t/{token['code']}/confirm"
        assert phone.post(confirm, data=form).headers["location"] == "https://unknown.example/"
        fix = {**form, "lat": lat, "lon": BELLECOUR["lon"], "accuracy_m": 10}
        assert phone.post(f"/t/{token['code']}/position", data=fix).headers["location"] == f"https://{host}.example/"
        assert phone.post(confirm, data=form).headers["location"] == f"https://{host}.example/"


def test_the_button_keeps_to_what_the_page_said_of_a_returning_visitor(
    server: Server, shop: Shop, api: httpx2.Client
) -> None:
    rules = [{"when": {"returning": True}, "destination": B}]
    token = issue(api, shop, rules=rules, destination=A, continue_page=True)
    with server.phone(Accept="text/html") as phone:
        pages = [phone.get(f"/t/{token['code']}").text for _ in range(2)]
        assert ["b.example" in page for page in pages] == [False, True]
        ways = [phone.post(f"/t/{token['code']}/confirm", data={"receipt": receipt_of(page)}) for page in pages]
    assert [one.headers["location"] for one in ways] == [A, B]


def test_a_code_that_was_closed_meanwhile_leads_no_further(server: Server, api: httpx2.Client) -> None:
    shop = make_shop(server)
    token = issue(api, shop, destination=A, continue_page=True)
    with server.phone(Accept="text/html") as phone:
        form = {"receipt": receipt_of(phone.get(f"/t/{token['code']}").text)}
        assert api.post(f"/v1/tokens/{token['id']}/suspension").status_code == 200
        assert phone.post(f"/t/{token['code']}/confirm", data=form).headers["location"] == f"/m/{shop.slug}"
