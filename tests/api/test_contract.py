"""The contract: OpenAPI, problem pages, keys, idempotency, pages of lists, entity tags, headers, cookies, redirects."""

import ast
import sqlite3
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from api.problems import PROBLEMS, STATUS, STATUS_OF_CODE, status_of_code
from campaigns.identity.keys import checksum
from tests.api.conftest import House
from tests.api.helpers import CAMPAIGN, PLACE, Shop, made, make_shop, owner, problem
from tests.conftest import ROOT, Server, wait_until

HEADERS = (
    "content-security-policy",
    "x-content-type-options",
    "referrer-policy",
    "permissions-policy",
    "cross-origin-opener-policy",
)
KINDS = {kind.__name__: kind for kind in STATUS}


def operations(server: Server) -> list[tuple[str, str]]:
    """Every (method, path) of the OpenAPI document."""
    with server.phone() as phone:
        document = phone.get("/openapi.json").json()
    return [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]


def filled(path: str, value: str = "x") -> str:
    return "/".join(value if part.startswith("{") else part.replace("{format}", "svg") for part in path.split("/"))


def test_the_openapi_document_is_3_1_and_the_reference_needs_no_internet(server: Server) -> None:
    with server.phone(Accept="text/html") as phone:
        document = phone.get("/openapi.json").json()
        assert document["openapi"].startswith("3.1.")
        page = phone.get("/docs")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "/v1/campaigns/{campaign_id}/launch" in page.text
        for outside in ('src="http', 'href="http', "@import", "url(http"):
            assert outside not in page.text
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), (method, path)


def raised_codes() -> list[tuple[str, str, str]]:
    """(where, kind, code) of every refusal raised with a literal code, and every kind's own code."""
    found = []
    for path in [*(ROOT / "campaigns").rglob("*.py"), *(ROOT / "api").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                for keyword in node.keywords:
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant) and name in KINDS:
                        found.append((where, name, str(keyword.value.value)))
            if isinstance(node, ast.ClassDef):
                for line in node.body:
                    target = line.targets[0] if isinstance(line, ast.Assign) else None
                    if isinstance(target, ast.Name) and target.id == "code" and isinstance(line, ast.Assign):
                        assert isinstance(line.value, ast.Constant)
                        found.append((where, node.name, str(line.value.value)))
    return found


def test_every_refusal_code_has_its_page_and_the_page_tells_its_status(server: Server) -> None:
    codes = raised_codes()
    assert len(codes) > 25
    assert [one for one in codes if one[2] not in PROBLEMS] == []
    wrong = [
        one
        for one in codes
        if one[1] in KINDS and one[2] not in STATUS_OF_CODE and status_of_code(one[2]) != STATUS[KINDS[one[1]]]
    ]
    assert wrong == []
    with server.phone() as phone:
        for code in PROBLEMS:
            page = phone.get(f"/problems/{code}")
            assert page.status_code == 200, code
            assert f"HTTP status {status_of_code(code)}" in page.text, code
        problem(phone.get("/problems/nothing"), 404, "not_found")


def test_every_route_of_the_api_wants_a_valid_key(server: Server) -> None:
    secret = "A" * 27
    unknown = f"psr_live_{secret}{checksum(secret)}"
    broken = unknown[:-1] + ("0" if unknown[-1] != "0" else "1")
    assert f"{zlib.crc32(secret.encode()):08x}" == checksum(secret)
    refused = 0
    with httpx2.Client(base_url=server.url) as client:
        for method, path in operations(server):
            if not path.startswith("/v1/"):
                continue
            for key in (None, broken, unknown, "psr_live_", f"{server.key}x"):
                headers = {} if key is None else {"Authorization": f"Bearer {key}"}
                answer = client.request(method, filled(path), headers=headers, json={})
                body = problem(answer, 401, "unauthenticated")
                assert answer.headers["www-authenticate"] == "Bearer"
                assert "psr_live_" in body["detail"]
                refused += 1
        basic = client.get("/v1/places", headers={"Authorization": f"Basic {server.key}"})
        problem(basic, 401, "unauthenticated")
    assert refused > 120


