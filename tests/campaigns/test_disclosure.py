"""What the public reads of a pledge, in both languages; amounts as people read them. Without a database.

Tried by hand, each turning a test red: `exponent` always 2; the end itself taken for the last day.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from campaigns.errors import Invalid
from campaigns.sponsorship import Beneficiary, Pledge, PledgeFacts, Sponsor, disclose
from campaigns.sponsorship.money import exponent, require_amount, require_currency, shown
from campaigns.sponsorship.words import ACTS, WORDS
from tests.factories import NOON

FIRST = datetime(2026, 9, 30, 22, tzinfo=UTC)  # midnight in Paris
LAST = datetime(2026, 10, 31, 23, tzinfo=UTC)
COMMON: dict[str, Any] = {"created_at": NOON, "changed_at": NOON}


def facts(*causes: str, **changes: Any) -> PledgeFacts:
    terms: dict[str, Any] = {
        "kind": "per_act",
        "nature": "sponsorship",
        "unit_minor": 10,
        "currency": "EUR",
        "cap_minor": 500_000,
        "last_slice": "pay_remainder",
        "min_presence": 2,
        "review_h": 72,
        "starts_at": FIRST,
        "ends_at": LAST,
        "state": "active",
    }
    act, title, matched = (changes.pop(name, "") for name in ("act", "title", "matched"))
    owner = uuid4()
    pledge = Pledge(
        id=uuid4(),
        organisation_id=owner,
        campaign_id=owner,
        mission_id=owner,
        sponsor_id=owner,
        **COMMON,
        **terms | changes,
    )
    named = [
        Beneficiary(id=uuid4(), organisation_id=owner, name=name, legal_id="W1", **COMMON) for name in causes or ("X",)
    ]
    sponsor = Sponsor(id=owner, organisation_id=owner, name="Banque", **COMMON)
    return PledgeFacts(pledge, sponsor, named, act or "scan", title or None, matched, "Europe/Paris")


def headline(*causes: str, language: str = "en", **changes: Any) -> str:
    return disclose(facts(*causes, **changes), language).headline.replace("\u202f", " ").replace("\xa0", " ")


def test_the_formula_of_the_disclosure() -> None:
    assert headline() == "0.10 EUR to X for each verified visit, 1 to 31 October, up to 5,000 EUR"
    assert (
        headline(language="fr") == "0,10 EUR à X pour chaque visite confirmée, du 1er au 31 octobre, jusqu’à 5 000 EUR"
    )


@pytest.mark.parametrize(
    ("changes", "english", "french"),
    [
        ({"starts_at": None}, "until 31 October", "jusqu’au 31 octobre"),
        ({"ends_at": None}, "from 1 October", "à partir du 1er octobre"),
        ({"ends_at": FIRST + timedelta(hours=9)}, "on 1 October", "le 1er octobre"),
        ({"ends_at": LAST + timedelta(hours=1)}, "1 October to 1 November", "du 1er octobre au 1er novembre"),
        (
            {"ends_at": datetime(2027, 1, 3, 12, tzinfo=UTC)},
            "1 October 2026 to 3 January 2027",
            "du 1er octobre 2026 au 3 janvier 2027",
        ),
        (
            {"starts_at": datetime(2027, 5, 1, tzinfo=UTC), "ends_at": datetime(2027, 5, 9, 12, tzinfo=UTC)},
            "1 to 9 May 2027",
            "du 1er au 9 mai 2027",
        ),
    ],
)
def test_the_days_of_a_window(changes: dict[str, Any], english: str, french: str) -> None:
    assert headline(**changes).split(", ")[1] == english
    assert headline(language="fr", **changes).split(", ")[1] == french


def test_without_a_window_none_is_named() -> None:
    assert headline(starts_at=None, ends_at=None) == "0.10 EUR to X for each verified visit, up to 5,000 EUR"


@pytest.mark.parametrize(
    ("changes", "english", "french"),
    [
        (
            {"kind": "threshold", "threshold": 1_000, "unit_minor": 5_000},
            "50 EUR to X for every 1,000 verified visits",
            "50 EUR à X toutes les 1 000 visites confirmées",
        ),
        (
            {"kind": "match", "match_percent": 50, "unit_minor": 5, "matched": "Fond B"},
            "0.05 EUR to X for each verified visit, on top of what Fond B gives (50% of it)",
            "0,05 EUR à X pour chaque visite confirmée, en plus de ce que donne Fond B (50 % de ce montant)",
        ),
        (
            {"kind": "in_kind", "currency": "XXX", "unit_minor": 1, "unit_label": {"fr": "arbre", "en": "tree"}},
            "1 tree to X for each verified visit",
            "1 arbre à X pour chaque visite confirmée",
        ),
        ({"act": "offline"}, "0.10 EUR to X for each verified act in a shop", "0,10 EUR à X pour chaque acte confirmé"),
        ({"act": "of_tomorrow"}, "0.10 EUR to X for each verified act", "0,10 EUR à X pour chaque acte confirmé"),
    ],
)
def test_each_kind_of_pledge_says_what_it_pays(changes: dict[str, Any], english: str, french: str) -> None:
    assert headline(**changes).startswith(english)
    assert headline(language="fr", **changes).startswith(french)


def test_each_further_promise_has_a_sentence() -> None:
    plain = set(disclose(facts(), "en").details)
    changes: dict[str, Any] = {"per_person_cap_minor": 30, "per_day_cap_minor": 1_000}
    assert set(disclose(facts(**changes), "en").details) - plain == {
        "At most 0.30 EUR for one person.",
        "At most 10 EUR a day.",
    }
    repeated = "Who clears their browser is a new person here, so an act can be repeated."
    for presence in range(4):
        assert (repeated in disclose(facts(min_presence=presence), "en").details) == (presence < 2)
    several = disclose(facts("X", "Y"), "en")
    assert "0.10 EUR to X or Y for" in several.headline
    assert "Each participant chooses the cause; what nobody chose for goes to X." in several.details
    uneven = disclose(facts(unit_minor=30, cap_minor=10_000), "en").details
    assert "When less than a unit is left, the last act gets what is left." in uneven
    kept = disclose(facts(last_slice="keep_remainder"), "en").details
    assert "Only whole units are given: what is left below one is not given." in kept
    assert (
        "A patronage (mécénat): a gift of Banque, for which it gets nothing of like value."
        in disclose(facts(nature="patronage"), "en").details
    )
    assert "What counts: “Come {now}”." in disclose(facts(title={"en": "Come {now}"}), "en").details


def test_both_languages_say_the_same_things() -> None:
    assert WORDS["fr"].keys() == WORDS["en"].keys()
    assert ACTS["fr"].keys() == ACTS["en"].keys()
    assert all("{n}" in many for acts in ACTS.values() for _, many in acts.values())


@pytest.mark.parametrize(
    ("amount", "currency", "english", "french"),
    [
        (10, "EUR", "0.10 EUR", "0,10 EUR"),
        (500_000, "EUR", "5,000 EUR", "5 000 EUR"),
        (500_001, "EUR", "5,000.01 EUR", "5 000,01 EUR"),
        (1_500, "JPY", "1,500 JPY", "1 500 JPY"),
        (1_500, "KWD", "1.500 KWD", "1,500 KWD"),
        (2_000, "KWD", "2 KWD", "2 KWD"),
        (2**53 - 1, "EUR", "90,071,992,547,409.91 EUR", "90 071 992 547 409,91 EUR"),
    ],
)
def test_amounts_are_shown_with_the_decimals_of_their_currency(
    amount: int, currency: str, english: str, french: str
) -> None:
    assert shown(amount, currency, "en") == english
    assert shown(amount, currency, "fr").replace("\u202f", " ").replace("\xa0", " ") == french


def test_exponents_are_those_of_iso_4217() -> None:
    assert [exponent(one) for one in ("EUR", "JPY", "KWD", "IQD", "HUF", "XXX")] == [2, 0, 3, 3, 2, 0]


@pytest.mark.parametrize("currency", ["EUX", "DEM", "eur", "", "EURO", "XXX"])
def test_a_currency_is_one_in_use(currency: str) -> None:
    with pytest.raises(Invalid):
        require_currency(currency)
    require_currency("EUR")


@pytest.mark.parametrize("amount", [0, -1, 2**53, 1.0, "10", True, None])
def test_an_amount_is_a_whole_number(amount: object) -> None:
    with pytest.raises(Invalid):
        require_amount(amount, pointer="/unit_minor")
