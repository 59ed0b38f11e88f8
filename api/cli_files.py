"""`passerelle campaigns` and `places`: files that are sent to a server."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from api.remote import ServerKey, ServerUrl, ask
from api.terminal import EXIT_REFUSED, AsJson, refuse, say

campaigns_app = typer.Typer(help="Campaigns, through the HTTP API.", no_args_is_help=True)
places_app = typer.Typer(help="Places, through the HTTP API.", no_args_is_help=True)


@campaigns_app.command("apply")
def apply_file(
    file: Annotated[Path, typer.Argument(help="A campaign.toml.", exists=True, dir_okay=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference, change nothing.")] = False,
    server: ServerUrl = "http://127.0.0.1:8000",
    key: ServerKey = "",
    as_json: AsJson = False,
) -> None:
    """Make places, campaign, mission and tokens from a file, in one step. Twice is once."""
    try:
        plan = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        refuse(f"{file} is not TOML: {error}")
    answer = put_file(server, key, plan, dry_run=dry_run)
    if as_json:
        say(json.dumps(answer))
        return
    for sign, what in (("+", "created"), ("~", "changed")):
        for line in answer[what]:
            say(f"{sign} {line}")
    say(
        f"{'Would create' if dry_run else 'Created'} {len(answer['created'])}, changed {len(answer['changed'])}, "
        f"left {answer['unchanged']} as they were."
    )


def put_file(server: str, key: str, plan: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    """Send a campaign file to a server; refuses with the server's own words."""
    name = plan.get("external_id")
    if not isinstance(name, str) or not name:
        refuse("The file needs an external_id: it makes applying it twice safe.")
    path = f"/v1/campaign-files/{quote(name, safe='')}"
    content = json.dumps(plan, default=str).encode()
    return ask("PUT", server, path, key, content=content, kind="application/json", dry_run=str(dry_run).lower())


@places_app.command("import")
def import_places(
    file: Annotated[Path, typer.Argument(help="A CSV file, UTF-8.", exists=True, dir_okay=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, change nothing.")] = False,
    server: ServerUrl = "http://127.0.0.1:8000",
    key: ServerKey = "",
    as_json: AsJson = False,
) -> None:
    """Make or change places from a CSV file. Twice is once, by external_id. Exits 1 when rows were not taken."""
    dry = str(dry_run).lower()
    answer = ask("POST", server, "/v1/places/import", key, content=file.read_bytes(), kind="text/csv", dry_run=dry)
    if as_json:
        say(json.dumps(answer))
    else:
        for one in answer["rejected"]:
            say(f"line {one['line']}{', ' + one['column'] if one['column'] else ''}: {one['reason']}")
        say(
            f"{'Would create' if dry_run else 'Created'} {answer['created']}, changed {answer['updated']}, "
            f"left {answer['unchanged']} as they were, did not take {len(answer['rejected'])}."
        )
    raise typer.Exit(EXIT_REFUSED if answer["rejected"] else 0)
