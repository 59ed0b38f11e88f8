"""One shop, one live campaign, one mission, one code, all committed: what most tests of acts begin with."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import select

from campaigns import community, missions, participants, planning, scans, worker
from campaigns.community import Posted
from campaigns.identity import Organisation
from campaigns.missions import CheckedIn, Mission
from campaigns.participants import Cohort, Participant
from campaigns.places import till
from campaigns.planning import Campaign
from campaigns.scans import Figures, Position, Receipt, Scan, SealedFix
from campaigns.scans.log import BestFix, Confirmation, PositionFix, ScanRow, TappedScan
from campaigns.sealing import Keyring
from campaigns.storage import Database
from campaigns.tokens import Kind, Medium, TagPlan, Token
from campaigns.tokens.directory import Directory, Entry
from campaigns.verify import verify
from tests.conftest import SECRET
from tests.factories import (
    BELLECOUR,
    NOON,
    make_campaign,
    make_entry,
    make_mission,
    make_organisation,
    make_place,
    make_receipt,
    make_scan,
    make_token,
    write,
)
from tests.ntag424 import FILE_READ, META_READ, UID

KEYRING = Keyring(SECRET)
INSIDE = Position(*BELLECOUR, accuracy_m=10)
FAR = Position(BELLECOUR[0] + 0.05, BELLECOUR[1], accuracy_m=20)
VAGUE = Position(*BELLECOUR, accuracy_m=300)


@dataclass
class Scene:
    """Every method is one committed act."""

    database: Database
    campaign: Campaign
    mission: Mission
    token: Token
    entry: Entry

    def scan(self, *, at: datetime = NOON, **overrides: Any) -> ScanRow:
        row = make_scan(overrides.pop("entry", self.entry), at=at, **overrides)
        write(self.database, row, now=at)
        return row

    def confirm(self, row: ScanRow, *, at: datetime = NOON) -> bool:
        (is_new,) = write(self.database, confirmation(row, at), now=at)
        return bool(is_new)

    def scan_and_confirm(self, **options: Any) -> ScanRow:
        row = self.scan(**options)
        self.confirm(row, at=options.get("at", NOON))
        return row

    def locate(
        self, row: ScanRow, position: Position, *, at: datetime = NOON, point: int | None = None
    ) -> BestFix | None:
        fence, distance = position.fence(self.entry.place)
        accuracy = scans.accuracy_up(position.accuracy_m)
        fix = PositionFix(confirmation(row, at), fence, distance, accuracy, b"sealed", point)
        (best,) = write(self.database, fix, now=at)
        assert best is None or isinstance(best, BestFix)
        return best

    def receipt(self, row: ScanRow) -> Receipt:
        return make_receipt(self.entry, row)

    def check_in(self, row: ScanRow, *, now: datetime = NOON, **overrides: Any) -> CheckedIn:
        fields: dict[str, Any] = {
            "cookie": None,
            "language": "fr",
            "position": None,
            "seal": lambda _: SealedFix(b"sealed", None),
            "till_code_was_right": False,  # shorthand for the window of `now`
            "till_window": None,
            "occurred_at": None,
            **overrides,
        }
        if fields.pop("till_code_was_right"):
            fields["till_window"] = till.window_of(now)
        entry = fields.pop("entry", self.entry)
        presence = fields.pop("presence", 0)
        receipt = fields.pop("receipt", None) or make_receipt(entry, row, presence=presence)
        with self.database.snapshot() as session:
            ground = missions.ground_of(session, receipt, missions.led_to(session, entry.campaign.id))
        with self.database.transaction() as session:
            return missions.check_in(session, receipt, entry, ground, now=now, **fields)

    def post_idea(self, person: Participant, **overrides: Any) -> Posted:
        fields: dict[str, Any] = {
            "text": "Plant pear trees",
            "client_id": "phone-1",
            "language": "en",
            "now": NOON,
            **overrides,
        }
        with self.database.transaction() as session:
            campaign = session.get_one(Campaign, self.campaign.id)
            return community.post_idea(session, self.mission, campaign, person, **fields)

    def drain(self, *, now: datetime = NOON) -> None:
        while worker.drain(self.database, now=now).done:
            pass

    def figures(self) -> Figures:
        with self.database.snapshot() as session:
            return scans.totals(session, [self.token.id])

    def counters(self, phase: str = "live") -> dict[str, int]:
        with self.database.snapshot() as session:
            return missions.counters(session, self.mission.id, phase=phase)

    def verdict(self, row: ScanRow) -> str:
        with self.database.snapshot() as session:
            standing = scans.standing_judgements(session, [UUID(row.id)])
        return standing[UUID(row.id)].verdict if standing else row.verdict

    def reasons(self, row: ScanRow) -> str:
        with self.database.snapshot() as session:
            standing = scans.standing_judgements(session, [UUID(row.id)])
        return standing[UUID(row.id)].reasons if standing else row.reasons

    def problems(self) -> list[str]:
        return verify(self.database)


def set_scene(database: Database, *, live: bool = True, **overrides: Any) -> Scene:
    """Overrides are those of the mission, but `place` and `campaign`, which are dicts of their own."""
    with database.transaction() as session:
        organisation = make_organisation(session)
        place = make_place(session, organisation, **overrides.pop("place", {}))
        campaign = make_campaign(session, organisation, live=live, **overrides.pop("campaign", {}))
        mission = make_mission(session, campaign, **overrides)
        token = make_token(session, campaign, place)
    with database.snapshot() as session:
        entry = make_entry(session, token)
    return Scene(database, campaign, mission, token, entry)


def with_tag(scene: Scene) -> Scene:
    plan = TagPlan(KEYRING.seal_tag_keys(META_READ + FILE_READ))
    with scene.database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        token = make_token(session, campaign, scene.entry.place, medium=Medium.NFC, kind=Kind.SUN, tag=plan)
        session.flush()
        entry = Directory(open_keys=KEYRING.open_tag_keys).load(session, token.code)
    assert entry is not None
    return replace(scene, token=token, entry=entry)


def signed(scene: Scene, counter: int, *, uid: str | None = UID.hex().upper(), **options: Any) -> TappedScan:
    return TappedScan(make_scan(scene.entry, **options), counter, uid)


def stored(scene: Scene, row: ScanRow) -> tuple[str, str]:
    """Verdict and reasons of a scan, as they are in the log."""
    with scene.database.snapshot() as session:
        found = {one.id.hex: one for one in session.exec(select(Scan))}
    return found[row.id].verdict, found[row.id].reasons


def another_token(scene: Scene) -> Entry:
    """A second code of the same campaign and place."""
    with scene.database.transaction() as session:
        token = make_token(session, scene.campaign, scene.entry.place)
    with scene.database.snapshot() as session:
        return make_entry(session, token)


def another_place(scene: Scene, **where: Any) -> Entry:
    """A code of the same campaign in another place."""
    with scene.database.transaction() as session:
        organisation = session.get_one(Organisation, scene.campaign.organisation_id)
        token = make_token(session, scene.campaign, make_place(session, organisation, **where))
    with scene.database.snapshot() as session:
        return make_entry(session, token)


def confirmation(row: ScanRow, at: datetime) -> Confirmation:
    assert row.token_id is not None
    return Confirmation(row.id, row.token_id, row.visitor_key, at)


def minutes(number: float) -> datetime:
    """So many minutes after noon."""
    return NOON + timedelta(minutes=number)


def open_pilot(scene: Scene) -> None:
    """Begin the pilot of a draft, at the scene's place."""
    assert scene.entry.place is not None
    with scene.database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        plan = planning.PilotPlan([f"plc_{scene.entry.place.id.hex}"], 10, {"people": 5})
        planning.declare_pilot(session, campaign, plan, now=NOON)
        planning.start_pilot(session, campaign, now=NOON)


def colleague(scene: Scene, *, phase: str | None = "pilot") -> Participant:
    """A person of the team, who takes part in the pilot or not yet."""
    with scene.database.transaction() as session:
        person = participants.join(session, scene.campaign.organisation_id, language="fr", now=NOON)[0]
        session.get_one(Participant, person.id).cohort = Cohort.EMPLOYEE
        if phase is not None:
            missions.take_part(session, scene.mission, session.get_one(Participant, person.id), phase=phase, now=NOON)
        return session.get_one(Participant, person.id)
