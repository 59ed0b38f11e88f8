"""Wiring: settings in, one ASGI application out."""

import asyncio
import gc
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from anyio import to_thread
from fastapi import FastAPI, Request, Response
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from api import (
    accruals,
    approvals,
    audit,
    badges,
    care,
    cohort_links,
    community,
    conversions,
    costs,
    crowds,
    edge,
    funnel,
    holdouts,
    ideas,
    identity,
    jobs,
    keys,
    members,
    missions,
    money,
    offers,
    payouts,
    pilots,
    places,
    planning,
    pledges,
    printing,
    problems,
    redemptions,
    reports,
    rounds,
    scan_exports,
    scans,
    sponsors,
    statements,
    stats,
    stats_stream,
    tag_keys,
    tags,
    targets,
    token_batches,
    tokens,
    webhooks,
)
from api.activity import Activity
from api.dependencies import Services
from api.hosted_pages import HostedPages
from api.idempotency import Idempotency
from api.mail import Postman
from api.pages import (
    acts,
    addresses,
    attestations,
    ballots,
    cases,
    causes,
    check_in,
    comments,
    console,
    console_cases,
    console_figures,
    console_ideas,
    console_keys,
    console_log,
    console_members,
    console_moderation,
    console_payouts,
    console_pledges,
    console_report,
    console_rounds,
    console_sign_in,
    console_team,
    coupons,
    feeds,
    figures,
    flags,
    front,
    invitations,
    ledger,
    legal,
    me,
    pilot,
    points,
    previews,
    recovery,
    reference,
    replies,
    report,
    screen,
    shopper,
    staff,
    staff_acts,
    staff_cards,
    staff_cases,
    staff_coupons,
    staff_figures,
    staff_phones,
    staff_rewards,
    trail_map,
)
from api.pages import ideas as idea_pages
from api.pages import pledges as pledge_pages
from api.pages import tags as tag_pages
from api.pages.render import Renderer
from api.pages.staff_session import refuse_locked
from api.policies import PUBLIC, name_policies
from api.rules_in_force import RulesInForce
from api.scan import ScanPath
from api.streams import Streams
from campaigns import clock as clocks
from campaigns import identity as identities
from campaigns import migrations
from campaigns.announcements import Listener
from campaigns.errors import Invalid, NotFound
from campaigns.letters.sending import Mailer
from campaigns.letters.smtp import Smtp
from campaigns.missions import fold_counters
from campaigns.places import Locked
from campaigns.places.geocode import geocoder
from campaigns.places.network import NetworkMap
from campaigns.privacy import ErasureLog
from campaigns.scans import ReceiptBook, take_writer_number
from campaigns.scans.agents import classify
from campaigns.scans.group_commit import GroupCommit
from campaigns.scans.spool import SpoolPlace
from campaigns.scans.visitor import VisitorKeys, salt_of_day
from campaigns.scans.writers import open_writer
from campaigns.sealing import Keyring, keep_secret_file
from campaigns.settings import Settings
from campaigns.storage import Database
from campaigns.tokens.directory import Directory
from campaigns.tokens.gallery import Gallery
from campaigns.tokens.screens import Screens
from campaigns.tokens.workshop import Workshop
from campaigns.webhooks.delivering import Sender
from campaigns.webhooks.outbound import Outbound
from campaigns.worker import Worker

