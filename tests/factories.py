"""Valid objects by default: no randomness, no hidden commit."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

from sqlmodel import Session

from campaigns import identity, missions, participants, places, planning, tokens
from campaigns.identity import Organisation
from campaigns.missions import GoalMetric, Mission, Repeat, StepKind, StepPlan
from campaigns.participants import Participant
from campaigns.places import Place, StaffRole, StaffSession
from campaigns.planning import Campaign, LaunchFacts
from campaigns.scans import ReceiptBook
from campaigns.scans.agents import classify
from campaigns.scans.log import ScanRow
from campaigns.scans.receipt import Receipt
from campaigns.scans.service import sight
from campaigns.scans.writers import open_writer
from campaigns.storage import Database
from campaigns.tokens import Kind, Medium, Token
from campaigns.tokens.directory import Directory, Entry
from tests.conftest import PIN

NOON = datetime(2026, 10, 14, 10, 0, tzinfo=UTC)  # a Wednesday, noon in Lyon
PHONE = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 "
    "Mobile Safari/537.36"
)
BELLECOUR = (45.7578, 4.8320)
PIN_KEY = b"p" * 32
_codes = count(1)


def fixed_bytes(number: int) -> bytes:
    """The number as bytes: a token's randomness without chance."""
    return next(_codes).to_bytes(number, "big")


def make_organisation(session: Session, **overrides: Any) -> Organisation:
    return identity.found_organisation(session, overrides.get("name", "La Halle"), now=NOON)


def make_place(session: Session, organisation: Organisation, **overrides: Any) -> Place:
    now = overrides.pop("now", NOON)
    fields = {
        "name": "Bellecour",
        "lat": BELLECOUR[0],
        "lon": BELLECOUR[1],
        "radius_m": 100,
        "time_zone": "Europe/Paris",
        "address": None,
        "opening_hours": None,
        **overrides,
    }
    return places.open_place(session, organisation.id, now=now, **fields)


def make_phone(session: Session, place: Place, **overrides: Any) -> tuple[StaffSession, str]:
    """A phone of the place, signed in; and its cookie."""
    now, role = overrides.pop("now", NOON), overrides.pop("role", StaffRole.STAFF)
    secret = places.issue_staff_link(session, place, role=role, now=now)
    fields = {"pin": PIN, "pin_key": PIN_KEY, "label": "Till", "now": now, **overrides}
    return places.sign_in(session, secret, **fields)


def make_campaign(session: Session, organisation: Organisation, *, live: bool = True, **overrides: Any) -> Campaign:
    now = overrides.pop("now", NOON)
    fields = {
        "name": "Verger",
        "objective": "cause",
        "time_zone": "Europe/Paris",
        "languages": ["fr", "en"],
        **overrides,
    }
    targets = fields.pop("targets", {"check_ins": 2000.0})
    campaign = planning.plan_campaign(session, organisation.id, targets=targets, now=now, **fields)
    if live:
        planning.launch(session, campaign, LaunchFacts(1, 0, 1, 1), now=now)
    return campaign


def make_token(session: Session, campaign: Campaign, place: Place | None, **overrides: Any) -> Token:
    fields: dict[str, Any] = {
        "medium": Medium.QR,
        "kind": Kind.STATIC,
        "place": place,
        "now": NOON,
        "random_bytes": fixed_bytes,
        **overrides,
    }
    return tokens.issue(session, campaign, **fields)


def make_mission(session: Session, campaign: Campaign, **overrides: Any) -> Mission:
    fields: dict[str, Any] = {
        "title": {"fr": "Un verger pour l’école", "en": "An orchard for the school"},
        "promise": {"": "A tree for each hundred visits"},
        "goal_metric": GoalMetric.CHECK_INS,
        "goal_value": 2000,
        "steps": [StepPlan(StepKind.SCAN, 1, Repeat.DAILY), StepPlan(StepKind.IDEA)],
        "now": NOON,
        **overrides,
    }
    return missions.start_mission(session, campaign, **fields)


def make_participant(session: Session, organisation: Organisation, *, now: datetime = NOON) -> Participant:
    person, _ = participants.join(session, organisation.id, language="fr", now=now)
    return person


def make_entry(session: Session, token: Token) -> Entry:
    """The directory's entry of a token, as the scan path has it. Writes what the session holds first."""
    session.flush()
    entry = Directory().load(session, token.code)
    assert entry is not None
    return entry


def make_scan(
    entry: Entry | None, *, at: datetime = NOON, visitor_key: int = 1, agent: str = PHONE, prefetch: bool = False
) -> ScanRow:
    """The row of a GET, judged as the scan path judges it."""
    row, _ = sight(
        entry,
        asked="7K3Q9XABW4",
        agent=classify(agent),
        prefetch=prefetch,
        visitor_key=visitor_key,
        language="fr",
        now=at,
    )
    return row


def write(database: Database, *entries: Any, number: int = 1, now: datetime = NOON) -> list[Any]:
    """Write entries of the scan log in one batch, committed."""
    writer = open_writer(database, number, lambda: now)
    try:
        return writer.write(list(entries))
    finally:
        writer.close()


def make_receipt(entry: Entry, row: ScanRow, *, presence: int = 0, window_back: int = 0) -> Receipt:
    """The receipt of a stored scan, minted and read back."""
    book = ReceiptBook(b"k" * 32, 7)
    from campaigns.scans.verdict import Verdict

    place_id = entry.place.id if entry.place else None
    verdict = Verdict(row.verdict)
    text = book.mint(row.id, entry.token_id, place_id, row.visitor_key, verdict, row.score, presence, window_back)
    return book.read(text.decode(), token_id=entry.token_id)
