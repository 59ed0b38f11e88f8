"""People on their way: from their first counted check-in in a campaign to an online act, a coupon and its use.

All of a person hangs on that first check-in: its instant says to which time they belong, its place and code where they
were won. Everybody is counted, people of the team too; the insider share says how much is theirs.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Text, and_, case, cast, func, literal, union_all
from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns import ids
from campaigns.community.models import Idea
from campaigns.missions import Mission, Mode, Step
from campaigns.missions.models import CompletionState, Membership, StepCompletion
from campaigns.rewards.models import Coupon, CouponState, Offer
from campaigns.scans import CheckIn
from campaigns.tokens import Kind, Token

BRIDGE_FORMULA: Final = "bridge_rate/2"  # people who acted online after it / people with a counted check-in
SAMPLE: Final = 5_000  # people at most who are read one by one, some more or fewer by chance
_TAIL: Final = 4  # hexadecimal digits at the end of an id: they are random


class Group(NamedTuple):
    """Which people: of whom the first check-in lies in a time, at a place, with some codes. Ends are not included."""

    campaign_id: UUID
    since: datetime | None = None
    until: datetime | None = None
    place_id: UUID | None = None
    token_ids: Any = None  # ids, or the query of them


class Counts(NamedTuple):
    """How many people came how far. `*_on` did that step and the one before it."""

    key: str
    check_in: int
    join: int
    online_act: int
    coupon: int
    redemption: int
    online_act_on: int
    coupon_on: int


class Way(NamedTuple):
    """When one person came how far; None where they did not."""

    participant_id: UUID
    scan_id: UUID
    by_staff: bool
    check_in: datetime
    join: datetime | None
    online_act: datetime | None
    coupon: datetime | None
    redemption: datetime | None


def count_people(session: Session, group: Group, by: str | None = None) -> list[Counts]:
    """How many of a group came how far; with `by` (`place`, `token`) a line for each, under its id, else one.

    The serials of a batch are one code, as in the rollups.
    """
    way = _ways(group).subquery()
    did = {name: way.c[name].is_not(None) for name in ("join", "online_act", "coupon", "redemption")}
    both = (and_(did["join"], did["online_act"]), and_(did["online_act"], did["coupon"]))
    sums = [func.coalesce(func.sum(case((one, 1), else_=0)), 0) for one in (*did.values(), *both)]
    key, query = [], columns(func.count(), *sums)
    if by == "place":
        key = [way.c.place_id, literal("plc")]
    if by == "token":
        is_serial = and_(col(Token.kind) == Kind.SERIAL.value, col(Token.batch_id).is_not(None))
        key = [case((is_serial, col(Token.batch_id)), else_=col(Token.id)), case((is_serial, "tbt"), else_="tok")]
        query = query.join(Token, col(Token.id) == way.c.token_id)
    rows = session.execute(query.add_columns(*key).group_by(*key[:1], *(key[1:] if by == "token" else [])))
    return [Counts(_shown(*row[7:]), *map(int, row[:7])) for row in rows]


def _shown(id: UUID | None = None, prefix: str = "") -> str:
    return ids.show(prefix, id) if id else ""


def sample(session: Session, group: Group, *, people: int) -> list[Way]:
    """The ways of a group's people, all of them up to 5,000; of more about as many, drawn by the end of their ids."""
    wanted = [CheckIn.participant_id, CheckIn.scan_id, CheckIn.by_staff, CheckIn.checked_in_at]
    query = _ways(group, _drawn(session, people), wanted)
    return [Way(*row[: len(Way._fields)]) for row in session.execute(query)]


def bridge_rate(session: Session, campaign_id: UUID) -> float | None:
    """People with a counted check-in who then acted online / people with one; None without any."""
    bridged, people = bridged_of(session, campaign_id)
    return round(bridged / people, 4) if people else None


def bridged_of(session: Session, campaign_id: UUID) -> tuple[int, int]:
    """Both numbers of that rate."""
    first = _firsts(Group(campaign_id)).subquery()
    crossed = _online(campaign_id, first).subquery()
    people = session.execute(columns(func.count()).select_from(first)).scalar_one()
    return int(session.execute(columns(func.count()).select_from(crossed)).scalar_one()), int(people)


def acts_of_sample(session: Session, group: Group, *, people: int) -> Any:
    """(participant, instant) of each offline and online act of the same people, as they stand."""
    first = _firsts(group, _drawn(session, people)).subquery()
    visits: Any = columns(
        col(CheckIn.participant_id).label("participant_id"), col(CheckIn.checked_in_at).label("at")
    ).where(col(CheckIn.campaign_id) == group.campaign_id, col(CheckIn.counted), col(CheckIn.phase) == "live")
    # Each of the three for itself: a condition on their union is one that no index answers.
    parts = [
        one.where(one.selected_columns[0].in_(columns(first.c.participant_id)))
        for one in (visits, *_online_acts(group.campaign_id))
    ]
    return session.execute(union_all(*parts).execution_options(yield_per=5000))


