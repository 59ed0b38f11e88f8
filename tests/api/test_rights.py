"""Who may do what, tried: every route of the application with every kind of key, and with another's ids.

Generated from the routes and their policies, and from the table RIGHTS: a new route is tried as soon as it is there.
Tried by hand, each turning a test red: PUBLIC instead of `may(...)` on one route; `find_own` without the organisation;
no organisation in `list_places`; `is_live` without `revoked_at`.
"""

import os
import re
import secrets
import threading
from html import unescape
from typing import Any

import pytest
from fastapi import APIRouter, Request
from fastapi.routing import RouteContext
from sqlalchemy import event

from api.dependencies import Core, authenticate
from api.policies import PUBLIC, May, Open, may, name_policies, policy_of
from campaigns.identity import KEY_ROLES, MEMBER_ROLES, RIGHTS, Right, Role, rights_of_key
from campaigns.ids import uuid7
from campaigns.tokens import codes
from tests.api.peers import NAMES, Peers, filled, method_of, name_of, parameters, path_of

SOAK = bool(os.environ.get("PASSERELLE_SOAK"))
NO_IDS = ("external_id", "pass_scan_id", "legal_id")  # fields of bodies that only sound like one
TOKENS = "POST /v1/campaigns/{campaign_id}/tokens"
# Not of the kind in the example, and beside `beneficiary_ids` in it: refused before anything is looked up.
REFUSED = (
    ("POST /v1/campaigns/{campaign_id}/token-batches", "place_id"),
    ("POST /v1/missions/{mission_id}/pledges", "beneficiary_id"),
)
NO_KEY = {None: None, "revoked": "revoked", "expired": "expired", "broken": "psr_live_" + "x" * 40}


def expected(policy: May, role: Role) -> bool:
    """Whether the table and the policy let a key of this role in."""
    is_bound = role is Role.STAFF
    return policy.right in rights_of_key(role, None) and (policy.placed or not is_bound)


def judged(route: RouteContext, key: str | None, answer: Any, *, is_in: bool) -> str | None:
    """What is wrong with an answer, if anything: let in where it should not be, or kept out."""
    said = f"{name_of(route)} with the key {key!r}: {answer.status_code} {answer.text[:200]}"
    if answer.status_code >= 500:
        return said
    if is_in:
        return said if answer.status_code in (401, 403) else None
    if answer.status_code != 403 or answer.json()["code"] != "right_missing":
        return said
    return None


def some(peers: Peers, routes: list[RouteContext]) -> list[RouteContext]:
    """All on SQLite, a fifth on PostgreSQL: the policy answers before the route asks its database. All with SOAK."""
    return routes if SOAK or peers.services.database.is_sqlite else routes[::5]


def tried(peers: Peers, routes: list[RouteContext]) -> list[str]:
    """Every route with a key of every role, a key bound to a place, and one with any other scope."""
    wrong: list[str | None] = []
    for route in routes:
        policy = policy_of(route)
        assert isinstance(policy, May), f"{name_of(route)} is of the API, and {policy.whom} may use it"
        cases: dict[str, bool] = {role.value: expected(policy, role) for role in KEY_ROLES}
        cases["placed"] = policy.placed and policy.right in rights_of_key(Role.OWNER, None)
        cases[next(one for one in rights_of_key(Role.OWNER, None) if one is not policy.right).value] = False
        for key, is_in in sorted(cases.items(), key=lambda case: case[1]):  # those that change something last
            wrong.append(judged(route, key, peers.ask(route, peers.changing, key), is_in=is_in))
    return [one for one in wrong if one]


def test_a_route_lets_in_whom_its_policy_and_the_table_name(peers: Peers) -> None:
    routes = peers.api()
    assert len(routes) > 70
    assert tried(peers, some(peers, routes)) == []


