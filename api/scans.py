"""The scan log and the figures of a campaign."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlmodel import Session as DbSession

from api import schemas
from api.dependencies import Core, Now, ReadSession, Session
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import ids, missions, planning, reversals, scans, tokens
from campaigns.errors import Invalid
from campaigns.identity import Right
from campaigns.missions.models import StaffRecord
from campaigns.scans import Scan
from campaigns.scans.models import VoidEffect

router = APIRouter(prefix="/v1", tags=["scans"])


class ScanRead(BaseModel):
    """A scan as judged so far. `confirmed` means a person's browser showed the page."""

    id: str
    scanned_at: datetime
    campaign_id: str | None
    token_id: str | None
    place_id: str | None
    verdict: str
    score: int
    reasons: list[str]
    rules_version: int
    phase: str
    confirmed: bool
    device: str
    language: str
    location_source: str | None
    country: str | None
    city: str | None


class ConfirmationRead(BaseModel):
    """That a scan was confirmed, and when it first was."""

    scan_id: str
    confirmed_at: datetime


class VoidCreate(schemas.Request):
    """Why a scan does not count: the person reads it."""

    reason: schemas.Text = Field(min_length=1, max_length=500)


class EffectRead(BaseModel):
    """One thing that went with a scan (`reversed`), or that another act supports as well (`kept`)."""

    what: str
    id: str
    outcome: str


class VoidRead(BaseModel):
    """A voided scan, why, and what went with it."""

    scan_id: str
    reason: str
    voided_at: datetime
    effects: list[EffectRead]


