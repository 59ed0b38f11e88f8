"""`passerelle keys` and `members`, against a running server."""

import json
import os
from pathlib import Path
from typing import Any

from sqlmodel import select
from typer.testing import CliRunner, Result

from api.cli import app
from campaigns.identity import ApiKey, Member
from campaigns.storage import Database
from tests.api.helpers import owner, problem
from tests.conftest import Server, run_passerelle


def said(server: Server, *arguments: str) -> Result:
    """The command in this process: starting one would take a second each."""
    return CliRunner().invoke(app, [*arguments, "--server", server.url, "--key", server.key])


def run(server: Server, *arguments: str) -> Any:
    done = said(server, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_key_is_issued_rotated_listed_and_revoked(server: Server) -> None:
    made = run(server, "keys", "issue", "Agence", "--role", "marketer", "--scope", "campaigns.read")
    with owner(server, made["key"]) as agency:
        assert agency.get("/v1/campaigns").status_code == 200
        problem(agency.get("/v1/places"), 403, "right_missing")
    successor = run(server, "keys", "rotate", made["id"])
    run(server, "keys", "revoke", made["id"])
    with owner(server, made["key"]) as old, owner(server, successor["key"]) as new:
        problem(old.get("/v1/campaigns"), 401, "unauthenticated")
        assert new.get("/v1/campaigns").status_code == 200
    listed = {one["id"]: one for one in run(server, "keys", "list")}
    assert listed[made["id"]]["revoked_at"]
    assert listed[successor["id"]]["rotated_from_id"] == made["id"]
    assert not any("key" in one for one in listed.values())


def test_a_member_is_invited_changed_and_removed(server: Server) -> None:
    made = run(server, "members", "invite", "ana@commande.example", "--role", "analyst")
    assert made["sign_in_link"]["url"].startswith(f"{server.url}/console/sign-in/")
    assert run(server, "members", "role", "ANA@commande.example", "marketer")["role"] == "marketer"
    assert run(server, "members", "link", "ana@commande.example")["url"] != made["sign_in_link"]["url"]
    plain = said(server, "members", "remove", "ana@commande.example")
    assert plain.exit_code == 0, plain.output
    assert made["id"] not in {one["id"] for one in run(server, "members", "list")}


def test_a_refusal_is_the_servers_own_words(server: Server) -> None:
    refused = said(server, "keys", "issue", "x", "--role", "approver")
    assert refused.exit_code == 1
    assert "/role" in refused.stderr


def test_the_key_that_init_prints_is_of_the_first_owner(tmp_path: Path) -> None:
    """Else they would approve what they proposed with it: four eyes of one person."""
    url = f"sqlite:///{tmp_path}/passerelle.db"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")}
    done = run_passerelle(environment | {"PASSERELLE_DATABASE_URL": url}, "init", "--owner", "ana@x.example", "--json")
    assert "/console/sign-in/" in json.loads(done.stdout)["sign_in_link"]
    database = Database(url)
    with database.snapshot() as session:
        assert session.exec(select(ApiKey)).one().issued_by_member_id == session.exec(select(Member)).one().id
    database.close()
