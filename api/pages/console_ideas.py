"""Ideas at the console: what becomes of each, for a public reason, and merging those that say the same."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from sqlmodel import Session as DbSession

from api import schemas
from api.community_record import COLUMNS, record_pages
from api.exports import csv_file, ndjson_file
from api.pages.console_names import Names
from api.pages.console_session import Form, Posted, Seat, member_may
from api.pagination import before
from api.policies import MEMBER
from campaigns import community, ids, missions
from campaigns.community import By, Idea, IdeaState
from campaigns.errors import CampaignError, Invalid, NotFound
from campaigns.identity import Right
from campaigns.missions import Mission
from campaigns.missions.models import text_in

router = APIRouter(prefix="/console/ideas", include_in_schema=False, dependencies=[MEMBER])
SHOWN = 50
OTHERS_SHOWN = 100  # ideas of a mission to choose from, the newest; any other by its number
Reader = Annotated[Seat, member_may(Right.MISSIONS_READ)]
Decider = Annotated[Seat, member_may(Right.IDEAS_WRITE)]


@dataclass(frozen=True)
class LineView:
    """An idea in a list."""

    id: str
    mission: str
    text: str
    state: str
    hidden_rule: str | None
    at: datetime
    comments: int
    followers: int


@dataclass(frozen=True)
class StepView:
    """A decision about an idea, and who made it: members see that, the public sees the reason alone."""

    state: str
    is_undone: bool
    reason: str
    at: datetime
    who: str


@router.get("", response_class=HTMLResponse)
def list_ideas(
    seat: Reader, cursor: str | None = None, state: Annotated[str, Query(max_length=20)] = ""
) -> HTMLResponse:
    """The ideas of all missions, newest first; those of one state when it is asked for."""
    wanted = IdeaState(state) if state in set(IdeaState) else None
    with seat.reading() as session:
        rows = community.ideas_everywhere(
            session, seat.organisation.id, state=wanted, before=before(cursor), limit=SHOWN + 1
        )
    return seat.page(
        "console_ideas.html",
        ideas=[_line(seat, idea, mission) for idea, mission in rows[:SHOWN]],
        records=_records(seat, rows),
        more=ids.show("cur", rows[SHOWN - 1][0].id) if len(rows) > SHOWN else "",
        states=[one.value for one in community.DECIDED] + [IdeaState.MERGED.value],
        state=wanted.value if wanted else "",
    )


@router.get("/records/{mission_id}.csv", response_class=StreamingResponse)
def record_csv(seat: Reader, mission_id: str) -> StreamingResponse:
    """The public record of a mission's community as CSV, streamed."""
    mission = _mission(seat, mission_id)
    pages = record_pages(seat.core, mission, seat.now, as_text=True)
    return csv_file(f"community-{mission.slug}", COLUMNS, pages)


@router.get("/records/{mission_id}.ndjson", response_class=StreamingResponse)
def record_ndjson(seat: Reader, mission_id: str) -> StreamingResponse:
    """The same with a JSON object a line."""
    mission = _mission(seat, mission_id)
    return ndjson_file(f"community-{mission.slug}", record_pages(seat.core, mission, seat.now, as_text=False))


@router.get("/{idea_id}", response_class=HTMLResponse)
def show_idea(seat: Reader, idea_id: str) -> HTMLResponse:
    """One idea with its history, and what may be decided."""
    return _page(seat, idea_id)


