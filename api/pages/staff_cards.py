"""A shop's phone records what somebody without a phone does, by the serial of their paper card."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import uuid4

from babel.dates import format_datetime
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession
from starlette.concurrency import run_in_threadpool

from api import problems, schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import views
from api.pages.phone import ClientId, after_its_twin, entry_of, language_for
from api.pages.staff_session import Staff
from api.policies import STAFF
from campaigns import clock, community, ids, missions, participants, places, reversals
from campaigns.errors import CampaignError, Forbidden, Invalid, NotFound
from campaigns.missions import Presented, StaffAct, StepKind
from campaigns.missions.models import LocalText, StaffRecord
from campaigns.participants import Participant
from campaigns.places import Place, StaffSession
from campaigns.planning import Campaign
from campaigns.tokens import codes

router = APIRouter(prefix="/staff", tags=["staff"], dependencies=[STAFF])
IDEAS_OFFERED = 50  # of the ballot, on the counter
RECORDS_SHOWN = 10  # of a card, to be taken back


class StaffRecordCreate(schemas.Request):
    """What to record: `act`, with `step`, `idea` or `text` as it needs. `code` is the card's, typed or scanned.

    Votes and ideas ask once whether the person is 15 or older.
    """

    code: str = Field("", max_length=300)
    act: StaffAct
    step: str | None = Field(None, max_length=40, description="of a step: `stp_...`")
    idea: str | None = Field(None, max_length=40, description="of a vote: `ide_...`, in the open round")
    text: schemas.Text = Field("", max_length=20_000, description="of an idea, as it was dictated")
    age: Literal["15_or_older", "under_15"] | None = None
    client_id: ClientId | None = None


class RecordVoidCreate(schemas.Request):
    """Which record is taken back, and why: the person reads it. `code` is that of the card, for the page."""

    record: str = Field(max_length=40, description="`rec_...`")
    reason: schemas.Text = Field("", max_length=500)
    code: str = Field("", max_length=300)


@dataclass(frozen=True)
class RecordView:
    """An act that was recorded here for a card's person; `void_reason` is empty while it stands."""

    id: str
    act: str
    when: str
    void_reason: str


@dataclass(frozen=True)
class CardView:
    """A card at the counter, and what can be recorded for its person."""

    code: str
    grouped: str
    pseudonym: str
    mission: LocalText
    steps: list[tuple[str, LocalText | None, bool]]
    asks_idea: bool
    asks_age: bool
    ideas: list[tuple[str, str, bool]]
    votes_left: int
    records: list[RecordView]


@router.get("/cards", response_class=HTMLResponse)
def show_card(
    request: Request, core: Core, staff: Staff, now: Now, code: Annotated[str, Query(max_length=300)] = ""
) -> Response:
    """The field for a card's serial; with one, what can be recorded for its person. Looking records nothing."""
    return _page(request, core, staff, now, code=code)


@router.post("/cards", status_code=201)
async def record_act(request: Request, core: Core, staff: Staff, now: Now) -> Response:
    """Record an act for somebody without a phone: witnessed (presence 3), once as its own rules say.

    `check_in` at the phone's place, a `step` that the shop confirms, a `vote` in the open round, an `idea` as dictated:
    the last three check in first, for the person is here. A repeat of `client_id` gets the first answer. JSON:
    `{outcome, pseudonym, act}`. 404 `unknown_card`, 409 `place_apart`, 410 `card_closed`, 429 `staff_limit`, and what
    the act itself refuses.
    """
    require_same_site(request)
    asked = await read_fields(request, StaffRecordCreate)
    return await run_in_threadpool(_record, request, core, staff, asked, now)


@router.post("/cards/voids")
async def void_record(request: Request, core: Core, staff: Staff, now: Now) -> Response:
    """Take back what was recorded at this place, with a reason, from a manager's phone: once, by the cascade of voids.

    JSON: `{id, voided_at, undone}`. 403 `manager_needed`, 404 for what was recorded elsewhere, 422 without a reason.
    """
    require_same_site(request)
    asked = await read_fields(request, RecordVoidCreate)
    return await run_in_threadpool(_void, request, core, staff, asked, now)


