"""Two names of one person in what they said and voted: one mark, one flag, one ballot a round.

Of two ballots of one round the one that voted first stays. The votes of both are taken in the order of their hours, as
if one person had cast them: a second one for an idea, and what is above the quota, is voided (`merged`).
"""

import secrets
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Text, cast, literal, update
from sqlmodel import Session, col, select

from campaigns.announcements import announce
from campaigns.community import following, replies
from campaigns.community.models import (
    Ballot,
    Comment,
    CommentMark,
    Flag,
    FlaggedSubject,
    Idea,
    Round,
    TextCount,
    VoidReason,
    Vote,
)
from campaigns.community.secrecy import voter_of
from campaigns.community.voiding import Moves, carry, standing_votes, void_votes
from campaigns.community.vote_steps import settle_steps
from campaigns.missions import Mission
from campaigns.participants.merging import REASON, Merge
from campaigns.storage import hand_over


def hold_texts(session: Session, merge: Merge) -> None:
    """Hold what both wrote and marked: comments on them wait."""
    for table in (Idea, Comment):
        mine = select(table).where(col(table.participant_id).in_(merge.ids))
        session.exec(mine.order_by(col(table.id)).with_for_update()).all()
    marked = select(CommentMark.comment_id).where(col(CommentMark.participant_id).in_(merge.ids))
    session.exec(select(Comment).where(col(Comment.id).in_(marked)).order_by(col(Comment.id)).with_for_update()).all()


def merge(session: Session, merge: Merge) -> None:
    """Give the older name the words, marks, flags and votes of the newer one, with the vote steps that rest on them."""
    _merge_texts(session, merge)
    _merge_marks(session, merge)
    _merge_flags(session, merge)
    following.merge(session, merge)
    merge.undone["replies"] += replies.merge(session, older=merge.older.id, newer=merge.newer.id)
    moves = Moves()
    for mission, _, ballots in _ballots(session, merge):
        secret = merge.ballot_secret(mission.campaign_id)
        names = (voter_of(secret, merge.older.id), voter_of(secret, merge.newer.id))
        _part_acts(session, names)
        for ballot in ballots:
            if ballot.voter == names[1]:
                twin = next((one for one in ballots if one.round_id == ballot.round_id and one is not ballot), None)
                _merge_ballots(session, merge, ballot, twin, names, moves)
    moves.write(session)
    for mission_id, phase in sorted(merge.missions):
        mission = session.get_one(Mission, mission_id)
        voter = voter_of(merge.ballot_secret(mission.campaign_id), merge.older.id)
        effects = settle_steps(session, mission, voter, merge.older.id, phase, reason=REASON, now=merge.now)
        merge.undone["steps"] += sum(one.outcome == "reversed" for one in effects)
        announce(session, "campaign", mission.campaign_id)


def _ballots(session: Session, merge: Merge) -> list[tuple[Mission, str, Sequence[Ballot]]]:
    """The ballots of both names, by mission and phase."""
    found = []
    for mission_id, phase in sorted(merge.missions):
        mission = session.get_one(Mission, mission_id)
        secret = merge.ballot_secret(mission.campaign_id)
        query = select(Ballot).join(Round, col(Round.id) == Ballot.round_id)
        names = [voter_of(secret, id) for id in merge.ids]
        mine = (Round.mission_id == mission_id, Ballot.phase == phase, col(Ballot.voter).in_(names))
        rows = session.exec(query.where(*mine).order_by(col(Ballot.round_id), col(Ballot.id))).all()
        found.append((mission, phase, rows))
    return found


def _merge_ballots(
    session: Session, merge: Merge, ballot: Ballot, twin: Ballot | None, names: tuple[str, str], moves: Moves
) -> None:
    older, newer = names
    if twin is None:
        ballot.voter = older
        session.add(ballot)
        session.flush()
        _rename(session, ballot, older)
        return
    kept, other = sorted((twin, ballot), key=lambda one: _rank(session, one, is_newer=one is ballot))
    moving = _let_stand(session, merge, ballot, twin, kept, moves)
    for one, name in ((other, f"merged {other.id.hex}"), (kept, older), (other, newer)):
        one.voter = name
        session.add(one)
        session.flush()
    _rename(session, other, f"merged {other.id.hex}")
    _rename(session, kept, older)
    carry(session, other, 0, moves)
    taken = {vote.slot for vote in standing_votes(session, kept)}
    for vote in moving:
        slot = next(slot for slot in range(1, len(taken) + 2) if slot not in taken)
        taken.add(slot)
        # By a statement: the object does not know the name that `_rename` gave it between, and would keep its own.
        moved = {"slot": slot, "ballot_id": kept.id, "voter": older, "presence": kept.presence}
        of_it = update(Vote).where(col(Vote.id) == vote.id).values(moved)
        session.execute(of_it.execution_options(synchronize_session=False))
    _rename(session, other, older)  # what does not stand: its person sees what became of it
    carry(session, kept, kept.live + len(moving), moves)


