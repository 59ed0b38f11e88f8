"""What an NTAG213, 215 or 216 writes into its URL at each tap, when it was set to: its UID and its counter, unsigned.

Anyone may write the same: with the UID that the token's tag has and a counter unused before it makes a visit plausible,
no more. Source: NXP data sheet NTAG213/215/216, ASCII mirror of UID and NFC counter.
"""

import re
from typing import Final
from urllib.parse import parse_qs

from campaigns.tokens.sun import Tap

NAME: Final = "m"
BLANK: Final = "00000000000000x000000"  # where the tag writes: UID, an x, the counter
_MIRROR: Final = re.compile("([0-9A-F]{14})x([0-9A-F]{6})").fullmatch
_LONGEST_QUERY: Final = 2_000
_MOST_PARAMETERS: Final = 50


def read_mirror(query: bytes, uid: str) -> Tap | None:
    """The counter that the tag `uid` (upper-case hexadecimal) mirrored; None for another tag's, or anything else."""
    if len(query) > _LONGEST_QUERY:
        return None
    try:
        given = parse_qs(query.decode("latin-1"), max_num_fields=_MOST_PARAMETERS).get(NAME, [])
    except ValueError:  # more fields than any address has
        return None
    found = _MIRROR(given[0]) if len(given) == 1 else None
    return Tap(uid, int(found[2], 16)) if found and found[1] == uid else None
