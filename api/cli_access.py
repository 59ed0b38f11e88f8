"""`passerelle keys` and `members`: who may do what, through the HTTP API of a running server."""

import json
from typing import Annotated, Any

import typer

from api.remote import ServerKey, ServerUrl, all_rows, ask, post
from api.terminal import AsJson, refuse, say, show_rows

HERE = "http://127.0.0.1:8000"
keys_app = typer.Typer(help="API keys, through the HTTP API.", no_args_is_help=True)
members_app = typer.Typer(help="Members of the console, through the HTTP API.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(help="key_...")]
Email = Annotated[str, typer.Argument(help="The member's e-mail address.")]


@keys_app.command("issue")
def issue_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    role: Annotated[str, typer.Option(help="owner, marketer, moderator, analyst or staff.")] = "marketer",
    scope: Annotated[list[str] | None, typer.Option(help="A right to keep to; several times for several.")] = None,
    place: Annotated[list[str] | None, typer.Option(help="A place to keep to; several times for several.")] = None,
    expires_at: Annotated[str | None, typer.Option(help="RFC 3339, e.g. 2027-01-31T00:00:00+01:00.")] = None,
    test: Annotated[bool, typer.Option("--test", help="A test key: its data live apart.")] = False,
    server: ServerUrl = HERE,
    key: ServerKey = "",
    as_json: AsJson = False,
) -> None:
    """Issue a key and print it: once, keep it. /docs/rights on the server says what each role may do."""
    asked = {"name": name, "role": role, "scopes": scope, "place_ids": place, "expires_at": expires_at, "is_test": test}
    made = post(server, "/v1/api-keys", key, {what: value for what, value in asked.items() if value is not None})
    _say_key(made, as_json)


@keys_app.command("list")
def list_keys(server: ServerUrl = HERE, key: ServerKey = "", as_json: AsJson = False) -> None:
    """The organisation's keys, newest first; never the keys themselves."""
    rows = all_rows(server, "/v1/api-keys", key)
    show_rows(rows, ("id", "name", "prefix", "role", "expires_at", "last_used_at", "revoked_at"), as_json)


@keys_app.command("rotate")
def rotate_key(key_id: KeyId, server: ServerUrl = HERE, key: ServerKey = "", as_json: AsJson = False) -> None:
    """Make a key's successor. Both live: put the new one in place, then revoke the old one."""
    _say_key(post(server, f"/v1/api-keys/{key_id}/rotation", key), as_json)


@keys_app.command("revoke")
def revoke_key(key_id: KeyId, server: ServerUrl = HERE, key: ServerKey = "", as_json: AsJson = False) -> None:
    """End a key, from the next request on."""
    ended = post(server, f"/v1/api-keys/{key_id}/revocation", key)
    say(json.dumps(ended) if as_json else f"{ended['name']} ({ended['prefix']}...) ended at {ended['revoked_at']}.")


@members_app.command("invite")
def invite_member(
    email: Email,
    role: Annotated[str, typer.Option(help="owner, marketer, moderator, approver or analyst.")],
    name: Annotated[str, typer.Option(help="How lists call them.")] = "",
    server: ServerUrl = HERE,
    key: ServerKey = "",
    as_json: AsJson = False,
) -> None:
    """Invite somebody to the console. Prints the one-time link, unless the server sends mail itself."""
    asked = {"email": email, "name": name or email.partition("@")[0], "role": role}
    made = post(server, "/v1/members", key, asked)
    say(json.dumps(made) if as_json else _link_words(made["sign_in_link"]))


@members_app.command("link")
def make_link(email: Email, server: ServerUrl = HERE, key: ServerKey = "", as_json: AsJson = False) -> None:
    """A new one-time sign-in link for a member, good for half an hour."""
    link = post(server, f"/v1/members/{_member(server, key, email)}/sign-in-links", key)
    say(json.dumps(link) if as_json else _link_words(link))


@members_app.command("list")
def list_members(server: ServerUrl = HERE, key: ServerKey = "", as_json: AsJson = False) -> None:
    """The organisation's members, newest first."""
    show_rows(all_rows(server, "/v1/members", key), ("id", "email", "name", "role", "joined_at"), as_json)


@members_app.command("role")
def change_role(
    email: Email,
    role: Annotated[str, typer.Argument(help="owner, marketer, moderator, approver or analyst.")],
    server: ServerUrl = HERE,
    key: ServerKey = "",
    as_json: AsJson = False,
) -> None:
    """Give a member another role, from their next request on."""
    path = f"/v1/members/{_member(server, key, email)}"
    shown = ask("PATCH", server, path, key, content=json.dumps({"role": role}).encode())
    say(json.dumps(shown) if as_json else f"{shown['name']} is {shown['role']} now.")


@members_app.command("remove")
def remove_member(email: Email, server: ServerUrl = HERE, key: ServerKey = "") -> None:
    """Remove a member: sessions and links end at once."""
    ask("DELETE", server, f"/v1/members/{_member(server, key, email)}", key)
    say(f"{email} is a member no more.")


def _member(server: str, key: str, email: str) -> str:
    wanted = email.strip().casefold()
    found = [one["id"] for one in all_rows(server, "/v1/members", key) if (one["email"] or "").casefold() == wanted]
    if not found:
        refuse(f"Nobody with the address {email} is a member.")
    return str(found[0])


def _say_key(made: dict[str, Any], as_json: bool) -> None:
    say(json.dumps(made) if as_json else f"{made['name']} ({made['role']}), shown only now: {made['key']}")


def _link_words(link: dict[str, Any]) -> str:
    if link["url"] is None:
        return f"The link was sent to {link['sent_to']}."
    return f"Good once, until {link['expires_at']}: {link['url']}"
