"""What the public reads of a pledge, made from its data in French and English (DOMAIN section 1.5 and 6).

`0.10 EUR to X for each verified visit, 1 to 31 October, up to 5,000 EUR`, then what else was promised, a sentence each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from babel.dates import format_date
from babel.lists import format_list
from babel.numbers import format_decimal
from sqlmodel import Session, col, select

from campaigns.clock import civil_day, zone
from campaigns.missions import Mode, Step, StepKind, steps_of
from campaigns.missions.models import LocalText, text_in
from campaigns.planning import Campaign
from campaigns.sponsorship.lifecycle import CAMPAIGN_OVER, WINDOW_OVER
from campaigns.sponsorship.models import Beneficiary, LastSlice, Pledge, PledgeKind, Sponsor
from campaigns.sponsorship.money import shown
from campaigns.sponsorship.service import causes_among
from campaigns.sponsorship.words import ACTS, WORDS

LANGUAGES = ("fr", "en")
OFFLINE = "offline"  # acts in a shop of more than one kind


@dataclass(frozen=True)
class PledgeFacts:
    """A pledge with what its disclosure names. `act`: the kind of step it pays, or `offline`."""

    pledge: Pledge
    sponsor: Sponsor
    causes: Sequence[Beneficiary]
    act: str
    step_title: LocalText | None
    matched_sponsor: str
    time_zone: str

    def amount(self, amount_minor: int, language: str) -> str:
        """An amount of this pledge in words: money, or a number of things."""
        if self.pledge.kind != PledgeKind.IN_KIND:
            return shown(amount_minor, self.pledge.currency, language)
        return f"{format_decimal(amount_minor, locale=language)} {text_in(self.pledge.unit_label, language)}"


@dataclass(frozen=True)
class Disclosure:
    """The headline, and a sentence for each thing that was promised beside it."""

    headline: str
    details: list[str]

    @property
    def text(self) -> str:
        """All of it, as one paragraph."""
        return " ".join((f"{self.headline}.", *self.details))


def facts_of(session: Session, pledges: Sequence[Pledge]) -> list[PledgeFacts]:
    """Pledges of one mission with what their disclosures name, in the given order."""
    if not pledges:
        return []
    campaign = session.get_one(Campaign, pledges[0].campaign_id)
    steps = {one.id: one for one in steps_of(session, pledges[0].mission_id)}
    causes = causes_among(session, [one.id for one in pledges])
    ids = {one.sponsor_id for one in pledges}
    sponsors = {one.id: one for one in session.exec(select(Sponsor).where(col(Sponsor.id).in_(ids)))}
    found = []
    for pledge in pledges:
        matched = session.get(Pledge, pledge.matches_id) if pledge.matches_id else None
        step = steps.get((matched or pledge).step_id) if (matched or pledge).step_id else None
        found.append(
            PledgeFacts(
                pledge=pledge,
                sponsor=sponsors[pledge.sponsor_id],
                causes=causes[pledge.id],
                act=step.kind if step else _offline_act(list(steps.values())),
                step_title=step.title if step else None,
                matched_sponsor=session.get_one(Sponsor, matched.sponsor_id).name if matched else "",
                time_zone=campaign.time_zone,
            )
        )
    return found


def disclose(facts: PledgeFacts, language: str) -> Disclosure:
    """The disclosure of a pledge in a language."""
    pledge, words = facts.pledge, WORDS[language]
    each, many = ACTS[language].get(facts.act, ACTS[language]["other"])
    said = {
        "unit": facts.amount(pledge.unit_minor, language),
        "to": format_list([one.name for one in facts.causes], style="or", locale=language),
        "each": each,
        "many": many.format(n=format_decimal(pledge.threshold or 0, locale=language)),
        "percent": format_decimal(pledge.match_percent or 0, locale=language),
        "other": facts.matched_sponsor,
    }
    cap = words["cap"].format(cap=facts.amount(pledge.cap_minor, language))
    window = window_words(pledge, facts.time_zone, language)
    headline = ", ".join(part for part in (words[pledge.kind].format(**said), window, cap) if part)
    return Disclosure(headline, _details(facts, language))


def window_words(pledge: Pledge, time_zone: str, language: str) -> str:
    """The days of a pledge: `1 to 31 October`. The year is named unless both are in that in which it was made."""
    words = WORDS[language]
    first = civil_day(pledge.starts_at, time_zone) if pledge.starts_at else None
    last = _last_day(pledge.ends_at, time_zone) if pledge.ends_at else None
    made = civil_day(pledge.created_at, time_zone).year
    with_year = any(one is not None and one.year != made for one in (first, last))
    if first is None or last is None:
        known = first or last
        name = words["since"] if first else words["until"]
        return name.format(day=_day(known, language, with_year=with_year)) if known else ""
    if first == last:
        return words["on"].format(day=_day(last, language, with_year=with_year))
    if (first.year, first.month) == (last.year, last.month):
        begin = _number(first, language)
    else:
        begin = _day(first, language, with_year=with_year and first.year != last.year)
    return words["from_to"].format(first=begin, last=_day(last, language, with_year=with_year))


def _details(facts: PledgeFacts, language: str) -> list[str]:
    pledge, words = facts.pledge, WORDS[language]
    found = []
    if facts.step_title:
        found.append(words["step"].format(title=text_in(facts.step_title, language)))
    for name in ("per_person_cap_minor", "per_day_cap_minor"):
        if (cap := getattr(pledge, name)) is not None:
            found.append(words[name].format(cap=facts.amount(cap, language)))
    found.append(words[f"presence_{pledge.min_presence}"])
    if pledge.min_presence < 2:
        found.append(words["repeated"])
    if len(facts.causes) > 1:
        found.append(words["choice"].format(first=facts.causes[0].name))
    if _leaves_remainder(pledge):
        found.append(words[pledge.last_slice])
    found.append(words[f"nature_{pledge.nature}"].format(sponsor=facts.sponsor.name))
    if pledge.review_h:
        found.append(words["review"].format(hours=format_decimal(pledge.review_h, locale=language)))
    if pledge.ended_at is not None and pledge.state_reason not in (None, WINDOW_OVER, CAMPAIGN_OVER):
        day = _day(civil_day(pledge.ended_at, facts.time_zone), language, with_year=True)
        found.append(words["ended"].format(day=day, reason=pledge.state_reason))
    return found


def _leaves_remainder(pledge: Pledge) -> bool:
    """Whether the last act before a cap may get less than its unit."""
    caps = (pledge.cap_minor, pledge.per_person_cap_minor, pledge.per_day_cap_minor)
    uneven = any(cap % pledge.unit_minor for cap in caps if cap)
    return uneven or pledge.kind == PledgeKind.MATCH or pledge.last_slice == LastSlice.KEEP_REMAINDER


def _offline_act(steps: Sequence[Step]) -> str:
    kinds = {one.kind for one in steps if one.mode == Mode.OFFLINE}
    return StepKind.SCAN.value if kinds == {StepKind.SCAN.value} else OFFLINE


def _last_day(ends_at: datetime, time_zone: str) -> date:
    """The last civil day on which something counts: the end itself counts no more."""
    return (ends_at - timedelta(microseconds=1)).astimezone(zone(time_zone)).date()


def _day(day: date, language: str, *, with_year: bool) -> str:
    return f"{_number(day, language)} {format_date(day, 'MMMM y' if with_year else 'MMMM', locale=language)}"


def _number(day: date, language: str) -> str:
    return "1er" if language == "fr" and day.day == 1 else str(day.day)
