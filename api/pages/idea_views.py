"""The page of an idea: its words, what became of it and why, who follows it, and what people say of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from babel.dates import format_date, format_time
from fastapi import Request
from fastapi.responses import HTMLResponse
from sqlmodel import Session

from api.dependencies import Services
from api.pages import ballot_views, open_graph, views
from api.pages.phone import acting, cookie_of, is_young, language_for, mission_named, objected
from api.pagination import before
from campaigns import clock, community, ids, missions
from campaigns.community import EDIT_WINDOW, Comment, Decision, Idea
from campaigns.community.comments import TEXT_LIMIT
from campaigns.missions import Mission
from campaigns.participants import Participant
from campaigns.planning import Campaign

COMMENTS_SHOWN = 50  # a page; links lead to those before


@dataclass(frozen=True)
class CommentView:
    """A comment as everybody may see it: of a hidden one not the words, and the rule in their place."""

    id: str
    text: str
    pseudonym: str
    is_official: bool
    hidden_rule: str | None
    useful: int
    is_mine: bool


@dataclass(frozen=True)
class DecisionView:
    """A step of an idea's history. `is_undone`: a merge was taken back by it; `into_url` leads to the other idea."""

    state: str
    day: str
    reason: str
    is_undone: bool = False
    into_url: str = ""


@dataclass(frozen=True)
class MergedView:
    """An idea that was merged into the one of the page, and the votes that stay with it."""

    idea: views.IdeaView
    url: str
    votes: int


@dataclass(frozen=True)
class VotesView:
    """The votes of an idea in a round whose totals are public."""

    url: str
    closes: str
    is_over: bool
    votes: int


def page(
    request: Request,
    core: Services,
    mission: str,
    idea_name: str,
    now: datetime,
    *,
    lang: str | None = None,
    just: str = "",
    problem: str = "",
    edit_problem: str = "",
    typed: dict[str, Any] | None = None,
    cursor: str | None = None,
) -> HTMLResponse:
    """The page as this phone sees it; with a problem, what was typed stands in its form."""
    language, typed = language_for(request, lang), typed or {}
    with core.database.snapshot() as session:
        found = mission_named(session, mission)
        campaign = session.get_one(Campaign, found.campaign_id)
        person = missions.recognise(session, campaign, cookie_of(request, campaign), objected=objected(request))
        idea, name = community.idea_shown(
            session, found, ids.parse("ide", idea_name), phase=missions.phase_shown(campaign, person)
        )
        context = {
            **views.house(session, found.organisation_id),
            **_story(session, found, campaign, idea, language=language, now=now),
            **_mine(session, idea, campaign, person, language=language, now=now),
        }
        rows = community.comments_on(session, idea.id, before=before(cursor), limit=COMMENTS_SHOWN + 1)
        comments = [_comment(one, author, person) for one, author in rows[-COMMENTS_SHOWN:]]
        state = missions.state_shown(campaign, person, now=now).value
    young = is_young(request) or (person is not None and bool(person.is_under_15))
    urls = {name: acting(request, f"/m/{found.slug}/{path}") for name, path in _urls(idea_name).items()}
    html = core.renderer.page(
        "idea.html",
        language,
        **context,
        **urls,
        comments=comments,
        earlier_url=f"/m/{found.slug}/ideas/{idea_name}?cursor={ids.show('cur', rows[1][0].id)}&lang={language}"
        if len(rows) > COMMENTS_SHOWN
        else "",
        mission=found,
        url=f"/m/{found.slug}",
        idea=views.idea_view(idea, name),
        og=open_graph.of_idea(core, found, idea.id, "" if idea.hidden_rule else idea.text, language),
        **_forms(typed, idea, is_edit=bool(edit_problem)),
        can_write=state in ("live", "draft", "pilot") and not idea.hidden_rule and not young,
        asks_age=person is None or person.age_declared_at is None,
        flag_url=f"/m/{found.slug}/flags/new?lang={language}&",
        just=just,
        problem=problem,
        edit_problem=edit_problem,
        other_lang_url=f"/m/{found.slug}/ideas/{idea_name}?lang={'en' if language == 'fr' else 'fr'}",
    )
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


