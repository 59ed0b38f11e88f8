"""What legal texts are made of: the facts they state, and the shape of a text. Nothing here knows a database."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from babel.dates import format_datetime

from campaigns.clock import zone
from campaigns.missions.models import LocalText

Body = tuple[str | tuple[str, ...], ...]  # paragraphs; a tuple within is a list of points


class Section(NamedTuple):
    """A heading with its paragraphs."""

    heading: str
    body: Body


class Text(NamedTuple):
    """A document in one language."""

    title: str
    lead: str
    sections: tuple[Section, ...]

    def as_json(self) -> dict[str, Any]:
        """As it is stored: a list within `body` is a list of points."""
        sections = [
            {"heading": one.heading, "body": [part if isinstance(part, str) else list(part) for part in one.body]}
            for one in self.sections
        ]
        return {"title": self.title, "lead": self.lead, "sections": sections}


@dataclass(frozen=True)
class Publisher:
    """The organisation as the law sees it; "" for what it has not given. `cookie` is its participants'."""

    name: str
    cookie: str
    legal_name: str = ""
    legal_form: str = ""
    address: str = ""
    registration: str = ""
    publication_director: str = ""
    contact_email: str = ""
    contact_phone: str = ""
    privacy_contact: str = ""
    host_name: str = ""
    host_address: str = ""
    host_phone: str = ""

    @property
    def who(self) -> str:
        """The name to write in a sentence."""
        return self.legal_name or self.name

    @property
    def contact(self) -> str:
        """How to reach it, on one line."""
        return ", ".join(one for one in (self.contact_email, self.contact_phone) if one)

    @property
    def privacy(self) -> str:
        """Whom to ask about personal data."""
        return self.privacy_contact or self.contact_email or self.contact_phone


class StepFacts(NamedTuple):
    """A step as the rules state it."""

    kind: str
    title: LocalText | None
    min_presence: int
    repeat: str


class PledgeFacts(NamedTuple):
    """A pledge as the rules state it: its sponsor, and its disclosure by language."""

    sponsor: str
    text: dict[str, str]


@dataclass(frozen=True)
class Rules:
    """What the rules of a mission state. Instants are said in the campaign's time zone."""

    publisher: Publisher
    title: LocalText
    promise: LocalText
    goal_metric: str
    goal_value: int
    starts_at: datetime | None
    ends_at: datetime | None
    time_zone: str
    idea_limit: int
    steps: Sequence[StepFacts] = field(default_factory=tuple)
    pledges: Sequence[PledgeFacts] = field(default_factory=tuple)
    goal_currency: str | None = None  # of a goal that is an amount

    def moment(self, instant: datetime, language: str) -> str:
        """An instant in words and in the campaign's time zone."""
        form = {"fr": "d MMMM y 'à' HH:mm", "en": "d MMMM y, HH:mm"}[language]
        return format_datetime(instant.astimezone(zone(self.time_zone)), form, locale=language)


def digest_of(text: dict[str, Any]) -> str:
    """The SHA-256 of a stored text, however its keys are ordered."""
    return hashlib.sha256(json.dumps(text, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def on_one_line(text: str) -> str:
    """An address as part of a sentence."""
    return ", ".join(text.splitlines())
