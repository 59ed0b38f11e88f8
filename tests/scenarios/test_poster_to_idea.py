"""From a printed code to a community act, over HTTP only, on both databases."""

import gzip
import json
import re
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2

from tests.api.helpers import made, owner, two_brands
from tests.conftest import PIN, Server, wait_until

GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
INSIDE = {"lat": 45.7579, "lon": 4.8321, "accuracy_m": 12}
STAFF_AGENT = "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Safari/604.1"


def test_a_printed_code_leads_a_shopper_to_an_idea_and_the_shop_sees_it(server: Server) -> None:
    api, phone = server.api(), server.phone(**{"Accept-Language": "en-GB,en;q=0.9"})
    with api, phone:
        # A campaign is made before any token, and a draft's scan is a test under a Preview banner.
        place = made(
            api.post(
                "/v1/places",
                json={"name": "Bellecour", "lat": 45.7578, "lon": 4.832, "radius_m": 100, "time_zone": "Europe/Paris"},
            )
        )
        assert place["id"].startswith("plc_")
        campaign = made(
            api.post(
                "/v1/campaigns",
                json={
                    "name": "Verger",
                    "objective": "cause",
                    "targets": [{"kpi": "check_ins", "value": 2000}, {"kpi": "bridge_rate", "value": 0.3}],
                    "time_zone": "Europe/Paris",
                    "external_id": "verger",
                },
            )
        )
        assert campaign["state"] == "draft"
        mission = made(
            api.post(
                "/v1/campaigns/ext_verger/missions",
                json={
                    "title": {"fr": "Un verger pour l’école", "en": "An orchard for the school"},
                    "promise": "A tree for each hundred visits",
                    "goal": {"metric": "check_ins", "value": 2000},
                    "steps": [
                        {"kind": "scan", "min_presence": 1, "repeat": "daily", "mode": "offline"},
                        {"kind": "idea", "mode": "online", "min_presence": 1},
                    ],
                },
            )
        )
        tokens = f"/v1/campaigns/{campaign['id']}/tokens"
        qr = made(api.post(tokens, json={"medium": "qr", "place_id": place["id"], "label": "Poster"}))
        nfc = made(api.post(tokens, json={"medium": "nfc", "place_id": place["id"], "label": "Tag"}))
        assert qr["url"] == f"{server.url}/T/{qr['code']}".upper()
        assert api.get(f"/v1/tokens/{qr['id']}/qr.svg").text.lstrip().startswith(("<?xml", "<svg"))
        assert api.get(f"/v1/tokens/{qr['id']}/qr.png").content.startswith(b"\x89PNG")
        ndef = api.get(f"/v1/tokens/{nfc['id']}/ndef", headers={"Accept": "application/json"}).json()
        assert nfc["code"] in bytes.fromhex(ndef["hex"]).decode("latin-1")

        preview = phone.get(f"/t/{qr['code']}")
        assert "Preview" in preview.text
        test_scan = scan(server, qr["code"])
        assert (test_scan["verdict"], test_scan["reasons"]) == ("test", [])

        # Launching says what is missing, and locks the targets.
        launched = api.post(f"/v1/campaigns/{campaign['id']}/launch").json()
        assert launched["state"] == "live"
        assert {one["item"] for one in launched["checklist"]} >= {
            "places",
            "objective",
            "promise",
            "disclosure",
            "reward",
            "legal_pages",
        }
        assert launched["warnings"] == [one["warning"] for one in launched["checklist"] if not one["ok"]] != []
        assert all(target["locked_at"] for target in launched["targets"])
        locked = api.patch(f"/v1/campaigns/{campaign['id']}", json={"targets": [{"kpi": "check_ins", "value": 1}]})
        assert (locked.status_code, locked.json()["code"]) == (409, "targets_locked")

        # The staff signs its phone in by a link that works once; opening it uses nothing.
        staff = sign_in(server, api, place["id"])
        before = figures(staff)
        assert before == {"raw": 0, "confirmed": 0, "check_ins": 0, "people": 0}

        # The scan: any case, page or JSON, and the compressed bytes are the same page.
        upper = phone.get(f"/T/{qr['code'].lower()}")
        assert upper.status_code == 200
        assert upper.headers["content-type"] == "text/html; charset=utf-8"
        assert "Preview" not in upper.text
        assert "An orchard for the school" in upper.text
        assert "Un verger pour l’école" in phone.get(f"/t/{qr['code']}?lang=fr").text
        assert not phone.cookies
        with phone.stream("GET", f"/t/{qr['code']}", headers={"Accept-Encoding": "gzip"}) as squeezed:
            assert squeezed.headers["content-encoding"] == "gzip"
            packed = b"".join(squeezed.iter_raw())
        assert len(packed) < 13_000
        page = gzip.decompress(packed).decode()
        assert zlib.decompress(packed, 31).decode() == page
        receipt = receipt_of(page)
        mine = scan(server, qr["code"])
        assert mine["verdict"] == "valid"
        assert mine["presence"] == 0
        assert mine["mission"] == {"id": mission["id"], "slug": mission["slug"]}

        # A confirmed scan shows on the staff page within two seconds; a second one of the same phone is a duplicate.
        stream = Stream(staff)
        stream.wait_for(lambda html: True)
        known = figures_of(stream.last)
        confirmed_at = time.monotonic()
        assert post(phone, qr["code"], "confirm", {"receipt": receipt}).status_code == 303
        as_json = {"Accept": "application/json"}
        assert post(phone, qr["code"], "confirm", {"receipt": receipt}, as_json).status_code == 204
        stream.wait_for(lambda html: figures_of(html)["confirmed"] == known["confirmed"] + 1)
        assert time.monotonic() - confirmed_at < 2
        scanned_at = time.monotonic()
        raw = figures_of(stream.last)["raw"]
        scan(server, qr["code"])
        stream.wait_for(lambda html: figures_of(html)["raw"] == raw + 1)
        assert time.monotonic() - scanned_at < 2
        stream.close()

        # Position: two are kept, the smaller circle counts.
        far = post(phone, qr["code"], "position", {"receipt": receipt, **INSIDE, "accuracy_m": 900}, as_json).json()
        assert far == {"geofence": "maybe", "distance_m": 50, "presence": 0}
        near = post(phone, qr["code"], "position", {"receipt": receipt, **INSIDE}, as_json).json()
        assert near == {"geofence": "inside", "distance_m": 50, "presence": 1}

        # Check-in with the till code of the staff page: presence 2, and only now a cookie.
        assert not phone.cookies
        till_code = re.search(r'class="digits">([0-9]{3} [0-9]{3})<', staff.get("/staff").text)
        assert till_code is not None
        checked = post(phone, qr["code"], "check-in", {"receipt": receipt, "till_code": till_code[1]})
        assert checked.status_code == 303
        assert checked.headers["location"] == f"/m/{mission['slug']}?just=checked_in"
        cookie = checked.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Secure" not in cookie
        replay = post(phone, qr["code"], "check-in", {"receipt": receipt}, as_json).json()
        assert replay["presence"] == 2
        assert replay["verdict"] == "valid"
        assert [step["state"] for step in replay["steps"]] == ["verified"]
        again = post(phone, qr["code"], "check-in", {"receipt": receipt})
        assert again.headers["location"].endswith("?just=already")
        assert "set-cookie" not in again.headers
        landed = phone.get(checked.headers["location"])
        assert replay["participant"]["pseudonym"] in landed.text
        assert "You are counted" in landed.text

        # The online act: an idea, once per client id, refused with its words kept when it is too long.
        ideas = f"/m/{mission['slug']}/ideas"
        stranger = server.phone()
        assert stranger.post(ideas, json={"text": "Me too"}).status_code == 403
        long = phone.post(ideas, data={"text": "x" * 501, "client_id": "a1"}, headers={"Accept": "text/html"})
        assert long.status_code == 422
        assert "x" * 501 in long.text
        sent = phone.post(ideas, data={"text": "Des cerisiers <b>!</b>", "client_id": "a1", "age": "15_or_older"})
        assert (sent.status_code, sent.headers["location"]) == (303, f"/m/{mission['slug']}?just=idea")
        twin = phone.post(ideas, json={"text": "Something else", "client_id": "a1"})
        assert twin.status_code == 201
        assert twin.json()["text"] == "Des cerisiers <b>!</b>"
        assert "Des cerisiers &lt;b&gt;" in phone.get(f"/m/{mission['slug']}?lang=fr").text
        me = phone.get("/me").text
        assert "Bellecour" in me
        assert "Des cerisiers" in me
        assert "Nothing here yet" in stranger.get("/me").text
        stranger.close()

        # What is not a person's visit is logged as what it is.
        bot = scan(server, qr["code"], **{"User-Agent": GOOGLEBOT})
        assert (bot["verdict"], bot["reasons"]) == ("bot", ["bot_agent"])
        prefetch = scan(server, qr["code"], **{"Sec-Purpose": "prefetch;prerender"})
        assert (prefetch["verdict"], prefetch["reasons"]) == ("bot", ["prefetch"])
        second = scan(server, qr["code"])
        post(phone, qr["code"], "confirm", {"receipt": second["receipt"]}, as_json)
        unknown = phone.get("/t/0000000000", headers={"Accept": "text/html"})
        assert unknown.status_code == 404
        assert "We do not know this code" in unknown.text
        wait_until(lambda: verdict_of(api, second["scan_id"]) == "duplicate", seconds=8)
        wait_until(lambda: figures(staff)["confirmed"] == 1, seconds=8)
        shop = figures(staff)
        assert (shop["check_ins"], shop["people"]) == (1, 1)

        scans = all_scans(api, campaign["id"])
        by_verdict = sorted(one["verdict"] for one in scans)
        assert by_verdict.count("bot") == 2
        assert by_verdict.count("duplicate") == 1
        assert by_verdict.count("test") == 2
        assert "orphan" not in by_verdict
        assert [one["id"] for one in scans] == sorted((one["id"] for one in scans), reverse=True)
        assert all(one["place_id"] == place["id"] for one in scans)
        stats = api.get(f"/v1/campaigns/{campaign['id']}/stats").json()
        live = [one for one in scans if one["phase"] == "live"]
        assert stats["scans"]["raw"] == len(live) == shop["raw"]
        assert stats["scans"]["human"] == len(live) - 2
        assert stats["scans"]["verified"] == 1
        assert stats["scans"]["duplicate"] == 1
        assert stats["inflation"] == len(live)
        assert stats["unique_visitors"] == 1
        assert (stats["participants"], stats["check_ins"], stats["bridge_rate"]) == (1, 1, 1.0)
        totals = api.get(f"/v1/missions/{mission['id']}").json()["totals"]
        assert totals == {"check_ins": 1, "participants": 1, "completions": 2, "ideas": 1, "votes": 0, "referrals": 0}

        # Paused, resumed, revoked, ended: a printed code always explains itself, with 200.
        assert api.post(f"/v1/campaigns/{campaign['id']}/pause").json()["state"] == "paused"
        assert "taking a short break" in phone.get(f"/t/{qr['code']}").text
        assert scan(server, qr["code"])["reasons"] == ["campaign_closed"]
        closed = phone.post(ideas, json={"text": "Later"})
        assert (closed.status_code, closed.json()["code"]) == (409, "campaign_closed")
        assert api.post(f"/v1/campaigns/{campaign['id']}/resumption").json()["state"] == "live"
        assert scan(server, qr["code"])["verdict"] == "valid"
        assert api.post(f"/v1/tokens/{nfc['id']}/revocation").json()["state"] == "revoked"
        revoked = phone.get(f"/t/{nfc['code']}?lang=en")
        assert revoked.status_code == 200
        assert "This code was withdrawn" in revoked.text
        assert api.post(f"/v1/campaigns/{campaign['id']}/end").json()["state"] == "ended"
        ended = phone.get(f"/t/{qr['code']}?lang=en")
        assert ended.status_code == 200
        assert "Thank you to everyone who came" in ended.text
        wrong = api.post(f"/v1/campaigns/{campaign['id']}/launch")
        assert (wrong.status_code, wrong.json()["code"]) == (409, "wrong_state")
        staff.close()

    verified = server.passerelle("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


CAMPAIGN_FILE = """
external_id = "orchard"
name = "Orchard"
objective = "cause"
targets = [{ kpi = "check_ins", value = 500 }]

[[places]]
external_id = "bellecour"
name = "Bellecour"
lat = 45.7578
lon = 4.8320

[[places]]
external_id = "part-dieu"
name = "Part-Dieu"
lat = 45.7606
lon = 4.8594

[mission]
external_id = "trees"
title = { fr = "Un verger", en = "An orchard" }
promise = "A tree for each hundred visits"
goal = { metric = "check_ins", value = 500 }
steps = [{ kind = "scan", min_presence = 1 }, { kind = "idea" }]

[[tokens]]
places = "all"
media = ["qr", "nfc"]
channel = "poster"
"""


def test_a_campaign_file_is_applied_once_however_often_it_is_sent(database_url: str, tmp_path: Path) -> None:
    with two_brands(database_url) as (server, other_key):
        tokens, theirs = apply_the_file(server, tmp_path / "campaign.toml")
        with owner(server, other_key) as stranger:
            nothing_is_there_for(stranger, tokens, theirs)
        assert server.passerelle("verify").returncode == 0


def apply_the_file(server: Server, file: Path) -> tuple[list[dict[str, Any]], list[str]]:
    file.write_text(CAMPAIGN_FILE)

    def apply(*options: str) -> dict[str, Any]:
        done = server.passerelle("campaigns", "apply", str(file), "--key", server.key, "--json", *options)
        assert done.returncode == 0, done.stderr
        shown: dict[str, Any] = json.loads(done.stdout)
        return shown

    with server.api() as api:
        dry = apply("--dry-run")
        assert len(dry["created"]) == 8
        assert dry["campaign_id"] is None
        assert api.get("/v1/campaigns").json()["data"] == api.get("/v1/places").json()["data"] == []
        first = apply()
        assert first["created"] == dry["created"]
        second = apply()
        assert (second["created"], second["changed"], second["unchanged"]) == ([], [], 8)
        assert second["campaign_id"] == first["campaign_id"]
        file.write_text(CAMPAIGN_FILE.replace('name = "Part-Dieu"', 'name = "Part-Dieu gare"').replace("500", "600"))
        shown = apply("--dry-run")["changed"]
        assert shown == ["place part-dieu: name", "campaign orchard: targets", "mission trees: goal_value"]
        assert api.get("/v1/places/ext_part-dieu").json()["name"] == "Part-Dieu"
        assert apply()["changed"] == shown
        assert api.get("/v1/places/ext_part-dieu").json()["name"] == "Part-Dieu gare"
        assert apply()["unchanged"] == 8
        tokens = api.get(f"/v1/campaigns/{first['campaign_id']}/tokens").json()["data"]
        assert sorted(one["external_id"] for one in tokens) == [
            "poster-bellecour-nfc",
            "poster-bellecour-qr",
            "poster-part-dieu-nfc",
            "poster-part-dieu-qr",
        ]

        file.write_text(CAMPAIGN_FILE + '\n[[tokens]]\nplaces = ["nowhere"]\n')
        refused = server.passerelle("campaigns", "apply", str(file), "--key", server.key)
        assert refused.returncode == 1
        assert "nowhere" in refused.stderr
        assert api.get("/v1/campaigns/ext_orchard").json()["targets"][0]["value"] == 600

        # Nothing of this is there for anybody else.
        mission = api.get(f"/v1/campaigns/{first['campaign_id']}/missions").json()["data"][0]
        scanned = scan(server, tokens[0]["code"])["scan_id"]
        theirs = [
            f"/v1/places/{api.get('/v1/places/ext_bellecour').json()['id']}",
            "/v1/places/ext_bellecour",
            f"/v1/campaigns/{first['campaign_id']}",
            f"/v1/campaigns/{first['campaign_id']}/tokens",
            f"/v1/campaigns/{first['campaign_id']}/missions",
            f"/v1/campaigns/{first['campaign_id']}/stats",
            f"/v1/scans?campaign_id={first['campaign_id']}",
            f"/v1/tokens/{tokens[0]['id']}",
            f"/v1/tokens/{tokens[0]['id']}/qr.svg",
            f"/v1/tokens/{tokens[0]['id']}/ndef",
            f"/v1/missions/{mission['id']}",
            f"/v1/missions/{mission['id']}/ideas",
            f"/v1/scans/{scanned}",
        ]
        assert [api.get(path).status_code for path in theirs] == [200] * len(theirs)
    return tokens, theirs


def nothing_is_there_for(stranger: httpx2.Client, tokens: list[dict[str, Any]], theirs: list[str]) -> None:
    place_id = theirs[0].rpartition("/")[2]
    assert [stranger.get(path).status_code for path in theirs] == [404] * len(theirs)
    changes = [
        stranger.patch(theirs[0], json={"name": "Mine"}),
        stranger.patch(theirs[2], json={"name": "Mine"}),
        stranger.patch(f"/v1/tokens/{tokens[0]['id']}", json={"label": "Mine"}),
        stranger.post(f"/v1/tokens/{tokens[0]['id']}/revocation"),
        stranger.post(f"{theirs[2]}/launch"),
        stranger.post(f"{theirs[2]}/tokens", json={"medium": "qr"}),
        stranger.post(f"{theirs[0]}/staff-links"),
        stranger.get(f"{theirs[0]}/staff-sessions"),
    ]
    assert [answer.status_code for answer in changes] == [404] * len(changes)
    own = made(
        stranger.post(
            "/v1/campaigns",
            json={
                "name": "Own",
                "objective": "cause",
                "targets": [{"kpi": "ideas", "value": 1}],
                "time_zone": "Europe/Paris",
            },
        )
    )
    smuggled = stranger.post(f"/v1/campaigns/{own['id']}/tokens", json={"medium": "qr", "place_id": place_id})
    assert smuggled.status_code == 404


def scan(server: Server, code: str, **headers: str) -> dict[str, Any]:
    """A scan by a phone that asks for JSON; `headers` with underscores for hyphens."""
    with server.phone(**{"Accept": "application/json", **headers}) as phone:
        answer = phone.get(f"/t/{code}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def post(
    phone: httpx2.Client, code: str, act: str, fields: dict[str, Any], headers: dict[str, str] | None = None
) -> httpx2.Response:
    return phone.post(f"/t/{code}/{act}", data=fields, headers=headers)


def receipt_of(page: str) -> str:
    found = re.search(r'name="receipt" value="([^"]{100})"', page)
    assert found is not None
    return found[1]


def sign_in(server: Server, api: httpx2.Client, place_id: str) -> httpx2.Client:
    """A tablet of the shop, signed in by a link that opening does not use and signing in does."""
    url = made(api.post(f"/v1/places/{place_id}/staff-links"))["url"]
    staff = httpx2.Client(base_url=server.url, headers={"User-Agent": STAFF_AGENT}, timeout=30)
    assert staff.get("/staff").status_code == 401
    for _ in range(2):
        assert "Bellecour" in staff.get(url).text
    signed = staff.post(url, data={"pin": PIN})
    assert (signed.status_code, signed.headers["location"]) == (303, "/staff")
    assert "HttpOnly" in signed.headers["set-cookie"]
    with server.phone(Accept="text/html") as late:
        assert late.post(url).status_code == 410
        used = late.get(url)
    assert used.status_code == 410
    assert "A sign-in link works once" in used.text
    sessions = api.get(f"/v1/places/{place_id}/staff-sessions").json()["data"]
    assert len(sessions) == 1
    return staff


def figures(staff: httpx2.Client) -> dict[str, int]:
    return figures_of(staff.get("/staff").text)


def figures_of(html: str) -> dict[str, int]:
    """Today's figures as the shop reads them."""
    raw, confirmed, _, check_ins, people = re.findall(r"<dd>([^<]*)</dd>", html)
    return {"raw": int(raw), "confirmed": int(confirmed), "check_ins": int(check_ins), "people": int(people)}


class Stream:
    """The staff page's server-sent events, read in a thread."""

    def __init__(self, staff: httpx2.Client) -> None:
        self.last = ""
        self._client = httpx2.Client(base_url=staff.base_url, cookies=staff.cookies, timeout=30)
        self._closing = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for(self, condition: Callable[[str], bool]) -> None:
        wait_until(lambda: self.last != "" and condition(self.last), seconds=5)

    def close(self) -> None:
        self._closing = True  # the thread leaves at the next event, or with the server

    def _read(self) -> None:
        with suppress(httpx2.HTTPError), self._client, self._client.stream("GET", "/staff/stream") as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    self.last = json.loads(line.removeprefix("data: "))
                if self._closing:
                    return


def verdict_of(api: httpx2.Client, scan_id: str) -> str:
    return str(api.get(f"/v1/scans/{scan_id}").json()["verdict"])


def all_scans(api: httpx2.Client, campaign_id: str) -> list[dict[str, Any]]:
    """Every scan of a campaign, three a page."""
    found: list[dict[str, Any]] = []
    query: dict[str, str | int] = {"campaign_id": campaign_id, "limit": 3}
    while True:
        page = api.get("/v1/scans", params=query).json()
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]
