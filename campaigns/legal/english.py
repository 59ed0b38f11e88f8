"""The legal texts in English: the same sections as in French, in the same order."""

from typing import Final

from babel.numbers import format_decimal

from campaigns.legal import terms
from campaigns.legal.facts import Body, Publisher, Rules, Section, StepFacts, Text, on_one_line
from campaigns.missions.models import text_in
from campaigns.sponsorship import money

_NOT_GIVEN: Final = "not given yet"
_PROOF: Final = {
    0: "scanning the code is enough",
    1: "show that you are there: your position, the till code, or the code on the shop’s screen",
    2: "strong proof is needed: the till code, or the live code on the shop’s screen",
    3: "the shop’s staff must confirm it",
}
_REPEAT: Final = {"once": "once", "daily": "once a day", "weekly": "once a week"}
_KIND: Final = {
    "scan": "Come to a shop and scan the code",
    "visit_places": "Visit several places",
    "trail": "Follow the trail",
    "staff_validated": "Have it confirmed in the shop",
    "bring_friend": "Bring a friend",
    "idea": "Give an idea",
    "vote": "Vote for an idea",
    "comment": "Say what you think",
    "answer": "Answer a question",
    "rate": "Give a mark",
    "share": "Tell others",
    "referral": "Invite someone who comes to a shop",
    "external": "Do it with a partner",
}
_GOAL: Final = {"check_ins": "confirmed visits", "participants": "people", "completions": "completed steps"}


def legal_notice(who: Publisher) -> Text:
    """Who publishes the pages and who hosts them (French law n° 2004-575, article 1-1)."""
    return Text(
        "Legal notice",
        f"These pages are published by {who.who}.",
        (
            Section(
                "Publisher",
                (
                    (
                        f"Name: {who.legal_name or _NOT_GIVEN}",
                        *([f"Legal form: {who.legal_form}"] if who.legal_form else []),
                        f"Address: {on_one_line(who.address) or _NOT_GIVEN}",
                        f"Registration: {who.registration or _NOT_GIVEN}",
                        f"E-mail: {who.contact_email or _NOT_GIVEN}",
                        f"Telephone: {who.contact_phone or _NOT_GIVEN}",
                    ),
                ),
            ),
            Section("Director of publication", (who.publication_director or "Not given yet.",)),
            Section(
                "Host",
                (
                    (
                        f"Name: {who.host_name or _NOT_GIVEN}",
                        f"Address: {on_one_line(who.host_address) or _NOT_GIVEN}",
                        f"Telephone: {who.host_phone or _NOT_GIVEN}",
                    ),
                ),
            ),
            Section(
                "What participants publish",
                (
                    "The ideas on mission pages are written by participants, under a made-up name. To report unlawful "
                    f"content or complain about a page, contact us: {_contact(who)}. Every page of a code also has a "
                    "link “Report this code”.",
                ),
            ),
        ),
    )


def privacy_notice(who: Publisher) -> Text:
    """What is kept about whom, why and how long (GDPR, article 13)."""
    return Text(
        "Privacy",
        "We keep as little as we can: no account, no IP address, no advertising, nothing sold.",
        (
            Section("Controller and processor", _who_decides(who)),
            Section("When you scan a code", _scans()),
            Section("If you share your position", _position()),
            Section("If you take part", _participation()),
            Section("What stays as figures", _figures()),
            Section("Cookies", _cookies(who)),
            Section("Who sees these data", _recipients(who)),
            Section("From 15 years old", _age()),
            Section("Your rights", _rights(who)),
        ),
    )


def rules(of: Rules) -> Text:
    """What a mission promises and asks, how acts are judged, and how to appeal."""
    return Text(
        "Rules of the mission",
        text_in(of.title, "en"),
        (
            Section("The promise", (text_in(of.promise, "en"), _goal(of))),
            Section("Dates and places", (_dates(of), _places())),
            Section("The steps", ("This is what the mission offers:", tuple(_step(one) for one in of.steps))),
            *_money(of),
            Section("Limits", _limits(of)),
            Section("How visits are checked", _judging()),
            Section("Appealing a decision", _appeal(of.publisher)),
            Section("If you clear your browser", _cleared()),
            Section("From 15 years old", _age()),
            Section("Who runs it", (_organiser(of.publisher),)),
        ),
    )


