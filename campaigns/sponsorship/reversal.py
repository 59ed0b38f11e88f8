"""Undoing what acts accrued when what they rest on is voided, in the transaction that voids it (I19)."""

from datetime import datetime

from sqlmodel import Session

from campaigns.scans import Effect, Undone
from campaigns.sponsorship.accrual import reckon


def reverse(session: Session, undone: Undone, now: datetime) -> list[Effect]:
    """Bring the accruals of the completions that a void touched in line: those reversed, and those kept by another act.

    What such another act is not worth to a pledge goes as well; what it is worth anew the worker accrues.
    """
    touched = [one.subject_id for one in undone.effects if one.what == "completion"]
    return reckon(session, touched, undo_only=True, now=now) if touched else []