def test_the_same_idempotency_key_and_body_gets_the_first_answer_again(house: House) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    with house.server.api() as api, owner(house.server, house.other_key) as other:
        first = api.post("/v1/places", json=PLACE, headers=key)
        place = made(first)
        assert "idempotency-replayed" not in first.headers
        for _ in range(2):
            again = api.post("/v1/places", json=PLACE, headers=key)
            assert made(again) == place
            assert again.headers["idempotency-replayed"] == "true"
            assert again.headers["content-type"] == first.headers["content-type"]
            assert again.headers["content-security-policy"]
        problem(api.post("/v1/places", json=PLACE | {"name": "Other"}, headers=key), 422, "idempotency_key_reused")
        problem(api.post("/v1/campaigns", json=PLACE, headers=key), 422, "idempotency_key_reused")
        theirs = other.post("/v1/places", json=PLACE, headers=key)
        assert made(theirs)["id"] != place["id"]
        assert "idempotency-replayed" not in theirs.headers
        # A refusal is an answer too: it is kept.
        key = {"Idempotency-Key": uuid4().hex}
        refused = api.post("/v1/places", json=PLACE | {"lat": 91}, headers=key)
        again = api.post("/v1/places", json=PLACE | {"lat": 91}, headers=key)
        assert problem(refused, 422) == problem(again, 422)
        assert again.headers["idempotency-replayed"] == "true"
        for bad in ("", "x" * 201):
            problem(api.post("/v1/places", json=PLACE, headers={"Idempotency-Key": bad}), 422, "invalid")


def test_of_twenty_requests_with_one_idempotency_key_one_is_carried_out(house: House) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    name = f"Twenty {uuid4().hex}"
    start = threading.Barrier(20)

    def send(_: int) -> httpx2.Response:
        with house.server.api() as api:
            start.wait()
            return api.post("/v1/places", json=PLACE | {"name": name}, headers=key)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(20)))
    first = [one for one in answers if one.status_code == 201 and "idempotency-replayed" not in one.headers]
    assert len(first) == 1
    for one in answers:
        if one.status_code == 201:
            assert one.json() == first[0].json()
        else:
            problem(one, 409, "still_running")
    with house.server.api() as api:
        assert [place["name"] for place in api.get("/v1/places?limit=200").json()["data"]].count(name) == 1


class Sabotage:
    """Makes inserting a place fail inside the database, or wait, as a full disk or a long lock would."""

    def __init__(self, url: str) -> None:
        self._sqlite = url.removeprefix("sqlite:///") if url.startswith("sqlite") else None
        self._dsn = url.replace("postgresql+psycopg", "postgresql", 1)

    def run(self, *statements: str) -> None:
        if self._sqlite:
            with sqlite3.connect(self._sqlite, timeout=10) as connection:
                for statement in statements:
                    connection.execute(statement)
            connection.close()
            return
        with psycopg.connect(self._dsn, autocommit=True) as server:
            for statement in statements:
                server.execute(statement.encode())

    def begin(self) -> None:
        if self._sqlite:
            self.run("CREATE TRIGGER sabotage BEFORE INSERT ON places BEGIN SELECT RAISE(ABORT, 'sabotage'); END")
            return
        self.run(
            "CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'sabotage'; END $$",
            "CREATE TRIGGER sabotage BEFORE INSERT ON places FOR EACH ROW EXECUTE FUNCTION sabotage()",
        )

    def end(self) -> None:
        if self._sqlite:
            self.run("DROP TRIGGER sabotage")
        else:
            self.run("DROP FUNCTION sabotage CASCADE")


