"""What every command of `passerelle` says, refuses and reads in the same way."""

import json
import sys
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from campaigns.settings import Settings

EXIT_REFUSED = 1  # the command was understood and refused; the reason is on standard error
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


def show_rows(rows: list[dict[str, Any]], columns: tuple[str, ...], as_json: bool) -> None:
    """A list as a table of these columns, or whole as JSON."""
    if as_json:
        say(json.dumps(rows))
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in columns))
    Console().print(table)


def _cell(value: Any) -> str:
    return "" if value is None else ", ".join(value) if isinstance(value, list) else str(value)