def _void(request: Request, core: Services, staff: StaffSession, asked: RecordVoidCreate, now: datetime) -> Response:
    try:
        with core.database.between_rounds(author=request.state.author) as session:
            places.require_manager(session, staff.id, now=now)
            place = session.get_one(Place, staff.place_id)
            record = missions.record_by_id(session, place.organisation_id, ids.parse("rec", asked.record))
            if record.place_id != place.id:
                raise NotFound("This was recorded in another place.")
            secret = core.keyring.ballot_secret
            found, effects = reversals.void_record(
                session, place.organisation_id, record, reason=asked.reason, ballot_secret=secret, now=now
            )
    except Invalid as error:
        if wants_json(request):
            raise
        return _page(request, core, staff, now, code=asked.code, error=error)
    if wants_json(request):
        undone = sorted({one.what for one in effects if one.outcome == "reversed"})
        at = found.voided_at.isoformat() if found.voided_at else None
        return JSONResponse({"id": ids.show("rec", found.id), "voided_at": at, "undone": undone})
    return _page(request, core, staff, now, code=asked.code, voided=True)


def _record(request: Request, core: Services, staff: StaffSession, asked: StaffRecordCreate, now: datetime) -> Response:
    client_id = asked.client_id or str(uuid4())
    try:
        done, person = after_its_twin("already_recorded", lambda: _act(request, core, staff, asked, client_id, now))
    except CampaignError as error:
        if wants_json(request):
            raise
        return _page(request, core, staff, now, code=asked.code, asked=asked, error=error)
    if wants_json(request):
        body = {"outcome": done.outcome, "pseudonym": person.pseudonym, "act": done.act}
        body["id"] = ids.show("rec", done.id)
        return JSONResponse(body, 201)
    return _page(request, core, staff, now, code=asked.code, done=done)


def _act(
    request: Request, core: Services, staff: StaffSession, asked: StaffRecordCreate, client_id: str, now: datetime
) -> tuple[StaffRecord, Participant]:
    """One act in one transaction: the card, its person, the check-in it rests on, the act, and that it was recorded."""
    with core.database.snapshot() as session:
        shown = missions.present(session, session.get_one(Place, staff.place_id), asked.code, now=now)
    entry = entry_of(core, shown.standing_code)
    rules = core.rules.version_id(core.database, shown.mission, now=now)
    with core.database.transaction(author=request.state.author) as session:
        place = session.get_one(Place, staff.place_id)
        shown = missions.present(session, place, asked.code, now=now)
        first = missions.find_record(session, place.id, client_id)
        if first is not None:
            return first, session.get_one(Participant, first.participant_id)
        kind = "votes" if asked.act is StaffAct.VOTE else "acts"
        missions.take_staff_turn(session, staff.id, kind, now=now)
        person = missions.hold_card(session, shown, language=language_for(request, None), now=now)
        if asked.act in (StaffAct.VOTE, StaffAct.IDEA):
            person = _of_age(session, person, asked.age, now)
        done, outcomes = missions.check_in_card(session, shown, entry, person, rules_version_id=rules, now=now)
        subject, outcome = done.id, "verified" if outcomes or done.checked_in_at == now else "already"
        if asked.act is StaffAct.STEP:
            subject = ids.parse("stp", asked.step or "")
            outcome = missions.confirm_step(session, shown, place, person, subject, now=now).outcome
        elif asked.act is StaffAct.VOTE:
            cast = _vote(core, session, shown, person, asked, client_id, now)
            subject, outcome = cast.round.id, "verified"
        elif asked.act is StaffAct.IDEA:
            campaign = session.get_one(Campaign, shown.campaign.id)
            posted = community.post_idea(
                session,
                shown.mission,
                campaign,
                person,
                text=asked.text,
                client_id=client_id,
                language=person.language,
                rules_version_id=rules,
                now=now,
            )
            subject, outcome = posted.idea.id, "verified"
        recorded = missions.record(
            session, shown, place, person, asked.act, client_id=client_id, subject_id=subject, outcome=outcome, now=now
        )
        return recorded, person


