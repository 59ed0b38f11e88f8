"""What each kind of step is told beside its title: its params, checked before a mission is stored."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns import ids
from campaigns.errors import Invalid, NotFound
from campaigns.missions.models import Repeat, StepKind
from campaigns.places import Place

PLACES_MOST = 50
TIMES_MOST = 100
CHOICES_MOST = 12
CHOICE_LENGTH = 80  # characters
EDITABLE_MOST_H = 168  # hours in which a reply may be changed; a day where the step does not say
QUESTIONS = (StepKind.ANSWER, StepKind.RATE)
_KNOWN: dict[StepKind, tuple[str, ...]] = {
    StepKind.SCAN: ("possession",),
    StepKind.VISIT_PLACES: ("n", "places"),
    StepKind.TRAIL: ("places",),
    StepKind.STAFF_VALIDATED: ("places",),
    StepKind.REDEEM: ("places",),
    StepKind.ANSWER: ("choices", "editable_h"),
    StepKind.RATE: ("editable_h",),
}
_ONCE_ONLY = (StepKind.VISIT_PLACES, StepKind.TRAIL)  # a place counts once in a mission (I11)


def repeat_of(value: Repeat | str | int, *, pointer: str = "/repeat") -> str:
    """A step's repeat as it is stored. Invalid for anything but once, daily, weekly or a number from 2 to 100."""
    text = str(value)
    if text in set(Repeat) or (text.isascii() and text.isdigit() and 2 <= int(text) <= TIMES_MOST):
        return text
    raise Invalid(f"A step repeats once, daily, weekly, or 2 to {TIMES_MOST} times.", pointer=pointer)


def checked_params(
    session: Session, organisation_id: UUID, kind: StepKind, params: dict[str, Any], *, repeat: str, pointer: str
) -> dict[str, Any]:
    """A step's params as they are stored: places by their ids. Invalid names the field that is wrong.

    `pointer` is the step's: `/steps/0`. Places are named by id or as `ext_...`.
    """
    known = _KNOWN.get(kind, ())
    for name in params:
        if name not in known:
            takes = f"takes {' and '.join(known)}" if known else "takes no params"
            raise Invalid(f"A step of kind {kind} {takes}.", pointer=f"{pointer}/params/{name[:60]}")
    if kind in _ONCE_ONLY and repeat != Repeat.ONCE:
        raise Invalid(f"A step of kind {kind} counts once: a place counts once.", pointer=f"{pointer}/repeat")
    if kind in QUESTIONS:
        return _question(params, repeat, pointer=pointer)
    stored: dict[str, Any] = {}
    if params.get("possession") is not None:
        if params["possession"] is not True:
            raise Invalid(
                "A step asks for a pack with `true`, or leaves `possession` out.",
                pointer=f"{pointer}/params/possession",
            )
        stored["possession"] = True
    where = f"{pointer}/params/places"
    if params.get("places") is not None:
        stored["places"] = _places(session, organisation_id, params["places"], pointer=where)
    if kind is StepKind.TRAIL and len(stored.get("places", ())) < 2:
        raise Invalid("A trail names its places in their order, two at least.", pointer=where)
    if kind is StepKind.VISIT_PLACES:
        stored["n"] = _number(params.get("n"), len(stored.get("places", ())) or PLACES_MOST, pointer=pointer)
    return stored


def _question(params: dict[str, Any], repeat: str, *, pointer: str) -> dict[str, Any]:
    """A question's choices, each in its languages, and for how many hours a reply may be changed."""
    if repeat.isdigit():
        raise Invalid("A question is replied to once, daily or weekly.", pointer=f"{pointer}/repeat")
    stored = dict(params)
    if params.get("choices") is not None:
        stored["choices"] = _choices(params["choices"], pointer=f"{pointer}/params/choices")
    hours = params.get("editable_h", 0)
    if not isinstance(hours, int) or isinstance(hours, bool) or not 0 <= hours <= EDITABLE_MOST_H:
        where = f"{pointer}/params/editable_h"
        raise Invalid(f"`editable_h` is a number of hours, 0 to {EDITABLE_MOST_H}.", pointer=where)
    return stored


def _choices(given: Any, *, pointer: str) -> list[dict[str, str]]:
    if not isinstance(given, list) or not 2 <= len(given) <= CHOICES_MOST:
        raise Invalid(f"`choices` is a list of 2 to {CHOICES_MOST} texts.", pointer=pointer)
    found = [{"": one} if isinstance(one, str) else one for one in given]
    for at, one in enumerate(found):
        texts = list(one.values()) if isinstance(one, dict) else []
        if not texts or not all(isinstance(text, str) and 0 < len(text) <= CHOICE_LENGTH for text in texts):
            raise Invalid(f"A choice is a text of at most {CHOICE_LENGTH} characters.", pointer=f"{pointer}/{at}")
    if len({tuple(sorted(one.items())) for one in found}) != len(found):
        raise Invalid("A choice is named twice.", pointer=pointer)
    return found


def _number(value: Any, most: int, *, pointer: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    raise Invalid(f"`n` says how many places: 1 to {most}.", pointer=f"{pointer}/params/n")


def _places(session: Session, organisation_id: UUID, names: Any, *, pointer: str) -> list[str]:
    if not isinstance(names, list) or not 1 <= len(names) <= PLACES_MOST:
        raise Invalid(f"`places` is a list of 1 to {PLACES_MOST} places.", pointer=pointer)
    found = [_place(session, organisation_id, name, f"{pointer}/{at}") for at, name in enumerate(names)]
    if len(set(found)) != len(found):
        raise Invalid("A place is named twice.", pointer=pointer)
    return [ids.show("plc", id) for id in found]


def _place(session: Session, organisation_id: UUID, name: Any, pointer: str) -> UUID:
    refusal = Invalid("There is no such place.", pointer=pointer)
    if not isinstance(name, str):
        raise refusal
    external_id = ids.external(name)
    try:
        named = Place.external_id == external_id if external_id else Place.id == ids.parse("plc", name)
    except NotFound as error:
        raise refusal from error
    found = session.exec(select(Place.id).where(col(Place.organisation_id) == organisation_id, named)).first()
    if found is None:
        raise refusal
    return found


Named = Callable[[UUID], str]


def names_of(session: Session, places: Sequence[UUID]) -> dict[UUID, str]:
    """The names of places, by id."""
    return dict(session.execute(select(Place.id, Place.name).where(col(Place.id).in_(places))).all())
