"""A report as a page: from its document alone, so that a frozen one comes out byte for byte as it was."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, format_percent

from api.pages.render import Renderer
from campaigns import clock
from campaigns.planning.models import RATES
from campaigns.sponsorship.money import exponent, shown

WIDTH = 300.0  # of a bar, in units of its drawing
_KINDS = {"overdue": "wrong", "missed": "wrong", "behind": "wrong"}


@dataclass(frozen=True)
class BarView:
    """A target as a bar, in units of its drawing: how far it is, where it should be, and the forecast's interval."""

    done: float
    goal: float
    expected: float | None
    low: float | None
    high: float | None
    forecast: float | None


@dataclass(frozen=True)
class TargetView:
    """A target in words of the page's language; empty where there is nothing to say."""

    kpi: str
    value: str
    target: str
    progress: str
    expected: str
    forecast: str
    low: str
    high: str
    reason: str
    mark: str
    bar: BarView | None


class Words:
    """Figures of one document in one language."""

    def __init__(self, document: dict[str, Any], language: str) -> None:
        self.language = language
        self._zone = document["campaign"]["time_zone"]
        self._currency = document["money"]["currency"]

    def number(self, value: float | None, digits: int = 0) -> str:
        return "–" if value is None else format_decimal(round(value, digits), locale=self.language)

    def share(self, value: float | None) -> str:
        """A share in percent, with a decimal below ten."""
        if value is None:
            return "–"
        pattern = "#,##0 %" if self.language == "fr" else "#,##0%"
        if 0 < abs(value) < 0.1:
            pattern = pattern.replace("0 %", "0.0 %").replace("0%", "0.0%")
        return format_percent(value, format=pattern, locale=self.language)

    def money(self, minor: float | None) -> str:
        if minor is None or self._currency is None:
            return "–"
        unit = 10 ** exponent(self._currency)
        whole = round(minor / unit) * unit if abs(minor) >= 100 * unit else round(minor)  # cents of 1,000 tell nothing
        return shown(whole, self._currency, self.language)

    def of_kpi(self, kpi: str, value: float | None) -> str:
        """A value of a KPI: a share, an amount or a number."""
        if value is None:
            return "–"
        if kpi in RATES:
            return self.share(value)
        if kpi == "revenue_minor" and self._currency is not None:
            return self.money(value)
        return self.number(value)

    def day(self, instant: str | None) -> str:
        if instant is None:
            return "–"
        at = datetime.fromisoformat(instant).astimezone(clock.zone(self._zone))
        return format_date(at.date(), "d MMM y", locale=self.language)

    def moment(self, instant: str) -> str:
        at = datetime.fromisoformat(instant)
        return format_datetime(at, "d MMM y, HH:mm", tzinfo=clock.zone(self._zone), locale=self.language)


def show_report(
    renderer: Renderer, document: dict[str, Any], language: str, *, sha256: str, is_frozen: bool, **bar: Any
) -> str:
    """The page of a document. `bar` is what stands above it on a screen only: links, the form to freeze it."""
    words, is_early = Words(document, language), document["answer"]["word"] == "too_early"
    return renderer.page(
        "director.html",
        language,
        brand=document["organisation"]["name"],
        director_css=renderer.director_css,
        told=document,
        words_of=words,
        targets=[_target(words, one, is_early=is_early) for one in document["targets"]],
        sha256=sha256,
        is_frozen=is_frozen,
        kind_of=lambda risk: _KINDS.get(risk, ""),
        **{"other_lang_url": "", "screen": None, **bar},
    )


def _target(words: Words, one: dict[str, Any], *, is_early: bool) -> TargetView:
    told, kpi = one["forecast"], one["kpi"]
    say: Callable[[float | None], str] = lambda value: words.of_kpi(kpi, value) if value is not None else ""  # noqa: E731  # of this KPI
    return TargetView(
        kpi=kpi,
        value=say(one["value"]),
        target=say(one["target"]),
        progress=words.share(one["progress"]) if one["progress"] is not None else "",
        expected=say(one["expected"]) if one["on_course"] is not None else "",
        forecast=say(told["value"]) if told else "",
        low=say(told["low"]) if told else "",
        high=say(told["high"]) if told else "",
        reason=one["reason"] or "",
        mark=_mark(one, is_early=is_early),
        bar=_bar(one),
    )


def _mark(one: dict[str, Any], *, is_early: bool) -> str:
    if one["value"] is None:
        return "unmeasured"
    if one["reached"]:
        return "reached"
    if one["reason"] == "ended":
        return "missed"
    if is_early:
        return ""
    return "" if one["on_course"] is None else "on_course" if one["on_course"] else "behind"


def _bar(one: dict[str, Any]) -> BarView | None:
    if one["value"] is None:
        return None
    told, goal = one["forecast"] or {}, one["target"]
    most = max(goal, one["value"], told.get("high") or 0)

    def at(value: float | None) -> float | None:
        return None if value is None else round(value / most * WIDTH, 1)

    return BarView(
        done=at(one["value"]) or 0.0,
        goal=at(goal) or 0.0,
        expected=at(one["expected"]) if one["on_course"] is not None and not one["reached"] else None,
        low=at(told.get("low")),
        high=at(told.get("high")),
        forecast=at(told.get("value")),
    )