def _vote(
    core: Services,
    session: DbSession,
    shown: Presented,
    person: Participant,
    asked: StaffRecordCreate,
    client_id: str,
    now: datetime,
) -> community.Cast:
    if not asked.idea:
        raise Invalid("Choose the idea the vote is for.", code="idea_missing", pointer="/idea")
    return community.cast_vote(
        session,
        None,
        shown.mission,
        shown.campaign,
        person,
        idea_id=ids.parse("ide", asked.idea),
        client_id=client_id,
        secret=core.keyring.ballot_secret(shown.campaign.id),
        now=now,
    )


def _of_age(session: DbSession, person: Participant, age: str | None, now: datetime) -> Participant:
    """The person with what they say of their age, once: asked by who stands before them."""
    if age == "under_15":
        raise Forbidden(community.VOTES_UNDER_AGE, code="under_age")
    if person.age_declared_at is None:
        if age is None:
            raise Invalid("Ask whether they are 15 or older.", code="age_missing", pointer="/age")
        return participants.declare_age(session, person, is_under_15=False, now=now)
    return person


def _page(
    request: Request,
    core: Services,
    staff: StaffSession,
    now: datetime,
    *,
    code: str = "",
    asked: StaffRecordCreate | None = None,
    done: StaffRecord | None = None,
    error: CampaignError | None = None,
    voided: bool = False,
) -> HTMLResponse:
    language = language_for(request, None)
    card = None
    with core.database.snapshot() as session:
        place = session.get_one(Place, staff.place_id)
        if code:
            try:
                shown = missions.present(session, place, code, now=now)
                card = _card(core, session, shown, place, language, now)
            except CampaignError as refusal:
                error = error or refusal
        brand = views.brand(session, place.organisation_id)
    page = core.renderer.page(
        "staff_cards.html",
        language,
        brand=brand,
        place=place,
        card=card,
        typed=code,
        asked=asked,
        done=done,
        voided=voided,
        is_manager=staff.is_manager,
        fault=core.renderer.sentence(language, error.code, error.detail) if error else "",
        client_id=str(uuid4()),
        text_limit=community.service.TEXT_LIMIT,
        other_lang_url="",
    )
    return HTMLResponse(page, problems.status_of(error) if error else 200, headers={"Cache-Control": "no-store"})


def _card(core: Services, session: DbSession, shown: Presented, place: Place, language: str, now: datetime) -> CardView:
    person, phase = shown.person, missions.phase_shown(shown.campaign, None)
    steps = missions.steps_of(session, shown.mission.id)
    standing = missions.standing(session, shown.mission, person, phase=phase).done if person else {}
    round = community.open_round(session, shown.mission.id, now=now)
    ideas: list[tuple[str, str, bool]] = []
    left = 0
    if round is not None:
        secret = core.keyring.ballot_secret(shown.campaign.id)
        voted = community.voted_ideas(session, round.id, community.voter_of(secret, person.id)) if person else set()
        rows = community.list_ideas(session, shown.mission.id, phase=phase, votable_or=frozenset(), limit=IDEAS_OFFERED)
        ideas = [(ids.show("ide", one.id), one.text, one.id in voted) for one, _ in rows]
        left = round.quota - len(voted)
    return CardView(
        code=shown.token.code,
        grouped=codes.grouped(shown.token.code),
        pseudonym=person.pseudonym if person else "",
        mission=shown.mission.title,
        steps=[
            (ids.show("stp", one.id), one.title, standing.get(one.position) == "verified")
            for one in steps
            if one.kind == StepKind.STAFF_VALIDATED
        ],
        asks_idea=any(one.kind == StepKind.IDEA for one in steps),
        asks_age=person is None or person.age_declared_at is None,
        ideas=ideas,
        votes_left=left,
        records=_records(session, place, person, language) if person else [],
    )


def _records(session: DbSession, place: Place, person: Participant, language: str) -> list[RecordView]:
    """The last acts recorded here for the card's person, for a manager's phone to take back."""
    zone = clock.zone(place.time_zone)
    return [
        RecordView(
            id=ids.show("rec", one.id),
            act=one.act,
            when=format_datetime(one.recorded_at, "d MMMM, HH:mm", tzinfo=zone, locale=language),
            void_reason=one.void_reason or "",
        )
        for one in missions.list_records(session, place_id=place.id, participant_id=person.id, limit=RECORDS_SHOWN)
    ]