def test_the_proof_sees_a_route_that_asks_for_no_right(peers: Peers) -> None:
    def anybody_with_a_key(request: Request, core: Core) -> None:
        with core.database.snapshot() as session:
            authenticate(request, core, session)

    routes = [one for one in peers.api() if one.path == "/v1/audit"]
    peers.inner.dependency_overrides[policy_of(routes[0])] = anybody_with_a_key
    try:
        found = tried(peers, routes)
    finally:
        peers.inner.dependency_overrides.clear()
    assert len(found) > 3
    assert all("GET /v1/audit" in one for one in found)


@pytest.mark.parametrize("key", NO_KEY)
def test_no_route_of_the_api_answers_without_a_live_key(peers: Peers, key: str | None) -> None:
    for route in some(peers, peers.api()):
        answer = peers.ask(route, peers.one, NO_KEY[key])
        assert answer.status_code == 401, name_of(route)
        assert answer.json()["code"] == "unauthenticated"


def test_a_key_with_one_scope_reads_what_the_scope_names_and_nothing_else(peers: Peers) -> None:
    for route in some(peers, peers.api()):
        policy = policy_of(route)
        if not isinstance(policy, May) or not name_of(route).startswith("GET"):
            continue
        for right in {policy.right, Right.MEMBERS_READ, Right.TOKENS_READ, Right.FIGURES_READ}:
            wrong = judged(route, right, peers.ask(route, peers.one, right.value), is_in=right is policy.right)
            assert wrong is None


def test_the_example_of_every_read_works(peers: Peers) -> None:
    """Else a 404 of the tests below would prove nothing."""
    for route in peers.api():
        if name_of(route).startswith("GET"):
            answer = peers.ask(route, peers.one, "owner")
            assert answer.status_code == 200, (name_of(route), answer.text[:300])


def foreign_and_unknown(peers: Peers, parameter: str) -> list[tuple[str, str]]:
    """Pairs of (an id of the other organisation, an id of nobody) to put in a parameter."""
    theirs = peers.one.ids[parameter]
    if theirs in NAMES.values():
        return []
    if codes.normalise(theirs) is not None:
        return [(theirs, codes.new_code(secrets.token_bytes))]
    prefix = theirs.partition("_")[0]
    pairs = [(theirs, f"{prefix}_{uuid7().hex}")]
    mark = {"plc": "place", "cmp": "campaign"}.get(prefix)
    return pairs + ([(f"ext_{peers.one.mark}-{mark}", f"ext_Nobody---{mark}")] if mark else [])


def with_statements(peers: Peers, ask: Any) -> tuple[Any, list[str]]:
    """An answer, and the statements it took, but for the one that notes beside it that the key was used."""
    asked: list[str] = []

    def note(*arguments: Any) -> None:
        if not threading.current_thread().name.startswith("activity"):
            asked.append(arguments[2])

    event.listen(peers.services.database.engine, "before_cursor_execute", note)
    try:
        return ask(), asked
    finally:
        event.remove(peers.services.database.engine, "before_cursor_execute", note)


def told_apart(
    peers: Peers, route: RouteContext, foreign: dict[str, Any], unknown: dict[str, Any], status: int
) -> list[str]:
    """Another's id and nobody's get one answer after the same statements: neither word nor time tells them apart."""
    peers.ask(route, peers.other, "owner", **unknown)  # notes the use of the key, once
    first, theirs = with_statements(peers, lambda: peers.ask(route, peers.other, "owner", **foreign))
    second, nobodys = with_statements(peers, lambda: peers.ask(route, peers.other, "owner", **unknown))
    wrong = {
        f"status {first.status_code} and {second.status_code}, not {status}": not (
            first.status_code == second.status_code == status
        ),
        f"words {first.text[:300]}": plain(first, foreign) != plain(second, unknown),
        f"statements {theirs[-1:]} and {nobodys[-1:]}": theirs != nobodys,
        "ids of the other": any(row in first.text for row in peers.one.rows if row not in str(foreign)),
    }
    return [f"{name_of(route)} {foreign}: {what}" for what, is_wrong in wrong.items() if is_wrong]


