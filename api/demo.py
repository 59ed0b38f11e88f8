"""`passerelle demo`: the whole product on real input, in one command."""

import contextlib
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

import httpx2
import uvicorn
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from api import deadlines
from api.app import make_services, prepare, sender_of, wire
from api.dependencies import Services
from api.scan import seal_position
from campaigns import audit, clock, demo, identity, places
from campaigns.demo import History, Rewarded, Town
from campaigns.identity import RIGHTS, Role
from campaigns.ids import show as shown
from campaigns.scans.writers import open_writer
from campaigns.settings import Settings
from campaigns.storage import sole_process
from campaigns.tokens import qr
from campaigns.worker import Worker

OWNER = "camille@maison-tilleul.example"  # who may open the console of the demo
_INSECURE = (
    "This demo speaks plain http, as it must on a local network without a certificate. Browsers then switch off "
    "location and camera on any address but 127.0.0.1: on your phone, prove presence with the till code of the "
    "staff page instead. Behind https everything is on."
)


def show(*, seed: int, speed: float, host: str, port: int, seconds: float, keep: Path | None) -> None:
    """Found a town, serve it, fill in thirty days of history, and let shoppers arrive until Ctrl-C."""
    console = Console()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="passerelle-demo-")))
        path = (keep or folder / "demo.db").absolute()
        stack.enter_context(sole_process(path))
        port = _usable(host, port, console)
        base_url = f"http://{host if host != '0.0.0.0' else _own_address()}:{port}"  # noqa: S104  # the demo's default, said on screen
        settings = Settings(
            database_url=f"sqlite:///{path}",
            base_url=base_url,
            host=host,
            port=port,
            worker=False,
            secret_key=None,
            webhooks_local=True,  # a trial: who has the key sits at this machine
        )
        services = make_services(settings, clock.utc_now)
        number, _ = prepare(services)
        now = clock.utc_now()
        town = demo.found_town(services.database, now=now)
        stack.enter_context(_served(services))
        _tell(console, services, town)
        stopping = threading.Event()
        try:
            history = _fill(console, services, town, seed, number)
            _tell_money(console, services, town, history.reward(services.keyring.recovery_key()))
            _tell_figures(console, services, town, history.settle())
            stack.enter_context(_live(services, town, seed, speed, stopping))
            say = f"for {seconds:g} s" if seconds else "until you press Ctrl-C"
            console.print(f"Shoppers are arriving now, {say}. Watch the staff page.", style="bold")
            stopping.wait(seconds or None)
        except KeyboardInterrupt:
            console.print("Thank you for visiting.")
        finally:
            stopping.set()


@contextlib.contextmanager
def _served(services: Services) -> Iterator[None]:
    """The server in a thread, answering before the block begins."""
    settings = services.settings
    config = uvicorn.Config(
        wire(services),
        host=settings.host,
        port=settings.port,
        http=deadlines.protocol(settings.head_deadline_s, settings.body_deadline_s, services.renderer.headers),
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="server", daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started and thread.is_alive() and time.monotonic() < end:
        time.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=15)