def test_a_request_that_failed_on_our_side_may_be_tried_again_with_its_key(house: House) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    sabotage = Sabotage(house.database_url)
    with house.server.api() as api:
        sabotage.begin()
        try:
            failed = api.post("/v1/places", json=PLACE, headers=key)
        finally:
            sabotage.end()
        body = problem(failed, 500, "internal")
        assert "sabotage" not in failed.text
        assert "Traceback" not in failed.text
        assert body["detail"]
        assert all(failed.headers.get(name) for name in HEADERS)
        tried = api.post("/v1/places", json=PLACE, headers=key)
        made(tried)
        assert "idempotency-replayed" not in tried.headers


def test_a_request_that_still_runs_is_not_run_twice(house: House) -> None:
    if house.database_url.startswith("sqlite"):
        pytest.skip("a lock on one table alone needs PostgreSQL; the race of twenty runs on both")
    key = {"Idempotency-Key": uuid4().hex}
    dsn = house.database_url.replace("postgresql+psycopg", "postgresql", 1)
    with house.server.api() as api, ThreadPoolExecutor(1) as pool, psycopg.connect(dsn) as blocker:
        blocker.execute("LOCK TABLE places IN ACCESS EXCLUSIVE MODE")
        running = pool.submit(api.post, "/v1/places", json=PLACE, headers=key)
        claimed = "SELECT count(*) FROM idempotent_answers WHERE key = %s"
        wait_until(lambda: blocker.execute(claimed, (key["Idempotency-Key"],)).fetchone() == (1,))
        with house.server.api() as second:
            problem(second.post("/v1/places", json=PLACE, headers=key), 409, "still_running")
            blocker.rollback()
            place = made(running.result(timeout=20))
            assert made(second.post("/v1/places", json=PLACE, headers=key)) == place


def test_of_requests_with_one_external_id_one_wins_and_the_others_are_conflicts(house: House) -> None:
    name = uuid4().hex
    start = threading.Barrier(10)

    def send(_: int) -> httpx2.Response:
        with house.server.api() as api:
            start.wait()
            return api.post("/v1/places", json=PLACE | {"external_id": name})

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(send, range(10)))
    assert sorted(one.status_code for one in answers) == [201] + [409] * 9
    for one in answers:
        if one.status_code == 409:
            problem(one, 409, "conflict")


def test_lists_are_newest_first_and_a_cursor_goes_on_where_the_page_ended(house: House) -> None:
    with owner(house.server, house.other_key) as api:
        names = [f"{uuid4().hex}" for _ in range(5)]
        for name in names:
            made(api.post("/v1/campaigns", json=CAMPAIGN | {"name": name}))
        seen: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = api.get(f"/v1/campaigns?limit=2{cursor}").json()
            assert len(page["data"]) <= 2
            seen += page["data"]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert [one["name"] for one in seen[:5]] == names[::-1]
        assert len(seen) == len({one["id"] for one in seen})
        assert api.get("/v1/campaigns?limit=1").json()["data"][0]["name"] == names[-1]
        assert api.get("/v1/campaigns?limit=200").json()["next_cursor"] is None


@pytest.fixture(scope="module")
def singles(house: House) -> dict[str, dict[str, Any]]:
    """Single resources: path -> a body that PATCH takes, or nothing when it is not changed by PATCH."""
    own = make_shop(house.server)
    return {
        f"/v1/places/{own.place}": {"name": "Bellecour II"},
        f"/v1/campaigns/{own.campaign}": {"name": "Verger II"},
        f"/v1/tokens/{own.token}": {"label": "Poster II"},
        f"/v1/missions/{own.mission}": {},
        "/v1/organisation": {},
    }


def test_a_single_resource_has_a_tag_and_is_not_sent_again_while_it_stays(
    house: House, singles: dict[str, dict[str, Any]]
) -> None:
    with house.server.api() as api:
        for path in singles:
            answer = api.get(path)
            tag = answer.headers["etag"]
            assert api.get(path).headers["etag"] == tag
            for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
                same = api.get(path, headers={"If-None-Match": known})
                assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
                assert same.headers["x-content-type-options"] == "nosniff"
            assert api.get(path, headers={"If-None-Match": '"other"'}).json() == answer.json()


