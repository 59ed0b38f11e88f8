"""What participants say, the ballots they say it in, what readers report of it, and what moderators did about it."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, false, text
from sqlmodel import CheckConstraint, Field, Index, SQLModel, UniqueConstraint

from campaigns.audit import Audit
from campaigns.storage import Row, json_column


class IdeaState(StrEnum):
    """Submitted and published at once; what becomes of it is decided by members, with a public reason."""

    PUBLISHED = "published"
    SHORTLISTED = "shortlisted"
    SELECTED = "selected"
    NOT_SELECTED = "not_selected"
    FUNDED = "funded"
    DELIVERED = "delivered"
    MERGED = "merged"  # into another: its page leads there, its votes stay with it
    HIDDEN = "hidden"  # by a moderator: its words are withheld, its totals stay
    RESTORED = "restored"  # shown again
    ERASED = "erased"  # taken back by its author: counted, never shown


VOTABLE = (IdeaState.PUBLISHED.value, IdeaState.RESTORED.value, IdeaState.SHORTLISTED.value)


class Idea(Row, table=True):
    """An idea in a mission. `client_id` is made on the phone: a repeat gets the first answer (I12)."""

    __tablename__ = "ideas"
    __table_args__ = (
        UniqueConstraint("participant_id", "client_id"),
        Index("ix_ideas_mission_id_id", "mission_id", "id"),
    )

    mission_id: UUID = Field(foreign_key="missions.id")
    participant_id: UUID = Field(foreign_key="participants.id")
    client_id: str
    text: str
    language: str
    state: str = IdeaState.PUBLISHED
    hidden_rule: str | None = Field(default=None, description="while it is hidden, by which rule")
    comments: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    phase: str
    created_at: datetime
    rules_version_id: UUID | None = Field(default=None, description="the mission's rules in force at the act")
    edited_at: datetime | None = None
    merged_into_id: UUID | None = Field(default=None, foreign_key="ideas.id", index=True)
    followers: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class Decision(Row, table=True):
    """What a member or a key made of an idea, and the reason everybody reads. The table only grows."""

    __tablename__ = "idea_decisions"
    __audit__ = Audit("idea_decision", hidden=frozenset({"reason"}))
    __table_args__ = (
        CheckConstraint("(member_id IS NULL) <> (key_id IS NULL)", name="decider"),
        CheckConstraint("merged_into_id IS NULL OR state = 'merged'", name="merged"),
        Index("ix_idea_decisions_idea_id_id", "idea_id", "id"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    mission_id: UUID = Field(foreign_key="missions.id")
    idea_id: UUID = Field(foreign_key="ideas.id")
    state: str
    state_before: str
    merged_into_id: UUID | None = Field(default=None, foreign_key="ideas.id")
    reason: str
    member_id: UUID | None = Field(default=None, foreign_key="members.id")
    key_id: UUID | None = Field(default=None, foreign_key="api_keys.id")
    decided_at: datetime


class Follow(SQLModel, table=True):
    """That a person follows an idea: their page shows what became of it since."""

    __tablename__ = "idea_follows"

    idea_id: UUID = Field(foreign_key="ideas.id", primary_key=True)
    participant_id: UUID = Field(foreign_key="participants.id", primary_key=True, index=True)
    followed_at: datetime


class Electorate(StrEnum):
    """Who may vote in a round: everybody, or who was verified at one of its places within its window."""

    EVERYBODY = "everybody"
    VISITORS = "visitors"


class Totals(StrEnum):
    """Whether the votes of each idea are public while the round is open. After the close they are."""

    HIDDEN = "hidden"
    SHOWN = "shown"


class Round(Row, table=True):
    """A ballot of a mission, open from `opens_at` until just before `closes_at`.

    `quota` is how many votes a person has, `min_presence` the least proof that opens their ballot. Its rules may change
    until `first_vote_at`, in a pilot or after; then the round can only close earlier (I9), and another one be planned.
    Without `place_ids` every place counts.
    """

    __tablename__ = "rounds"
    __audit__ = Audit("round")
    __table_args__ = (
        CheckConstraint("quota BETWEEN 1 AND 20", name="quota"),
        CheckConstraint("min_presence BETWEEN 0 AND 3", name="min_presence"),
        CheckConstraint("closes_at > opens_at", name="window"),
        Index("ix_rounds_mission_id_id", "mission_id", "id"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    mission_id: UUID = Field(foreign_key="missions.id")
    opens_at: datetime
    closes_at: datetime
    quota: int
    min_presence: int
    electorate: str
    place_ids: list[str] | None = json_column(nullable=True)
    totals: str
    created_at: datetime
    changed_at: datetime
    first_vote_at: datetime | None = None
    told_at: datetime | None = Field(default=None, description="when its voters with an address were written to")

    def is_open(self, now: datetime) -> bool:
        """Whether it takes votes."""
        return self.opens_at <= now < self.closes_at

    def is_over(self, now: datetime) -> bool:
        """Whether its result stands."""
        return now >= self.closes_at

    def shows_totals(self, now: datetime) -> bool:
        """Whether the votes of each idea are public now."""
        return self.is_over(now) or (self.totals == Totals.SHOWN and now >= self.opens_at)

    @property
    def can_be_repeated(self) -> bool:
        """Whether who clears their browser could vote again: it says so in public."""
        return self.min_presence < 2


class Ballot(Row, table=True):
    """One person's part in a round, opened by one proof of presence, once (I8).

    Neither the person nor the scan is named: `voter` and `proof` are keyed hashes (`campaigns.community.secrecy`), so
    the row outlives the person and opens for nobody again (I23). `live` counts its votes that stand. One whose proof
    was voided takes no vote until another proof opens it again.
    """

    __tablename__ = "ballots"
    __table_args__ = (
        UniqueConstraint("round_id", "phase", "voter"),
        UniqueConstraint("round_id", "phase", "proof"),
    )

    round_id: UUID = Field(foreign_key="rounds.id")
    phase: str
    voter: str
    proof: str | None = None
    presence: int
    live: int = 0
    is_void: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class VoteState(StrEnum):
    """A vote stands, was taken back by its voter, or was voided because its proof was."""

    CAST = "cast"
    WITHDRAWN = "withdrawn"
    VOIDED = "voided"


class VoidReason(StrEnum):
    """Why a vote was voided. The public reads it; what was written to the person of a voided scan is theirs alone."""

    SCAN_VOIDED = "scan_voided"
    MERGED = "merged"  # one person had voted under two names
    RECORD_VOIDED = "record_voided"  # the staff of a place recorded it, and took that back


_IS_VOID = text("void_reason IS NOT NULL")
_STANDS = text("slot IS NOT NULL")


class Vote(Row, table=True):
    """A vote for an idea. `slot` (1 to the round's quota) is empty when it does not stand any more (I7).

    It knows its hour and no instant, its id is random, and what the phone called the act is hashed: beside what else
    the person did at that moment it would tell whose it is. `line` is its line in the public tally.
    """

    __tablename__ = "votes"
    __table_args__ = (
        UniqueConstraint("round_id", "phase", "voter", "slot"),
        UniqueConstraint("voter", "cast_key"),
        UniqueConstraint("voter", "withdrawal_key"),
        UniqueConstraint("line"),
        CheckConstraint("(slot IS NOT NULL) = (state = 'cast')", name="slot"),
        CheckConstraint("slot BETWEEN 1 AND 20", name="slot_range"),
        Index(
            "uq_votes_of_idea",
            "round_id",
            "idea_id",
            "voter",
            unique=True,
            sqlite_where=_STANDS,
            postgresql_where=_STANDS,
        ),
        Index("ix_votes_voided", "round_id", sqlite_where=_IS_VOID, postgresql_where=_IS_VOID),
    )

    round_id: UUID = Field(foreign_key="rounds.id")
    ballot_id: UUID = Field(foreign_key="ballots.id", index=True)
    idea_id: UUID = Field(foreign_key="ideas.id")
    phase: str
    voter: str
    slot: int | None = None
    state: str = VoteState.CAST
    presence: int
    cast_hour: int
    line: str
    cast_key: str
    withdrawal_key: str | None = None
    void_reason: str | None = Field(default=None, description="of a voided one: a `VoidReason`")
    rules_version_id: UUID | None = Field(default=None, description="the mission's rules in force at the act")


class VoteCounter(SQLModel, table=True):
    """The votes of an idea that stand in a round, of a phase."""

    __tablename__ = "vote_counters"

    round_id: UUID = Field(foreign_key="rounds.id", primary_key=True)
    phase: str = Field(primary_key=True)
    idea_id: UUID = Field(foreign_key="ideas.id", primary_key=True)
    votes: int = Field(default=0, sa_type=BigInteger)


class TurnOut(SQLModel, table=True):
    """How many people of a level of presence have a vote that stands in a round, of a phase."""

    __tablename__ = "turn_outs"

    round_id: UUID = Field(foreign_key="rounds.id", primary_key=True)
    phase: str = Field(primary_key=True)
    presence: int = Field(primary_key=True)
    voters: int = Field(default=0, sa_type=BigInteger)


class Comment(Row, table=True):
    """A comment on an idea, by a participant, or an official answer by a member."""

    __tablename__ = "comments"
    __table_args__ = (
        UniqueConstraint("participant_id", "client_id"),
        UniqueConstraint("member_id", "client_id"),
        Index("ix_comments_idea_id_id", "idea_id", "id"),
        Index("ix_comments_mission_id_id", "mission_id", "id"),
    )

    mission_id: UUID = Field(foreign_key="missions.id")
    idea_id: UUID = Field(foreign_key="ideas.id")
    participant_id: UUID | None = Field(default=None, foreign_key="participants.id")
    member_id: UUID | None = Field(default=None, foreign_key="members.id", description="of an official answer")
    client_id: str
    text: str
    language: str
    state: str = IdeaState.PUBLISHED
    hidden_rule: str | None = Field(default=None, description="while it is hidden, by which rule")
    phase: str
    useful: int = Field(default=0, description="people who found it useful")
    created_at: datetime

    @property
    def is_official(self) -> bool:
        return self.member_id is not None


class CommentMark(SQLModel, table=True):
    """That a comment was useful to a person, once."""

    __tablename__ = "comment_marks"

    comment_id: UUID = Field(foreign_key="comments.id", primary_key=True)
    participant_id: UUID = Field(foreign_key="participants.id", primary_key=True, index=True)
    marked_at: datetime


_NOT_REPLACED = text("state <> 'erased'")


class Reply(Row, table=True):
    """What a person replied to a question of a mission, which is a step of kind answer or rate.

    `value` is the number of the choice or the mark, from 1, and 0 for words alone. A change is a row of its own; the
    one before it is `erased`, so that one stands a person and period.
    """

    __tablename__ = "replies"
    __table_args__ = (
        UniqueConstraint("participant_id", "client_id"),
        CheckConstraint("value BETWEEN 0 AND 12", name="value"),
        Index("ix_replies_step_id_id", "step_id", "id"),
        Index("ix_replies_mission_id_id", "mission_id", "id"),
        Index(
            "uq_replies_standing",
            "step_id",
            "participant_id",
            "period",
            "phase",
            unique=True,
            sqlite_where=_NOT_REPLACED,
            postgresql_where=_NOT_REPLACED,
        ),
    )

    mission_id: UUID = Field(foreign_key="missions.id")
    step_id: UUID = Field(foreign_key="steps.id")
    participant_id: UUID = Field(foreign_key="participants.id")
    period: str
    phase: str
    client_id: str
    value: int
    text: str
    language: str
    state: str = IdeaState.PUBLISHED
    hidden_rule: str | None = Field(default=None, description="while it is hidden, by which rule")
    created_at: datetime
    rules_version_id: UUID | None = Field(default=None, description="the mission's rules in force at the act")


class ReplyCounter(SQLModel, table=True):
    """How many replies to a question stand with a value, of a phase; `erased` of them were of people who are gone."""

    __tablename__ = "reply_counters"

    step_id: UUID = Field(foreign_key="steps.id", primary_key=True)
    phase: str = Field(primary_key=True)
    value: int = Field(primary_key=True)
    total: int = Field(default=0, sa_type=BigInteger)
    erased: int = Field(default=0, sa_type=BigInteger)


class TextCount(SQLModel, table=True):
    """How many texts a person wrote in their first hour (`first`) or on a UTC day (its number): there is a most."""

    __tablename__ = "text_counts"

    participant_id: UUID = Field(foreign_key="participants.id", primary_key=True)
    window: str = Field(primary_key=True)
    texts: int = 0
    ends_at: datetime


class SubjectKind(StrEnum):
    """What can be flagged and moderated."""

    IDEA = "idea"
    COMMENT = "comment"
    REPLY = "reply"


class FlagKind(StrEnum):
    """What a reader says is wrong with a contribution."""

    ATTACK = "attack"
    PRIVATE = "private"
    ADVERTISING = "advertising"
    OFF_TOPIC = "off_topic"
    OTHER = "other"


class Flag(Row, table=True):
    """A reader's report of a contribution. Once a person and contribution; without a cookie once a phone and day."""

    __tablename__ = "flags"
    __table_args__ = (
        UniqueConstraint("subject_id", "participant_id"),
        UniqueConstraint("subject_id", "day", "reporter_key"),
        Index("ix_flags_participant_id", "participant_id"),
    )

    subject_id: UUID
    participant_id: UUID | None = Field(default=None, foreign_key="participants.id")
    day: int | None = Field(default=None, description="UTC days since 1970, of who has no cookie")
    reporter_key: int | None = Field(
        default=None, sa_type=BigInteger, description="keyed hash under the salt of that day, which is gone"
    )
    kind: str
    text: str
    flagged_at: datetime


class FlaggedSubject(SQLModel, table=True):
    """How often a contribution was flagged: in all, and since a moderator last looked."""

    __tablename__ = "flagged_subjects"
    __table_args__ = (Index("ix_flagged_subjects_queue", "organisation_id", "open_flags"),)

    subject_id: UUID = Field(primary_key=True)
    subject_kind: str
    organisation_id: UUID = Field(foreign_key="organisations.id")
    mission_id: UUID = Field(foreign_key="missions.id")
    flags: int = 0
    open_flags: int = 0


class Rule(StrEnum):
    """The rules a contribution may be hidden by."""

    PERSONAL_ATTACK = "personal_attack"
    PRIVATE_DATA = "private_data"
    UNLAWFUL = "unlawful"
    ADVERTISING = "advertising"
    OFF_TOPIC = "off_topic"


AT_ONCE = frozenset({Rule.PERSONAL_ATTACK, Rule.PRIVATE_DATA})  # the others wait until a reader has flagged it


class Act(StrEnum):
    """What a moderator did: hid a contribution, restored it, or looked at its flags and left it."""

    HIDDEN = "hidden"
    RESTORED = "restored"
    LEFT = "left"


class ModerationAct(Row, table=True):
    """What a moderator did with a contribution, by which rule and why. The table only grows."""

    __tablename__ = "moderation_acts"
    __audit__ = Audit("moderation_act", hidden=frozenset({"reason"}))
    __table_args__ = (
        Index("ix_moderation_acts_subject_id_id", "subject_id", "id"),
        Index("ix_moderation_acts_mission_id_id", "mission_id", "id"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    mission_id: UUID = Field(foreign_key="missions.id")
    phase: str
    subject_kind: str
    subject_id: UUID
    act: str
    rule: str | None = None
    reason: str
    state_before: str = Field(description="of the contribution: what it is restored to")
    member_id: UUID = Field(foreign_key="members.id")
    acted_at: datetime