VERSION = "0.1.0"
# That run endpoints. They share one interpreter with the scan path, so more of them only make scans wait.
THREADS = 8
_CROWDED = (check_in.check_in, ballots.cast_vote, ballots.withdraw_vote)
_KEYED = (crowds.Keyed(redemptions.redeem, redemptions.RedemptionCreate, redemptions.redeem_at_once),)
# In the order in which a path is looked for: what crowds do comes first.
_ROUTERS = (
    check_in,
    ballots,
    redemptions,
    shopper,
    causes,
    identity,
    members,
    keys,
    approvals,
    audit,
    places,
    planning,
    pilots,
    cohort_links,
    tokens,
    tag_keys,
    token_batches,
    tags,
    printing,
    scans,
    stats_stream,
    stats,
    targets,
    reports,
    money,
    costs,
    conversions,
    holdouts,
    funnel,
    scan_exports,
    missions,
    accruals,
    sponsors,
    pledges,
    payouts,
    statements,
    rounds,
    ideas,
    community,
    offers,
    badges,
    points,
    jobs,
    care,
    webhooks,
    front,
    report,
    acts,
    invitations,
    replies,
    trail_map,
    legal,
    me,
    pledge_pages,
    attestations,
    coupons,
    recovery,
    addresses,
    pilot,
    staff,
    staff_figures,
    staff_acts,
    staff_rewards,  # its paths before the one that takes any code
    staff_coupons,
    flags,
    comments,
    idea_pages,
    feeds,
    ledger,
    previews,
    cases,
    staff_cards,
    staff_cases,
    staff_phones,
    screen,
    tag_pages,
    console_sign_in,
    console,
    console_figures,
    console_keys,
    console_members,
    console_log,
    console_moderation,
    console_ideas,
    console_cases,
    console_rounds,
    console_payouts,
    console_pledges,
    console_report,
    console_team,
    reference,
    figures,
)


def create_app(settings: Settings, *, clock: Callable[[], datetime] = clocks.utc_now) -> ASGIApp:
    """The whole server of these settings."""
    return wire(make_services(settings, clock))


def from_environment() -> ASGIApp:
    """The same, of the settings in the environment: what each process of `serve --workers` makes for itself."""
    settings = Settings()
    Database(settings.database_url).await_server(settings.start_patience_s)  # a process that takes another's place
    app = create_app(settings)
    settle_interpreter()
    return app


