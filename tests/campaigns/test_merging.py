"""Two names of one person become one: what one person could not have done twice goes, and every figure stays exact."""

from datetime import datetime

from campaigns import merging
from campaigns.participants import Merge, Participant
from campaigns.storage import Database
from tests.booth import SECRET
from tests.factories import NOON


def merge(database: Database, one: Participant, other: Participant, *, now: datetime = NOON) -> Merge:
    with database.between_rounds() as session:
        return merging.merge(session, one.id, other.id, ballot_secret=lambda _: SECRET, now=now)
