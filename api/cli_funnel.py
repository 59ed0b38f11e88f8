"""`passerelle funnel`: how many came how far, in the terminal, read from the database beside a running server."""

from contextlib import closing
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from api.figure_filters import asked_for
from api.funnel import FunnelRead, StepRead, show_funnel
from api.terminal import AsJson, campaign_named, read_settings, refuse, say
from campaigns import clock, stats, tokens
from campaigns.storage import Database

BAR = 30  # cells of the longest bar
_SECONDS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def show(
    campaign: Annotated[str, typer.Argument(help="A campaign: cmp_... or ext_...")],
    since: Annotated[str | None, typer.Option(help="A date, or an instant with its zone.")] = None,
    until: Annotated[str | None, typer.Option(help="The same; not included.")] = None,
    by: Annotated[Literal["place", "token"] | None, typer.Option(help="Also where most are lost.")] = None,
    as_json: AsJson = False,
) -> None:
    """From the hit to the coupon used: how many came how far, how fast, and who comes back.

    Reads beside a running server and changes nothing.
    """
    settings = read_settings()
    if settings.sqlite_path is not None and not settings.sqlite_path.exists():
        refuse(f"There is no database {settings.sqlite_path}.")
    now = clock.utc_now()
    with closing(Database(settings.database_url)) as database, database.moment() as session:
        found = campaign_named(session, campaign)
        asked = asked_for(session, found, since, until, {}, now=now)
        can_measure = tokens.is_measurable(session, found)
        funnel = stats.funnel(session, found, asked, can_measure=can_measure, by=by, now=now)
        shown = show_funnel(session, found, asked, funnel)
    if as_json:
        say(shown.model_dump_json())
        return
    console = Console()
    console.print(_table(found.name, shown))
    if shown.drop_offs:
        console.print(_drop_offs(shown))
    console.print(_rates(shown), markup=False, highlight=False)


def _table(name: str, shown: FunnelRead) -> Table:
    table = Table("", "number", "of the step before", "of the hits", "median", "9 in 10 within", "", title=name)
    for column in table.columns[1:6]:
        column.justify = "right"
    for one in shown.steps:
        table.add_row(one.step.replace("_", "-"), *_cells(one), "█" * _length(one, shown.steps[0]))
    table.caption = f"{shown.since} to {shown.until}, complete up to {shown.complete_up_to:%Y-%m-%d %H:%M:%S} UTC"
    return table


def _cells(one: StepRead) -> list[str]:
    number = "not measured" if one.number is None else f"{one.number:,}"
    return [number, _share(one.rate_to_previous), _share(one.rate_to_first), _time(one.median_s), _time(one.p90_s)]


def _length(one: StepRead, first: StepRead) -> int:
    return round((one.number or 0) / first.number * BAR) if first.number else 0


def _share(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.1%}"


def _time(seconds: int | None) -> str:
    """In the largest unit that leaves a whole number of it."""
    if seconds is None:
        return ""
    name, size = next((one for one in _SECONDS if seconds >= one[1]), _SECONDS[-1])
    return f"{seconds / size:.0f} {name}"


def _drop_offs(shown: FunnelRead) -> Table:
    table = Table("lost", "of", "after", "before", "where", title="Where most are lost")
    for one in shown.drop_offs[:10]:
        table.add_row(f"{one.lost:,}", f"{one.reached:,}", one.step, one.next, one.key or "none")
    return table


def _rates(shown: FunnelRead) -> str:
    named = ("bridge_rate", "return_rate", "insider_share", "inflation", "k_factor")
    told = [f"{name} {'not measured' if (rate := getattr(shown, name)) is None else rate}" for name in named]
    if shown.sample.people < shown.sample.of:
        told.append(f"times of {shown.sample.people:,} of {shown.sample.of:,} people")
    return ", ".join(told)
