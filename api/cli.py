"""The `passerelle` command."""

import gc
import json
import os
import signal
import sys
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import psycopg
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from api import (
    cli_access,
    cli_archive,
    cli_backup,
    cli_export,
    cli_files,
    cli_funnel,
    cli_ledger,
    cli_money,
    cli_report,
    cli_scans,
    cli_stats,
    cli_webhooks,
)
from api.terminal import EXIT_DIFFERENT, EXIT_REFUSED, AsJson, read_settings, refuse, say
from campaigns import audit, clock, identity, ids, migrations, privacy
from campaigns import verify as verification
from campaigns.errors import CampaignError
from campaigns.identity import RIGHTS, Role
from campaigns.scans import partitions
from campaigns.sealing import Keyring
from campaigns.settings import Settings
from campaigns.storage import Database, sole_process

# What every server of ours runs with; the bench gives the same to the bare one it compares with.
SERVER_FLAGS: dict[str, Any] = {
    "http": "httptools",
    "loop": "uvloop",
    "ws": "none",
    "log_level": "warning",
    "access_log": False,
    "server_header": False,
    "date_header": True,
    "timeout_graceful_shutdown": 5,
    "timeout_worker_healthcheck": 30,  # a process that is busy, or still starting on a slow machine, is not a dead one
    "timeout_keep_alive": 30,
    "backlog": 4096,
}

app = typer.Typer(
    help="Passerelle: a scan in a shop becomes a community that acts.\n\n"
    "Try `passerelle demo` first. Settings are environment variables PASSERELLE_* (also from a .env).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for name, commands in (
    ("campaigns", cli_files.campaigns_app),
    ("places", cli_files.places_app),
    ("keys", cli_access.keys_app),
    ("members", cli_access.members_app),
    ("webhooks", cli_webhooks.webhooks_app),
    ("costs", cli_money.costs_app),
    ("conversions", cli_money.conversions_app),
):
    app.add_typer(commands, name=name)
scans_app = typer.Typer(help="The scan log.", no_args_is_help=True)
app.add_typer(scans_app, name="scans")

app.command()(cli_backup.backup)
app.command()(cli_backup.restore)
app.command()(cli_archive.archive)
app.command("ledger-check")(cli_ledger.ledger_check)
app.command("stats")(cli_stats.show_stats)
app.command("report")(cli_report.show_report)
app.command("funnel")(cli_funnel.show)
app.command()(cli_export.export)
privacy_app = typer.Typer(help="What is kept of people, and how long.", no_args_is_help=True)
app.add_typer(privacy_app, name="privacy")


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (PASSERELLE_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (PASSERELLE_PORT).")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes (PostgreSQL).")] = 1,
) -> None:
    """Serve pages and API. Migrates the database by itself; runs the worker inside.

    While PostgreSQL is away a starting server waits for it, PASSERELLE_START_PATIENCE_S seconds at most (60), says so,
    and then exits 1: without the database it knows no code, so it cannot begin with the spool. A running one goes on.
    """
    settings = read_settings()
    settings = settings.model_copy(
        update={"host": host or settings.host, "port": port if port is not None else settings.port}
    )
    if workers > 1 and settings.sqlite_path is not None:
        refuse(
            "One process writes a SQLite file, so --workers needs PostgreSQL: set "
            "PASSERELLE_DATABASE_URL=postgresql://..., or serve without --workers."
        )
    with _alone(settings):
        Database(settings.database_url).await_server(settings.start_patience_s)
        say(f"Passerelle listens on http://{settings.host}:{settings.port}; its codes point to {settings.base_url}.")
        run_server(settings, workers)


def run_server(settings: Settings, workers: int = 1) -> None:
    """Run uvicorn until it is told to stop. Several workers read their settings from the environment."""
    gc.disable()  # as in api/__main__.py
    import uvicorn

    from api import deadlines
    from api.app import make_services, settle_interpreter, wire

    gc.enable()
    services = make_services(settings, clock.utc_now)
    http = deadlines.protocol(settings.head_deadline_s, settings.body_deadline_s, services.renderer.headers)
    if workers == 1:
        app: Any = wire(services)
        settle_interpreter()
        more: dict[str, Any] = {}
    else:
        migrations.upgrade(services.database)
        services.database.close()
        app, more = "api.app:from_environment", {"factory": True, "workers": workers}
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        **{**SERVER_FLAGS, "http": http, **more},
    )


@app.command()
def init(
    name: Annotated[str, typer.Option(help="The organisation's name.")] = "My organisation",
    owner: Annotated[str, typer.Option(help="E-mail of a first owner, who signs in to /console.")] = "",
    as_json: AsJson = False,
) -> None:
    """Migrate, create an organisation, and print its owner key: once, keep it.

    With --owner also the one-time link that signs that person in to the console.
    """
    settings = read_settings()
    with _alone(settings):
        from api.app import secret_of

        database = Database(settings.database_url)
        migrations.upgrade(database)
        now = clock.utc_now()
        with database.transaction(author=audit.OPERATOR) as session:
            identity.recognise_secret_key(session, Keyring(secret_of(settings)).fingerprint(), now=now)
            organisation = identity.found_organisation(session, name, now=now)
            member_id, link = _first_owner(session, organisation, owner, now, settings) if owner else (None, None)
            _, key = identity.issue_key(
                session, organisation.id, role=Role.OWNER, name="init", member_id=member_id, now=now
            )
        database.close()
    shown = ids.show("org", organisation.id)
    if as_json:
        say(json.dumps({"organisation": shown, "api_key": key} | ({"sign_in_link": link} if link else {})))
        return
    say(f"Organisation {shown} ({organisation.name}).\nOwner key, shown only now: {key}")
    if link:
        say(f"{owner} signs in to the console once with: {link}")
    say("Next: passerelle serve")


