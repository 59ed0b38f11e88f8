"""The secret ballot: keyed hashes that stand for a voter, a proof and an act (I7, I8, I23).

The key belongs to one campaign and is derived from the installation's secret, so it is in no table and no backup of the
database: who has the tables alone cannot say whose a vote is. The same person has the same key as long as the campaign
lasts, whether they are still there or erased; between two campaigns nothing can be joined.
"""

import hashlib
from uuid import UUID


def voter_of(secret: bytes, participant_id: UUID) -> str:
    """Who votes, for the tables: 32 hexadecimal digits."""
    return _hash(secret, b"voter", participant_id.bytes)


def proof_of(secret: bytes, scan_id: UUID) -> str:
    """The check-in that opens a ballot, by its scan."""
    return _hash(secret, b"proof", scan_id.bytes)


def act_of(secret: bytes, client_id: str) -> str:
    """What a phone called an act, without what it called it: the same when the person's two names have become one."""
    return _hash(secret, b"act", client_id.encode())


def _hash(secret: bytes, kind: bytes, value: bytes) -> str:
    return hashlib.blake2b(value, digest_size=16, key=secret, person=kind).hexdigest()