@router.get("/scans", dependencies=[may(Right.SCANS_READ, placed=True)])
def list_scans(
    actor: Actor,
    session: ReadSession,
    campaign_id: str,
    token_id: str | None = None,
    place_id: str | None = None,
    since: schemas.Instant | None = None,
    until: schemas.Instant | None = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page:
    """Scans of a campaign, newest first, with the verdict that stands. `since` is included, `until` is not.

    A key that is bound to places names one of them as `place_id`; 422 without, 404 for any other.
    """
    place = ids.parse("plc", place_id) if place_id else None
    if actor.place_ids is not None and place is None:
        raise Invalid("This key is bound to places: name one of them.", pointer="/place_id")
    actor.require_place(place)
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    rows = scans.list_scans(
        session,
        campaign.id,
        token_id=ids.parse("tok", token_id) if token_id else None,
        place_id=place,
        since=since,
        until=until,
        before=before(cursor),
        limit=limit + 1,
    )
    shown = _shown(session, rows[:limit])
    return page(rows, limit, lambda scan: shown[scan.id], lambda scan: scan.id)


@router.get("/scans/{scan_id}", dependencies=[may(Right.SCANS_READ, placed=True)])
def read_scan(scan_id: str, actor: Actor, session: ReadSession) -> ScanRead:
    """One scan, with the verdict that stands."""
    scan = scans.scan_of(session, actor.organisation_id, ids.parse("scn", scan_id))
    actor.require_place(scan.place_id, "scan")
    return _shown(session, [scan])[scan.id]


@router.post("/scans/{scan_id}/confirmation", dependencies=[may(Right.SCANS_CONFIRM)])
def confirm_scan(scan_id: str, actor: Actor, session: Session, now: Now) -> ConfirmationRead:
    """Say that the person arrived: for the server of a destination that was given `passerelle_scan`. Counted once.

    A repeat gets the first answer. 409 when the token does not pass its scan ids, 410 after 48 hours. A scan made while
    the database was away is unknown until it is back: ask again after a 404.
    """
    scan = scans.scan_of(session, actor.organisation_id, ids.parse("scn", scan_id))
    token = tokens.token_by_id(session, actor.organisation_id, scan.token_id or ids.NIL)
    confirmed_at = scans.confirm_by_key(session, scan, token, now=now)
    return ConfirmationRead(scan_id=ids.show("scn", scan.id), confirmed_at=confirmed_at)


@router.post("/scans/{scan_id}/void", dependencies=[may(Right.SCANS_VOID)])
def void_scan(scan_id: str, body: VoidCreate, actor: Actor, core: Core, now: Now) -> VoidRead:
    """Void a scan and undo exactly what rested on it: verdict, check-in and visit, completions, totals, and the
    votes of the ballot it opened. Once.

    What another act of the person supports as well stays (`kept`). A second void gets the first answer, with the first
    reason. The person reads the reason on their page, and can act anew.
    """
    with core.database.between_rounds(author=actor.author) as session:
        scan = scans.scan_of(session, actor.organisation_id, ids.parse("scn", scan_id))
        found, effects = reversals.void_scan(
            session,
            actor.organisation_id,
            scan,
            reason=body.reason,
            ballot_secret=core.keyring.ballot_secret,
            now=now,
        )
    return VoidRead(
        scan_id=ids.show("scn", found.scan_id),
        reason=found.reason,
        voided_at=found.voided_at,
        effects=[_effect(one) for one in effects],
    )


# Prefixes of their ids; a ballot and a vote are told by their round.
_EFFECTS = {
    "check_in": "chk",
    "visit": "chk",
    "completion": "cpl",
    "mission": "mis",
    "ballot": "rnd",
    "vote": "rnd",
    "accrual": "acr",
    "coupon": "cpn",
    "gift": "gft",
    "points": "lot",
    "badge": "bdw",
}


def _effect(one: VoidEffect) -> EffectRead:
    return EffectRead(what=one.what, id=ids.show(_EFFECTS.get(one.what, "id"), one.subject_id), outcome=one.outcome)


@router.get("/campaigns/{campaign_id}/staff-records", dependencies=[may(Right.FIGURES_READ)])
def list_staff_records(campaign_id: str, actor: Actor, session: ReadSession) -> Page:
    """What the staff recorded for people without a phone, by place and kind of act: never by who of the staff.

    `people` is null below five.
    """
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    found = missions.recorded_by_place(session, campaign.id)
    shown = [{"place_id": ids.show("plc", one.place_id), "acts": one.acts, "people": one.people} for one in found]
    return Page(data=shown, next_cursor=None)


class StaffRecordRead(BaseModel):
    """An act that the staff of a place recorded for who has no phone, and why it was voided. Nobody is named."""

    id: str
    place_id: str
    act: str
    outcome: str
    phase: str
    recorded_at: datetime
    voided_at: datetime | None
    void_reason: str | None


class StaffRecordVoidRead(StaffRecordRead):
    """What voiding it undid."""

    effects: list[EffectRead]


@router.get("/staff-records", dependencies=[may(Right.SCANS_READ)])
def list_each_record(
    actor: Actor,
    session: ReadSession,
    campaign_id: str,
    place_id: str | None = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page:
    """What the staff recorded in a campaign for people without a phone, one by one, newest first."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    place = ids.parse("plc", place_id) if place_id else None
    rows = missions.list_records(
        session, campaign_id=campaign.id, place_id=place, before=before(cursor), limit=limit + 1
    )
    return page(rows, limit, lambda one: StaffRecordRead(**_record(one)), lambda one: one.id)


@router.post("/staff-records/{record_id}/void", dependencies=[may(Right.SCANS_VOID)])
def void_staff_record(record_id: str, body: VoidCreate, actor: Actor, core: Core, now: Now) -> StaffRecordVoidRead:
    """Void an act that the staff recorded: what it did goes, once, and the person can act anew.

    That is the check-in it made, with all that rests on it, and its own step or vote. The words of an idea stay: hiding
    them is for moderators. A second void gets the first answer, with the first reason.
    """
    with core.database.between_rounds(author=actor.author) as session:
        record = missions.record_by_id(session, actor.organisation_id, ids.parse("rec", record_id))
        found, effects = reversals.void_record(
            session,
            actor.organisation_id,
            record,
            reason=body.reason,
            ballot_secret=core.keyring.ballot_secret,
            now=now,
        )
    return StaffRecordVoidRead(**_record(found), effects=[_effect(one) for one in effects])


def _record(one: StaffRecord) -> dict[str, Any]:
    kept = one.model_dump(include={"act", "outcome", "phase", "recorded_at", "voided_at", "void_reason"})
    return {"id": ids.show("rec", one.id), "place_id": ids.show("plc", one.place_id), **kept}


def _shown(session: DbSession, rows: Sequence[Scan]) -> dict[Any, ScanRead]:
    wanted = [scan.id for scan in rows]
    standing = scans.standing_judgements(session, wanted)
    confirmed = scans.confirmed_among(session, wanted)
    return {scan.id: _read(scan, standing.get(scan.id, scan), scan.id in confirmed) for scan in rows}


def _read(scan: Scan, judged: Any, confirmed: bool) -> ScanRead:
    return ScanRead(
        id=ids.show("scn", scan.id),
        scanned_at=scan.scanned_at,
        campaign_id=ids.show("cmp", scan.campaign_id) if scan.campaign_id else None,
        token_id=ids.show("tok", scan.token_id) if scan.token_id else None,
        place_id=ids.show("plc", scan.place_id) if scan.place_id else None,
        verdict=judged.verdict,
        score=judged.score,
        reasons=[reason for reason in judged.reasons.split(",") if reason],
        rules_version=judged.rules_version,
        phase=scan.phase,
        confirmed=confirmed,
        device=scan.device,
        language=scan.language,
        location_source="place" if scan.place_id else ("network" if scan.country or scan.city else None),
        country=scan.country,
        city=scan.city,
    )
