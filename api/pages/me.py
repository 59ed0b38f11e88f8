"""`/me`: what is held about the person of this phone, to look at, to take away, and to erase."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from babel.dates import format_date, format_datetime
from fastapi import APIRouter, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession
from starlette.concurrency import run_in_threadpool

from api import exports, schemas
from api.dependencies import Core, Now, ReadSession, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import coupon_views, pledge_views, point_views, views
from api.pages.attested_views import attested_view
from api.pages.phone import (
    Tongue,
    case_link,
    cookies_of,
    drop_cookie,
    language_for,
    objected,
    onward,
)
from api.policies import PUBLIC
from api.scan_headers import YOUNG_COOKIE
from campaigns import care, ids, missions, participants, privacy
from campaigns.clock import zone
from campaigns.missions import Mission
from campaigns.missions.models import text_in
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.rewards import attested_gifts
from campaigns.sponsorship.attestation import attested

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])
_CONTESTABLE = ("held", "invalid", "duplicate")  # verdicts that take something from a person
CSV_COLUMNS = ("organisation", "participant", "record", "number", "field", "value")


class ErasureCreate(schemas.Request):
    """Whom to erase: the people of this phone, in every organisation or in one."""

    organisation: str | None = Field(None, max_length=60, description="`org_...`; without it all of them")
    confirm: Literal["yes"] | None = Field(None, description="of a form: that the person saw what it means")


@router.get("/me", response_class=HTMLResponse)
def me(
    request: Request,
    core: Core,
    session: ReadSession,
    now: Now,
    lang: Tongue = None,
    just: Annotated[str, Query(pattern="^(cause|taken|erased|recovered|merged|mail_asked|mail_gone|)$")] = "",
) -> HTMLResponse:
    """Everything held about the person of this phone, what happens to it and until when."""
    language = language_for(request, lang)
    people = privacy.people_of(session, cookies_of(request).values())
    page = core.renderer.page(
        "me.html",
        language,
        js=core.renderer.script("shopper.js"),
        people=[
            _shown(core, session, person, language, now)
            | {"rewards": point_views.of_person(request, session, person, language=language, now=now)}
            for person in people
        ],
        objected=objected(request),
        young=YOUNG_COOKIE in request.cookies,
        just=just,
        sends_mail=core.mailer is not None,
        address_url=f"/me/address?lang={language}&participant=",
        removal_url=onward(request, "/me/address/removal"),
        erasure_url=onward(request, "/me/erasure"),
        appeals_url=onward(request, "/me/appeals"),
        codes_url=onward(request, "/me/recovery-codes"),
        recovery_url=onward(request, "/me/recovery"),
        other_lang_url=f"/me?lang={'en' if language == 'fr' else 'fr'}",
        **_houses(session, people),
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@router.get("/me/export")
def export(
    request: Request,
    core: Core,
    session: ReadSession,
    now: Now,
    format: Annotated[Literal["json", "csv"], Query(description="`json` or `csv`")] = "json",
) -> Response:
    """The same as a file, at once: JSON, or CSV with a line a value (RFC 4180, UTF-8, formulas defused)."""
    people = privacy.people_of(session, cookies_of(request).values())
    held = [_holdings(core, session, person) for person in people]
    if format == "csv":
        lines = [line for one in held for line in _lines(one)]
        return exports.csv_file("passerelle-me", CSV_COLUMNS, iter([lines]))
    body = {"exported_at": now, "browser_objects": objected(request), "people": held}
    headers = {"Content-Disposition": 'attachment; filename="passerelle-me.json"', "Cache-Control": "private, no-store"}
    return JSONResponse(jsonable_encoder(body), headers=headers)


@router.post("/me/erasure")
async def erase(request: Request, core: Core, now: Now) -> Response:
    """Erase the person of this phone: what says who they are goes, their acts stay counted under a random id.

    JSON (optional `organisation`): at once, `{"erased": n}`. A form is asked once more, then 303. The cookies go.
    """
    require_same_site(request)
    asked = await read_fields(request, ErasureCreate)
    return await run_in_threadpool(_erase, request, core, asked, now)


def _erase(request: Request, core: Services, asked: ErasureCreate, now: datetime) -> Response:
    only = ids.parse("org", asked.organisation) if asked.organisation else None
    cookies = cookies_of(request)
    if asked.confirm is None and not wants_json(request):
        return _ask_again(request, core, cookies, only)
    erased = 0
    with core.database.erasing() as session:
        gone = {name for name in cookies if only is None}
        for name, secret in cookies.items():
            person = participants.recognise(session, secret)
            if person is not None and only in (None, person.organisation_id):
                erased += privacy.erase(session, person.id, note=core.erasures.append, now=now)
                gone.add(name)
    core.database.forget_overwritten()
    answer: Response = JSONResponse({"erased": erased}, headers={"Cache-Control": "no-store"})
    if not wants_json(request):
        answer = RedirectResponse(onward(request, "/me?just=erased"), 303)
    for name in sorted(gone | ({YOUNG_COOKIE} & request.cookies.keys() if only is None else set())):
        drop_cookie(answer, core, name)
    return answer


def _houses(session: DbSession, people: Sequence[Participant]) -> dict[str, Any]:
    """The organisation of a phone's one participant; of several only the notices, each once."""
    houses = [views.house(session, id) for id in dict.fromkeys(person.organisation_id for person in people)]
    if len(houses) == 1:
        return houses[0]
    notices: list[Any] = []
    for house in houses:
        notices += [one for one in house["notices"] if one not in notices]
    return {"notices": notices}


