"""The offline act, from the button on the scan page: checking in."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from api import schemas
from api.dependencies import Core, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages.phone import (
    after_its_twin,
    cookie_of,
    entry_of,
    is_young,
    keep_cookie,
    keep_young,
    language_for,
    moved,
    objected,
    participant_shown,
)
from api.pages.render import act_form, kept_language
from api.policies import PUBLIC
from api.scan import seal_position
from api.scan_fields import position_of
from campaigns import ids, missions, scans
from campaigns.errors import Invalid
from campaigns.missions import CheckedIn, StepOutcome
from campaigns.scans import Position
from campaigns.tokens.directory import Entry

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])


class CheckInCreate(schemas.Request):
    """The offline act: the receipt of the scan, and what proves presence, if anything."""

    receipt: str = Field(max_length=200)
    lat: schemas.FormNumber | None = None
    lon: schemas.FormNumber | None = None
    accuracy_m: schemas.FormNumber | None = None
    age_s: schemas.FormNumber | None = None
    till_code: schemas.Text | None = Field(None, max_length=20)
    occurred_at: schemas.Instant | None = None


@router.post("/t/{code}/check-in", status_code=200)
@router.post("/T/{code}/check-in", include_in_schema=False)
async def check_in(request: Request, core: Core, code: str) -> Response:
    """The offline act, once per scan: a replay returns the first answer.

    Form or JSON `receipt`, optional `lat, lon, accuracy_m, age_s`, optional `till_code` (five tries a receipt),
    optional `occurred_at`. Sets the participant cookie. Form: 303 to the mission page.
    """
    require_same_site(request)
    asked = await read_fields(request, CheckInCreate)
    return await run_in_threadpool(_check_in, request, core, code, asked, core.clock())


def _check_in(request: Request, core: Services, code: str, asked: CheckInCreate, now: datetime) -> Response:
    entry = entry_of(core, code)
    receipt = core.receipts.read(asked.receipt, token_id=entry.token_id)
    position = _position(asked)
    language = language_for(request, None)
    window: int | None = None
    if asked.till_code:
        with core.database.transaction() as session:
            _, is_replay = scans.standing_of(session, receipt.scan_id)
            if not is_replay:
                window = scans.try_till_code(session, receipt, entry.place, asked.till_code, key=core.till_key, now=now)
        if window is None and not is_replay:
            return _wrong_till_code(request, core, entry, asked, language, now)

    def act() -> CheckedIn:
        led = missions.NOWHERE if entry.is_held_out else core.rules.led_to(core.database, entry.campaign.id)
        rules = core.rules.version_id(core.database, led.mission, now=now) if led.mission else None
        with core.database.transaction() as session:
            ground = missions.ground_of(session, receipt, led)
            return missions.check_in(
                session,
                receipt,
                entry,
                ground,
                cookie=cookie_of(request, entry.campaign),
                objected=objected(request),
                is_young=is_young(request),
                language=language,
                position=position,
                seal=lambda fix: seal_position(core, fix),
                till_window=window,
                occurred_at=asked.occurred_at,
                rules_version_id=rules,
                now=now,
            )

    done = after_its_twin("already_checked_in", act)
    answer = _checked_in(request, done)
    if done.secret:
        keep_cookie(answer, core, done.person, done.secret)
    if done.person.is_under_15:
        keep_young(answer, core)
    return answer


def _checked_in(request: Request, done: CheckedIn) -> Response:
    check = done.check_in
    body = {
        "participant": participant_shown(done.person),
        "presence": check.presence,
        "verdict": check.verdict,
        "reasons": [reason for reason in check.reasons.split(",") if reason],
        "steps": [_outcome(one) for one in done.outcomes],
    }
    just = _just(done)
    url = f"/m/{done.mission.slug}?just={just}" if done.mission else "/me"
    return moved(request, url, body)


def _just(done: CheckedIn) -> str:
    """What the next page says of the act: never that it counts when it does not."""
    if done.is_replay:
        return "already"
    if done.check_in.verdict == scans.Verdict.HELD:
        return "waiting"
    moved = done.check_in.counted or any(one.outcome in ("verified", "already") for one in done.outcomes)
    return "checked_in" if moved else "noted"


def _outcome(one: StepOutcome) -> dict[str, Any]:
    shown = {"id": ids.show("stp", one.step.id), "kind": one.step.kind, "state": one.outcome}
    return shown | ({"reason": one.reason} if one.reason else {})


def _wrong_till_code(
    request: Request, core: Services, entry: Entry, asked: CheckInCreate, language: str, now: datetime
) -> Response:
    if wants_json(request):
        detail = "This is not the code of the moment. It changes every 30 seconds: read it again."
        raise Invalid(detail, code="till_code_wrong", pointer="/till_code")
    page = request.app.state.pages.render(
        entry,
        entry.state_at(now),
        language,
        till_error=core.renderer.sentence(language, "till_code_wrong"),
        till_value=(asked.till_code or "")[:9],
    )
    lang = kept_language(language, request.headers.get("accept-language", ""))
    html = page.plain(act_form(entry.code, asked.receipt.encode(), lang))
    return HTMLResponse(html, 422, headers={"Cache-Control": "no-store"})


def _position(asked: CheckInCreate) -> Position | None:
    given = asked.model_dump(include={"lat", "lon", "accuracy_m", "age_s"}, exclude_none=True)
    return position_of(given) if given else None
