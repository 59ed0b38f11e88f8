"""The `passerelle` command."""

import json
import os
import signal
import sys
import tomllib
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import quote

import psycopg
import typer
from pydantic import ValidationError
from rich.console import Console
from sqlalchemy.exc import OperationalError

from campaigns import clock, identity, ids, migrations
from campaigns import verify as verification
from campaigns.audit import OPERATOR
from campaigns.errors import CampaignError
from campaigns.identity import Role
from campaigns.scans import partitions
from campaigns.sealing import Keyring
from campaigns.settings import Settings
from campaigns.storage import Database, sole_process

EXIT_REFUSED = 1  # the command was understood and refused; the reason is on standard error
EXIT_DIFFERENT = 3  # `verify` found something that does not add up
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
campaigns_app = typer.Typer(help="Campaigns, through the HTTP API.", no_args_is_help=True)
app.add_typer(campaigns_app, name="campaigns")
places_app = typer.Typer(help="Places, through the HTTP API.", no_args_is_help=True)
app.add_typer(places_app, name="places")
scans_app = typer.Typer(help="The scan log.", no_args_is_help=True)
app.add_typer(scans_app, name="scans")

AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
ServerUrl = Annotated[str, typer.Option(help="The server's address.", envvar="PASSERELLE_BASE_URL")]
OwnerKey = Annotated[str, typer.Option(help="An owner key.", envvar="PASSERELLE_API_KEY")]


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
    import uvicorn

    from api import deadlines
    from api.app import make_services, settle_interpreter, wire

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
    name: Annotated[str, typer.Option(help="The organisation's name.")] = "My organisation", as_json: AsJson = False
) -> None:
    """Migrate, create an organisation, and print its owner key: once, keep it."""
    settings = read_settings()
    with _alone(settings):
        from api.app import secret_of

        database = Database(settings.database_url)
        migrations.upgrade(database)
        now = clock.utc_now()
        with database.transaction(author=OPERATOR) as session:
            identity.recognise_secret_key(session, Keyring(secret_of(settings)).fingerprint(), now=now)
            organisation = identity.found_organisation(session, name, now=now)
            _, key = identity.issue_key(session, organisation.id, role=Role.OWNER, now=now)
        database.close()
    shown = ids.show("org", organisation.id)
    if as_json:
        say(json.dumps({"organisation": shown, "api_key": key}))
    else:
        say(f"Organisation {shown} ({organisation.name}).\nOwner key, shown only now: {key}\nNext: passerelle serve")


@app.command()
def worker() -> None:
    """Run the worker alone (PostgreSQL; on SQLite the server runs it). Waits for the database as `serve` does."""
    from campaigns.worker import Worker

    settings = read_settings()
    with _alone(settings):
        database = Database(settings.database_url)
        database.await_server(settings.start_patience_s)
        migrations.upgrade(database)
        running = Worker(database, clock.utc_now)
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
        problems = verification.rejudge(database) if rejudge else verification.verify(database)
        database.close()
    if as_json:
        say(json.dumps({"ok": not problems, "problems": problems}))
    elif problems:
        say("\n".join(problems))
    else:
        say("Every verdict is what the rules say." if rejudge else "Everything adds up.")
    raise typer.Exit(EXIT_DIFFERENT if problems else 0)


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


@campaigns_app.command("apply")
def apply_file(
    file: Annotated[Path, typer.Argument(help="A campaign.toml.", exists=True, dir_okay=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference, change nothing.")] = False,
    server: ServerUrl = "http://127.0.0.1:8000",
    key: OwnerKey = "",
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
    return _send_file("PUT", server, path, key, content, "application/json", dry_run=dry_run)


@places_app.command("import")
def import_places(
    file: Annotated[Path, typer.Argument(help="A CSV file, UTF-8.", exists=True, dir_okay=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, change nothing.")] = False,
    server: ServerUrl = "http://127.0.0.1:8000",
    key: OwnerKey = "",
    as_json: AsJson = False,
) -> None:
    """Make or change places from a CSV file. Twice is once, by external_id. Exits 1 when rows were not taken."""
    answer = _send_file("POST", server, "/v1/places/import", key, file.read_bytes(), "text/csv", dry_run=dry_run)
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


def _send_file(
    method: str, server: str, path: str, key: str, content: bytes, content_type: str, *, dry_run: bool
) -> dict[str, Any]:
    import httpx2

    if not key or not key.isascii():
        refuse("Give an owner key: --key psr_live_... or PASSERELLE_API_KEY.")
    try:
        answer = httpx2.request(
            method,
            f"{server.rstrip('/')}{path}",
            params={"dry_run": str(dry_run).lower()},
            headers={"Authorization": f"Bearer {key}", "Content-Type": content_type},
            content=content,
            timeout=60,
        )
    except httpx2.HTTPError as error:
        refuse(f"The server at {server} does not answer: {error}")
    try:
        body: dict[str, Any] = answer.json()
    except ValueError:
        refuse(f"{server} answered {answer.status_code}, and not as Passerelle does. Is it the right address?")
    if answer.status_code != 200:
        faults = "".join(f"\n  {one['pointer']}: {one['detail']}" for one in body.get("errors", []))
        refuse(f"{body.get('detail', answer.text)}{faults}")
    return body


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
