"""Everything held about a person, in the order a page shows it: for them alone, so nothing is left out."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_
from sqlmodel import Session, SQLModel, col, select

from campaigns import care, clock, community, identity, ids, letters, rewards, scans, sponsorship
from campaigns.missions import Membership, Mission, Step
from campaigns.missions.models import (
    ActCode,
    Card,
    ExternalAct,
    FriendNaming,
    MissionPlace,
    PublicCode,
    Referral,
    Share,
    StaffRecord,
    StepCompletion,
    Validation,
)
from campaigns.participants import Participant
from campaigns.participants.models import MergedPerson, ParticipantKey, RecoveryCode
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.planning.models import PilotPerson
from campaigns.privacy.retention import POSITION_LIFE
from campaigns.privacy.service import PERSON_LIFE
from campaigns.rewards import Coupon, Offer, Outcome, Redemption
from campaigns.scans import CheckIn, Scan
from campaigns.scans.models import LiveWindowUse, ScanPosition
from campaigns.sponsorship.models import LedgerName
from campaigns.tokens import Token
from campaigns.tokens.models import SerialUse

Record = dict[str, Any]
BallotSecret = Callable[[UUID], bytes]  # a campaign -> the key of its secret ballots
OpenAddress = Callable[[bytes], bytes]  # a sealed address -> the address, for whom it is
OpenFix = Callable[[bytes], tuple[float, float]]  # a sealed position -> degrees, for whom they are


def holdings(
    session: Session, person: Participant, *, open_fix: OpenFix, open_address: OpenAddress, ballot_secret: BallotSecret
) -> dict[str, Any]:
    """What is held of a participant: `participant`, then lists of records, newest first; votes in no order."""
    return {
        "participant": _participant(session, person),
        "keys": _keys(session, person.id),
        "missions": _missions(session, person.id),
        "check_ins": list(_check_ins(session, person.id, open_fix)),
        "live_codes": _live_codes(session, person.id),
        "serials": _serials(session, person.id),
        "steps": _steps(session, person.id),
        "ideas": _ideas(session, person.id),
        "follows": list(_follows(session, person.id)),
        **{name: _rows(session, table, person.id) for name, table in _FURTHER.items()},
        "causes": _causes(session, person.id),
        "referrals": _referrals(session, person.id),
        "votes": list(_votes(session, person, ballot_secret)),
        "comments": _comments(session, person.id),
        "replies": _replies(session, person.id),
        "flags": _flags(session, person.id),
        "cases": _cases(session, person.id),
        "accruals": _accruals(session, person.id),
        "coupons": _coupons(session, person.id),
        "gifts": _gifts(session, person.id),
        "points": _points(session, person.id),
        "badges": _badges(session, person.id),
        "contact": _contact(session, person.id, open_address),
    }


def _keys(session: Session, participant_id: UUID) -> list[Record]:
    """The further phones and recovery codes that lead to a person, and names that became theirs; no key itself."""
    tables: dict[str, type[SQLModel]] = {
        "phone": ParticipantKey,
        "recovery_code": RecoveryCode,
        "merged_name": MergedPerson,
    }
    return [{"kind": kind, **row} for kind, table in tables.items() for row in _rows(session, table, participant_id)]


def _contact(session: Session, participant_id: UUID, open_address: OpenAddress) -> list[Record]:
    """The e-mail address they left, if any, with the letters that were written to it."""
    found = letters.contact_of(session, participant_id)
    if found is None:
        return []
    written = session.exec(select(letters.Letter).where(letters.Letter.participant_id == participant_id)).all()
    sent = [{name: getattr(one, name) for name in ("kind", "made_at", "sent_at")} for one in written]
    address = open_address(found.sealed).decode()
    return [{"address": address, "asked_at": found.asked_at, "confirmed_at": found.confirmed_at, "letters": sent}]


# What else a mission keeps of a person, as it is stored.
_FURTHER: dict[str, type[SQLModel]] = {
    "places_visited": MissionPlace,
    "codes_shown": ActCode,
    "validations": Validation,
    "friends_named": FriendNaming,
    "public_codes": PublicCode,
    "shares": Share,
    "external_acts": ExternalAct,
    "pilots": PilotPerson,
    "cards": Card,
    "recorded_by_staff": StaffRecord,
    "ledger_names": LedgerName,
}


def _rows(session: Session, table: type[SQLModel], participant_id: UUID) -> list[Record]:
    """A person's rows of a table. Nobody else's id is in them: of a friend it says only that there was one."""
    mine = table.__table__.c.participant_id == participant_id  # type: ignore[attr-defined]  # SQLModel does not type it
    hidden = {"secret_hash", "code_hash", "participant_id", "friend_id", "staff_session_id", "organisation_id"}
    return [row.model_dump(mode="json", exclude=hidden) for row in session.exec(select(table).where(mine)).all()]


def _accruals(session: Session, participant_id: UUID) -> list[Record]:
    """What their acts brought a cause, newest first; under which name is in `ledger_names`."""
    kept = {"amount_minor", "currency", "state", "reason", "civil_day", "accrued_at", "posted_at", "undone_at"}
    return [
        {
            "id": ids.show("acr", one.id),
            "mission_id": ids.show("mis", pledge.mission_id),
            "cause": cause.name,
            **one.model_dump(mode="json", include=kept),
        }
        for one, pledge, cause in sponsorship.accruals_of(session, participant_id)
    ]


def _gifts(session: Session, participant_id: UUID) -> list[Record]:
    """What their coupons gave to causes, newest first."""
    kept = {"amount_minor", "currency", "given_at", "undone_at", "act_undone_at", "reason"}
    return [
        {
            "id": ids.show("gft", gift.id),
            "mission_id": ids.show("mis", gift.mission_id) if gift.mission_id else None,
            "cause": cause.name,
            **gift.model_dump(mode="json", include=kept),
        }
        for gift, cause in rewards.gifts_of(session, [participant_id])
    ]


def _referrals(session: Session, participant_id: UUID) -> list[Record]:
    """Whom a person brought and by whom they came: of the other it says only that there was one."""
    either = or_(col(Referral.referrer_id) == participant_id, col(Referral.newcomer_id) == participant_id)
    rows = session.exec(select(Referral).where(either).order_by(col(Referral.id).desc())).all()
    return [
        {
            "mission_id": ids.show("mis", row.mission_id),
            "role": "referrer" if row.referrer_id == participant_id else "newcomer",
            **row.model_dump(mode="json", include={"phase", "state", "reason", "claimed_at", "qualified_at"}),
        }
        for row in rows
    ]


def _causes(session: Session, participant_id: UUID) -> list[Record]:
    """The cause their acts fund, in each mission where they chose one."""
    return [
        {
            "mission_id": ids.show("mis", mission.id),
            "slug": mission.slug,
            "title": mission.title,
            "beneficiary_id": ids.show("ben", cause.id),
            "cause": cause.name,
            "chosen_at": choice.chosen_at,
        }
        for choice, cause, mission in sponsorship.choices_of(session, participant_id)
    ]


def kept_until(session: Session, person: Participant) -> datetime | None:
    """When a person is erased by the clock: 90 days after the last of their campaigns; None while one has no end."""
    acted = select(CheckIn.campaign_id).where(CheckIn.participant_id == person.id)
    joined = (
        select(Mission.campaign_id)
        .join(Membership, col(Membership.mission_id) == Mission.id)
        .where(Membership.participant_id == person.id)
    )
    ends = session.execute(
        select(func.coalesce(Campaign.ended_at, Campaign.ends_at, type_=Campaign.__table__.c.ends_at.type)).where(  # type: ignore[attr-defined]  # SQLModel does not type it
            col(Campaign.id).in_(acted.union(joined))
        )
    ).scalars()
    instants = list(ends)
    if None in instants:
        return None
    return max(instants, default=person.created_at) + PERSON_LIFE


def _participant(session: Session, person: Participant) -> Record:
    only = session.get(Campaign, person.campaign_id) if person.campaign_id else None
    age = None if person.is_under_15 is None else ("under_15" if person.is_under_15 else "15_or_older")
    return {
        "id": ids.show("par", person.id),
        "organisation": identity.organisation_by_id(session, person.organisation_id).name,
        "organisation_id": ids.show("org", person.organisation_id),
        "pseudonym": person.pseudonym,
        "since": person.created_at,
        "language": person.language,
        "cohort": person.cohort,
        "age": age,
        "age_declared_at": person.age_declared_at,
        "known_only_in": only.name if only else None,
        "kept_until": kept_until(session, person),
    }


def _missions(session: Session, participant_id: UUID) -> list[Record]:
    rows = session.execute(
        select(Membership, Mission)
        .join(Mission, col(Mission.id) == Membership.mission_id)
        .where(Membership.participant_id == participant_id)
        .order_by(col(Membership.joined_at).desc())
    ).all()
    return [
        {"id": ids.show("mis", mission.id), "title": mission.title, "slug": mission.slug, "phase": row.phase}
        | {"joined_at": row.joined_at}
        for row, mission in rows
    ]


def _check_ins(session: Session, participant_id: UUID, open_fix: OpenFix) -> Iterator[Record]:
    rows = session.execute(
        select(CheckIn, Place.name, Place.time_zone, Scan)
        .outerjoin(Place, col(Place.id) == CheckIn.place_id)
        .outerjoin(Scan, col(Scan.id) == CheckIn.scan_id)
        .where(CheckIn.participant_id == participant_id)
        .order_by(col(CheckIn.id).desc())
    ).all()
    fixes = _positions(session, [row[0].scan_id for row in rows], open_fix)
    voids = scans.voids_among(session, [row[0].scan_id for row in rows])
    for act, place, time_zone, scan in rows:
        yield {
            "id": ids.show("chk", act.id),
            "scan_id": ids.show("scn", act.scan_id),
            "place": place,
            "time_zone": time_zone,
            "scanned_at": ids.instant_of(act.scan_id),
            "checked_in_at": act.checked_in_at,
            "occurred_at": act.occurred_at,
            "presence": act.presence,
            "geofence": act.geofence,
            "by_till_code": act.by_till_code,
            "verdict": act.verdict,
            "reasons": act.reasons,
            "counted": act.counted,
            "phase": act.phase,
            "voided_because": voids[act.scan_id].reason if act.scan_id in voids else None,
            **{name: getattr(scan, name, None) for name in ("device", "language", "country", "city", "objected")},
            "positions": fixes.get(act.scan_id, []),
        }


def _positions(session: Session, scan_ids: Sequence[UUID], open_fix: OpenFix) -> dict[UUID, list[Record]]:
    found: dict[UUID, list[Record]] = {}
    rows = session.exec(select(ScanPosition).where(col(ScanPosition.scan_id).in_(scan_ids))).all()
    for row in sorted(rows, key=lambda one: one.slot):
        record = {
            "located_at": row.located_at,
            "geofence": row.geofence,
            "distance_m": row.distance_m,
            "accuracy_m": row.accuracy_m,
            "cell": row.cell,
        }
        if row.sealed is not None:
            lat, lon = open_fix(row.sealed)
            record |= {"lat": lat, "lon": lon, "precise_until": row.located_at + POSITION_LIFE}
        found.setdefault(row.scan_id, []).append(record)
    return found


def _live_codes(session: Session, participant_id: UUID) -> list[Record]:
    rows = session.execute(
        select(LiveWindowUse, Place.name)
        .join(Place, col(Place.id) == LiveWindowUse.place_id)
        .where(LiveWindowUse.person_id == participant_id)
        .order_by(col(LiveWindowUse.used_at).desc())
    ).all()
    return [{"place": place, "used_at": row.used_at, "scan_id": ids.show("scn", row.scan_id)} for row, place in rows]


def _serials(session: Session, participant_id: UUID) -> list[Record]:
    rows = session.execute(
        select(SerialUse, Token.code)
        .join(Token, col(Token.id) == SerialUse.token_id)
        .where(SerialUse.person_id == participant_id)
        .order_by(col(SerialUse.used_at).desc())
    ).all()
    return [{"code": code, "used_at": row.used_at} for row, code in rows]


def _steps(session: Session, participant_id: UUID) -> list[Record]:
    rows = session.execute(
        select(StepCompletion, Step, Mission)
        .join(Step, col(Step.id) == StepCompletion.step_id)
        .join(Mission, col(Mission.id) == StepCompletion.mission_id)
        .where(StepCompletion.participant_id == participant_id)
        .order_by(col(StepCompletion.completed_at).desc())
    ).all()
    return [
        {
            "mission": mission.title,
            "kind": step.kind,
            "title": step.title,
            "period": done.period,
            "state": done.state,
            "presence": done.presence,
            "phase": done.phase,
            "completed_at": done.completed_at,
            "points": done.points,
            "reason": done.reason,
        }
        for done, step, mission in rows
    ]


def _ideas(session: Session, participant_id: UUID) -> list[Record]:
    return [
        {
            "id": ids.show("ide", idea.id),
            "mission_id": ids.show("mis", idea.mission_id),
            "text": idea.text,
            "language": idea.language,
            "state": idea.state,
            "phase": idea.phase,
            "client_id": idea.client_id,
            "created_at": idea.created_at,
            "edited_at": idea.edited_at,
            **_hidden(session, idea),
        }
        for idea in community.ideas_of(session, participant_id)
    ]


def _follows(session: Session, participant_id: UUID) -> Iterator[Record]:
    """The ideas a person follows, with what was decided about each since; of a hidden one the words are withheld."""
    followed = community.followed_by(session, participant_id)
    names = [idea.id for idea, *_ in followed]
    decided, answered = community.decisions_of(session, names), community.answers_of(session, names)
    for idea, mission, since in followed:
        yield {
            "idea_id": ids.show("ide", idea.id),
            "mission_id": ids.show("mis", mission.id),
            "slug": mission.slug,
            "text": "" if idea.hidden_rule else idea.text,
            "hidden_rule": idea.hidden_rule,
            "followed_at": since,
            "changes": [
                one.model_dump(include={"state", "state_before", "reason", "decided_at"})
                for one in decided.get(idea.id, [])
                if one.decided_at >= since
            ],
            "answers": [
                one.model_dump(include={"text", "created_at"})
                for one in answered.get(idea.id, [])
                if one.created_at >= since
            ],
        }


def _votes(session: Session, person: Participant, ballot_secret: BallotSecret) -> Iterator[Record]:
    """Found by the key that stands for the person in each campaign they joined: no row of a vote names them."""
    joined = (
        select(Mission.campaign_id)
        .join(Membership, col(Membership.mission_id) == Mission.id)
        .where(Membership.participant_id == person.id)
    )
    for campaign_id in sorted(set(session.exec(joined).all())):
        voter = community.voter_of(ballot_secret(campaign_id), person.id)
        for vote, idea in community.votes_of(session, voter):
            yield {
                "round_id": ids.show("rnd", vote.round_id),
                "idea_id": ids.show("ide", vote.idea_id),
                "idea": "" if idea.hidden_rule else idea.text,
                "hidden_rule": idea.hidden_rule,
                "state": vote.state,
                "presence": vote.presence,
                "hour": clock.instant_of_hour(vote.cast_hour),
                "phase": vote.phase,
            }


def _hidden(session: Session, contribution: Any) -> Record:
    """By which rule a contribution is hidden, and why; None for one that is shown."""
    act = community.last_act(session, contribution.id) if contribution.hidden_rule else None
    reason, act_id = (act.reason, ids.show("mod", act.id)) if act is not None else (None, None)
    return {"hidden_rule": contribution.hidden_rule, "hidden_reason": reason, "hidden_by_act": act_id}


def _flags(session: Session, participant_id: UUID) -> list[Record]:
    return [
        {
            "subject_id": _flagged(session, row.subject_id),
            "kind": row.kind,
            "text": row.text,
            "flagged_at": row.flagged_at,
        }
        for row in community.flags_of(session, participant_id)
    ]


def _flagged(session: Session, subject_id: UUID) -> str:
    return ids.show(community.PREFIXES[community.kind_of(session, subject_id)], subject_id)


def _comments(session: Session, participant_id: UUID) -> list[Record]:
    return [
        {
            "id": ids.show("cmt", one.id),
            "idea_id": ids.show("ide", one.idea_id),
            **{name: getattr(one, name) for name in ("text", "language", "state", "phase", "client_id", "created_at")},
            **_hidden(session, one),
        }
        for one in community.comments_of(session, participant_id)
    ]


def _replies(session: Session, participant_id: UUID) -> list[Record]:
    """Replies to questions, those they changed too (`erased`)."""
    kept = ("value", "text", "language", "period", "state", "phase", "client_id", "created_at")
    return [
        {
            "id": ids.show("rpl", one.id),
            "question": session.get_one(Step, one.step_id).title,
            **{name: getattr(one, name) for name in kept},
            **_hidden(session, one),
        }
        for one in community.replies_of(session, participant_id)
    ]


def _coupons(session: Session, participant_id: UUID) -> list[Record]:
    """The coupons a person earned, with where and when a till took one."""
    query = select(Coupon, Offer).join(Offer, col(Offer.id) == Coupon.offer_id)
    rows = session.exec(query.where(Coupon.participant_id == participant_id).order_by(col(Coupon.id).desc())).all()
    used = select(Redemption, Place.name).join(Place, col(Place.id) == Redemption.place_id)
    taken = used.where(Redemption.outcome == Outcome.ACCEPTED.value, col(Redemption.rolled_back_at).is_(None))
    uses = {
        one.coupon_id: place
        for one, place in session.exec(taken.where(col(Redemption.coupon_id).in_([one.id for one, _ in rows])))
    }
    kept = {"code", "state", "choice", "phase", "issued_at", "expires_at", "redeemed_at", "ended_at", "reason"}
    return [
        {
            "id": ids.show("cpn", coupon.id),
            "offer": offer.title,
            **coupon.model_dump(mode="json", include=kept),
            "redeemed_in": uses.get(coupon.id),
        }
        for coupon, offer in rows
    ]


def _points(session: Session, participant_id: UUID) -> list[Record]:
    """The points a person earned: by which step, where and when, until when, and what they were spent on."""
    kept = {"amount", "spent", "state", "phase", "earned_at", "available_at", "expires_at", "ended_at", "reason"}
    return [
        {
            "id": ids.show("lot", one.lot.id),
            "mission": one.mission.title,
            "kind": one.step.kind,
            "title": one.step.title,
            "place": one.place,
            **one.lot.model_dump(mode="json", include=kept),
            "spends": [
                {
                    "points": number,
                    "offer": offer.title,
                    **spend.model_dump(mode="json", include={"client_id", "spent_at"}),
                }
                for spend, offer, number in one.spends
            ],
        }
        for one in rewards.told(session, participant_id)
    ]


def _badges(session: Session, participant_id: UUID) -> list[Record]:
    """The badges a person has or lost: for what, since when, and why they went."""
    kept = {"phase", "awarded_at", "revoked_at", "reason"}
    return [
        {
            "id": ids.show("bdw", award.id),
            "name": badge.name,
            "kind": badge.kind,
            "at_least": badge.at_least,
            **award.model_dump(mode="json", include=kept),
        }
        for award, badge in rewards.awards_of(session, participant_id)
    ]


def _cases(session: Session, participant_id: UUID) -> list[Record]:
    return [
        {
            "id": ids.show("cas", case.id),
            "reference": case.reference,
            "kind": case.kind,
            "state": case.state,
            "language": case.language,
            "client_id": case.client_id,
            "opened_at": case.opened_at,
            "due_at": case.due_at,
            "said": [
                {"speaker": one.speaker, "text": one.text, "written_at": one.written_at}
                for one in care.messages_of(session, case.id)
            ],
        }
        for case in care.cases_of(session, participant_id)
    ]