def _first_owner(
    session: Session, organisation: identity.Organisation, email: str, now: datetime, settings: Settings
) -> tuple[UUID, str]:
    """The member, whose key is the one that `init` prints: what it proposes, they do not approve; and their link."""
    rights = RIGHTS[Role.OWNER]
    member, _, secret = identity.invite_member(
        session, organisation.id, email=email, name=email.partition("@")[0], role=Role.OWNER, most=rights, now=now
    )
    return member.id, f"{settings.base_url}/console/sign-in/{secret}"


@app.command()
def worker() -> None:
    """Run the worker alone (PostgreSQL; on SQLite the server runs it). Waits for the database as `serve` does."""
    from api.app import mailer_of, sender_of
    from campaigns.worker import Worker

    settings = read_settings()
    with _alone(settings):
        database = Database(settings.database_url)
        database.await_server(settings.start_patience_s)
        migrations.upgrade(database)
        running = Worker(database, clock.utc_now, mailer_of(settings), sender_of(settings, clock.utc_now))
        signal.signal(signal.SIGTERM, lambda *_: running.stop_soon())
        running.run()
        database.close()


@app.command()
def verify(
    rejudge: Annotated[bool, typer.Option("--rejudge", help="Judge every scan again instead, and compare.")] = False,
    as_json: AsJson = False,
) -> None:
    """Recount every counter from the log, beside a running server. Exits 3 when something does not add up.

    With --rejudge the rules run over the whole log again and change nothing; a SQLite server must be stopped first.
    """
    settings = read_settings()
    if settings.sqlite_path is not None and not settings.sqlite_path.exists():
        refuse(f"There is no database {settings.sqlite_path}.")
    with _alone(settings) if rejudge else nullcontext():
        database = Database(settings.database_url)
        problems = verification.rejudge(database) if rejudge else verification.verify(database, now=clock.utc_now())
        database.close()
    if as_json:
        say(json.dumps({"ok": not problems, "problems": problems}))
    elif problems:
        say("\n".join(problems))
    else:
        say("Every verdict is what the rules say." if rejudge else "Everything adds up.")
    raise typer.Exit(EXIT_DIFFERENT if problems else 0)


@privacy_app.command("report")
def privacy_report(as_json: AsJson = False) -> None:
    """What is held, by class and table: rows, the oldest one, its term. Exits 3 when something is kept too long.

    Reads beside a running server and changes nothing.
    """
    settings = read_settings()
    if settings.sqlite_path is not None and not settings.sqlite_path.exists():
        refuse(f"There is no database {settings.sqlite_path}.")
    database = Database(settings.database_url)
    with database.snapshot() as session:
        held = privacy.report(session, now=clock.utc_now())
    database.close()
    if as_json:
        say(json.dumps({"ok": not any(one.is_overdue for one in held), "held": [one.as_json() for one in held]}))
    else:
        Console().print(privacy_table(held))
    raise typer.Exit(EXIT_DIFFERENT if any(one.is_overdue for one in held) else 0)


def privacy_table(held: list[privacy.Held]) -> Table:
    """What is held of people, for a terminal; what is not of people is left to `--json`."""
    table = Table("class", "table", "what", "how long", "rows", "oldest", "")
    for one in held:
        if one.term:
            oldest = one.oldest_at.strftime("%Y-%m-%d %H:%M") if one.oldest_at else ""
            late = "overdue" if one.is_overdue else ""
            table.add_row(one.kind, one.table, one.keeps, one.term, str(one.rows), oldest, late)
    return table


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="The same seed makes the same town.")] = 7,
    speed: Annotated[float, typer.Option(help="Live shoppers: 1 is a quiet day, 10 a busy one.")] = 1.0,
    host: Annotated[str, typer.Option(help="Address to listen on; the default lets phones in.")] = "0.0.0.0",  # noqa: S104  # said on screen
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    seconds: Annotated[float, typer.Option(help="Stop by itself after so long; 0 runs until Ctrl-C.")] = 0.0,
    keep: Annotated[Path | None, typer.Option(help="Keep the demo's database in this file.")] = None,
) -> None:
    """Show the whole product: twelve shops, thirty days of history, shoppers arriving now."""
    from api.demo import show

    show(seed=seed, speed=speed, host=host, port=port, seconds=seconds, keep=keep)


scans_app.command("tail")(cli_scans.tail)


@scans_app.command("detach")
def detach_months(
    before: Annotated[str, typer.Option(help="The first month that stays, e.g. 2026-01.")],
) -> None:
    """Take old months out of the log without stopping scans (PostgreSQL); their tables stay, to archive and drop."""
    settings = read_settings()
    if settings.sqlite_path is not None:
        refuse("On SQLite the scan log is one table. Months can be detached on PostgreSQL.")
    done = partitions.detach(Database(settings.database_url).dsn, partitions.parse_month(before))
    say("\n".join(f"detached {name}" for name in done) if done else f"No month is older than {before}.")


def _alone(settings: Settings) -> Any:
    if settings.sqlite_path is None:
        return nullcontext()
    settings.sqlite_path.parent.mkdir(parents=True, exist_ok=True)
    return sole_process(settings.sqlite_path)


def main() -> None:
    """The entry point: refusals are one line, never a stack trace."""
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    try:
        app()
        return
    except CampaignError as error:
        reason = error.detail
    except (OperationalError, psycopg.OperationalError) as error:
        reason = f"The database does not answer: {' '.join(str(getattr(error, 'orig', error)).split())}"
    Console(stderr=True).print(reason, style="red", markup=False, highlight=False)
    sys.exit(EXIT_REFUSED)
