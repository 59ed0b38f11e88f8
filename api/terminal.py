"""What every command of `passerelle` says, refuses and reads in the same way."""

import json
import sys
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from sqlmodel import Session, select

from campaigns import ids
from campaigns.planning import Campaign
from campaigns.settings import Settings

EXIT_REFUSED = 1  # the command was understood and refused; the reason is on standard error
PIPED = 240  # columns of a table that goes to a file or another program: nothing is cut off
EXIT_DIFFERENT = 3  # `verify`, also that of `restore`, found something that does not add up

AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def read_settings() -> Settings:
    """The settings, or a refusal that names the variable."""
    try:
        return Settings()
    except ValidationError as error:
        faults = [f"PASSERELLE_{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors()]
        refuse("\n".join(faults))


def say(text: str) -> None:
    """A line on standard output, as it is."""
    sys.stdout.write(text + "\n")


def refuse(reason: str) -> NoReturn:
    """Say why on standard error and exit 1."""
    Console(stderr=True).print(reason, style="red", markup=False, highlight=False)
    raise typer.Exit(EXIT_REFUSED)


def campaign_named(session: Session, name: str) -> Campaign:
    """The campaign of that id or external id; a refusal when there is none, or one in several organisations."""
    external = ids.external(name)
    wanted = Campaign.external_id == external if external else Campaign.id == ids.parse("cmp", name)
    found = session.exec(select(Campaign).where(wanted)).all()
    if len(found) != 1:
        refuse(f"There is no campaign {name}." if not found else f"Several organisations have a campaign {name}.")
    return found[0]


def show_rows(rows: list[dict[str, Any]], columns: tuple[str, ...], as_json: bool) -> None:
    """A list as a table of these columns, or whole as JSON."""
    if as_json:
        say(json.dumps(rows))
        return
    console, table = Console(), Table()
    for name in columns:
        table.add_column(name, overflow="fold" if name == "id" else "ellipsis")
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in columns))
    if not console.is_terminal:
        console.width = PIPED
    console.print(table)


def _cell(value: Any) -> str:
    return "" if value is None else ", ".join(value) if isinstance(value, list) else str(value)
