"""People on their way: from their first counted check-in in a campaign to an online act, a coupon and its use.

All of a person hangs on that first check-in: its instant says to which time they belong, its place and code where they
were won. Everybody is counted, people of the team too; the insider share says how much is theirs.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Text, and_, case, cast, exists, func, literal, true, type_coerce, union_all
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
_CHUNK: Final = 500
_IS_VERIFIED: Final = col(StepCompletion.state) == CompletionState.VERIFIED.value
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

    The serials of a batch are one code, as in the rollups. People who joined are counted where all people are, those
    who acted and who hold a coupon from their acts and coupons: there are fewer of them.
    """
    first = _firsts(group).subquery()
    online, held = _online(group.campaign_id, first).subquery(), _held(group.campaign_id, first).subquery()
    acted = held.c.participant_id.in_(columns(online.c.participant_id))
    won = _counted(session, first, by, _has_joined(group.campaign_id, first.c.participant_id))
    bridged = _counted(session, online, by, _has_joined(group.campaign_id, online.c.participant_id))
    rewarded = _counted(session, held, by, held.c.redeemed_at.is_not(None), acted)
    found = []
    for key, (check_in, join) in won.items():
        (online_act, both), (coupon, redemption, coupon_on) = bridged.get(key, (0, 0)), rewarded.get(key, (0, 0, 0))
        found.append(Counts(key, check_in, join, online_act, coupon, redemption, both, coupon_on))
    return found


def _counted(session: Session, people: Any, by: str | None, *marks: Any) -> dict[str, Sequence[int]]:
    """Of people with the place and code of their first check-in, by either: how many, and how many with each mark."""
    key: list[Any] = []
    query = columns(func.count(), *(func.coalesce(func.sum(case((one, 1), else_=0)), 0) for one in marks))
    query = query.select_from(people)
    if by == "place":
        key = [people.c.place_id, literal("plc")]
    if by == "token":
        is_serial = and_(col(Token.kind) == Kind.SERIAL.value, col(Token.batch_id).is_not(None))
        key = [case((is_serial, col(Token.batch_id)), else_=col(Token.id)), case((is_serial, "tbt"), else_="tok")]
        query = query.join(Token, col(Token.id) == people.c.token_id)
    query = query.add_columns(*key).group_by(*key[:1], *(key[1:] if by == "token" else []))
    width = len(marks) + 1
    return {_shown(*row[width:]): [int(one) for one in row[:width]] for row in session.execute(query)}


def _shown(id: UUID | None = None, prefix: str = "") -> str:
    return ids.show(prefix, id) if id else ""


def sample(session: Session, group: Group, *, people: int) -> list[Way]:
    """The ways of a group's people, all of them up to 5,000; of more about as many, drawn by the end of their ids."""
    wanted = [CheckIn.participant_id, CheckIn.scan_id, CheckIn.by_staff, CheckIn.checked_in_at]
    drawn = session.execute(_firsts(group, _drawn(session, people), wanted)).all()
    ways: list[Way] = []
    for start in range(0, len(drawn), _CHUNK):
        ways += _ways(session, group.campaign_id, drawn[start : start + _CHUNK])
    return ways


def _ways(session: Session, campaign_id: UUID, drawn: Sequence[Any]) -> Iterator[Way]:
    """The ways of some people from their first check-ins: everything is found by the people alone."""
    some = [row[0] for row in drawn]
    missions = col(Membership.mission_id).in_(_missions(campaign_id))
    joined = columns(col(Membership.participant_id), func.min(col(Membership.joined_at))).where(
        missions, col(Membership.participant_id).in_(some), col(Membership.phase) == "live"
    )
    joins = {row[0]: row[1] for row in session.execute(joined.group_by(col(Membership.participant_id)))}
    held = columns(col(Coupon.participant_id), func.min(col(Coupon.issued_at)), func.min(col(Coupon.redeemed_at)))
    held = held.where(col(Coupon.participant_id).in_(some), *_stands(campaign_id)).group_by(col(Coupon.participant_id))
    coupons = {row[0]: row[1:] for row in session.execute(held)}
    acts: dict[UUID, list[datetime]] = defaultdict(list)
    for person, at in _acts(session, some, _online_kinds(session, campaign_id)):
        acts[person].append(at)
    for person, scan_id, by_staff, check_in in drawn:
        online = min((at for at in acts[person] if at >= check_in), default=None)
        issued, redeemed = coupons.get(person, (None, None))
        yield Way(person, scan_id, by_staff, check_in, joins.get(person), online, issued, redeemed)


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