@router.post("/{idea_id}")
def decide(seat: Decider, form: Form, idea_id: str) -> Response:
    """Give it its next state, merge it (`into`) or set it apart again, as the button says, for a `reason`."""
    by = By(member_id=seat.member.id)
    acts: dict[str, Callable[[DbSession, Mission, Idea, str], object]] = {
        "decide": lambda session, mission, idea, reason: community.decide(
            session, mission, idea, _state(form), reason=reason, by=by, now=seat.now
        ),
        "merge": lambda session, mission, idea, reason: community.merge_idea(
            session, mission, idea, _into(form), reason=reason, by=by, now=seat.now
        ),
        "separate": lambda session, mission, idea, reason: community.separate(
            session, mission, idea, reason=reason, by=by, now=seat.now
        ),
    }
    try:
        act = acts.get(form["act"])
        if act is None:
            raise Invalid("Choose what to do.", pointer="/act")
        with seat.writing() as session:
            idea, mission = community.idea_by_id(session, seat.organisation.id, ids.parse("ide", idea_id))
            act(session, mission, idea, _reason(form))
    except NotFound as error:
        if error.context.get("pointer") != "/into":
            raise
        return _page(seat, idea_id, error=error, form=form)
    except CampaignError as error:
        return _page(seat, idea_id, error=error, form=form)
    return seat.see(
        f"/console/ideas/{idea_id}", done={"decide": "decided", "merge": "merged"}.get(form["act"], "apart")
    )


def _records(seat: Seat, rows: list[tuple[Idea, Mission]]) -> list[tuple[str, str]]:
    """The missions of these ideas, each once, whose record may be taken away."""
    return list({ids.show("mis", one.id): text_in(one.title, seat.language) for _, one in rows}.items())


def _mission(seat: Seat, mission_id: str) -> Mission:
    with seat.reading() as session:
        return missions.mission_by_id(session, seat.organisation.id, ids.parse("mis", mission_id))


def _state(form: Posted) -> IdeaState:
    if form["state"] not in set(IdeaState):
        raise Invalid("Choose what becomes of it.", pointer="/state")
    return IdeaState(form["state"])


def _into(form: Posted) -> UUID:
    """The other idea: chosen from the list, or its number or address typed."""
    name = (form["other"].strip() or form["into"]).rpartition("/")[2].partition("?")[0]
    if not name:
        raise Invalid("Choose the other idea.", pointer="/into")
    try:
        return ids.parse("ide", name)
    except NotFound as error:
        raise NotFound("There is no such idea in this mission.", pointer="/into") from error


def _reason(form: Posted) -> str:
    try:
        return schemas.clean(form["reason"])
    except ValueError as error:
        raise Invalid(str(error), pointer="/reason") from error


def _page(seat: Seat, idea_id: str, *, error: CampaignError | None = None, form: Posted | None = None) -> HTMLResponse:
    with seat.reading() as session:
        idea, mission = community.idea_by_id(session, seat.organisation.id, ids.parse("ide", idea_id))
        names = Names(session, seat.language)
        others = community.list_ideas(session, mission.id, phase=idea.phase, limit=OTHERS_SHOWN + 1)
        context: dict[str, Any] = {
            "idea": _line(seat, idea, mission),
            "public_url": f"/m/{mission.slug}/ideas/{ids.show('ide', idea.id)}",
            "history": [
                StepView(
                    one.state,
                    one.state_before == IdeaState.MERGED,
                    one.reason,
                    one.decided_at,
                    names.member(one.member_id) if one.member_id else names.key(one.key_id),
                )
                for one in community.history_of(session, idea.id)
            ],
            "votes": [
                (round.closes_at, votes)
                for round, votes in community.votes_by_round(session, idea)
                if round.shows_totals(seat.now)
            ],
            "next_states": [one.value for one in community.next_states(idea)],
            "others": [
                (ids.show("ide", one.id), one.text)
                for one, _ in others
                if one.id != idea.id and one.text and not one.hidden_rule and one.merged_into_id is None
            ],
            "can_merge": idea.state in community.MERGEABLE,
        }
    typed = {name: form[name] if form else "" for name in ("act", "state", "into", "other", "reason")}
    return seat.page("console_idea.html", error=error, typed=typed, **context)


def _line(seat: Seat, idea: Idea, mission: Mission) -> LineView:
    return LineView(
        id=ids.show("ide", idea.id),
        mission=text_in(mission.title, seat.language),
        text=idea.text,
        state=idea.state,
        hidden_rule=idea.hidden_rule,
        at=idea.created_at,
        comments=idea.comments,
        followers=idea.followers,
    )