def _ask_again(request: Request, core: Services, cookies: dict[str, str], only: UUID | None) -> HTMLResponse:
    language = language_for(request, None)
    with core.database.snapshot() as session:
        people = [
            one for one in privacy.people_of(session, cookies.values()) if only is None or one.organisation_id == only
        ]
        names = [(one.pseudonym, views.brand(session, one.organisation_id)) for one in people]
    page = core.renderer.page(
        "erasure.html",
        language,
        names=names,
        organisation=ids.show("org", only) if only else "",
        erasure_url=onward(request, "/me/erasure"),
        back_url=onward(request, "/me"),
        other_lang_url="",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _holdings(core: Services, session: DbSession, person: Participant) -> dict[str, Any]:
    def open_fix(sealed: bytes) -> tuple[float, float]:
        lat, lon, *_ = json.loads(core.keyring.open_position(sealed))
        return lat, lon

    return privacy.holdings(
        session,
        person,
        open_fix=open_fix,
        open_address=core.keyring.open_address,
        ballot_secret=core.keyring.ballot_secret,
    )


def _lines(held: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """A line a value, so that nothing is left out whatever a record holds."""
    whose = {"organisation": held["participant"]["organisation"], "participant": held["participant"]["id"]}
    for record, found in held.items():
        for number, one in enumerate(found if isinstance(found, list) else [found], 1):
            for name, value in _values(one):
                yield whose | {"record": record, "number": str(number), "field": name, "value": value}


def _values(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value, 1):
            yield from _values(one, f"{name}.{key}" if name else str(key))
    elif value is not None:
        shown = value.isoformat() if isinstance(value, datetime) else str(value)
        yield name, shown.lower() if isinstance(value, bool) else shown


def _shown(core: Services, session: DbSession, person: Participant, language: str, now: datetime) -> dict[str, Any]:
    held = _holdings(core, session, person)
    until = held["participant"]["kept_until"]
    positions = [position for act in held["check_ins"] for position in act["positions"]]
    precise = [one["precise_until"] for one in positions if "precise_until" in one]
    return {
        **held["participant"],
        "since": _day(person.created_at, language),
        "until": format_date(until, "d MMMM y", locale=language) if until else "",
        "precise_until": _moment(max(precise), language) if precise else "",
        "coupons": coupon_views.of_people(session, core, [person.id], language=language, now=now),
        "missions": _missions(session, person, held["missions"], language),
        "check_ins": [_visit(core, act, language) for act in held["check_ins"]],
        "live_codes": [one | {"when": _day(one["used_at"], language)} for one in held["live_codes"]],
        "serials": [one | {"when": _day(one["used_at"], language)} for one in held["serials"]],
        "steps": [one | {"when": _day(one["completed_at"], language)} for one in held["steps"]],
        "ideas": [_idea(session, one, language) for one in held["ideas"]],
        "follows": [_followed(one, language) for one in held["follows"]],
        "votes": [one for one in held["votes"] if one["state"] == "cast"],
        "comments": [one | {"when": _day(one["created_at"], language)} for one in held["comments"]],
        "brought": [
            attested_view(one, language)
            for one in (*attested(session, [person.id]), *attested_gifts(session, [person.id]))
        ],
        "address": held["contact"][0]["address"] if held["contact"] else "",
        "is_confirmed": bool(held["contact"] and held["contact"][0]["confirmed_at"]),
        "replies": [one | {"when": _day(one["created_at"], language)} for one in held["replies"] if one["text"]],
        "causes": [one | {"choices": _causes(session, person, one)} for one in held["causes"]],
        "cases": [
            {"reference": one.reference, "state": one.state, "url": case_link(core, one)}
            for one in care.cases_of(session, person.id)
        ],
    }


def _causes(session: DbSession, person: Participant, held: dict[str, Any]) -> list[dict[str, Any]]:
    """What may be chosen instead; nothing once the campaign takes no acts."""
    mission = session.get_one(Mission, ids.parse("mis", held["mission_id"]))
    return pledge_views.causes_of(session, mission, person)


def _idea(session: DbSession, held: dict[str, Any], language: str) -> dict[str, Any]:
    mission = session.get_one(Mission, ids.parse("mis", held["mission_id"]))
    return held | {"when": _day(held["created_at"], language), "url": f"/m/{mission.slug}/ideas/{held['id']}"}


def _followed(held: dict[str, Any], language: str) -> dict[str, Any]:
    """An idea the person follows, with what was decided about it since."""
    changes = [
        one | {"when": _day(one["decided_at"], language), "is_undone": one["state_before"] == "merged"}
        for one in held["changes"]
    ]
    answers = [one | {"when": _day(one["created_at"], language)} for one in held["answers"]]
    url = f"/m/{held['slug']}/ideas/{held['idea_id']}"
    return held | {"when": _day(held["followed_at"], language), "url": url, "changes": changes, "answers": answers}


def _visit(core: Services, act: dict[str, Any], language: str) -> dict[str, Any]:
    moment = zone(act["time_zone"] or "UTC")
    return {
        "id": act["id"] if act["verdict"] in _CONTESTABLE else "",
        "place": act["place"] or "",
        "when": format_datetime(act["occurred_at"], "d MMMM, HH:mm", tzinfo=moment, locale=language),
        "presence_words": views.presence_words(core.renderer, language, act["presence"]),
        "verdict_words": views.verdict_words(core.renderer, language, act["verdict"], counted=act["counted"]),
        "voided_because": act["voided_because"] or "",
    }


def _missions(
    session: DbSession, person: Participant, joined: list[dict[str, Any]], language: str
) -> list[dict[str, Any]]:
    shown = []
    for record in joined:
        mission = session.get_one(Mission, ids.parse("mis", record["id"]))
        phase = missions.phase_shown(session.get_one(Campaign, mission.campaign_id), person)
        if record["phase"] != phase:
            continue
        done = missions.standing(session, mission, person, phase=phase).done
        shown.append(
            {
                "title": text_in(mission.title, language),
                "url": f"/m/{mission.slug}",
                "steps_done": len(done),
                "steps_total": len(missions.steps_of(session, mission.id)),
            }
        )
    return shown


def _moment(at: datetime, language: str) -> str:
    return format_datetime(at, "d MMMM, HH:mm", locale=language)


def _day(at: datetime, language: str) -> str:
    return format_date(at, "d MMMM", locale=language)