def plain(answer: Any, asked: dict[str, Any]) -> str:
    """The body of an answer with the id that was asked for taken out."""
    text: str = answer.text
    for id in re.findall(r"(?:[a-z]{3}|ext)_[\w-]{8,}|\b[0-9A-Z]{10}\b", str(asked)):
        text = text.replace(id, "...")
    return text


def test_an_id_of_another_organisation_is_answered_like_one_of_nobody(peers: Peers) -> None:
    wrong = []
    for route in peers.api():
        for name in parameters(route):
            where = f"{route.path} {name}"
            for theirs, nobodys in foreign_and_unknown(peers, where if where in peers.one.ids else name):
                key = where if where in peers.one.ids else name
                wrong += told_apart(peers, route, {"path": {key: theirs}}, {"path": {key: nobodys}}, 404)
    assert wrong == []


def test_a_filter_by_an_id_of_another_organisation_finds_what_an_unknown_one_finds(peers: Peers) -> None:
    tried_filters = 0
    for route in peers.api():
        for one in route.dependant.query_params:
            if not one.alias.endswith("_id"):
                continue
            for theirs, nobodys in foreign_and_unknown(peers, one.alias):
                foreign, unknown = {"query": {one.alias: theirs}}, {"query": {one.alias: nobodys}}
                status = peers.ask(route, peers.other, "owner", **unknown).status_code
                assert status in (200, 404)
                assert told_apart(peers, route, foreign, unknown, status) == []
                tried_filters += 1
    assert tried_filters > 8


def test_a_body_cannot_name_what_belongs_to_another_organisation(peers: Peers) -> None:
    named = 0
    for route in peers.api():
        model = route.body_field.field_info.annotation if route.body_field else None
        for field in getattr(model, "model_fields", {}):
            if not field.endswith(("_id", "_ids")) or field in NO_IDS:
                continue
            for theirs, nobodys in foreign_and_unknown(peers, field.removesuffix("s")):
                one, other = ([theirs], [nobodys]) if field.endswith("s") else (theirs, nobodys)
                foreign, unknown = {"body": {field: one}}, {"body": {field: other}}
                status = peers.ask(route, peers.other, "owner", **unknown).status_code
                assert status == 404 or (name_of(route), field) in REFUSED, name_of(route)
                assert told_apart(peers, route, foreign, unknown, status) == []
                named += 1
    assert named > 5


@pytest.mark.parametrize("field", ["key_set_id", "place_id"])
def test_a_nested_id_and_that_of_another_kind_of_batch_are_no_way_round(peers: Peers, field: str) -> None:
    theirs, nobodys = foreign_and_unknown(peers, field)[0]
    name = TOKENS if field == "key_set_id" else REFUSED[0][0]

    def body(id: str) -> dict[str, Any]:
        if field == "key_set_id":
            return {"medium": "nfc", "kind": "sun", "sun": {"key_set_id": id}}
        return {"kind": "serial", "count": 2, "medium": "qr", "place_id": id}

    (route,) = [one for one in peers.api() if name_of(one) == name]
    assert told_apart(peers, route, {"whole": body(theirs)}, {"whole": body(nobodys)}, 404) == []


def test_an_organisation_named_in_a_body_is_refused(peers: Peers) -> None:
    injected = {"organisation_id": f"org_{peers.one.id.hex}"}
    tried_bodies = 0
    for route in peers.api():
        if route.body_field is None:
            continue
        answer = peers.ask(route, peers.other, "owner", body=injected)
        assert answer.status_code == 422, name_of(route)
        assert [one["pointer"] for one in answer.json()["errors"]] == ["/organisation_id"], name_of(route)
        tried_bodies += 1
    assert tried_bodies > 10


def test_nothing_of_one_organisation_is_read_by_the_other(peers: Peers) -> None:
    for route in peers.api():
        if not name_of(route).startswith("GET"):
            continue
        answer = peers.ask(route, peers.other, "owner", query={"limit": 200} if is_list(route) else {})
        assert answer.status_code == 200, name_of(route)
        seen = [one for one in (*peers.one.rows, peers.one.mark) if one in answer.text]
        assert seen == [], name_of(route)


