"""`passerelle scans tail`: the newest scans of a campaign, and with `-f` each that comes, read beside a server."""

import json
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, tzinfo
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import typer
from rich.console import Console
from rich.text import Text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from api.terminal import AsJson, campaign_named, read_settings, refuse, say
from campaigns import clock, ids, places, scans, tokens
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.scans import Scan, Verdict
from campaigns.storage import Database
from campaigns.tokens import Token

LOOK_S = 0.5  # between two looks for new scans
OVERLAP = timedelta(seconds=30)  # a scan may be written after one that came later, so long
AT_ONCE = 500  # scans read in one look
_STYLES = {Verdict.VALID: "green", Verdict.PROVISIONAL: "yellow", Verdict.HELD: "yellow", Verdict.INVALID: "red"}


class Wanted(NamedTuple):
    """Which scans of a campaign are shown; None where any is."""

    campaign: Campaign
    place_id: UUID | None
    token_id: UUID | None
    verdict: Verdict | None


def tail(
    campaign: Annotated[str, typer.Argument(help="A campaign: cmp_... or ext_...")],
    number: Annotated[int, typer.Option("--number", "-n", min=0, max=AT_ONCE, help="How many to begin with.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with each that comes, until Ctrl-C.")] = False,
    place: Annotated[str | None, typer.Option(help="Of this place alone: plc_... or ext_...")] = None,
    token: Annotated[str | None, typer.Option(help="Of this code alone: tok_...")] = None,
    verdict: Annotated[Verdict | None, typer.Option(help="With this verdict alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """The newest scans of a campaign, oldest first: when, verdict, code, place, device, language and reasons.

    `-f` goes on until Ctrl-C, and through a time in which the database is away. Verdicts are those at that moment. A
    scan that a server could only write half a minute late is not shown. `--json` prints an object a line.
    """
    settings = read_settings()
    if settings.sqlite_path is not None and not settings.sqlite_path.exists():
        refuse(f"There is no database {settings.sqlite_path}.")
    with closing(Database(settings.database_url)) as database:
        with database.snapshot() as session:
            wanted = _wanted(session, campaign, place, token, verdict)
        try:
            for row in _following(database, wanted, number, follow=follow):
                if as_json:
                    say(json.dumps(row))
                else:
                    Console().print(_line(row), soft_wrap=True)
        except KeyboardInterrupt:
            return


def _wanted(session: Session, campaign: str, place: str | None, token: str | None, verdict: Verdict | None) -> Wanted:
    found = campaign_named(session, campaign)
    place_id = places.place_by_name(session, found.organisation_id, place).id if place else None
    token_id = tokens.token_by_id(session, found.organisation_id, ids.parse("tok", token)).id if token else None
    return Wanted(found, place_id, token_id, verdict)


def _following(database: Database, wanted: Wanted, number: int, *, follow: bool) -> Iterator[dict[str, Any]]:
    """The last ones, then each new one once."""
    began = clock.utc_now()
    with database.snapshot() as session:
        rows = _read(session, wanted, since=None, limit=number)
    yield from rows
    shown = deque((one["id"] for one in rows), maxlen=10 * AT_ONCE)
    since = began
    while follow:
        time.sleep(LOOK_S)
        try:
            with database.snapshot() as session:
                rows = [one for one in _read(session, wanted, since=since, limit=AT_ONCE) if one["id"] not in shown]
        except OperationalError:
            Console(stderr=True).print("The database is away; looking again.", style="yellow")
            time.sleep(2)
            continue
        yield from rows
        shown.extend(one["id"] for one in rows)
        since = max(began, clock.utc_now() - OVERLAP)


def _read(session: Session, wanted: Wanted, *, since: datetime | None, limit: int) -> list[dict[str, Any]]:
    """The newest scans as they stand, the oldest first; more are read where a verdict is asked for."""
    if not limit:
        return []
    about = {"token_id": wanted.token_id, "place_id": wanted.place_id, "since": since}
    read = limit if wanted.verdict is None else AT_ONCE
    found = scans.list_scans(session, wanted.campaign.id, limit=read, **about)  # type: ignore[arg-type]  # as it is named
    judged = scans.standing_judgements(session, [one.id for one in found])
    standing = [(one, judged.get(one.id, one)) for one in found]
    kept = [pair for pair in standing if wanted.verdict in (None, pair[1].verdict)][:limit]
    codes = _named(session, Token, {one.token_id for one, _ in kept})
    shops = _named(session, Place, {one.place_id for one, _ in kept})
    zone = clock.zone(wanted.campaign.time_zone)
    return [_row(one, ruling, codes.get(one.token_id), shops.get(one.place_id), zone) for one, ruling in kept[::-1]]


def _row(scan: Scan, ruling: Any, code: Token | None, shop: Place | None, zone: tzinfo) -> dict[str, Any]:
    return {
        "at": scan.scanned_at.astimezone(zone).isoformat(timespec="seconds"),
        "id": ids.show("scn", scan.id),
        "verdict": ruling.verdict,
        "code": code.code if code else scan.code,
        "label": code and code.label,
        "place": shop and shop.name,
        "device": scan.device,
        "language": scan.language,
        "country": scan.country,
        "reasons": [reason for reason in ruling.reasons.split(",") if reason],
    }


def _named(session: Session, table: Any, wanted: set[UUID | None]) -> dict[UUID | None, Any]:
    query = select(table).where(col(table.id).in_([one for one in wanted if one is not None]))
    return {one.id: one for one in session.exec(query)}


def _line(row: dict[str, Any]) -> Text:
    """A scan on one line, its verdict in colour."""
    about = " · ".join(str(one) for one in (row["label"] or row["code"], row["place"], row["device"]) if one)
    line = Text(f"{row['at'][11:19]}  ")
    line.append(f"{row['verdict']:<12}", style=_STYLES.get(row["verdict"], "dim"))
    line.append(f"{about} {row['language']}")
    return line.append(f"  {', '.join(row['reasons'])}", style="dim") if row["reasons"] else line