def test_a_change_based_on_what_was_read_is_refused_when_it_changed_meanwhile(
    house: House, singles: dict[str, dict[str, Any]]
) -> None:
    with house.server.api() as api:
        for path, change in singles.items():
            if not change:
                continue
            tag = api.get(path).headers["etag"]
            problem(api.patch(path, json=change, headers={"If-Match": '"other"'}), 412, "precondition_failed")
            problem(api.patch(path, json=change, headers={"If-Match": f"W/{tag}"}), 412, "precondition_failed")
            assert api.get(path).headers["etag"] == tag
            changed = api.patch(path, json=change, headers={"If-Match": tag})
            assert changed.status_code == 200
            assert changed.headers["etag"] == api.get(path).headers["etag"] != tag
            problem(api.patch(path, json=change, headers={"If-Match": tag}), 412, "precondition_failed")
            assert api.patch(path, json=change, headers={"If-Match": "*"}).status_code == 200
            assert api.patch(path, json=change).status_code == 200
        missing = api.patch(f"/v1/places/plc_{'0' * 32}", json={"name": "x"}, headers={"If-Match": "*"})
        problem(missing, 404, "not_found")


def test_of_changes_based_on_the_same_reading_one_goes_in(house: House, singles: dict[str, dict[str, Any]]) -> None:
    for path, change in singles.items():
        for field in change:
            with house.server.api() as api:
                tag = api.get(path).headers["etag"]
            assert sorted(change_at_once(house.server, path, field, tag)) == [200] + [412] * 7


def change_at_once(server: Server, path: str, field: str, tag: str) -> list[int]:
    """Eight clients change one field at the same moment, each from the same reading; their statuses."""
    start = threading.Barrier(8)

    def send(number: int) -> int:
        with server.api() as api:
            start.wait()
            return api.patch(path, json={field: f"Change {number}"}, headers={"If-Match": tag}).status_code

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(send, range(8)))


def test_every_answer_has_the_security_headers(server: Server, shop: Shop) -> None:
    with server.phone(Accept="text/html") as phone, server.api() as api:
        answers = [
            phone.get("/"),
            phone.get(f"/t/{shop.code}"),
            phone.head(f"/t/{shop.code}"),
            phone.get("/t/0000000000"),
            phone.post(f"/t/{shop.code}/confirm", data={"receipt": "x"}),
            phone.post(f"/t/{shop.code}/check-in", data={"receipt": "x"}),
            phone.get(f"/m/{shop.slug}"),
            phone.get("/nothing"),
            phone.delete("/"),
            phone.get("/staff"),
            phone.get("/docs"),
            phone.get("/openapi.json"),
            phone.get("/me"),
            phone.post("/v1/places", content=b"x" * 1_100_000),
            api.get("/v1/places"),
            api.get("/v1/places/nothing"),
            api.post("/v1/places", json={}),
        ]
    for answer in answers:
        for name in HEADERS:
            assert answer.headers.get(name), (answer.url, name)
        assert "strict-transport-security" not in answer.headers
        assert "'unsafe-inline'" not in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers


def test_the_cookie_comes_with_joining_only_and_no_script_can_read_it(server: Server, shop: Shop) -> None:
    with server.phone() as phone:
        for path in ("/", f"/t/{shop.code}", f"/m/{shop.slug}", "/me", f"/posters/{shop.code}", "/docs", "/staff"):
            assert "set-cookie" not in phone.get(path).headers, path
        receipt = shop.scan()["receipt"]
        for act, more in (("confirm", {}), ("position", {"lat": 45.75, "lon": 4.83, "accuracy_m": 20})):
            answer = phone.post(f"/t/{shop.code}/{act}", json={"receipt": receipt, **more})
            assert answer.is_success, answer.text
            assert "set-cookie" not in answer.headers
        joined = phone.post(f"/m/{shop.slug}/join")
        name, _, flags = joined.headers["set-cookie"].partition(";")
        assert name.startswith("passerelle_p_")
        assert {"httponly", "samesite=lax", "path=/"} <= {flag.strip().lower() for flag in flags.split(";")}
        assert "secure" not in flags.lower()
        assert "set-cookie" not in phone.post(f"/m/{shop.slug}/join").headers