def _fill(console: Console, services: Services, town: Town, seed: int, number: int) -> History:
    """Thirty days of history, behind a progress bar."""
    writer = open_writer(services.database, number, services.clock)
    history = History(
        services.database,
        town,
        writer,
        lambda fix: seal_position(services, fix),
        seed,
        ballot_secret=services.keyring.ballot_secret(town.campaign_id),
    )
    columns = (TextColumn("Thirty days of history"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("history", total=1.0)
        for share in history.days(services.clock()):
            progress.update(bar, completed=share)
    writer.close()
    return history


@contextlib.contextmanager
def _live(services: Services, town: Town, seed: int, speed: float, stopping: threading.Event) -> Iterator[None]:
    """The worker, and shoppers through the public HTTP API."""
    worker = Worker(services.database, services.clock, sender=sender_of(services.settings, services.clock))
    worker.start()
    url = f"http://127.0.0.1:{services.settings.port}"

    def new_phone(agent: str) -> httpx2.Client:
        return httpx2.Client(base_url=url, headers={"User-Agent": agent, "Accept-Language": "fr"}, timeout=10)

    def run() -> None:
        while not stopping.is_set():
            with contextlib.suppress(httpx2.HTTPError):  # the server is stopping, or was busy: the next shopper comes
                demo.live_shoppers(town, new_phone, seed=seed, speed=speed, stopping=stopping)

    shoppers = threading.Thread(target=run, name="shoppers", daemon=True)
    shoppers.start()
    try:
        yield
    finally:
        stopping.set()
        shoppers.join(timeout=12)
        worker.stop()


def _tell(console: Console, services: Services, town: Town) -> None:
    base = services.settings.base_url
    entry = next(entry for entry in town.entries if entry.place is not None)
    assert entry.place is not None  # noqa: S101  # just looked for
    now = services.clock()
    with services.database.transaction(author=audit.OPERATOR) as session:
        secret = places.issue_staff_link(session, entry.place, role=places.StaffRole.MANAGER, now=now)
        organisation_id = entry.campaign.organisation_id
        *_, sign_in = identity.invite_member(
            session, organisation_id, email=OWNER, name="Camille", role=Role.OWNER, most=RIGHTS[Role.OWNER], now=now
        )
    links = (
        ("Shopper page", f"{base}/t/{entry.code}"),
        ("Mission", f"{base}/m/{town.mission_slug}"),
        ("Trail", f"{base}/m/{town.stories.trail.slug}"),
        ("Team", f"{base}/pilot/join/{town.stories.team_link}"),
        ("Staff page", f"{base}/staff/sign-in/{secret}"),
        ("Shop screen", f"{base}/staff/screen"),  # once signed in
        ("Console", f"{base}/console/sign-in/{sign_in}"),
        ("Poster", f"{base}/posters/{entry.code}"),
        ("API docs", f"{base}/docs"),
        ("API key", town.api_key),
    )
    console.print(f"\n{demo.BRAND}: twelve shops in Lyon\n", style="bold")
    _list(console, links)
    console.print("\nThe staff page asks for a PIN: choose any four digits. It asks again after ten idle minutes.")
    console.print("Scan this with a phone on the same network (it counts: it is a real scan):")
    sys.stdout.write(qr.terminal(f"{base}/t/{entry.code}".upper()) + "\n")
    sys.stdout.flush()
    console.print(_INSECURE, style="dim")


def _tell_money(console: Console, services: Services, town: Town, rewarded: Rewarded) -> None:
    """Where to look at the money and the rewards."""
    base, key = services.settings.base_url, f"-H 'Authorization: Bearer {town.api_key}'"
    pledge, place = shown("pld", town.purse.pledge_id), shown("plc", rewarded.place_id)
    links = (
        ("Meter", f"{base}/m/{town.mission_slug}"),
        ("Ledger", f"{base}/m/{town.mission_slug}/ledger"),
        ("Statement", f"{base}/console/pledges/{pledge}/statement"),
        ("Payouts", f"{base}/console/payouts"),
        ("A phone", f"{base}/me/recovery#{rewarded.recovery_code}"),
        ("Its coupon", f"{base}/me/coupons/{shown('cpn', rewarded.coupon_id)}"),
        ("Till", f"{base}/staff/coupons"),
    )
    commands = (
        ("Check the ledger", f"curl -s {base}/m/{town.mission_slug}/ledger.csv | {_command()} ledger-check -"),
        ("For the sponsor", f"curl -s {key} {base}/v1/pledges/{pledge}/statement.csv"),
        ("For the shop", f"curl -s {key} {base}/v1/places/{place}/coupon-statement.csv"),
        ("Recount it all", f"PASSERELLE_DATABASE_URL={services.settings.database_url} {_command()} verify"),
    )
    console.print("\nA sponsor's money, coupons, points and a badge\n", style="bold")
    _list(console, links)
    console.print("\nStatement and payouts are for who opened the console, the till for who opened the staff page.")
    console.print("The phone's link works once: press its button, then look at its coupon, points and badge on /me.\n")
    _list(console, commands)
    console.print()


def _tell_figures(console: Console, services: Services, town: Town, report_id: UUID) -> None:
    """Where to look at what happens now, and at what a campaign cost and returned."""
    base, sale = services.settings.base_url, shown("cmp", town.sale.campaign_id)
    local = f"PASSERELLE_DATABASE_URL={services.settings.database_url}"
    curl = f"curl -s -H 'Authorization: Bearer {town.api_key}' {base}"
    links = (
        ("Figures", f"{base}/console/figures/{shown('cmp', town.campaign_id)}"),
        ("Report", f"{base}/console/campaigns/{sale}/reports/{shown('rep', report_id)}"),
        ("Formulas", f"{base}/docs/figures"),
    )
    commands = (
        ("In a terminal", f"{local} {_command()} stats ext_verger-2026"),
        ("What it returned", f"{curl}/v1/campaigns/{sale}/money"),
        ("Its targets", f"{curl}/v1/campaigns/{sale}/targets"),
        ("An alert", f"{curl}/v1/campaigns/ext_verger-2026/alerts/raised"),
    )
    console.print("Figures, and a sale that five of the twelve shops, drawn at random, went without\n", style="bold")
    _list(console, links)
    console.print("\nFigures and report are for who opened the console; the report is frozen and prints on a page.\n")
    _list(console, commands)
    console.print()


def _list(console: Console, named: Iterable[tuple[str, str]]) -> None:
    """Links or commands under their names, each on a line that can be copied."""
    for name, what in named:
        console.print(f"  {name:<17} {what}", soft_wrap=True, highlight=False, markup=False)


def _command() -> str:
    """How the command of this installation is called from here."""
    path = Path(sys.executable).with_name("passerelle")
    if not path.exists():
        return "passerelle"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _usable(host: str, port: int, console: Console) -> int:
    """The port asked for, or a free one when it is taken."""
    for wanted in (port, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, wanted))
            found = int(probe.getsockname()[1])
            if wanted == 0 and port != 0:
                console.print(f"Port {port} is taken; using {found}.", style="yellow")
            return found
    return port


def _own_address() -> str:
    """This machine's address on its network; 127.0.0.1 when it has none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # TEST-NET-1 (RFC 5737): only chooses the interface
        return str(probe.getsockname()[0])
    return "127.0.0.1"
