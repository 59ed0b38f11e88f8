"""The age of who writes: asked once, and noted when somebody says that they are under 15."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Request
from pydantic import Field
from sqlmodel import Session as DbSession

from api.dependencies import Services
from api.forms import sent_json
from api.pages.phone import cookie_of, mission_named, objected
from campaigns import missions, participants, privacy
from campaigns.errors import Invalid
from campaigns.participants import Participant
from campaigns.planning import Campaign

UNDER_15 = "under_15"
Age = Annotated[
    Literal["15_or_older", "under_15"] | None,
    Field(description="asked once; a JSON post without it says that the person is 15 or older"),
]


def of_age(request: Request, session: DbSession, person: Participant, age: str | None, now: datetime) -> Participant:
    """The person with what they say of their age, once. Invalid when a form says nothing and nothing is known."""
    if person.age_declared_at is not None:
        return person
    if age is None and not sent_json(request):
        raise Invalid("Say whether you are 15 or older.", code="age_missing", pointer="/age")
    return participants.declare_age(session, person, is_under_15=False, now=now)


def note_young(request: Request, core: Services, mission: str, now: datetime) -> None:
    """Keep that the person is under 15, whatever becomes of what they wrote; who is nobody yet stays nobody."""
    with core.database.erasing() as session:
        campaign = session.get_one(Campaign, mission_named(session, mission).campaign_id)
        cookie = cookie_of(request, campaign)
        person = missions.recognise(session, campaign, cookie, objected=objected(request), to_act=True)
        is_news = person is not None and not person.is_under_15
        if person is not None and is_news:
            privacy.declare_young(session, person, now=now)
    if is_news:
        core.database.forget_overwritten()
