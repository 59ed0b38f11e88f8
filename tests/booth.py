"""A polling booth: rounds, voters and votes of a scene, each a committed act."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from sqlmodel import select

from campaigns import community
from campaigns.community import Ballot, Cast, Idea, Round, RoundPlan, Vote
from campaigns.missions import Mission, Repeat, StepKind, StepPlan
from campaigns.participants import Participant, join
from campaigns.planning import Campaign
from campaigns.storage import Database
from tests.factories import NOON
from tests.scene import INSIDE, Scene, set_scene

SECRET = b"a campaign's secret of 32 bytes."
HOUR = timedelta(hours=1)
STEPS = [StepPlan(StepKind.SCAN, 0, Repeat.DAILY), StepPlan(StepKind.IDEA), StepPlan(StepKind.VOTE)]
_names = count()


@dataclass
class Booth:
    """A scene with a round that is open from an hour before noon to an hour after."""

    scene: Scene
    round: Round
    author: Participant

    @property
    def database(self) -> Database:
        return self.scene.database

    def idea(self, text: str = "Plant pear trees", **options: Any) -> UUID:
        """A new idea of the author's."""
        return self.scene.post_idea(self.author, text=text, client_id=f"idea-{next(_names)}", **options).idea.id

    def somebody(self) -> Participant:
        """A person who only opened the page."""
        with self.database.transaction() as session:
            return join(session, self.scene.campaign.organisation_id, language="fr", now=NOON)[0]

    def visitor(self, *, at: datetime = NOON, **options: Any) -> Participant:
        """A person who checked in inside the geofence: presence 1."""
        row = self.scene.scan(at=at, **({"entry": options["entry"]} if "entry" in options else {}))
        return self.scene.check_in(row, now=at, **{"position": INSIDE, **options}).person

    def vote(self, person: Participant, idea: UUID, **options: Any) -> Cast:
        return self._act(community.cast_vote, person, idea, options)

    def withdraw(self, person: Participant, idea: UUID, **options: Any) -> Cast:
        return self._act(community.withdraw_vote, person, idea, options)

    def _act(self, act: Any, person: Participant, idea: UUID, options: dict[str, Any]) -> Cast:
        mission = options.pop("mission", self.scene.mission)
        fields = {
            "client_id": f"phone-{next(_names)}",
            "round": self.round.id,
            "secret": SECRET,
            "now": NOON,
            **options,
        }
        with self.database.transaction() as session:
            campaign = session.get_one(Campaign, self.scene.campaign.id)
            found: Cast = act(session, fields.pop("round"), mission, campaign, person, idea_id=idea, **fields)
            return found

    def change(self, *, now: datetime = NOON, **fields: Any) -> Round:
        with self.database.transaction() as session:
            return community.change_round(session, session.get_one(Round, self.round.id), now=now, **fields)

    def result(self, phase: str = "live") -> community.Result:
        with self.database.snapshot() as session:
            return community.result_of(session, self.round, phase=phase, limit=50)

    def tally(self) -> list[community.Line]:
        with self.database.snapshot() as session:
            return [line for page in community.tally(session, self.round) for line in page]

    def votes(self, *, standing: bool = True) -> Sequence[Vote]:
        with self.database.snapshot() as session:
            found = session.exec(select(Vote).where(Vote.round_id == self.round.id)).all()
        return [one for one in found if not standing or one.slot is not None]

    def ballots(self) -> Sequence[Ballot]:
        with self.database.snapshot() as session:
            return session.exec(select(Ballot).where(Ballot.round_id == self.round.id)).all()

    def set_state(self, idea: UUID, state: str) -> None:
        with self.database.transaction() as session:
            session.get_one(Idea, idea).state = state


def plan(**rules: Any) -> RoundPlan:
    return RoundPlan(**{"opens_at": NOON - HOUR, "closes_at": NOON + HOUR, "quota": 3, **rules})


def open_booth(database: Database, *, live: bool = True, steps: Any = None, **rules: Any) -> Booth:
    """A scene whose mission has a round by these rules, and an author of ideas."""
    scene = set_scene(database, live=live, steps=STEPS if steps is None else steps)
    with database.transaction() as session:
        author = join(session, scene.campaign.organisation_id, language="fr", now=NOON - 2 * HOUR)[0]  # no newcomer
        mission = session.get_one(Mission, scene.mission.id)
        round = community.plan_round(session, mission, plan(**rules), now=NOON - 2 * HOUR)
    return Booth(scene, round, author)
