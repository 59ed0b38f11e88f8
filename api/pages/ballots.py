"""Voting on a phone: the ballot, casting and taking back, the result and its tally."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession
from starlette.concurrency import run_in_threadpool

from api import exports, problems, schemas
from api.dependencies import Core, Now, ReadSession, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import ballot_views, views
from api.pages.ages import UNDER_15, Age, note_young, of_age
from api.pages.phone import (
    ClientId,
    MissionName,
    Tongue,
    cookie_of,
    is_young,
    keep_cookie,
    keep_young,
    language_for,
    link_of,
    mission_named,
    moved,
    objected,
    onward,
    participant_shown,
    place_to_keep,
)
from api.pagination import Cursor, before
from api.policies import PUBLIC
from api.problems import status_of
from campaigns import community, ids, missions, planning
from campaigns.community import Cast, Round
from campaigns.errors import CampaignError, Conflict, Forbidden, Invalid, NotFound
from campaigns.missions import Mission
from campaigns.participants import Participant
from campaigns.planning import Campaign

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])
RoundName = Annotated[str, Path(max_length=40, description="The round's id (`rnd_...`).")]
IDEAS_A_PAGE = 50  # of the ballot
RANKED = 100  # ideas of a result's page
TALLY_COLUMNS = ("line", "idea", "presence", "hour", "voided")


class VoteCreate(schemas.Request):
    """A vote for an idea, or taking it back. `client_id` is made on the phone: a repeat gets the first answer."""

    idea: str = Field("", max_length=40, description="the idea's id (`ide_...`)")
    round: str | None = Field(None, max_length=40, description="the open round of the mission, when it is left out")
    client_id: ClientId | None = None
    age: Age = None


@router.post("/m/{mission}/votes", status_code=201)
async def cast_vote(request: Request, core: Core, mission: MissionName) -> Response:
    """Vote for an `idea` in the open round. To change a vote take it back and give another one.

    `age` is asked once, as for an idea. 403 `presence_missing` or `visit_missing` for who lacks what the round asks
    for; 409 `already_voted`, `quota_used`, `proof_used`, `idea_closed`, `round_over`, `round_ahead`, `no_round`.
    """
    require_same_site(request)
    asked = await read_fields(request, VoteCreate)
    return await run_in_threadpool(_act, request, core, mission, asked, withdraws=False)


@router.post("/m/{mission}/votes/withdrawal")
async def withdraw_vote(request: Request, core: Core, mission: MissionName) -> Response:
    """Take a vote for an `idea` back before the close. 409 `not_voted` when none stands."""
    require_same_site(request)
    asked = await read_fields(request, VoteCreate)
    return await run_in_threadpool(_act, request, core, mission, asked, withdraws=True)


@router.get("/m/{mission}/rounds/{round}", response_class=HTMLResponse)
def round_page(
    request: Request,
    core: Core,
    session: ReadSession,
    now: Now,
    mission: MissionName,
    round: RoundName,
    lang: Tongue = None,
    cursor: Cursor = None,
    just: Annotated[str, Query(pattern="^(voted|withdrawn|)$")] = "",
) -> Response:
    """The ballot while the round is open, then its result: turn-out, presence mix, ranking. JSON when asked for."""
    found = mission_named(session, mission)
    one = community.round_of(session, found.id, ids.parse("rnd", round))
    if wants_json(request):
        return JSONResponse(_result_body(session, found, one, now), headers={"Cache-Control": "no-store"})
    return _round_page(request, core, session, found, one, now, lang=lang, cursor=cursor, just=just)


@router.get("/m/{mission}/rounds/{round}/tally.csv")
def tally(request: Request, core: Core, now: Now, mission: MissionName, round: RoundName) -> Response:
    """The anonymous tally of a closed round: one line a vote, from which anyone recounts the result.

    `line` is random and the same in every download. `presence` and `hour` (UTC) are empty where fewer than ten people
    share them. There is no time to the second and no voter: somebody who knows when a person voted, or their vote in
    another round, must not find their line. `voided` says why a vote counts no more (`scan_voided`, `merged`,
    `record_voided`); such a line names no idea. 409 `round_open` before the close.
    """
    with core.database.snapshot() as session:
        found = mission_named(session, mission)
        one = community.round_of(session, found.id, ids.parse("rnd", round))
        phase = missions.phase_shown(session.get_one(Campaign, found.campaign_id), None)
    if not one.is_over(now):
        raise Conflict("The tally can be downloaded once the vote is closed.", code="round_open")

    def pages() -> Iterator[list[dict[str, str]]]:
        with core.database.snapshot() as session:
            for lines in community.tally(session, one, phase=phase):
                yield [line._asdict() for line in lines]

    return exports.csv_file(f"tally-{found.slug}", TALLY_COLUMNS, pages())


def _act(request: Request, core: Services, mission: str, asked: VoteCreate, *, withdraws: bool) -> Response:
    now = core.clock()
    try:
        if not withdraws and (asked.age == UNDER_15 or is_young(request)):
            note_young(request, core, mission, now)
            raise Forbidden(community.VOTES_UNDER_AGE, code="under_age")
        if not asked.idea:
            raise Invalid("Choose the idea you vote for.", code="idea_missing", pointer="/idea")
        idea_id = ids.parse("ide", asked.idea)
        found, person, secret, cast = (_withdraw if withdraws else _cast)(request, core, mission, asked, idea_id)
    except CampaignError as error:
        return _refuse(request, core, mission, asked, error, now)
    body = _cast_body(cast, person)
    done = "withdrawn" if withdraws else "voted"
    url = f"{ballot_views.url_of(found, cast.round)}?just={done}"
    answer = moved(request, url, body, status=200 if withdraws else 201)
    if secret:
        keep_cookie(answer, core, person, secret)
    return answer


def _cast(
    request: Request, core: Services, mission: str, asked: VoteCreate, idea_id: UUID
) -> tuple[Mission, Participant, str | None, Cast]:
    found, steps = core.rules.named(core.database, mission)
    rules = core.rules.version_id(core.database, found, now=core.clock())
    link = link_of(request, core.clock())
    with core.database.transaction() as session:
        session.connection()
        now = core.clock()  # after the wait for our turn: who waited past the close is too late
        campaign = planning.campaign_as_it_stands(session, found.campaign_id)
        person, secret = missions.recognise_or_join(
            session,
            campaign,
            cookie_of(request, campaign),
            language=language_for(request, None),
            objected=objected(request),
            now=now,
        )
        round_id = _round_asked(session, found, asked, now)
        person = of_age(request, session, person, asked.age, now)
        missions.claim(session, found, campaign, person, link, now=now)
        cast = community.cast_vote(
            session,
            round_id,
            found,
            campaign,
            person,
            idea_id=idea_id,
            client_id=asked.client_id or str(uuid4()),
            secret=core.keyring.ballot_secret(campaign.id),
            rules_version_id=rules,
            steps=steps,
            now=now,
        )
        return found, person, secret, cast


def _withdraw(
    request: Request, core: Services, mission: str, asked: VoteCreate, idea_id: UUID
) -> tuple[Mission, Participant, str | None, Cast]:
    with core.database.transaction() as session:
        session.connection()
        now = core.clock()
        found = mission_named(session, mission)
        campaign = session.get_one(Campaign, found.campaign_id)
        person = missions.recognise(
            session, campaign, cookie_of(request, campaign), objected=objected(request), to_act=True
        )
        if person is None:
            raise Conflict("You have no vote for this idea.", code="not_voted")
        round_id = _round_asked(session, found, asked, now)
        cast = community.withdraw_vote(
            session,
            round_id,
            found,
            campaign,
            person,
            idea_id=idea_id,
            client_id=asked.client_id or str(uuid4()),
            secret=core.keyring.ballot_secret(campaign.id),
            now=now,
        )
        return found, person, None, cast


def _round_asked(session: DbSession, mission: Mission, asked: VoteCreate, now: datetime) -> UUID | None:
    """The round that is asked for, else the open one; None for an act that may be a repeat, whose round is known."""
    if asked.round is not None:
        return community.round_of(session, mission.id, ids.parse("rnd", asked.round)).id
    return None if asked.client_id else community.require_round(session, mission.id, now=now).id


def _cast_body(cast: Cast, person: Participant) -> dict[str, Any]:
    return {
        "id": ids.show("vot", cast.vote.id),
        "round": ids.show("rnd", cast.round.id),
        "idea": ids.show("ide", cast.vote.idea_id),
        "state": cast.vote.state,
        "presence": cast.vote.presence,
        "votes_left": cast.left,
        "participant": participant_shown(person),
    }


def _refuse(
    request: Request, core: Services, mission: str, asked: VoteCreate, error: CampaignError, now: datetime
) -> Response:
    page = None if wants_json(request) or isinstance(error, NotFound) else _again(request, core, mission, asked, error)
    answer = problems.refuse(request, error) if page is None else page
    if error.code == "under_age":
        keep_young(answer, core)
    return answer


def _again(
    request: Request, core: Services, mission: str, asked: VoteCreate, error: CampaignError
) -> HTMLResponse | None:
    """The page of the round once more, with why the vote was not taken; None in a mission without one."""
    now = core.clock()
    with core.database.snapshot() as session:
        found = mission_named(session, mission)
        if asked.round is not None:
            one: Round | None = community.round_of(session, found.id, ids.parse("rnd", asked.round))
        else:
            looks = (community.open_round, community.next_round, community.last_round)
            one = next((hit for look in looks if (hit := look(session, found.id, now=now))), None)
        if one is None:
            return None
        text = core.renderer.sentence(language_for(request, None), error.code, error.detail)
        page = _round_page(request, core, session, found, one, now, error=text, error_code=error.code, age=asked.age)
    page.status_code = status_of(error)
    return page


def _round_page(
    request: Request,
    core: Services,
    session: DbSession,
    mission: Mission,
    round: Round,
    now: datetime,
    *,
    lang: str | None = None,
    cursor: str | None = None,
    just: str = "",
    error: str = "",
    error_code: str = "",
    age: str | None = None,
) -> HTMLResponse:
    language = language_for(request, lang)
    campaign = session.get_one(Campaign, mission.campaign_id)
    person = missions.recognise(session, campaign, cookie_of(request, campaign), objected=objected(request))
    phase = missions.phase_shown(campaign, person)
    is_over = round.is_over(now)
    rows = (
        []
        if is_over
        else ballot_views.ideas_of_ballot(
            core, session, mission, round, person, phase=phase, before=before(cursor), limit=IDEAS_A_PAGE + 1
        )
    )
    ballot = ballot_views.ballot_view(
        core,
        session,
        mission,
        campaign,
        round,
        person,
        language=language,
        phase=phase,
        now=now,
        ideas=rows[:IDEAS_A_PAGE],
    )
    result = community.result_of(session, round, phase=phase, limit=RANKED) if is_over else None
    page = core.renderer.page(
        "round.html",
        language,
        **views.house(session, mission.organisation_id),
        form=ballot_views.form_of(request, mission, round, person),
        rules_url=f"/m/{mission.slug}/rules",
        title=mission.title,
        mission_url=onward(request, f"/m/{mission.slug}"),
        mission_path=f"/m/{mission.slug}",
        campaign_state=missions.state_shown(campaign, person, now=now).value,
        ballot=ballot,
        result=result,
        mix=ballot_views.mix_of(core.renderer, result, language) if result else [],
        tally_url=f"{ballot.url}/tally.csv",
        more_url=f"{ballot.url}?cursor={ids.show('cur', rows[IDEAS_A_PAGE - 1][0].id)}&lang={language}"
        if len(rows) > IDEAS_A_PAGE
        else "",
        just=just,
        keep=place_to_keep(request, session, person) if just else None,
        error=error,
        age=age or "",
        age_error=error if error_code == "age_missing" else "",
        other_lang_url=f"{ballot.url}?lang={'en' if language == 'fr' else 'fr'}",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _result_body(session: DbSession, mission: Mission, round: Round, now: datetime) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": ids.show("rnd", round.id),
        "mission": ids.show("mis", mission.id),
        "opens_at": round.opens_at.isoformat(),
        "closes_at": round.closes_at.isoformat(),
        "quota": round.quota,
        "min_presence": round.min_presence,
        "electorate": round.electorate,
        "totals": round.totals,
        "can_be_repeated": round.can_be_repeated,
        "is_over": round.is_over(now),
        "result": None,
    }
    if round.shows_totals(now):
        phase = missions.phase_shown(session.get_one(Campaign, mission.campaign_id), None)
        found = community.result_of(session, round, phase=phase, limit=RANKED)
        body["result"] = {
            "voters": found.voters,
            "votes": found.votes,
            "presence": {str(level): people for level, people in found.mix.items()},
            "voided": found.voided,
            "ranking": [ballot_views.ranked(one) for one in found.ranking],
        }
    return body
