"""Moderation at the console: what readers flagged, most flagged first, and what is newest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from sqlmodel import Session as DbSession

from api import schemas
from api.pages.console_session import Form, Posted, Seat, member_may
from api.policies import MEMBER
from campaigns import community, ids, missions
from campaigns.community import Act, Rule, Subject, Waiting
from campaigns.errors import CampaignError, Invalid, NotFound
from campaigns.identity import Right
from campaigns.missions import Mission
from campaigns.missions.models import text_in

router = APIRouter(prefix="/console", include_in_schema=False, dependencies=[MEMBER])
SHOWN = 50
Reader = Annotated[Seat, member_may(Right.CARE_READ)]
Answerer = Annotated[Seat, member_may(Right.CARE_WRITE)]
Moderator = Annotated[Seat, member_may(Right.MODERATION_WRITE)]


@dataclass(frozen=True)
class ContributionView:
    """A contribution with its flags, and, while it is hidden, by which rule and why."""

    id: str
    mission: str
    mission_id: str
    url: str
    text: str
    at: datetime
    open_flags: int
    flags: int
    kinds: Mapping[str, int] = field(default_factory=dict)
    texts: Sequence[str] = ()
    hidden_rule: str | None = None
    reason: str = ""


@router.get("/moderation", response_class=HTMLResponse)
def show_queue(seat: Reader) -> HTMLResponse:
    """What was flagged and waits, most flagged first; then what is newest, with what is hidden."""
    return _queue(seat)


@router.post("/moderation/{mission_id}/{subject_id}")
def decide(seat: Moderator, form: Form, mission_id: str, subject_id: str) -> Response:
    """Hide (`rule` and `reason`), restore or leave (`reason`), as the button says."""
    acts: dict[str, Callable[[DbSession, Mission, Subject], object]] = {
        "hide": lambda session, mission, subject: community.hide(
            session, mission, subject, rule=_rule(form), reason=_reason(form), member_id=seat.member.id, now=seat.now
        ),
        "restore": lambda session, mission, subject: community.restore(
            session, mission, subject, reason=_reason(form), member_id=seat.member.id, now=seat.now
        ),
        "leave": lambda session, mission, subject: community.leave(
            session, mission, subject, reason=_reason(form), member_id=seat.member.id, now=seat.now
        ),
    }
    try:
        act = acts.get(form["act"])
        if act is None:
            raise Invalid("Choose what to do.", pointer="/act")
        with seat.writing() as session:
            mission = missions.mission_by_id(session, seat.organisation.id, ids.parse("mis", mission_id))
            act(session, mission, _subject(session, mission, subject_id))
    except NotFound:
        raise
    except CampaignError as error:
        return _queue(seat, error=error, typed={subject_id: {name: form[name] for name in ("rule", "reason")}})
    return seat.see("/console/moderation", done={"hide": "hidden", "restore": "restored", "leave": "left"}[form["act"]])


@router.post("/moderation/{mission_id}/{idea_id}/answer")
def answer(seat: Answerer, form: Form, mission_id: str, idea_id: str) -> Response:
    """Answer an idea officially, in the brand's name."""
    client_id = form["client_id"][:64] or str(uuid4())
    try:
        text = _reason(form)
        with seat.writing() as session:
            mission = missions.mission_by_id(session, seat.organisation.id, ids.parse("mis", mission_id))
            id = ids.parse("ide", idea_id)
            community.post_answer(
                session,
                mission,
                id,
                text=text,
                member_id=seat.member.id,
                client_id=client_id,
                language=seat.language,
                now=seat.now,
            )
    except NotFound:
        raise
    except CampaignError as error:
        return _queue(seat, error=error, typed={idea_id: {"answer": form["text"]}})
    return seat.see("/console/moderation", done="answered")


def _rule(form: Posted) -> Rule:
    if form["rule"] not in set(Rule):
        raise Invalid("Choose the rule it breaks.", pointer="/rule")
    return Rule(form["rule"])


def _reason(form: Posted) -> str:
    try:
        return schemas.clean(form["reason"] or form["text"])
    except ValueError as error:
        raise Invalid(str(error), pointer="/reason") from error


def _subject(session: DbSession, mission: Mission, name: str) -> Subject:
    for kind, prefix in community.PREFIXES.items():
        if name.startswith(f"{prefix}_"):
            return community.subject_in(session, mission, kind, ids.parse(prefix, name))
    raise NotFound("There is no such contribution.")


def _queue(
    seat: Seat, *, error: CampaignError | None = None, typed: dict[str, dict[str, str]] | None = None
) -> HTMLResponse:
    with seat.reading() as session:
        waiting = community.queue(session, seat.organisation.id, limit=SHOWN)
        known = {one.subject.row.id for one in waiting}
        newest = community.newest_of(session, seat.organisation.id, limit=SHOWN)
        context = {
            "waiting": [_view(session, seat, one) for one in waiting],
            "newest": [_view(session, seat, one) for one in newest if one.subject.row.id not in known],
        }
    return seat.page(
        "console_moderation.html",
        answer_id=uuid4().hex[:20],
        error=error,
        typed=typed or {},
        rules=[one.value for one in Rule],
        **context,
    )


def _view(session: DbSession, seat: Seat, one: Waiting) -> ContributionView:
    row = one.subject.row
    last = community.last_act(session, row.id) if row.hidden_rule else None
    return ContributionView(
        id=ids.show(community.PREFIXES[one.subject.kind], row.id),
        mission=text_in(one.mission.title, seat.language),
        mission_id=ids.show("mis", one.mission.id),
        url=f"/m/{one.mission.slug}",
        text=row.text,
        at=row.created_at,
        open_flags=one.open_flags,
        flags=one.flags,
        kinds=one.kinds,
        texts=one.texts,
        hidden_rule=row.hidden_rule,
        reason=last.reason if last is not None and last.act == Act.HIDDEN else "",
    )