def _who_decides(who: Publisher) -> Body:
    address = f", {on_one_line(who.address)}" if who.address else ""
    host = f"{who.host_name}{f', {on_one_line(who.host_address)}' if who.host_address else ''}"
    run_by = (
        "The Passerelle service handles these data on its behalf and on its instructions only, on the servers of its "
        f"processor: {host}."
        if who.host_name
        else "The Passerelle service handles these data on its behalf and on its instructions only. The processor that "
        "hosts it is not given yet."
    )
    return (
        f"The controller is {who.who}{address}.",
        run_by,
        f"For any question about your data: {on_one_line(who.privacy) or _NOT_GIVEN}.",
    )


def _scans() -> Body:
    return (
        "We note the moment, the code and its place, the kind of device and its language, the country or region where "
        "the network tells, and whether the visit looks sincere. Neither your IP address nor your phone’s identity is "
        "written down: an encrypted fingerprint, another one each day, keeps us from counting a person twice. The key "
        f"that makes it is destroyed within {terms.SALT_HOURS} hours.",
        "Why: to count visits honestly and set robots and abuse aside. Legal basis: legitimate interest (GDPR article "
        "6(1)(f)).",
        f"How long: {terms.SCAN_MONTHS} months. If you report a code, your message is kept likewise; we do not "
        "know who "
        "wrote it.",
    )


def _position() -> Body:
    return (
        "Only if you tap “Share my position”. It serves to check that you are in the place, and nothing else. "
        "A refusal "
        "closes no page: the till code proves as much.",
        "Legal basis: your consent (GDPR article 6(1)(a)), which you withdraw by erasing your data on “My page”.",
        f"How long: encrypted, {terms.POSITION_HOURS} hours. After that only “in the place”, “maybe” or “elsewhere” "
        "is left.",
    )


def _participation() -> Body:
    return (
        "We keep a made-up name, your language, your visits, the steps you completed and the ideas you write. "
        "Your ideas "
        "are public under that made-up name, like what you write in reply to questions; other replies are only "
        "counted.",
        "If you come by somebody's link, we keep that they brought you, unless your browser objects or you are under "
        f"{terms.LEAST_AGE}. Neither of you is told who the other is. To tell two people from one, we keep a key of "
        "the phone that asked for a link; after that day it leads to no phone any more.",
        "Why: to run the mission you chose to take part in, by its rules. Legal basis: performing that agreement (GDPR "
        "article 6(1)(b)).",
        f"How long: until the campaign ends, and {terms.PARTICIPANT_DAYS} days.",
        "If you choose to leave an e-mail address, where that is offered: we keep it encrypted and apart, write to it "
        "for three reasons only (an answer to you, the result of your vote, your mission done), and erase it by the "
        "link in each letter, on your page, or after a day when it was not confirmed. Legal basis: your consent (GDPR "
        "article 6(1)(a)).",
    )


def _figures() -> Body:
    return (
        f"Totals by hour and place, which point to nobody, are kept {terms.AGGREGATE_MONTHS} months.",
        f"Where money is promised to a cause, its accounts are kept {terms.LEDGER_YEARS} years under a random "
        "number, as "
        "accounting law asks (GDPR article 6(1)(c)).",
        "Technical messages to the organiser’s tools carry numbers only; what they said is erased after "
        f"{terms.DELIVERY_DAYS} days.",
    )


def _cookies(who: Publisher) -> Body:
    return (
        "Scanning a code leaves nothing on your phone. That is why we show no banner.",
        (
            f"{who.cookie}: set when you take part, to recognise you; {terms.COOKIE_DAYS} days at most. Strictly "
            "necessary: without it your participation could not be found again.",
            "passerelle_staff: on a shop’s phone only, when its staff signs in.",
        ),
        "No cookie for audience measurement or advertising, nothing from another site.",
    )


def _recipients(who: Publisher) -> Body:
    return (
        f"The team of {who.who} and the shops that take part see figures and ideas. Sponsors of a mission see totals, "
        "never a person. Nothing is sold.",
    )


def _age() -> Body:
    return (
        f"To write an idea or share a position you must be {terms.LEAST_AGE} or older. Under {terms.LEAST_AGE} you may "
        "scan and check in.",
    )


