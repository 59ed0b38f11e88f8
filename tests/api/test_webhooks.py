"""Webhooks through HTTP: registered with a secret shown once, and a check-in told to a real receiver."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlmodel import select
from standardwebhooks import Webhook as Verifier
from typer.testing import CliRunner, Result

from api.cli import app
from campaigns.storage import Database
from campaigns.webhooks import KINDS, Webhook
from tests.api.helpers import Shop, made, make_shop, problem
from tests.conftest import ROOT, Server, running_server, wait_until
from tests.receiver import Answer, Receiver, receiver

HOOK = {"url": "https://erp.example/hook", "events": ["scan.checked_in"]}
NOBODYS = "whk_" + "0" * 12 + "7" + "0" * 3 + "8" + "0" * 15
README = (ROOT / "README.md").read_text()


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Receiver]:
    with receiver(tmp_path, tls=False) as found:
        yield found


@pytest.fixture
def trial(database_url: str) -> Iterator[Server]:
    """A server that may send to this machine."""
    with running_server(database_url, PASSERELLE_WEBHOOKS_LOCAL="true") as server:
        yield server


def check_in(shop: Shop) -> None:
    with shop.server.phone(Accept="application/json") as phone:
        receipt = phone.get(f"/t/{shop.code}").json()["receipt"]
        assert phone.post(f"/t/{shop.code}/check-in", json={"receipt": receipt}).status_code == 200


def deliveries(api: httpx2.Client, id: str, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/v1/webhooks/{id}/deliveries", params=query).json()["data"]
    return found


def test_a_check_in_reaches_a_receiver_which_verifies_it_with_the_readmes_ten_lines(
    trial: Server, there: Receiver, tmp_path: Path
) -> None:
    shop = make_shop(trial)
    with trial.api() as api:
        webhook = made(api.post("/v1/webhooks", json={"url": there.url, "events": ["scan.checked_in", "case.opened"]}))
        there.answers = [Answer(500)]  # the first attempt fails, and comes again after five seconds
        check_in(shop)
        wait_until(lambda: len(there.arrived) == 2, seconds=20)
        wait_until(lambda: bool(deliveries(api, webhook["id"], state="delivered")))
        (delivery,) = deliveries(api, webhook["id"])
    first, second = there.arrived
    body = Verifier(webhook["secret"]).verify(second.body, second.headers)
    assert body["type"] == "scan.checked_in"
    assert body["data"]["campaign_id"] == shop.campaign
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivery["message_id"]
    assert [(one["status"], one["error"]) for one in delivery["tries"]] == [(500, "status"), (204, None)]
    assert (delivery["state"], delivery["attempts"], delivery["next_at"]) == ("delivered", 2, None)
    assert delivery["body"] == second.body.decode()
    for message, outcome in ((second.body, "True"), (second.body + b" ", "False")):
        assert verified_by_readme(tmp_path, webhook["secret"], second.headers, message) == outcome


def verified_by_readme(folder: Path, secret: str, headers: dict[str, str], body: bytes) -> str:
    """What the lines that the README shows say of a message."""
    (code,) = [one for one in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "def verified" in one]
    assert len(code.strip().splitlines()) <= 12
    script = folder / "verify.py"
    script.write_text(code + "\nimport json, sys\nprint(verified(*json.loads(sys.argv[1]), sys.argv[2].encode()))\n")
    command = [sys.executable, "-I", str(script), json.dumps([secret, headers]), body.decode()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()


def test_a_secret_is_shown_once_and_sealed_and_rotated(trial: Server, there: Receiver) -> None:
    with trial.api() as api:
        webhook = made(api.post("/v1/webhooks", json=HOOK | {"url": there.url}))
        secret = webhook["secret"]
        assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
        rotated = made(api.post(f"/v1/webhooks/{webhook['id']}/secret-rotation"))
        assert rotated["secret"] != secret
        assert rotated["previous_secret_until"] is not None
        problem(api.post(f"/v1/webhooks/{webhook['id']}/secret-rotation"), 409, "secret_rotating")
        tried = made(api.post(f"/v1/webhooks/{webhook['id']}/test"))
        wait_until(lambda: len(there.arrived) == 1)
        wait_until(lambda: bool(deliveries(api, webhook["id"], state="delivered")))
        again = api.post(f"/v1/webhooks/{webhook['id']}/deliveries/{tried['id']}/replay")
        assert (again.status_code, again.json()["state"]) == (200, "waiting")
        wait_until(lambda: len(there.arrived) == 2)
        for one in there.arrived:
            for known in (secret, rotated["secret"]):
                assert Verifier(known).verify(one.body, one.headers)["type"] == "webhook.tested"
            assert one.headers["webhook-id"] == tried["message_id"]
        pages = [api.get(path).text for path in ("/v1/webhooks", f"/v1/webhooks/{webhook['id']}", "/v1/audit")]
        assert not [page for page in pages if secret[6:] in page or rotated["secret"][6:] in page]
    database = Database(trial.environment["PASSERELLE_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"))
    with database.snapshot() as session:
        (row,) = session.exec(select(Webhook))
    database.close()
    assert row.sealed_previous is not None
    assert secret.encode() not in row.sealed_previous


def test_a_webhook_is_read_changed_switched_off_and_removed(sqlite_server: Server) -> None:
    with sqlite_server.api() as api:
        headers = {"Idempotency-Key": "hook-1"}
        webhook = made(api.post("/v1/webhooks", json=HOOK, headers=headers))
        twin = api.post("/v1/webhooks", json=HOOK, headers=headers)
        assert (twin.headers["idempotency-replayed"], twin.json()["secret"]) == ("true", webhook["secret"])
        path = f"/v1/webhooks/{webhook['id']}"
        read = api.get(path)
        assert read.json() == {name: value for name, value in webhook.items() if name != "secret"}
        assert api.get(path, headers={"If-None-Match": read.headers["etag"]}).status_code == 304
        off = api.patch(path, json={"active": False}, headers={"If-Match": read.headers["etag"]})
        assert (off.json()["active"], off.json()["off_reason"]) == (False, "asked")
        problem(api.patch(path, json={}, headers={"If-Match": read.headers["etag"]}), 412, "precondition_failed")
        problem(api.post(f"{path}/test"), 409, "webhook_off")
        on = api.patch(path, json={"active": True, "events": ["pledge.ended", "case.opened", "case.opened"]})
        assert (on.json()["active"], on.json()["events"]) == (True, ["case.opened", "pledge.ended"])
        second = made(api.post("/v1/webhooks", json=HOOK))
        listed = api.get("/v1/webhooks?limit=1").json()
        assert [one["id"] for one in listed["data"]] == [second["id"]]
        rest = api.get(f"/v1/webhooks?cursor={listed['next_cursor']}").json()
        assert [one["id"] for one in rest["data"]] == [webhook["id"]]
        problem(api.delete(path, headers={"If-Match": read.headers["etag"]}), 412)
        assert api.delete(path).status_code == 204
        problem(api.get(path), 404)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (HOOK | {"url": "http://erp.example/hook"}, "/url"),
        (HOOK | {"url": "https://127.0.0.1/"}, "/url"),
        (HOOK | {"url": "http://localhost:8000/"}, "/url"),
        (HOOK | {"url": "https://169.254.169.254/"}, "/url"),
        (HOOK | {"url": "https://[::ffff:10.0.0.1]/"}, "/url"),
        (HOOK | {"url": "https://a:b@erp.example/"}, "/url"),
        (HOOK | {"url": "https://erp.example/" + "a" * 2000}, "/url"),
        (HOOK | {"url": ""}, "/url"),
        (HOOK | {"url": 7}, "/url"),
        (HOOK | {"events": []}, "/events"),
        (HOOK | {"events": ["scan.checked"]}, "/events"),
        (HOOK | {"events": "scan.checked_in"}, "/events"),
        (HOOK | {"secret": "whsec_mine"}, "/secret"),
        ({"url": HOOK["url"]}, "/events"),
    ],
)
def test_bad_input_is_told_by_its_field(api_of_one: httpx2.Client, body: dict[str, Any], pointer: str) -> None:
    told = problem(api_of_one.post("/v1/webhooks", json=body), 422)
    assert pointer in [one["pointer"] for one in told["errors"]], told


@pytest.fixture(scope="module")
def api_of_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    folder = tmp_path_factory.mktemp("hooks")
    with running_server(f"sqlite:///{folder}/passerelle.db") as server, server.api() as api:
        yield api


def test_an_unknown_webhook_and_one_by_a_wrong_name_are_not_found(api_of_one: httpx2.Client) -> None:
    for name in (NOBODYS, "whk_1", "hook"):
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/deliveries")):
            body: dict[str, Any] | None = {} if method == "PATCH" else None
            problem(api_of_one.request(method, f"/v1/webhooks/{name}{path}", json=body), 404)
    for patch in ({"active": None}, {"url": None}, {"events": None}, {"active": "perhaps"}, {"secret": "x"}):
        problem(api_of_one.patch(f"/v1/webhooks/{NOBODYS}", json=patch), 422)


def test_the_readme_and_the_description_name_every_event(api_of_one: httpx2.Client) -> None:
    section = README.partition("## Webhooks")[2].partition("\n## ")[0]
    assert [name for name in KINDS if f"`{name}`" not in section] == []
    described = api_of_one.get("/openapi.json").json()["components"]["schemas"]["WebhookCreate"]
    assert described["properties"]["events"]["items"]["enum"] == list(KINDS)


def said(server: Server, *arguments: str) -> Result:
    """`passerelle webhooks`, in this process: starting one would take a second each."""
    options = ["--server", server.url, "--key", server.key]
    return CliRunner().invoke(app, ["webhooks", *arguments, *options], env={"COLUMNS": "250"})


def run(server: Server, *arguments: str) -> Any:
    done = said(server, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_command_line_adds_tries_resends_rotates_and_removes(trial: Server, there: Receiver) -> None:
    made = run(trial, "add", there.url, "--event", "scan.checked_in", "--event", "coupon.redeemed")
    assert made["events"] == ["scan.checked_in", "coupon.redeemed"]
    id = made["id"]

    tested = run(trial, "test", id)
    wait_until(lambda: bool(run(trial, "deliveries", id, "--state", "delivered")))
    (listed,) = run(trial, "deliveries", id)
    assert (listed["id"], listed["event"]) == (tested["id"], "webhook.tested")
    assert run(trial, "deliveries", id, "--state", "failed") == []
    again = run(trial, "resend", id, tested["id"])
    assert (again["message_id"], again["attempts"]) == (tested["message_id"], 0)
    wait_until(lambda: len(there.arrived) == 2)
    for one in there.arrived:
        assert one.headers["webhook-id"] == tested["message_id"]
        assert Verifier(made["secret"]).verify(one.body, one.headers)["type"] == "webhook.tested"

    rotated = run(trial, "rotate", id)
    assert rotated["secret"] != made["secret"]
    off = said(trial, "off", id)
    assert (off.exit_code, off.stdout) == (0, f"{there.url} is off now.\n")
    refused = said(trial, "test", id)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "switched off" in refused.stderr
    assert run(trial, "on", id)["active"]
    assert said(trial, "remove", id).stdout == f"{id} is removed.\n"
    assert id not in {one["id"] for one in run(trial, "list")}


def test_the_command_lines_tables_say_how_sending_went_and_no_secret(trial: Server, there: Receiver) -> None:
    there.always = Answer(410)
    made = said(trial, "add", there.url, "--event", "case.opened").stdout
    id, secret = re.search(r"whk_\w+", made), re.search(r"whsec_\S+", made)
    assert id
    assert secret
    assert id.group() in said(trial, "test", id.group()).stdout
    wait_until(lambda: bool(run(trial, "deliveries", id.group(), "--state", "failed")))
    table = said(trial, "deliveries", id.group()).stdout
    for word in ("webhook.tested", "failed", "410"):
        assert word in table
    listed = said(trial, "list").stdout
    for word in (id.group(), there.url, "case.opened", "gone"):
        assert word in listed
    assert secret.group() not in listed + json.dumps(run(trial, "list"))


def test_what_the_server_refuses_of_a_webhook_is_said_in_its_own_words(trial: Server) -> None:
    for url, event, words in (
        ("http://shop.example/", "scan.checked_in", "/url"),
        ("https://shop.example/", "scan.made", "/events"),
    ):
        refused = said(trial, "add", url, "--event", event)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert words in refused.stderr
    unknown = said(trial, "test", NOBODYS)
    assert unknown.exit_code == 1
    assert "no such webhook" in unknown.stderr
