"""Where a scan leads: ordered rules, of which the first that fits decides. Pure: no database, no HTTP.

A rule's conditions must all hold; what is not known never fits. Times, days and dates are those of the place, or of the
campaign where there is none; the part of a window past midnight belongs to the day on which it began, as opening hours
do. A `split` shares visitors out by weight, and the same visitor gets the same share all day: the visitor key, which
is another one every UTC day, the token and the rule decide. `geofence` needs a position, so a rule with it fits only
behind a `continue_page`, which asks for one; `maybe` is neither inside nor outside.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from itertools import accumulate
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from campaigns import clock
from campaigns.errors import Invalid
from campaigns.places.models import DAYS
from campaigns.tokens.addresses import LONGEST, Limits, require_utm, with_scan

MOST_RULES = 20
HEAVIEST = 1_000_000

log = logging.getLogger("passerelle.destinations")


class Device(StrEnum):
    """What a rule can tell apart. An iPad with its default settings says it is a Mac, a desktop."""

    IOS = "ios"
    ANDROID = "android"
    DESKTOP = "desktop"
    OTHER = "other"


Language = Annotated[
    str, Field(pattern="^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}$", max_length=20), AfterValidator(str.lower)
]
Country = Annotated[str, Field(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2")]
Minute = Annotated[str, Field(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", description="HH:MM at the place")]


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class When(_Plan):
    """The conditions of a rule: those given must all hold."""

    languages: list[Language] | None = Field(
        None, min_length=1, max_length=50, description="BCP 47, against the phone's first choice; `pt` covers `pt-BR`"
    )
    devices: list[Device] | None = Field(None, min_length=1)
    from_time: Minute | None = Field(None, description="included; none: midnight")
    to_time: Minute | None = Field(None, description="not included; earlier than `from_time`: past midnight")
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] | None = Field(None, min_length=1)
    from_date: date | None = Field(None, description="a civil day at the place, included")
    to_date: date | None = Field(None, description="included")
    countries: list[Country] | None = Field(
        None, min_length=1, max_length=300, description="of the address, when the operator gave a file of addresses"
    )
    geofence: Literal["inside", "outside"] | None = Field(
        None, description="behind a `continue_page` only, once the phone shared its position"
    )
    returning: StrictBool | None = Field(
        None, description="the visitor scanned this code earlier today, as far as this server process remembers"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_time is not None and self.from_time == self.to_time:
            raise ValueError("from_time and to_time differ")
        if self.from_date and self.to_date and self.to_date < self.from_date:
            raise ValueError("to_date is not before from_date")
        return self

    def fits(self, visit: "Visit") -> bool:
        """Whether every condition holds for this visit."""
        return (
            (self.devices is None or visit.device in self.devices)
            and (self.countries is None or visit.country in self.countries)
            and (self.geofence is None or visit.fence == self.geofence)
            and (self.returning is None or visit.is_returning == self.returning)
            and (self.languages is None or self._speaks(visit.language))
            and self._is_time(visit.local)
        )

    def _speaks(self, language: str) -> bool:
        return any(language == one or language.startswith(f"{one}-") for one in self.languages or ())

    def _is_time(self, local: datetime) -> bool:
        day = local.date()
        if self.from_time or self.to_time:
            minute = f"{local.hour:02}:{local.minute:02}"
            start, end = self.from_time or "00:00", self.to_time or "24:00"
            if start > end and minute < end:
                day -= timedelta(days=1)  # the night belongs to the day on which it began
            elif not (start <= minute and (minute < end or start > end)):
                return False
        return (
            (self.days is None or DAYS[day.weekday()] in self.days)
            and (self.from_date is None or day >= self.from_date)
            and (self.to_date is None or day <= self.to_date)
        )


class _Lead(_Plan):
    names: ClassVar[str] = "destination and hosted: true"

    destination: str | None = Field(None, max_length=LONGEST, description="http or https")
    hosted: StrictBool | None = Field(None, description="true: the hosted page")

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if self.hosted is False or sum(one is not None for one in self.ways()) != 1:
            raise ValueError(f"give exactly one of {self.names}")
        return self

    def ways(self) -> tuple[object, ...]:
        return self.destination, self.hosted


class Share(_Lead):
    """One part of a split. Weights are parts of their sum, whatever it is."""

    weight: int = Field(ge=1, le=HEAVIEST, strict=True)


class Rule(_Lead):
    """Conditions, and where they lead: a destination, the hosted page, or shares of the visitors."""

    names: ClassVar[str] = "destination, hosted: true and split"

    when: When = When()
    split: list[Share] | None = Field(None, min_length=2, max_length=10)

    def ways(self) -> tuple[object, ...]:
        return self.destination, self.hosted, self.split


class Utm(_Plan):
    """Templates of the UTM parameters, with {place}, {token}, {campaign}, {medium}, {channel}, {label} to fill in."""

    source: str | None = Field(None, max_length=200)
    medium: str | None = Field(None, max_length=200)
    campaign: str | None = Field(None, max_length=200)
    term: str | None = Field(None, max_length=200)
    content: str | None = Field(None, max_length=200)


Rules = Annotated[list[Rule], Field(max_length=MOST_RULES)]
_RULES = TypeAdapter(Rules)


class Visit(NamedTuple):
    """What is known of who scans. `language` is in lower case, `local` the civil time at the place."""

    token: str
    visitor_key: int
    local: datetime
    language: str = ""
    device: str = Device.OTHER
    country: str | None = None
    fence: str | None = None
    is_returning: bool = False


def parse_rules(given: Any, limits: Limits | None = None) -> list[Rule]:
    """Rules from JSON. Invalid with the pointer of the first mistake: an unknown condition, a host not verified."""
    try:
        rules = _RULES.validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        pointer = "/".join(["/rules", *(str(part)[:60] for part in first["loc"])])
        raise Invalid(str(first["msg"]), pointer=pointer) from error
    for pointer, destination in destinations_in(rules):
        (limits or Limits()).require(destination, pointer)
    return rules


def destinations_in(rules: Sequence[Rule]) -> Iterator[tuple[str, str]]:
    """Every destination that rules name, with its pointer."""
    for number, rule in enumerate(rules):
        if rule.destination is not None:
            yield f"/rules/{number}/destination", rule.destination
        for part, share in enumerate(rule.split or ()):
            if share.destination is not None:
                yield f"/rules/{number}/split/{part}/destination", share.destination


def stored_rules(rules: Sequence[Rule] | None) -> list[dict[str, Any]] | None:
    """Rules as JSON, with what was said and nothing else; None for none."""
    return [rule.model_dump(mode="json", exclude_none=True) for rule in rules] if rules else None


def checked(fields: dict[str, Any], limits: Limits, *, utm: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Fields of a token or campaign as they are stored: destination, rules and UTM templates within the limits.

    `utm` are the templates so far: a merge patch changes some of them (RFC 7396). Invalid names what is wrong.
    """
    limits.require(fields.get("destination"))
    stored = dict(fields)
    if "rules" in fields:
        stored["rules"] = stored_rules(parse_rules(fields["rules"] or [], limits))
    if "utm" in fields:
        merged = {**(utm or {}), **fields["utm"]} if fields["utm"] else {}
        kept = {name: template for name, template in merged.items() if template}
        require_utm(kept)
        stored["utm"] = kept or None
    return stored


