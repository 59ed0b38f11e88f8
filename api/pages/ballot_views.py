"""What the pages of a vote are given: the round, what a person may still do in it, the ideas, and the result."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from babel.dates import format_datetime
from babel.numbers import format_decimal
from fastapi import Request
from sqlmodel import Session

from api.dependencies import Services
from api.pages import views
from api.pages.phone import acting, is_young, onward
from api.pages.render import Renderer
from api.pages.ways import spots_of
from campaigns import clock, community, ids, missions, places
from campaigns.community import Electorate, Idea, Ranked, Result, Round
from campaigns.missions import Mission, Step, StepKind
from campaigns.participants import Participant
from campaigns.planning import Campaign

PLACES_NAMED = 5  # of the electorate; the others are a number


@dataclass(frozen=True)
class Choice:
    """An idea on the ballot. `votes` is None while totals are hidden, `mine` whether this person voted for it.

    What takes no more votes is there for who voted for it: hidden, merged (then `merged_url` explains) or decided.
    """

    id: str
    text: str
    pseudonym: str
    votes: int | None
    mine: bool
    hidden_rule: str | None
    merged_url: str


@dataclass(frozen=True)
class BallotView:
    """A round as a page shows it to one person. `state` is ahead, open or over."""

    url: str
    state: str
    opens: str
    closes: str
    quota: int
    left: int
    may_vote: bool
    missing: list[str]
    ways: list[str]
    for_whom: str
    can_be_repeated: bool
    totals_shown: bool
    choices: list[Choice]


@dataclass(frozen=True)
class VoteForm:
    """Where the ballot's form goes, and what it has to ask."""

    votes_url: str
    withdrawal_url: str
    round_id: str
    asks_age: bool
    too_young: bool


@dataclass(frozen=True)
class Bar:
    """A level of presence in the result: its words and how many people."""

    words: str
    people: int


def of_mission(
    request: Request,
    core: Services,
    session: Session,
    mission: Mission,
    campaign: Campaign,
    person: Participant | None,
    *,
    language: str,
    phase: str,
    now: datetime,
) -> dict[str, Any]:
    """What the mission's page shows of its votes: the open round, when the next one opens, the last one's result."""
    round = community.open_round(session, mission.id, now=now)
    ahead = None if round else community.next_round(session, mission.id, now=now)
    last = community.last_round(session, mission.id, now=now)
    ballot = None
    if round is not None:
        ideas = ideas_of_ballot(core, session, mission, round, person, phase=phase, limit=views.IDEAS_SHOWN)
        ballot = ballot_view(
            core, session, mission, campaign, round, person, language=language, phase=phase, now=now, ideas=ideas
        )
    return {
        "ballot": ballot,
        "form": form_of(request, mission, round, person) if round else None,
        "vote_opens": moment(ahead.opens_at, campaign, language) if ahead else "",
        "result_url": onward(request, url_of(mission, last)) if last else "",
    }


def ideas_of_ballot(
    core: Services,
    session: Session,
    mission: Mission,
    round: Round,
    person: Participant | None,
    *,
    phase: str,
    before: UUID | None = None,
    limit: int,
) -> Sequence[tuple[Idea, str]]:
    """The ideas on a round's ballot, newest first: those that take votes, and those this person voted for."""
    secret = core.keyring.ballot_secret(mission.campaign_id)
    mine = community.voted_ideas(session, round.id, community.voter_of(secret, person.id)) if person else set()
    return community.list_ideas(session, mission.id, phase=phase, votable_or=mine, before=before, limit=limit)


def form_of(request: Request, mission: Mission, round: Round, person: Participant | None) -> VoteForm:
    """The form of a round's ballot before this person."""
    too_young = is_young(request) or (person is not None and bool(person.is_under_15))
    return VoteForm(
        votes_url=acting(request, f"/m/{mission.slug}/votes"),
        withdrawal_url=onward(request, f"/m/{mission.slug}/votes/withdrawal"),
        round_id=ids.show("rnd", round.id),
        asks_age=not too_young and (person is None or person.age_declared_at is None),
        too_young=too_young,
    )


def ballot_view(
    core: Services,
    session: Session,
    mission: Mission,
    campaign: Campaign,
    round: Round,
    person: Participant | None,
    *,
    language: str,
    phase: str,
    now: datetime,
    ideas: Sequence[tuple[Idea, str]],
) -> BallotView:
    """A round before this person, with these ideas on it."""
    secret = core.keyring.ballot_secret(campaign.id)
    voter = community.voter_of(secret, person.id) if person else None
    ballot = community.find_ballot(session, round.id, voter, phase=phase) if voter else None
    mine = community.voted_ideas(session, round.id, voter) if voter and ballot else set()
    missing: list[str] = []
    ways: list[str] = []
    if ballot is None:
        missing, ways = _missing(
            core.renderer, session, mission, round, person, secret, language=language, phase=phase, now=now
        )
    return BallotView(
        url=url_of(mission, round),
        state="open" if round.is_open(now) else "over" if round.is_over(now) else "ahead",
        opens=moment(round.opens_at, campaign, language),
        closes=moment(round.closes_at, campaign, language),
        quota=round.quota,
        left=round.quota - len(mine),
        may_vote=not missing and not (person is not None and person.is_under_15),
        missing=missing,
        ways=ways,
        for_whom=_for_whom(core.renderer, session, round, language),
        can_be_repeated=round.can_be_repeated,
        totals_shown=round.shows_totals(now),
        choices=_choices(session, mission, round, ideas, mine, phase=phase, shown=round.shows_totals(now)),
    )


