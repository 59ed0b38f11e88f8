"""The receipt: proof, given to the browser that scanned, that it made that scan.

100 URL-safe characters: key id, scan, token, place, visitor key, verdict, score and presence in 60 bytes, then
a keyed BLAKE2b of 120 bits. The scan's instant is in its UUIDv7. It needs no look-up to be believed.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from campaigns import ids
from campaigns.errors import Gone, Invalid
from campaigns.scans.verdict import Verdict

PRESENCE_LIFE = timedelta(minutes=10)  # for a position or a till code
ACT_LIFE = timedelta(hours=48)  # for a check-in or a confirmation
_BODY = struct.Struct(">B16s16s16sQBBB")
_MAC = 15
_LENGTH = (_BODY.size + _MAC) * 4 // 3
_NUMBER = {verdict: number for number, verdict in enumerate(Verdict)}
_VERDICT = dict(enumerate(Verdict))
_NO_PLACE = bytes(16)
_WINDOW_BACK = 0x80  # of the byte of presence, which has four levels


class Receipt(NamedTuple):
    """What a receipt says, once its signature was believed.

    `window_back`: how many windows before that of its instant the scanned live code was of, 0 or 1.
    """

    scan_id: UUID
    token_id: UUID
    place_id: UUID | None
    visitor_key: int
    verdict: Verdict
    score: int
    presence: int
    window_back: int = 0

    @property
    def scanned_at(self) -> datetime:
        return ids.instant_of(self.scan_id)

    def require_fresh(self, now: datetime, life: timedelta) -> None:
        """Gone when the scan is older than `life`, with the next step."""
        if now - self.scanned_at > life:
            raise Gone("Too much time has passed since this scan. Scan the code again.", code="receipt_expired")


class ReceiptBook:
    """Mints and believes receipts with one key."""

    def __init__(self, key: bytes, key_id: int) -> None:
        self._key = key
        self._key_id = key_id

    def mint(
        self,
        scan_hex: str,
        token_id: UUID,
        place_id: UUID | None,
        visitor_key: int,
        verdict: Verdict,
        score: int,
        presence: int,
        window_back: int = 0,
    ) -> bytes:
        """The receipt of a stored scan: 100 ASCII bytes."""
        body = _BODY.pack(
            self._key_id,
            bytes.fromhex(scan_hex),
            token_id.bytes,
            place_id.bytes if place_id else _NO_PLACE,
            visitor_key,
            _NUMBER[verdict],
            min(score, 255),
            presence | (_WINDOW_BACK if window_back else 0),
        )
        mac = hashlib.blake2b(body, digest_size=_MAC, key=self._key).digest()
        return base64.urlsafe_b64encode(body + mac)

    def read(self, text: str, *, token_id: UUID) -> Receipt:
        """Believe a receipt of this token. Invalid when it is forged, cut short, or of another code."""
        try:
            if len(text) != _LENGTH:
                raise ValueError("length")
            raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error) as error:
            raise _forged() from error
        body, mac = raw[:-_MAC], raw[-_MAC:]
        good = hashlib.blake2b(body, digest_size=_MAC, key=self._key).digest()
        if not hmac.compare_digest(mac, good):
            raise _forged()
        _, scan, token, place, visitor_key, verdict, score, presence = _BODY.unpack(body)
        if token != token_id.bytes:
            raise Invalid(
                "This receipt belongs to another code. Scan this code itself.", code="receipt_of_another_code"
            )
        return Receipt(
            UUID(bytes=scan),
            token_id,
            _place(place),
            visitor_key,
            _VERDICT[verdict],
            score,
            presence & ~_WINDOW_BACK,
            int(presence >= _WINDOW_BACK),
        )


@lru_cache(4096)
def _place(raw: bytes) -> UUID | None:
    return UUID(bytes=raw) if raw != _NO_PLACE else None


def _forged() -> Invalid:
    return Invalid("This receipt is not one of ours. Scan the code again.", code="receipt_forged", pointer="/receipt")
