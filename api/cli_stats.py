"""`passerelle stats`: the figures of a campaign in the terminal, read from the database beside a running server."""

import json
from contextlib import closing
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from api.terminal import AsJson, campaign_named, read_settings, refuse, say
from campaigns import clock, ids, stats
from campaigns.planning import Campaign
from campaigns.stats import Asked, Line
from campaigns.storage import Database

BAR = 30  # cells of the longest bar


def show_stats(
    campaign: Annotated[str, typer.Argument(help="A campaign: cmp_... or ext_...")],
    by: Annotated[str, typer.Option(help=f"One of {', '.join(stats.GROUPS)}; or two: day,place.")] = "day",
    days: Annotated[int, typer.Option(min=1, max=1100, help="How far back.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Scans of a campaign: raw beside human beside verified, with a bar for each group.

    Reads beside a running server and changes nothing.
    """
    settings = read_settings()
    if settings.sqlite_path is not None and not settings.sqlite_path.exists():
        refuse(f"There is no database {settings.sqlite_path}.")
    now = clock.utc_now()
    asked = Asked(since=now - timedelta(days=days - 1), group_by=tuple(one.strip() for one in by.split(",")))
    with closing(Database(settings.database_url)) as database, database.moment() as session:
        found = campaign_named(session, campaign)
        answer = stats.ask(session, found, asked, now=now)
    lines = [*((_name(found, one), one) for one in answer.lines), ("all", answer.total)]
    if as_json:
        say(json.dumps({"campaign": ids.show("cmp", found.id), "groups": [_as_json(*one) for one in lines]}))
    else:
        Console().print(_table(found, lines, answer.complete_up_to))


def _name(campaign: Campaign, line: Line) -> str:
    return " · ".join(stats.key_of(campaign, name, value) or "none" for name, value in line.keys.items())


def _table(campaign: Campaign, lines: list[tuple[str, Line]], complete_up_to: datetime) -> Table:
    table = Table("", "raw", "human", "verified", "visitors", "", title=campaign.name)
    for column in table.columns[1:5]:
        column.justify = "right"
    most = max((one.figures.raw for _, one in lines[:-1]), default=0)
    for number, (name, line) in enumerate(lines):
        is_total = number == len(lines) - 1
        table.add_row(name, *_cells(line), "" if is_total else _bar(line, most), style="bold" if is_total else None)
    table.caption = f"complete up to {complete_up_to:%Y-%m-%d %H:%M:%S} UTC"
    return table


def _cells(line: Line) -> list[str]:
    figures = line.figures
    visitors = "" if line.visitors is None else f"{line.visitors:,}"
    return [f"{figures.raw:,}", f"{figures.human:,}", f"{figures.verified:,}", visitors]


def _bar(line: Line, most: int) -> str:
    """Verified scans full, the rest of the raw ones light."""
    if not most:
        return ""
    raw, verified = (round(number / most * BAR) for number in (line.figures.raw, line.figures.verified))
    return "█" * verified + "░" * (raw - verified)


def _as_json(name: str, line: Line) -> dict[str, Any]:
    figures = line.figures
    counted = {"raw": figures.raw, "human": figures.human, "verified": figures.verified}
    return {"group": name, **counted, "unique_visitors": line.visitors}