def url_of(mission: Mission, round: Round) -> str:
    """The page of a round."""
    return f"/m/{mission.slug}/rounds/{ids.show('rnd', round.id)}"


def moment(at: datetime, campaign: Campaign, language: str) -> str:
    """An instant in words, in the campaign's time zone: `14 October, 12:00`."""
    return format_datetime(at, "d MMMM, HH:mm", tzinfo=clock.zone(campaign.time_zone), locale=language)


def mix_of(renderer: Renderer, result: Result, language: str) -> list[Bar]:
    """The presence mix in words, the strongest first."""
    return [
        Bar(views.presence_words(renderer, language, level), result.mix[level]) for level in sorted(result.mix)[::-1]
    ]


def ranked(one: Ranked) -> dict[str, Any]:
    """An idea's place as JSON; `beside` are the votes of ideas merged into it, which have places of their own."""
    return {
        "rank": one.rank,
        "idea": ids.show("ide", one.idea_id),
        "text": one.text,
        "votes": one.votes,
        "beside": one.beside,
        "merged_into": ids.show("ide", one.merged_into_id) if one.merged_into_id else None,
    }


def _choices(
    session: Session,
    mission: Mission,
    round: Round,
    ideas: Sequence[tuple[Idea, str]],
    mine: set[UUID],
    *,
    phase: str,
    shown: bool,
) -> list[Choice]:
    votes = community.votes_of_ideas(session, round.id, [idea.id for idea, _ in ideas], phase=phase) if shown else {}
    return [
        Choice(
            id=ids.show("ide", idea.id),
            text="" if idea.hidden_rule else idea.text,
            pseudonym=name,
            votes=votes.get(idea.id, 0) if shown else None,
            mine=idea.id in mine,
            hidden_rule=idea.hidden_rule,
            merged_url=f"/m/{mission.slug}/ideas/{ids.show('ide', idea.id)}" if idea.merged_into_id else "",
        )
        for idea, name in ideas
    ]


def _missing(
    renderer: Renderer,
    session: Session,
    mission: Mission,
    round: Round,
    person: Participant | None,
    secret: bytes,
    *,
    language: str,
    phase: str,
    now: datetime,
) -> tuple[list[str], list[str]]:
    """What keeps a person from voting, and every way up; both empty where nothing does."""
    if round.min_presence == 0:
        return [], []
    proofs = (
        community.proofs_of(session, round, mission.campaign_id, person, secret=secret, phase=phase) if person else []
    )
    if proofs and not community.has_opened(session, round.id, proofs, phase=phase):
        return [], []
    asked = Step(
        mission_id=mission.id, position=0, kind=StepKind.VOTE, mode="online", min_presence=round.min_presence, params={}
    )
    nothing = missions.Standing(member=False, presence=None, done={}, check_ins=0)
    among = [ids.parse("plc", one) for one in round.place_ids] if round.place_ids else None
    spots = spots_of(session, mission.campaign_id, among=among, now=now)
    missing, ways = views.still_missing(renderer, language, [asked], nothing, spots)
    if proofs:
        missing = [renderer.word(language, "Your visit opened a ballot already. A new visit opens yours.")]
    elif round.electorate == Electorate.VISITORS:
        missing = [renderer.word(language, "A visit while the vote is open: scan the code in one of the shops.")]
    return missing, ways


def _for_whom(renderer: Renderer, session: Session, round: Round, language: str) -> str:
    """Who may vote, in plain words."""
    if round.electorate == Electorate.VISITORS:
        if round.place_ids is None:
            return renderer.word(language, "For people who come to one of the shops while the vote is open.")
        names = [
            places.place_by_name(session, round.organisation_id, one).name for one in round.place_ids[:PLACES_NAMED]
        ]
        further = len(round.place_ids) - len(names)
        if further:
            names.append(renderer.word(language, "%(n)s more", n=format_decimal(further, locale=language)))
        return renderer.word(
            language, "For people who come here while the vote is open: %(places)s.", places=", ".join(names)
        )
    if round.min_presence == 0:
        return renderer.word(language, "For everybody.")
    return renderer.word(language, "For people who showed that they were in a shop.")