def settle_interpreter() -> None:
    """What start-up made stays: the collector need not walk it again, nor run every 700 objects of a busy second.

    And a thread that reckons gives way to the scan path after half a millisecond, not five.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    sys.setswitchinterval(0.0005)


def wire(services: Services) -> ASGIApp:
    """The scan path outside, FastAPI inside. Migrates and starts the worker when it is started."""
    settings, clock = services.settings, services.clock

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        number, mark = await asyncio.to_thread(prepare, services)
        spool = SpoolPlace(settings.spool_dir, mark)
        queue = GroupCommit(open_writer(services.database, number, clock, spool), settings.queue_limit)
        visitors = VisitorKeys(lambda day: salt_of_day(services.database, day))
        pages = HostedPages(services)
        services.database.listen(services.directory.hear)
        services.database.listen(pages.hear)
        services.database.listen(services.rules.hear)
        app.state.pages = pages
        app.state.visitors = visitors
        app.state.stopping = asyncio.Event()
        app.state.streams = Streams(services.database, clock, recheck_s=settings.stream_recheck_s)
        app.state.scan_path = ScanPath(services, queue, visitors, pages, services.renderer)
        worker = Worker(services.database, clock, services.mailer, sender_of(settings, clock))
        listener = Listener(services.database)
        listener.start()
        if settings.worker:
            worker.start()
        yield
        app.state.stopping.set()
        app.state.streams.close()
        await asyncio.to_thread(services.activity.close)
        await asyncio.to_thread(worker.stop)
        await asyncio.to_thread(listener.stop)
        await queue.close()
        services.database.close()

    inner = FastAPI(
        title="Passerelle",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        responses=problems.RESPONSES,
    )
    inner.state.services = services
    problems.install(inner)
    inner.add_exception_handler(Locked, refuse_locked)
    for module in _ROUTERS:
        name_policies(module.router.routes)
        inner.include_router(module.router)
    _add_plain_routes(inner, services)
    name_policies(inner.routes)
    app: ASGIApp = crowds.Crowds(Idempotency(inner, services), inner, services, _CROWDED, _KEYED)
    app = GZipMiddleware(app, minimum_size=1000)
    app = edge.Headers(edge.BodyLimit(edge.Turns(app)), services.renderer.headers)
    return edge.Gate(app, lambda: inner.state.scan_path, services.renderer.headers)


def make_services(settings: Settings, clock: Callable[[], datetime]) -> Services:
    """What the requests of one process share. Opens nothing yet."""
    keyring, database = Keyring(secret_of(settings)), Database(settings.database_url)
    return Services(
        settings=settings,
        database=database,
        keyring=keyring,
        receipts=ReceiptBook(keyring.derive("receipt"), keyring.key_id),
        directory=Directory(open_keys=keyring.open_tag_keys),
        gallery=Gallery(),
        workshop=Workshop(),
        renderer=Renderer(is_https=settings.is_https),
        geocode=geocoder(settings.geocoder, settings.geocoder_agent),
        network=NetworkMap(settings.geoip_file),
        till_key=keyring.derive("till-code"),
        live_key=keyring.derive("live-code"),
        pin_key=keyring.derive("staff-pin"),
        activity=Activity(database),
        screens=Screens(),
        postman=Postman(Smtp(settings.smtp_url, settings.mail_from)) if settings.smtp_url else None,
        mailer=mailer_of(settings),
        rules=RulesInForce(),
        erasures=ErasureLog(settings.erasure_folder),
        clock=clock,
    )


def mailer_of(settings: Settings) -> Mailer | None:
    """What the worker sends letters with; None where no mail server is set."""
    if not settings.smtp_url:
        return None
    smtp = Smtp(settings.smtp_url, settings.mail_from)
    return Mailer(smtp.send, smtp.sender, Keyring(secret_of(settings)), settings.base_url)


def sender_of(settings: Settings, clock: Callable[[], datetime]) -> Sender:
    """What the worker sends messages to webhooks with."""
    return Sender(Outbound(allow_local=settings.webhooks_local), Keyring(secret_of(settings)), clock)


def secret_of(settings: Settings) -> str:
    """The secret key: the one given, else on SQLite the one kept in a 0600 file beside the database."""
    if settings.secret_key:
        return settings.secret_key
    if settings.sqlite_path is None:
        raise Invalid("PASSERELLE_SECRET_KEY is required with PostgreSQL: every process must have the same one.")
    settings.sqlite_path.parent.mkdir(parents=True, exist_ok=True)
    return keep_secret_file(settings.sqlite_path.with_name(settings.sqlite_path.name + ".key"))


def prepare(services: Services) -> tuple[int, str]:
    """Migrate, check the secret key, take this process's writer number; the number, and the mark of the database."""
    migrations.upgrade(services.database)
    classify("Mozilla/5.0")  # the first look-up compiles the tables of agents
    now = services.clock()
    with services.database.transaction() as session:
        identities.recognise_secret_key(session, services.keyring.fingerprint(), now=now)
        fold_counters(session)
        services.database.writer = take_writer_number(session, now=now)
        return services.database.writer, identities.mark_of_database(session)


def _add_plain_routes(app: FastAPI, services: Services) -> None:
    scripts = services.renderer.scripts

    @app.get("/static/{name}", include_in_schema=False, dependencies=[PUBLIC])
    def static(name: str) -> Response:
        if name not in scripts:
            raise NotFound("There is no such file.")
        return Response(
            scripts[name],
            media_type="text/javascript",
            headers={"Cache-Control": "public, max-age=31536000, immutable"},
        )

    @app.get("/healthz", tags=["running"], dependencies=[PUBLIC])
    def healthz() -> dict[str, str]:
        """The process is there. Shows the version and the SQLite library."""
        return {"status": "ok", "version": VERSION, "sqlite": sqlite3.sqlite_version}

    @app.get("/readyz", tags=["running"], dependencies=[PUBLIC])
    def readyz(request: Request) -> dict[str, str]:
        """The database answers."""
        with services.database.snapshot() as session:
            session.connection()
        return {"status": "ready"}
