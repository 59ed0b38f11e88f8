"""Questions as a page and as JSON: the choices or marks with how many gave each, and what people wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from babel.dates import format_datetime
from sqlmodel import Session

from api.pages.render import Renderer
from campaigns import clock, community, ids, missions
from campaigns.community import Given
from campaigns.community.replies import BEST_MARK
from campaigns.missions import Mission, Step, StepKind
from campaigns.missions.models import LocalText, text_in
from campaigns.participants import Participant
from campaigns.planning import Campaign


@dataclass(frozen=True)
class ChoiceView:
    """A choice or mark; `people` is None where the group is not told."""

    value: int
    words: str
    people: int | None
    percent: int


@dataclass(frozen=True)
class QuestionView:
    """A question, what all replied, and until when this person may change their reply."""

    id: str
    kind: str
    title: LocalText | None
    choices: list[ChoiceView]
    people: int | None
    average: float | None
    erased: int
    mine: int | None
    editable_until: str
    is_fixed: bool


@dataclass(frozen=True)
class WordsView:
    """What somebody wrote; empty while it is hidden by a rule."""

    id: str
    text: str
    pseudonym: str
    hidden_rule: str | None


def url_of(mission: Mission, step: Step) -> str:
    return f"/m/{mission.slug}/questions/{ids.show('stp', step.id)}"


def view(
    session: Session,
    renderer: Renderer,
    step: Step,
    mine: Given | None,
    campaign: Campaign,
    *,
    language: str,
    phase: str,
    now: datetime,
) -> QuestionView:
    """A question as a page shows it to this person."""
    found = community.results(session, step, phase=phase)
    until = mine.editable_until if mine else None
    zone = clock.zone(campaign.time_zone)
    return QuestionView(
        id=ids.show("stp", step.id),
        kind=step.kind,
        title=step.title,
        choices=[
            ChoiceView(value, words, found.groups.get(value), round(100 * found.groups.get(value, 0) / found.people))
            if found.people
            else ChoiceView(value, words, None, 0)
            for value, words in enumerate(_words(renderer, step, language), 1)
        ],
        people=found.people,
        average=found.average,
        erased=found.erased,
        mine=mine.reply.value if mine else None,
        editable_until=format_datetime(until, "d MMMM, HH:mm", tzinfo=zone, locale=language) if until else "",
        is_fixed=until is not None and now >= until,
    )


def words(session: Session, step: Step, *, phase: str, limit: int) -> list[WordsView]:
    """What people wrote, newest first, as everybody may see it."""
    return [
        WordsView(ids.show("rpl", one.id), "" if one.hidden_rule else one.text, name, one.hidden_rule)
        for one, name in community.words_on(session, [step.id], phase=phase, limit=limit)
    ]


def lacks(session: Session, mission: Mission, step: Step, person: Participant | None, *, phase: str) -> bool:
    """Whether a person has not shown the presence that a question asks for."""
    best = missions.standing(session, mission, person, phase=phase).presence if person else None
    return step.min_presence > (best or 0)


def body(session: Session, step: Step, *, phase: str) -> dict[str, Any]:
    """A question and what all replied, as JSON."""
    found = community.results(session, step, phase=phase)
    named: Sequence[Any] = step.choices if step.kind == StepKind.ANSWER else [None] * BEST_MARK
    return {
        "id": ids.show("stp", step.id),
        "kind": step.kind,
        "question": step.title,
        "people": found.people,
        "average": found.average,
        "groups": [
            {"value": value, "text": text, "people": found.groups.get(value) if found.people else None}
            for value, text in enumerate(named, 1)
        ],
    }


def given_body(step: Step, given: Given) -> dict[str, Any]:
    """A reply as its person reads it."""
    name = "rating" if step.kind == StepKind.RATE else "choice"
    return {
        "id": ids.show("rpl", given.reply.id),
        "step": ids.show("stp", step.id),
        name: given.reply.value or None,
        "text": given.reply.text,
        "state": given.reply.state,
        "editable_until": given.editable_until.isoformat(),
    }


def _words(renderer: Renderer, step: Step, language: str) -> list[str]:
    if step.kind == StepKind.RATE:
        return [f"{mark} · {text}" for mark, text in enumerate(_marks(renderer, language), 1)]
    return [text_in(one, language) for one in step.choices]


def _marks(renderer: Renderer, language: str) -> list[str]:
    return [
        renderer.word(language, "Poor"),
        renderer.word(language, "Fair"),
        renderer.word(language, "Good"),
        renderer.word(language, "Very good"),
        renderer.word(language, "Excellent"),
    ]
