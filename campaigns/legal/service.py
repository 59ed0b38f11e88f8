"""Which version of a legal text is in force: generated from the data now, and kept when it differs from the newest."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from campaigns import missions, sponsorship
from campaigns.community.service import TEXT_LIMIT
from campaigns.errors import Conflict, NotFound
from campaigns.identity import Organisation
from campaigns.ids import uuid7_at
from campaigns.legal import english, french
from campaigns.legal.facts import PledgeFacts, Publisher, Rules, StepFacts, Text, digest_of
from campaigns.legal.models import Document, LegalVersion
from campaigns.missions import Mission
from campaigns.planning import Campaign
from campaigns.storage import insert_once

_TRIES = 5  # of a version whose number others took: each time the newest is read again


def find_in_force(
    session: Session, document: Document, organisation: Organisation, mission: Mission | None = None
) -> LegalVersion | None:
    """The newest version, when it says what the data say now; None when a new one must be made. Writes nothing."""
    newest = _newest(session, document, organisation.id, mission)
    digest = digest_of(text_of(session, document, organisation, mission))
    return newest if newest is not None and newest.digest == digest else None


def version_in_force(
    session: Session, document: Document, organisation: Organisation, mission: Mission | None = None, *, now: datetime
) -> LegalVersion:
    """The version in force now, made when the text differs from the newest one's.

    Of processes that see a change together one writes the version and the others find it.
    """
    text = text_of(session, document, organisation, mission)
    digest = digest_of(text)
    for _ in range(_TRIES):
        newest = _newest(session, document, organisation.id, mission)
        if newest is not None and newest.digest == digest:
            return newest
        values: dict[str, Any] = {
            "id": uuid7_at(now),
            "organisation_id": organisation.id,
            "document": document.value,
            "mission_id": mission.id if mission else None,
            "number": newest.number + 1 if newest else 1,
            "digest": digest,
            "text": text,
            "in_force_from": now,
        }
        if insert_once(session, LegalVersion, **values):
            return LegalVersion(**values)
    raise Conflict("This text changes just now; try again in a moment.", code="busy")


def text_of(
    session: Session, document: Document, organisation: Organisation, mission: Mission | None = None
) -> dict[str, Any]:
    """A document as the data make it now, by language."""
    publisher = publisher_of(organisation)
    made: dict[str, Text] = {}
    for language, words in (("fr", french), ("en", english)):
        if document is Document.LEGAL:
            made[language] = words.legal_notice(publisher)
        elif document is Document.PRIVACY:
            made[language] = words.privacy_notice(publisher)
        else:
            made[language] = words.rules(_rules(session, publisher, mission))
    return {language: text.as_json() for language, text in made.items()}


def publisher_of(organisation: Organisation) -> Publisher:
    """The organisation as the legal texts name it."""
    host = organisation.hosting or {}
    return Publisher(
        name=organisation.name,
        cookie=f"passerelle_p_{organisation.id.hex[-12:]}",
        legal_name=organisation.legal_name or "",
        legal_form=organisation.legal_form or "",
        address=organisation.address or "",
        registration=organisation.registration or "",
        publication_director=organisation.publication_director or "",
        contact_email=organisation.contact_email or "",
        contact_phone=organisation.contact_phone or "",
        privacy_contact=organisation.privacy_contact or "",
        host_name=host.get("name") or "",
        host_address=host.get("address") or "",
        host_phone=host.get("phone") or "",
    )


def history(
    session: Session, document: Document, organisation_id: UUID, mission: Mission | None = None, *, limit: int = 50
) -> Sequence[LegalVersion]:
    """The versions of a document, newest first."""
    query = _versions(document, organisation_id, mission).order_by(col(LegalVersion.number).desc())
    return session.exec(query.limit(limit)).all()


def version_by_number(
    session: Session, document: Document, organisation_id: UUID, mission: Mission | None = None, *, number: int
) -> LegalVersion:
    """A version by its number; NotFound for one that never was."""
    query = _versions(document, organisation_id, mission).where(LegalVersion.number == number)
    found = session.exec(query).first()
    if found is None:
        raise NotFound("There is no such version.")
    return found


def _newest(
    session: Session, document: Document, organisation_id: UUID, mission: Mission | None
) -> LegalVersion | None:
    return next(iter(history(session, document, organisation_id, mission, limit=1)), None)


def _versions(document: Document, organisation_id: UUID, mission: Mission | None) -> SelectOfScalar[LegalVersion]:
    query = select(LegalVersion).where(
        LegalVersion.organisation_id == organisation_id, LegalVersion.document == document.value
    )
    if mission is None:
        return query.where(col(LegalVersion.mission_id).is_(None))
    return query.where(LegalVersion.mission_id == mission.id)


def _rules(session: Session, publisher: Publisher, mission: Mission | None) -> Rules:
    if mission is None:
        raise NotFound("Rules are those of a mission.")
    campaign = session.get_one(Campaign, mission.campaign_id)
    is_amount = mission.goal_metric == missions.GoalMetric.AMOUNT_MINOR
    return Rules(
        publisher=publisher,
        title=mission.title,
        promise=mission.promise,
        goal_metric=mission.goal_metric,
        goal_value=mission.goal_value,
        starts_at=campaign.starts_at or campaign.launched_at,
        ends_at=campaign.ended_at or campaign.ends_at,
        time_zone=campaign.time_zone,
        idea_limit=TEXT_LIMIT,
        steps=tuple(
            StepFacts(one.kind, one.title, one.min_presence, one.repeat)
            for one in missions.steps_of(session, mission.id)
        ),
        pledges=tuple(_pledge(one) for one in _promised(session, mission)),
        goal_currency=sponsorship.currency_of(session, mission) if is_amount else None,
    )


def _promised(session: Session, mission: Mission) -> list[sponsorship.PledgeFacts]:
    return sponsorship.facts_of(session, sponsorship.promised(session, mission.id))


def _pledge(facts: sponsorship.PledgeFacts) -> PledgeFacts:
    text = {language: sponsorship.disclose(facts, language).text for language in ("fr", "en")}
    return PledgeFacts(facts.sponsor.name, text)