def _rank(session: Session, ballot: Ballot, *, is_newer: bool) -> tuple[Any, ...]:
    """Who voted first; a ballot without a vote that stands comes last."""
    votes = standing_votes(session, ballot)
    return not votes, ballot.is_void, min((vote.cast_hour for vote in votes), default=0), is_newer


def _let_stand(session: Session, merge: Merge, ballot: Ballot, twin: Ballot, kept: Ballot, moves: Moves) -> list[Vote]:
    """Void the votes that one person could not have cast; those of the other ballot that stand."""
    quota = session.get_one(Round, kept.round_id).quota
    both = [(vote, one) for one in (twin, ballot) for vote in standing_votes(session, one)]
    both.sort(key=lambda pair: (pair[0].cast_hour, pair[1] is ballot, pair[0].slot))
    ideas: set[UUID] = set()
    refused: list[tuple[Vote, Ballot]] = []
    for vote, one in both:
        if vote.idea_id in ideas or len(ideas) == quota:
            refused.append((vote, one))
        else:
            ideas.add(vote.idea_id)
    for one in (twin, ballot):
        void_votes(session, [vote for vote, its in refused if its is one], VoidReason.MERGED, moves)
    session.flush()
    merge.undone["votes"] += len(refused)
    gone = {vote.id for vote, _ in refused}
    return [vote for vote, its in both if its is not kept and vote.id not in gone]


def _part_acts(session: Session, names: tuple[str, str]) -> None:
    """What both phones called alike stays apart; a repeat of any other act gets its first answer."""
    older, newer = names
    for name in ("cast_key", "withdrawal_key"):
        key = col(getattr(Vote, name))
        known = select(key).where(Vote.voter == older, key.is_not(None))
        for vote in session.exec(select(Vote).where(Vote.voter == newer, key.in_(known))).all():
            setattr(vote, name, secrets.token_hex(16))
            session.add(vote)
    session.flush()


def _rename(session: Session, ballot: Ballot, voter: str) -> None:
    theirs = update(Vote).where(col(Vote.ballot_id) == ballot.id).values(voter=voter)
    session.execute(theirs.execution_options(synchronize_session=False))


def _merge_texts(session: Session, merge: Merge) -> None:
    """Ideas and comments stay; what both phones called alike stays apart. Texts of a day add up: there is a most."""
    older, newer = merge.ids
    for table in (Idea, Comment):
        has = select(table.client_id).where(table.participant_id == older)
        twins = (col(table.participant_id) == newer, col(table.client_id).in_(has))
        apart = literal("merged-") + cast(col(table.id), Text)
        moved = update(table).where(*twins).values(client_id=apart)
        session.execute(moved.execution_options(synchronize_session=False))
        hand_over(session, [col(table.participant_id)], newer, older)
    for row in session.exec(select(TextCount).where(TextCount.participant_id == newer)).all():
        key = {"participant_id": older, "window": row.window, "ends_at": row.ends_at}
        session.delete(row)
        session.flush()
        _add_texts(session, key, row.texts)


def _add_texts(session: Session, key: dict[str, Any], texts: int) -> None:
    mine = (col(TextCount.participant_id) == key["participant_id"], col(TextCount.window) == key["window"])
    found = session.exec(select(TextCount).where(*mine)).first()
    if found is None:
        session.add(TextCount(**key, texts=texts))
    else:
        found.texts += texts
        session.add(found)
    session.flush()


def _merge_marks(session: Session, merge: Merge) -> None:
    """A comment is useful to a person once, and never to its author."""
    older, newer = merge.ids
    query = select(CommentMark, Comment).join(Comment, col(Comment.id) == CommentMark.comment_id)
    mine = query.where(col(CommentMark.participant_id).in_(merge.ids)).order_by(
        col(CommentMark.comment_id), col(CommentMark.marked_at)
    )
    seen: set[UUID] = set()
    for mark, comment in session.exec(mine.execution_options(populate_existing=True)).all():
        if comment.participant_id not in merge.ids and comment.id not in seen:
            seen.add(comment.id)
            continue
        session.delete(mark)
        comment.useful -= 1
        session.add(comment)
    session.flush()
    hand_over(session, [col(CommentMark.participant_id)], newer, older)


def _merge_flags(session: Session, merge: Merge) -> None:
    """A contribution flagged under both names is flagged by one person."""
    older, newer = merge.ids
    rows = session.exec(
        select(Flag).where(col(Flag.participant_id).in_(merge.ids)).order_by(col(Flag.subject_id), col(Flag.id))
    ).all()
    seen: set[UUID] = set()
    for row in rows:
        if row.subject_id not in seen:
            seen.add(row.subject_id)
            continue
        session.delete(row)
        session.flush()
        subject = session.exec(
            select(FlaggedSubject)
            .where(FlaggedSubject.subject_id == row.subject_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        ).one()
        subject.flags -= 1
        subject.open_flags = max(0, subject.open_flags - 1)
        session.add(subject)
        session.flush()
    hand_over(session, [col(Flag.participant_id)], newer, older)
