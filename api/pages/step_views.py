"""The kinds of steps as a page shows them: what is missing, and what a person can do for one from their phone."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session

from api.dependencies import Services
from api.pages.render import Renderer
from campaigns import clock, ids, missions
from campaigns.missions import Mission, Standing, Step, StepKind
from campaigns.missions.kinds import names_of
from campaigns.missions.models import LocalText
from campaigns.missions.tours import check_ins_of, places_seen, stops_done
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.tokens import qr

_ALWAYS = (StepKind.SHARE, StepKind.REFERRAL)  # shown once done too


@dataclass(frozen=True)
class ActView:
    """A step that is done with the phone in hand. `code` is what it shows now, `svg` the same for a camera."""

    id: str
    kind: str
    title: LocalText | None
    code: str = ""
    svg: str = ""
    until: str = ""
    link: str = ""


@dataclass(frozen=True)
class Acts:
    """What a person can do now, and what is missing in plain words."""

    shown: list[ActView] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def acts(
    session: Session,
    core: Services,
    mission: Mission,
    person: Participant | None,
    standing: Standing | None,
    *,
    language: str,
    phase: str,
    now: datetime,
) -> Acts:
    """The open steps of a person that need more than a check-in or an idea."""
    found = Acts()
    if person is None or standing is None:
        return found
    campaign = session.get_one(Campaign, mission.campaign_id)
    for step in missions.steps_of(session, mission.id):
        if step.position in standing.done and step.kind not in _ALWAYS:
            continue
        if step.kind in (StepKind.VISIT_PLACES, StepKind.TRAIL):
            found.missing.append(_tour(session, core.renderer, mission, step, person, language=language, phase=phase))
        elif step.kind in (StepKind.STAFF_VALIDATED, StepKind.BRING_FRIEND):
            found.shown.append(_coded(session, core, step, person, campaign, now=now))
            if step.kind == StepKind.STAFF_VALIDATED:
                found.missing.append(core.renderer.word(language, "The shop’s word: show your code at the till."))
            else:
                found.missing.append(
                    core.renderer.word(
                        language, "A friend: check in at one place within ten minutes, then name one another."
                    )
                )
        elif step.kind in (StepKind.ANSWER, StepKind.RATE):
            found.missing.append(_question(core.renderer, step, standing, language))
        elif step.kind == StepKind.REFERRAL and not person.is_under_15:
            link = _link(session, core, mission, person)[1]
            found.shown.append(ActView(ids.show("stp", step.id), step.kind, step.title, link=link))
        elif step.kind in (StepKind.SHARE, StepKind.EXTERNAL) and not person.is_under_15:
            code, link = _link(session, core, mission, person)
            found.shown.append(ActView(ids.show("stp", step.id), step.kind, step.title, code=code, link=link))
    return found


def _link(session: Session, core: Services, mission: Mission, person: Participant) -> tuple[str, str]:
    """A person's public code and the link it is in; empty before there is one."""
    code = missions.find_public_code(session, mission, person) or ""
    return code, f"{core.settings.base_url}/m/{mission.slug}?s={code}" if code else ""


def _question(renderer: Renderer, step: Step, standing: Standing, language: str) -> str:
    if step.min_presence > (standing.presence or 0):
        return renderer.word(language, "A visit with proof opens the question: come to a shop first.")
    return renderer.word(language, "A question waits for your reply.")


def _tour(
    session: Session,
    renderer: Renderer,
    mission: Mission,
    step: Step,
    person: Participant,
    *,
    language: str,
    phase: str,
) -> str:
    """Which places are missing: of a trail the next one."""
    names = names_of(session, step.places)
    if step.kind == StepKind.TRAIL:
        visits = check_ins_of(session, step, person.id, mission.campaign_id, phase)
        done = stops_done(step.places, [act.place_id for act in visits if act.place_id])
        following = names.get(step.places[min(done, len(step.places) - 1)], "")
        return renderer.word(
            language,
            "The trail: %(done)s of %(all)s places done. The next one is %(name)s.",
            done=done,
            all=len(step.places),
            name=following,
        )
    seen = places_seen(session, step, person.id, phase)
    return renderer.word(
        language,
        "Different places: %(done)s of %(all)s visited, with the proof the step asks for.",
        done=min(seen, step.params["n"]),
        all=step.params["n"],
    )


def _coded(
    session: Session, core: Services, step: Step, person: Participant, campaign: Campaign, *, now: datetime
) -> ActView:
    id = ids.show("stp", step.id)
    shown = missions.code_of(session, step, person, now=now)
    if shown is None:
        return ActView(id, step.kind, step.title)
    svg = ""
    if step.kind == StepKind.STAFF_VALIDATED:
        url = f"{core.settings.base_url}/staff/validations?code={shown.code}"
        made = qr.svg(url, error_correction=qr.ErrorCorrection.M, module_px=5).decode()
        svg = made[made.index("<svg") :]
    until = shown.expires_at.astimezone(clock.zone(campaign.time_zone)).strftime("%H:%M")
    return ActView(id, step.kind, step.title, f"{shown.code[:3]} {shown.code[3:]}", svg, until)
