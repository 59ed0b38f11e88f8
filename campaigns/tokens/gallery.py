"""Codes drawn before, kept in memory by everything that decides what they look like: a bounded store of bytes."""

import hashlib
import threading
from collections import OrderedDict
from typing import Final

from campaigns.tokens import qr
from campaigns.tokens.picture import Format, Size

LIMIT_BYTES: Final = 16_000_000  # a plain SVG has 5 kB: thousands of them, or some posters with a logo


class Gallery:
    """Draws a code once. Of two requests at once for the same new code each draws it; the bytes are the same."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._images: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def drawn(self, text: str, look: qr.Look, format: Format, size: Size) -> bytes:
        """The image, read back when it was drawn. Invalid as `qr.draw` is; a refusal is not kept."""
        # A logo shows itself by its digest: the key is as short for a megabyte as for none.
        key = hashlib.sha256(repr((text, look, format, size)).encode()).hexdigest()
        with self._lock:
            if key in self._images:
                self._images.move_to_end(key)
                return self._images[key]
        image = qr.draw(text, look, format=format, size=size)
        with self._lock:
            self._keep(key, image)
        return image

    def _keep(self, key: str, image: bytes) -> None:
        if key in self._images or len(image) > self._limit // 4:  # one poster does not drive out all others
            return
        self._images[key] = image
        self._held += len(image)
        while self._held > self._limit:
            _, oldest = self._images.popitem(last=False)
            self._held -= len(oldest)