def read_rules(stored: Any) -> list[Rule]:
    """Rules as they were stored. What cannot be read counts for nothing: the visitor arrives all the same."""
    try:
        return _RULES.validate_python(stored or [])
    except ValidationError:
        log.exception("stored rules cannot be read: the destination without them is used")
        return []


def leading(rule: Rule, change: Callable[[str], str]) -> Rule:
    """The rule with each of its destinations changed."""
    changed = {"destination": change(rule.destination)} if rule.destination else {}
    shares = [
        share.model_copy(update={"destination": change(share.destination)}) if share.destination else share
        for share in rule.split or ()
    ]
    return rule.model_copy(update={**changed, "split": shares or None})


def choose(rules: Sequence[Rule], visit: Visit, default: str | None) -> str | None:
    """Where the first rule that fits leads, else the default; None is the hosted page."""
    for number, rule in enumerate(rules):
        if rule.when.fits(visit):
            return _share(rule.split, number, visit).destination if rule.split else rule.destination
    return default


def _share(split: Sequence[Share], number: int, visit: Visit) -> Share:
    digest = blake2b(f"{visit.visitor_key}|{visit.token}|{number}".encode(), digest_size=8).digest()
    ends = list(accumulate(share.weight for share in split))
    point = int.from_bytes(digest, "big") % ends[-1]
    return next(share for share, end in zip(split, ends, strict=True) if point < end)


class Routing(NamedTuple):
    """Where a token leads, when that takes more than one address. The destinations have their UTM parameters."""

    token: str
    zone: str
    default: str | None
    rules: tuple[Rule, ...] = ()
    pass_scan_id: bool = False
    continue_page: bool = False

    @property
    def asks_position(self) -> bool:
        """Whether sharing a position may lead elsewhere."""
        return self.continue_page and any(rule.when.geofence for rule in self.rules)

    @property
    def asks_returning(self) -> bool:
        return any(rule.when.returning is not None for rule in self.rules)

    def lead(self, visit: Visit, scan_hex: str) -> str | None:
        """Where this scan leads; None is the hosted page."""
        found = choose(self.rules, visit, self.default)
        return with_scan(found, scan_hex) if found and self.pass_scan_id else found

    def local(self, at: datetime) -> datetime:
        """The civil time there."""
        return at.astimezone(clock.zone(self.zone))