def is_list(route: RouteContext) -> bool:
    return any(one.name == "limit" for one in route.dependant.query_params)


def test_a_page_for_a_shop_or_a_member_shows_nothing_without_their_cookie(peers: Peers) -> None:
    tried_pages = 0
    known = {"secret": "x" * 22, "writing_id": f"twr_{uuid7().hex}", **peers.one.ids}
    for route in peers.routes():
        policy = policy_of(route)
        if path_of(route).startswith("/v1") or policy == PUBLIC.dependency:
            continue
        assert isinstance(policy, Open)
        headers = {"Sec-Fetch-Site": "same-origin"}
        page = peers.client.request(method_of(route), filled(route, known), headers=headers, follow_redirects=False)
        assert page.status_code in (303, 401, 403, 404, 410, 422), (name_of(route), page.status_code)
        assert not any(row in page.text for row in peers.one.rows if row not in page.url.path), name_of(route)
        tried_pages += 1
    assert tried_pages > 5


def test_a_route_without_a_policy_stops_the_start_and_one_with_two_as_well() -> None:
    bare, double = APIRouter(), APIRouter()
    bare.add_api_route("/v1/bare", lambda: None)
    double.add_api_route("/v1/double", lambda: None, dependencies=[PUBLIC, may(Right.PLACES_READ)])
    with pytest.raises(RuntimeError, match="/v1/bare names 0 policies"):
        name_policies(bare.routes)
    with pytest.raises(RuntimeError, match="/v1/double names 2 policies"):
        name_policies(double.routes)


def test_the_description_names_the_policy_of_every_route(peers: Peers) -> None:
    document = peers.inner.openapi()
    for route in peers.routes():
        if route.include_in_schema:
            operation = document["paths"][route.path][name_of(route).partition(" ")[0].lower()]
            assert operation["x-policy"] == policy_of(route).whom


def test_an_example_of_a_right_that_nobody_has_is_none() -> None:
    assert {right for rights in RIGHTS.values() for right in rights} == set(Right)


def test_the_page_of_rights_is_the_table_and_the_routes(peers: Peers) -> None:
    page = peers.client.get("/docs/rights", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert 'href="/docs/rights"' in peers.client.get("/docs", headers={"Accept": "text/html"}).text
    rows = re.findall(r'<tr id="([\w.]+)">(.*?)</tr>', page.text)
    assert [name for name, _ in rows] == list(Right)
    for name, cells in rows:
        marks = [one == "yes" for one in re.findall(r'aria-label="(yes|no)"', cells)]
        members = [Right(name) in RIGHTS[role] for role in MEMBER_ROLES]
        assert marks == members + [Right(name) in rights_of_key(role, None) for role in KEY_ROLES]
    shown = re.findall(r"<li><code>([^<]+)</code><br><span class=\"soft\">(?:<a[^>]*>)?([^<]+)", page.text)
    assert [(path, unescape(whom)) for path, whom in shown] == [
        (name_of(one), policy_of(one).whom) for one in peers.routes()
    ]


def test_no_reading_right_is_enough_to_write_and_what_is_read_needs_one(peers: Peers) -> None:
    """The table cannot tell that a route names the wrong right; this much of it can be told."""
    odd = {
        "POST /v1/tokens/{token_id}/qr.{format}",  # draws, and keeps nothing
        "GET /v1/cohort-links",  # for who may take them back
        "GET /v1/places/{place_id}/staff-sessions",  # for who may end them
        "GET /v1/campaigns/{campaign_id}/kits.zip",  # makes sign-in links
        "GET /v1/coupons/{code}",  # for tills, that use it next
    }
    rights = {name_of(one): policy_of(one).whom for one in peers.api() if name_of(one) not in odd}
    assert [one for one in rights if one.startswith("GET") != rights[one].endswith(".read")] == []