def _rights(who: Publisher) -> Body:
    return (
        (
            "See and take away: “My page” shows what this phone holds and lets you export it.",
            "Erase: “My page” again. Your made-up name and what belongs to it disappear; the totals stay "
            "right, without "
            "you.",
            "Object: switch on “Global Privacy Control” or “Do Not Track” in your browser. Your visits are then not "
            "linked across campaigns, and nothing is shared with sponsors.",
            f"Correct, restrict, or anything else: {on_one_line(who.privacy) or 'contact not given yet'}. You get an "
            "answer within a month.",
        ),
        "As we do not know who you are, the cookie on your phone and the recovery code you may make are the only keys "
        "to your data: once they are lost, neither you nor we can find them.",
        "If the answer does not satisfy you, you may complain to the CNIL, 3 place de Fontenoy, TSA 80715, 75334 Paris "
        "Cedex 07, France, www.cnil.fr.",
    )


def _money(of: Rules) -> tuple[Section, ...]:
    """What sponsors promise, in the words of each pledge's disclosure."""
    if not of.pledges:
        return ()
    lead = "Verified acts unlock what sponsors promise. Passerelle keeps the accounts; it never holds the money."
    return (Section("Who gives what", (lead, tuple(f"{one.sponsor}: {one.text['en']}" for one in of.pledges))),)


def _goal(of: Rules) -> str:
    if of.goal_currency:
        shown = money.shown(of.goal_value, of.goal_currency, "en")
        return f"Goal: {shown} unlocked for the cause. The amount is public, on the mission’s page."
    what = _GOAL.get(of.goal_metric, of.goal_metric)
    return f"Goal: {format_decimal(of.goal_value, locale='en')} {what}. The count is public, on the mission’s page."


def _dates(of: Rules) -> str:
    begin = f"from {of.moment(of.starts_at, 'en')}" if of.starts_at else "from its launch"
    until = (
        f"to {of.moment(of.ends_at, 'en')}"
        if of.ends_at
        else "until the organiser says that it has ended; the end date is not given yet"
    )
    return f"The mission runs {begin} {until} ({of.time_zone} time)."


def _places() -> str:
    return (
        "It takes place where a code of the campaign is displayed, in opening hours, and then on your phone. "
        "Taking part "
        "is free and obliges you to buy nothing."
    )


def _step(step: StepFacts) -> str:
    name = text_in(step.title, "en") or _KIND.get(step.kind, step.kind)
    return f"{name}: {_REPEAT.get(step.repeat, step.repeat)}; {_PROOF.get(step.min_presence, '')}."


def _limits(of: Rules) -> Body:
    return (
        (
            "One counted visit per person, code and day.",
            "At least three minutes between two places, and ten places a day at most.",
            f"An idea has {of.idea_limit} characters at most.",
            "A visit sent more than 48 hours after the scan is not taken any more.",
        ),
    )


def _judging() -> Body:
    return (
        "Every scan is recorded, then judged within seconds by the same rules for everyone: repetitions, robots, "
        "impossible distances, a position far from the place, shared codes. Refusing geolocation is never "
        "enough to set "
        "a visit aside.",
        "Nothing is erased: a doubtful visit stays visible, with its reason, and does not count until it is looked at, "
        "within 72 hours. Public figures count confirmed visits only.",
    )


def _appeal(who: Publisher) -> Body:
    return (
        f"You think a visit or an idea was misjudged? Contact us ({_contact(who)}) with the day, the time and the "
        "place, or "
        "ask the shop’s staff. A person looks at it and answers you.",
    )


def _cleared() -> Body:
    return (
        "Your participation hangs on one cookie, on this phone. If you erase it without having kept a recovery code "
        "you become a new person: what you did still counts, but no longer belongs to you. Two names that turn out to "
        "be one person’s become one, and what one person may do once counts once.",
        "So steps that ask for no strong proof can be repeated by the same person. We say so here rather than ask you "
        "for an account.",
    )


def _organiser(who: Publisher) -> str:
    address = f", {on_one_line(who.address)}" if who.address else ""
    return f"{who.who}{address}. Contact: {_contact(who)}."


def _contact(who: Publisher) -> str:
    return who.contact or "contact not given yet"
