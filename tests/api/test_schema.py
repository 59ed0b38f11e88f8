"""The API kept to its own description, by Schemathesis on a running server with two organisations as peers.

A few derandomised examples of each operation in `make test`, more of them and PostgreSQL too in `make soak`.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.helpers import CAMPAIGN, Shop, made, make_shop, owner, two_brands
from tests.conftest import Server, client, new_postgres_url, wait_until

SOAK = bool(os.environ.get("PASSERELLE_SOAK"))
EXAMPLES = 60 if SOAK else 5  # of each operation
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ENDLESS = "stream"


class Described:
    """A server and what it says of itself; a shop of the first organisation, and both owner keys."""

    def __init__(self, server: Server, other_key: str, shop: Shop) -> None:
        self.server, self.key, self.other_key = server, server.key, other_key
        with client(server.url) as anybody:
            schema = schemathesis.openapi.from_dict(anybody.get("/openapi.json").json())
        schema.config.update(base_url=server.url)
        results: list[Any] = list(schema.get_all_operations())
        found = [one.ok() for one in results]
        self.operations = [one for one in found if one.path.startswith("/v1") and not one.path.endswith(ENDLESS)]
        self.ids = {
            "place_id": shop.place,
            "campaign_id": shop.campaign,
            "mission_id": shop.mission,
            "token_id": shop.token,
            "scan_id": shop.scan()["scan_id"],
        }

    def try_all(
        self, key: str, names: dict[str, str], judge: Callable[[Any, Any], None] | None = None, *, whole: bool = True
    ) -> int:
        """Send examples of every operation, or only of those with one of the names in their path; how many ran.

        Fails with every answer that is not as described, or that `judge` refuses.
        """
        wrong: list[str] = []
        ran = 0
        for operation in self.operations:
            if not whole and not any(f"{{{name}}}" in operation.path for name in names):
                continue

            @settings(
                max_examples=EXAMPLES if whole else 1,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def answers_as_described(case: Any) -> None:
                nonlocal ran
                for name in names.keys() & (case.path_parameters or {}).keys():
                    case.path_parameters[name] = names[name]
                answer = case.call(headers={"Authorization": f"Bearer {key}"}, timeout=20)
                case.validate_response(answer, checks=CHECKS)
                if judge is not None:
                    judge(case, answer)
                ran += 1

            try:
                answers_as_described()
            except Exception as error:
                wrong.append(f"{operation.label}: {type(error).__name__} {error}"[:900])
        assert wrong == []
        return ran


@pytest.fixture(scope="module", params=["sqlite", "postgres"] if SOAK else ["sqlite"])
def described(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    folder: Path = tmp_path_factory.mktemp("described")
    if request.param == "sqlite":
        url = f"sqlite:///{folder}/passerelle.db"
    else:
        url = new_postgres_url(request.getfixturevalue("postgres"))
    with two_brands(url) as (server, other_key):
        yield Described(server, other_key, make_shop(server))


def test_every_operation_answers_as_it_is_described_and_never_with_a_500(described: Described) -> None:
    statuses: list[int] = []

    def note(_: Any, answer: Any) -> None:
        statuses.append(answer.status_code)

    ran = described.try_all(described.key, described.ids, note)
    assert ran >= EXAMPLES * len(described.operations) / 2
    assert sum(status < 300 for status in statuses) > ran / 10, "hardly any example is taken: it proves little"


def test_an_id_of_one_organisation_used_by_the_other_is_never_found(described: Described) -> None:
    def refuse_found(case: Any, answer: Any) -> None:
        assert answer.status_code in (404, 422), f"{answer.status_code} for {case.method} {case.formatted_path}"

    ran = described.try_all(described.other_key, described.ids, refuse_found, whole=False)
    assert ran > 25


def test_a_revoked_key_opens_nothing_any_more(described: Described) -> None:
    with owner(described.server, described.key) as api:
        key = made(api.post("/v1/api-keys", json={"name": "gone", "role": "owner"}))
        assert api.get("/v1/places", headers={"Authorization": f"Bearer {key['key']}"}).status_code == 200
        assert api.post(f"/v1/api-keys/{key['id']}/revocation").status_code == 200

    def refuse_opened(case: Any, answer: Any) -> None:
        assert answer.status_code == 401, f"{answer.status_code} for {case.method} {case.formatted_path}"

    described.try_all(key["key"], described.ids, refuse_opened)


def test_a_removed_member_is_not_found_by_any_operation(described: Described) -> None:
    with owner(described.server, described.key) as api:
        body = {"email": "gone@example.org", "name": "Gone", "role": "analyst"}
        member = made(api.post("/v1/members", json=body))
        assert api.delete(f"/v1/members/{member['id']}").status_code == 204

    def refuse_found(case: Any, answer: Any) -> None:
        assert answer.status_code == 404, f"{answer.status_code} for {case.method} {case.formatted_path}"

    assert described.try_all(described.key, {"member_id": member["id"]}, refuse_found, whole=False) >= 5


def test_a_cancelled_job_stays_cancelled(described: Described) -> None:
    with owner(described.server, described.key) as api:
        planned = made(api.post("/v1/campaigns", json=CAMPAIGN))
        wanted = {"kind": "serial", "count": 50_000, "medium": "qr"}
        asked = api.post(f"/v1/campaigns/{planned['id']}/token-batches", json=wanted)
        assert asked.status_code == 202
        where = asked.headers["location"]
        assert api.post(f"{where}/cancellation").status_code == 200
        wait_until(lambda: state(api, where) == "cancelled")
        ended = api.get(where).json()
        assert api.post(f"{where}/cancellation").json() == ended


def state(api: httpx2.Client, where: str) -> str:
    return str(api.get(where).json()["state"])