def acts_of(session: Session, campaign_id: UUID, drawn: Sequence[Way]) -> Iterator[tuple[UUID, datetime]]:
    """(participant, instant) of each offline and online act of some people in a campaign."""
    offline: _Kind = (CheckIn, CheckIn.checked_in_at, CheckIn.campaign_id, col(CheckIn.counted), {campaign_id})
    kinds = [offline, *_online_kinds(session, campaign_id)]
    for start in range(0, len(drawn), _CHUNK):
        yield from _acts(session, [way.participant_id for way in drawn[start : start + _CHUNK]], kinds)


_Kind = tuple[Any, Any, Any, Any, set[UUID]]  # a table, its instant, what it hangs on, what counts, what is ours


def _online_kinds(session: Session, campaign_id: UUID) -> list[_Kind]:
    missions = set(session.execute(_missions(campaign_id)).scalars())
    is_online = (col(Step.mission_id).in_(missions), col(Step.mode) == Mode.ONLINE.value)
    steps = set(session.execute(columns(col(Step.id)).where(*is_online)).scalars())
    return [
        (Idea, Idea.created_at, Idea.mission_id, true(), missions),
        (StepCompletion, StepCompletion.completed_at, StepCompletion.step_id, _IS_VERIFIED, steps),
    ]


def _acts(session: Session, some: Sequence[UUID], kinds: Sequence[_Kind]) -> Iterator[tuple[UUID, datetime]]:
    """Found by the people alone and sifted here: with the campaign beside them SQLite would go through all its acts.

    Ids stay as the driver gives them, text or UUID: to make a UUID of each takes longer than to read the rows.
    """
    people = {key: one for one in some for key in (one, one.hex)}
    for table, at, of, counts, ours in kinds:
        wanted = {key for one in ours for key in (one, one.hex)}
        theirs = (col(table.participant_id).in_(some), col(table.phase) == "live", counts)
        found = columns(type_coerce(col(table.participant_id), Text), at, type_coerce(of, Text)).where(*theirs)
        for person, instant, where in session.execute(found):
            if where in wanted:
                yield people[person], instant


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


def _has_joined(campaign_id: UUID, person: Any) -> Any:
    mine = (col(Membership.mission_id).in_(_missions(campaign_id)), col(Membership.phase) == "live")
    return exists().where(*mine, col(Membership.participant_id) == person)


def _stands(campaign_id: UUID) -> tuple[Any, ...]:
    """Whether a coupon is one of the campaign's, and was not revoked."""
    offers = columns(col(Offer.id)).where(col(Offer.campaign_id) == campaign_id)
    return (col(Coupon.offer_id).in_(offers), Coupon.phase == "live", Coupon.state != CouponState.REVOKED.value)


def _held(campaign_id: UUID, first: Any) -> Any:
    """Who holds or held a coupon, with the place and code of their first check-in."""
    return (
        columns(*_of_first(first), func.min(col(Coupon.redeemed_at)).label("redeemed_at"))
        .select_from(Coupon)
        .join(first, first.c.participant_id == col(Coupon.participant_id))
        .where(*_stands(campaign_id))
        .group_by(*_of_first(first))
    )


def _of_first(first: Any) -> list[Any]:
    return [first.c.participant_id, first.c.place_id, first.c.token_id]


def _online(campaign_id: UUID, first: Any) -> Any:
    """Who acted online after their first check-in, with its place and code."""
    acts = union_all(*_online_acts(campaign_id)).subquery()
    return (
        columns(*_of_first(first))
        .select_from(acts)
        .join(first, first.c.participant_id == acts.c.participant_id)
        .where(acts.c.at >= first.c.checked_in_at)
        .distinct()
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