def _firsts(group: Group, further: Sequence[Any] = (), wanted: Sequence[Any] = ()) -> Any:
    wanted = wanted or (CheckIn.participant_id, CheckIn.checked_in_at, CheckIn.place_id, CheckIn.token_id)
    query = columns(*(col(one) for one in wanted)).where(
        col(CheckIn.campaign_id) == group.campaign_id, col(CheckIn.is_first), *further
    )
    if group.since is not None:
        query = query.where(col(CheckIn.checked_in_at) >= group.since)
    if group.until is not None:
        query = query.where(col(CheckIn.checked_in_at) < group.until)
    if group.place_id is not None:
        query = query.where(col(CheckIn.place_id) == group.place_id)
    if group.token_ids is not None:
        query = query.where(col(CheckIn.token_id).in_(group.token_ids))
    return query


def _ways(group: Group, further: Sequence[Any] = (), wanted: Sequence[Any] = ()) -> Any:
    """The query of people, each with the first instants of their steps."""
    first = _firsts(group, further, wanted).subquery()
    missions = _missions(group.campaign_id)
    mine = (Membership.phase == "live", col(Membership.mission_id).in_(missions))
    joined = _first_of(
        Membership.participant_id,
        Membership.joined_at,
        *mine,
    )
    online = _online(group.campaign_id, first).subquery()
    offers = columns(col(Offer.id)).where(col(Offer.campaign_id) == group.campaign_id)
    stands = (col(Coupon.offer_id).in_(offers), Coupon.phase == "live", Coupon.state != CouponState.REVOKED.value)
    held = _first_of(Coupon.participant_id, Coupon.issued_at, *stands, also=Coupon.redeemed_at)
    query = columns(
        *first.c,
        joined.c.at.label("join"),
        online.c.at.label("online_act"),
        held.c.at.label("coupon"),
        held.c.also.label("redemption"),
    )
    for one in (joined, online, held):
        query = query.outerjoin(one, one.c.participant_id == first.c.participant_id)
    return query


def _first_of(person: Any, at: Any, *where: Any, also: Any = None) -> Any:
    more = [] if also is None else [func.min(col(also)).label("also")]
    query: Any = columns(col(person).label("participant_id"), func.min(col(at)).label("at"), *more)
    return query.where(*where).group_by(col(person)).subquery()


def _online(campaign_id: UUID, first: Any) -> Any:
    """(participant, instant) of the first online act of each after their first check-in."""
    acts = union_all(*_online_acts(campaign_id)).subquery()
    return (
        columns(acts.c.participant_id, func.min(acts.c.at).label("at"))
        .join(first, first.c.participant_id == acts.c.participant_id)
        .where(acts.c.at >= first.c.checked_in_at)
        .group_by(acts.c.participant_id)
    )


def _online_acts(campaign_id: UUID) -> tuple[Any, Any]:
    """Ideas, and verified completions of online steps."""
    missions = _missions(campaign_id)
    ideas: Any = columns(col(Idea.participant_id).label("participant_id"), col(Idea.created_at).label("at")).where(
        col(Idea.mission_id).in_(missions), col(Idea.phase) == "live"
    )
    steps: Any = columns(col(Step.id)).where(col(Step.mission_id).in_(missions), col(Step.mode) == Mode.ONLINE.value)
    done: Any = columns(col(StepCompletion.participant_id), col(StepCompletion.completed_at)).where(
        col(StepCompletion.mission_id).in_(missions),
        col(StepCompletion.step_id).in_(steps),
        col(StepCompletion.phase) == "live",
        col(StepCompletion.state) == CompletionState.VERIFIED.value,
    )
    return ideas, done


def _missions(campaign_id: UUID) -> Any:
    return columns(col(Mission.id)).where(col(Mission.campaign_id) == campaign_id)


def _drawn(session: Session, people: int) -> list[Any]:
    """Which people are read one by one: whose id ends low enough. Ids are random there, whenever they joined."""
    if people <= SAMPLE:
        return []
    length = 32 if session.get_bind().dialect.name == "sqlite" else 36
    tail = func.substr(cast(col(CheckIn.participant_id), Text), length - _TAIL + 1, _TAIL)
    return [tail < f"{16**_TAIL * SAMPLE // people:0{_TAIL}x}"]