def test_behind_https_cookies_are_secure_and_browsers_stay_on_it(https_house: Server) -> None:
    shop = make_shop(https_house)
    with https_house.phone() as phone:
        cookie = phone.post(f"/m/{shop.slug}/join").headers["set-cookie"]
        assert "; Secure" in cookie
        assert "HttpOnly" in cookie
        assert phone.get(f"/t/{shop.code}").headers["strict-transport-security"].startswith("max-age=")
        assert phone.get("/nothing").headers["strict-transport-security"]
    with https_house.api() as api:
        token = api.get(f"/v1/tokens/{shop.token}").json()
        assert token["url"] == f"HTTPS://SHOP.EXAMPLE/T/{shop.code}"


def test_head_is_answered_like_get_and_counts_nothing(server: Server) -> None:
    shop = make_shop(server)
    with server.phone() as phone, server.api() as api:
        for _ in range(3):
            head = phone.head(f"/t/{shop.code}")
            assert (head.status_code, head.content) == (200, b"")
            assert int(head.headers["content-length"]) > 1000
        assert phone.head("/t/0000000000").status_code == 404
        assert api.get(f"/v1/campaigns/{shop.campaign}/stats").json()["scans"]["raw"] == 0
        assert api.get(f"/v1/scans?campaign_id={shop.campaign}").json()["data"] == []
        assert phone.get(f"/t/{shop.code}").status_code == 200
        assert api.get(f"/v1/campaigns/{shop.campaign}/stats").json()["scans"]["raw"] == 1


def test_a_redirect_is_302_and_nobody_keeps_it(server: Server) -> None:
    shop = make_shop(server, destination="https://brand.example/a?b=c")
    with server.phone() as phone, server.api() as api:
        for method in ("GET", "HEAD"):
            answer = phone.request(method, f"/t/{shop.code}")
            assert (answer.status_code, answer.headers["location"]) == (302, "https://brand.example/a?b=c")
            assert answer.headers["cache-control"] == "no-store"
        asked = phone.get(f"/t/{shop.code}", headers={"Accept": "application/json"})
        assert (asked.status_code, asked.json()["destination"]) == (200, "https://brand.example/a?b=c")
        assert api.patch(f"/v1/tokens/{shop.token}", json={"destination": "http://other.example"}).is_success
        assert phone.get(f"/t/{shop.code}").headers["location"] == "http://other.example"
        assert api.patch(f"/v1/tokens/{shop.token}", json={"destination": None}).is_success
        assert phone.get(f"/t/{shop.code}").headers["location"] == "https://brand.example/a?b=c"
        assert api.patch(f"/v1/campaigns/{shop.campaign}", json={"destination": None}).is_success
        hosted = phone.get(f"/t/{shop.code}")
        assert (hosted.status_code, hosted.headers["cache-control"]) == (200, "no-store")


def test_an_unknown_file_or_path_is_a_problem_or_a_page(server: Server) -> None:
    with server.phone() as phone:
        for path in ("/static/nothing.js", "/nothing", "/v1/nothing", "/t", "/m/nothing", "/posters/nothing"):
            problem(phone.get(path), 404)
            page = phone.get(path, headers={"Accept": "text/html"})
            assert page.status_code == 404
            expected = "application/problem+json" if path.startswith("/v1/") else "text/html; charset=utf-8"
            assert page.headers["content-type"] == expected
