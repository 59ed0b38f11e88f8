"""`passerelle costs` and `conversions`: what a campaign cost and brought, through the HTTP API of a running server."""

import json
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from api.remote import ServerKey, ServerUrl, all_rows, ask, post
from api.terminal import EXIT_REFUSED, AsJson, say, show_rows
from campaigns.sponsorship.money import shown

HERE = "http://127.0.0.1:8000"
costs_app = typer.Typer(help="What a campaign cost, through the HTTP API.", no_args_is_help=True)
conversions_app = typer.Typer(help="Sales that other systems tell of, through the HTTP API.", no_args_is_help=True)

Campaign = Annotated[str, typer.Argument(help="A campaign: cmp_... or ext_...")]


@costs_app.command("add")
def add_cost(
    campaign: Campaign,
    kind: Annotated[str, typer.Argument(help="media, print, staff_hours, fees or other.")],
    amount_minor: Annotated[int, typer.Argument(help="Minor units: 1250 is 12.50 EUR.")],
    label: Annotated[str, typer.Option(help="What it was for.")],
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "EUR",
    on: Annotated[str | None, typer.Option(help="The day, e.g. 2026-10-25; else today.")] = None,
    external_id: Annotated[str | None, typer.Option(help="Your own id of it: adding it twice is refused.")] = None,
    server: ServerUrl = HERE,
    key: ServerKey = "",
    as_json: AsJson = False,
) -> None:
    """Note what was spent. Rewards and pledges are known already, and not typed in."""
    told = {"campaign_id": campaign, "kind": kind, "amount_minor": amount_minor, "currency": currency, "label": label}
    told |= {"incurred_on": on or date.today().isoformat()}  # noqa: DTZ011  # the day where the person is
    told |= {"external_id": external_id} if external_id else {}
    made = post(server, "/v1/costs", key, told)
    if as_json:
        say(json.dumps(made))
    else:
        say(f"{made['id']}: {shown(made['amount_minor'], made['currency'], 'en')} for {made['label']}")


@costs_app.command("list")
def list_costs(campaign: Campaign, server: ServerUrl = HERE, key: ServerKey = "", as_json: AsJson = False) -> None:
    """The costs of a campaign, newest first."""
    rows = all_rows(server, "/v1/costs", key, campaign_id=campaign)
    show_rows(rows, ("id", "incurred_on", "kind", "amount_minor", "currency", "label"), as_json)


@conversions_app.command("import")
def import_conversions(
    file: Annotated[Path, typer.Argument(help="A CSV file, UTF-8.", exists=True, dir_okay=False)],
    campaign: Annotated[str | None, typer.Option(help="Of rows that name no campaign: cmp_... or ext_...")] = None,
    source: Annotated[str | None, typer.Option(help="Of rows that name no source, e.g. shopify.")] = None,
    server: ServerUrl = HERE,
    key: ServerKey = "",
    as_json: AsJson = False,
) -> None:
    """Count conversions from a CSV file. Twice is once, by source and id. Exits 1 when rows were not taken.

    The first line names the columns: source, external_id, campaign_id, currency, occurred_at with its offset, and
    amount_minor or amount; where known place_id, token, scan_id, coupon.
    """
    usual = {name: one for name, one in (("campaign_id", campaign), ("source", source)) if one is not None}
    answer = ask("POST", server, "/v1/conversions/import", key, content=file.read_bytes(), kind="text/csv", **usual)
    if as_json:
        say(json.dumps(answer))
    else:
        for one in answer["rejected"]:
            say(f"line {one['line']}{', ' + one['column'] if one['column'] else ''}: {one['reason']}")
        say(
            f"Counted {answer['accepted']}, knew {answer['duplicates']} before, "
            f"did not take {len(answer['rejected'])} ({answer['conflicts']} of them under an id of another one)."
        )
    raise typer.Exit(EXIT_REFUSED if answer["rejected"] else 0)