def _forms(typed: dict[str, Any], idea: Idea, *, is_edit: bool) -> dict[str, Any]:
    """What stands in the forms of a comment and of the author's edit: what was typed, in the one that was refused."""
    text = str(typed.get("text", ""))
    return {
        "age": str(typed.get("age", "")),
        "text": "" if is_edit else text,
        "edit_text": text if is_edit else idea.text,
        "client_id": str(typed.get("client_id", "")) or str(uuid4()),
        "text_limit": TEXT_LIMIT,
    }


def _urls(idea: str) -> dict[str, str]:
    return {
        "action": "comments",
        "follow_url": "follows",
        "unfollow_url": "follows/withdrawal",
        "edit_url": f"ideas/{idea}/edits",
    }


def _story(
    session: Session, mission: Mission, campaign: Campaign, idea: Idea, *, language: str, now: datetime
) -> dict[str, Any]:
    """What became of the idea: its history, the one it was merged into, those merged into it, its public votes."""

    def day(at: datetime) -> str:
        return format_date(at.astimezone(clock.zone(campaign.time_zone)), "d MMMM y", locale=language)

    merged = community.merged_into(session, [idea.id]).get(idea.id, [])
    into = session.get_one(Idea, idea.merged_into_id) if idea.merged_into_id else None
    return {
        "given": day(idea.created_at),
        "history": history(community.history_of(session, idea.id), mission, day),
        "into": views.idea_view(into, _author(session, mission, into)) if into else None,
        "merged": [
            MergedView(
                views.idea_view(one, _author(session, mission, one)),
                url_of(mission, one.id),
                sum(votes for round, votes in community.votes_by_round(session, one) if round.shows_totals(now)),
            )
            for one in merged
        ],
        "votes": [
            VotesView(
                ballot_views.url_of(mission, round),
                ballot_views.moment(round.closes_at, campaign, language),
                round.is_over(now),
                votes,
            )
            for round, votes in community.votes_by_round(session, idea)
            if round.shows_totals(now)
        ],
    }


def history(decisions: Sequence[Decision], mission: Mission, day: Any) -> list[DecisionView]:
    """Decisions in words of the page, in their order. `day` writes an instant."""
    return [
        DecisionView(
            state=one.state,
            day=day(one.decided_at),
            reason=one.reason,
            is_undone=one.state_before == "merged",
            into_url=url_of(mission, one.merged_into_id) if one.merged_into_id else "",
        )
        for one in decisions
    ]


def url_of(mission: Mission, idea_id: UUID) -> str:
    """The path of an idea's page."""
    return f"/m/{mission.slug}/ideas/{ids.show('ide', idea_id)}"


def _author(session: Session, mission: Mission, idea: Idea) -> str:
    return community.idea_shown(session, mission, idea.id, phase=idea.phase)[1]


def _mine(
    session: Session, idea: Idea, campaign: Campaign, person: Participant | None, *, language: str, now: datetime
) -> dict[str, Any]:
    """What the person of this phone may do with the idea."""
    ends = (idea.created_at + EDIT_WINDOW).astimezone(clock.zone(campaign.time_zone))
    return {
        "is_mine": person is not None and idea.participant_id == person.id,
        "is_followed": person is not None and community.is_followed(session, idea.id, person.id),
        "may_edit": community.may_edit(session, idea, person, now=now),
        "edit_until": format_time(ends, "short", locale=language),
    }


def _comment(one: Comment, author: str, person: Participant | None) -> CommentView:
    return CommentView(
        id=ids.show("cmt", one.id),
        text="" if one.hidden_rule else one.text,
        pseudonym=author,
        is_official=one.is_official,
        hidden_rule=one.hidden_rule,
        useful=one.useful,
        is_mine=person is not None and one.participant_id == person.id,
    )
