"""`passerelle webhooks`: which systems hear of what, and how sending to them goes, through the HTTP API."""

import json
from typing import Annotated, Any

import typer

from api.remote import ServerKey, ServerUrl, all_rows, ask, post
from api.terminal import AsJson, say, show_rows

HERE = "http://127.0.0.1:8000"
webhooks_app = typer.Typer(help="Webhooks, through the HTTP API.", no_args_is_help=True)

WebhookId = Annotated[str, typer.Argument(help="whk_...")]


@webhooks_app.command("add")
def add_webhook(
    url: Annotated[str, typer.Argument(help="https, of the public Internet.")],
    event: Annotated[
        list[str], typer.Option(help="What to tell it of, e.g. scan.checked_in; several times for several.")
    ],
    server: ServerUrl = HERE,
    key: ServerKey = "",
    as_json: AsJson = False,
) -> None:
    """Tell an address of events from now on, and print the secret that signs: once, keep it."""
    _say_secret(post(server, "/v1/webhooks", key, {"url": url, "events": event}), as_json)


@webhooks_app.command("list")
def list_webhooks(server: ServerUrl = HERE, key: ServerKey = "", as_json: AsJson = False) -> None:
    """The organisation's webhooks, newest first; never their secrets. `off_reason` says why one is not active."""
    rows = all_rows(server, "/v1/webhooks", key)
    show_rows(rows, ("id", "url", "events", "active", "off_reason", "failing_since"), as_json)


@webhooks_app.command("test")
def try_webhook(webhook_id: WebhookId, server: ServerUrl = HERE, key: ServerKey = "", as_json: AsJson = False) -> None:
    """Send a message of the type webhook.tested, within seconds; `deliveries` tells how that went."""
    made = post(server, f"/v1/webhooks/{webhook_id}/test", key)
    say(
        json.dumps(made) if as_json else f"{made['id']} is on its way; see: passerelle webhooks deliveries {webhook_id}"
    )


@webhooks_app.command("rotate")
def rotate_secret(
    webhook_id: WebhookId, server: ServerUrl = HERE, key: ServerKey = "", as_json: AsJson = False
) -> None:
    """Make a new secret and print it: once, keep it. For 24 hours each message is signed with both."""
    _say_secret(post(server, f"/v1/webhooks/{webhook_id}/secret-rotation", key), as_json)


@webhooks_app.command("on")
def switch_on(webhook_id: WebhookId, server: ServerUrl = HERE, key: ServerKey = "", as_json: AsJson = False) -> None:
    """Switch on again what was switched off, by itself or by `off`: it goes on with what waits, at once."""
    _switch(server, webhook_id, key, True, as_json)


@webhooks_app.command("off")
def switch_off(webhook_id: WebhookId, server: ServerUrl = HERE, key: ServerKey = "", as_json: AsJson = False) -> None:
    """Switch a webhook off: nothing more is made for it, and nothing sent."""
    _switch(server, webhook_id, key, False, as_json)


@webhooks_app.command("remove")
def remove_webhook(webhook_id: WebhookId, server: ServerUrl = HERE, key: ServerKey = "") -> None:
    """Remove a webhook with all that was sent to it; what waits is not sent."""
    ask("DELETE", server, f"/v1/webhooks/{webhook_id}", key)
    say(f"{webhook_id} is removed.")


@webhooks_app.command("deliveries")
def list_deliveries(
    webhook_id: WebhookId,
    state: Annotated[str | None, typer.Option(help="Only those that are waiting, delivered or failed.")] = None,
    server: ServerUrl = HERE,
    key: ServerKey = "",
    as_json: AsJson = False,
) -> None:
    """What was sent in the last 30 days, or will be, newest first; `last` says how its last try ended."""
    query = {"state": state} if state else {}
    rows = all_rows(server, f"/v1/webhooks/{webhook_id}/deliveries", key, **query)
    if not as_json:
        rows = [row | {"last": _ending(row["tries"])} for row in rows]
    show_rows(rows, ("id", "event", "state", "attempts", "last", "made_at", "next_at"), as_json)


@webhooks_app.command("resend")
def resend(
    webhook_id: WebhookId,
    delivery_id: Annotated[str, typer.Argument(help="dlv_..., as `deliveries` lists it.")],
    server: ServerUrl = HERE,
    key: ServerKey = "",
    as_json: AsJson = False,
) -> None:
    """Send a message again, at once and under its own webhook-id, with a new schedule."""
    again = post(server, f"/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay", key)
    say(json.dumps(again) if as_json else f"{again['id']} ({again['event']}) is sent again.")


def _switch(server: str, webhook_id: str, key: str, active: bool, as_json: bool) -> None:
    body = json.dumps({"active": active}).encode()
    shown = ask("PATCH", server, f"/v1/webhooks/{webhook_id}", key, content=body)
    say(json.dumps(shown) if as_json else f"{shown['url']} is {'on' if shown['active'] else 'off'} now.")


def _say_secret(made: dict[str, Any], as_json: bool) -> None:
    say(json.dumps(made) if as_json else f"{made['id']} ({made['url']}), shown only now: {made['secret']}")


def _ending(tries: list[dict[str, Any]]) -> str | None:
    """How the last attempt ended: its status, or the word of what failed."""
    if not tries:
        return None
    return str(tries[-1]["status"] or tries[-1]["error"])
