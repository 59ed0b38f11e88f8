"""An NTAG 424 DNA tag as a phone meets it: it counts, encrypts and signs as NXP AN12196 and AN12304 say.

Written apart from the code under test, which only ever opens and compares.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

UID = bytes.fromhex("04DE5F1EACC040")
META_READ = bytes(range(16))
FILE_READ = bytes(range(16, 32))


@dataclass
class Tag:
    """`counter` is that of the last tap. What it mirrors and signs is said at each tap."""

    uid: bytes = UID
    meta_read: bytes = META_READ
    file_read: bytes = FILE_READ
    is_lrp: bool = False
    counter: int = 0

    def tap(
        self,
        *,
        plain: bool = False,
        mirror_uid: bool = True,
        mirror_counter: bool = True,
        file_data: bytes | None = None,
        signed: bytes | None = None,
        noise: bytes = b"\x5a" * 8,
    ) -> dict[str, str]:
        """The parameters of the next tap. With file data it signs `{f}&c=`, without nothing, unless `signed` says."""
        self.counter += 1
        low_first = self.counter.to_bytes(3, "little")
        mirrored = (self.uid if mirror_uid else b"") + (low_first if mirror_counter else b"")
        found: dict[str, str] = {}
        if plain:
            found |= {"uid": _show(self.uid)} if mirror_uid else {}
            found |= {"ctr": _show(low_first[::-1])} if mirror_counter else {}
        else:
            tag = (0x87 if mirror_uid else 0) | (0x40 if mirror_counter else 0)
            found["e"] = _show(self._seal_picc_data((bytes([tag]) + mirrored + noise * 2)[:16], noise))
        if file_data is not None:
            found["f"] = _show(self._seal_file(file_data, mirrored, low_first))
        text = signed if signed is not None else (found["f"] + "&c=").encode() if file_data is not None else b""
        found["c"] = _show(self._mac(mirrored, text)[1::2])
        return found

    def _seal_picc_data(self, data: bytes, noise: bytes) -> bytes:
        if self.is_lrp:
            return noise + lrp_encrypt(self.meta_read, 0, noise, data)
        return _chain(self.meta_read, bytes(16), data)

    def _seal_file(self, data: bytes, mirrored: bytes, low_first: bytes) -> bytes:
        if self.is_lrp:
            return lrp_encrypt(self._lrp_session(mirrored), 1, low_first + bytes(3), data)
        key = _cmac(self.file_read, (bytes.fromhex("C33C00010080") + mirrored).ljust(16, b"\0"))
        return _chain(key, _aes(key, low_first + bytes(13)), data)

    def _mac(self, mirrored: bytes, text: bytes) -> bytes:
        if self.is_lrp:
            return lrp_cmac(self._lrp_session(mirrored), text)
        return _cmac(_cmac(self.file_read, (bytes.fromhex("3CC300010080") + mirrored).ljust(16, b"\0")), text)

    def _lrp_session(self, mirrored: bytes) -> bytes:
        return lrp_cmac(self.file_read, (bytes.fromhex("00010080") + mirrored).ljust(14, b"\0") + b"\x1e\xe1")


def lrp(key: bytes, number: int, data: bytes) -> bytes:
    """LRP of some bytes under an updated key."""
    seeds = [_aes(key, b"\x55" * 16)]
    while len(seeds) < 16:
        seeds.append(_aes(seeds[-1], b"\x55" * 16))
    found = _aes(key, b"\xaa" * 16)
    for _ in range(number):
        found = _aes(found, b"\x55" * 16)
    found = _aes(found, b"\xaa" * 16)
    for byte in data:
        for half in (byte >> 4, byte & 15):
            found = _aes(found, _aes(seeds[half], b"\xaa" * 16))
    return _aes(found, bytes(16))


def lrp_cmac(key: bytes, text: bytes) -> bytes:
    blocks = [text[start : start + 16] for start in range(0, len(text), 16)] or [b""]
    subkey = _times_two(lrp(key, 0, bytes(16)))
    if len(blocks[-1]) < 16:
        blocks[-1] = (blocks[-1] + b"\x80").ljust(16, b"\0")
        subkey = _times_two(subkey)
    found = bytes(16)
    for block in blocks[:-1]:
        found = lrp(key, 0, _xor(found, block))
    return lrp(key, 0, _xor(_xor(found, blocks[-1]), subkey))


def lrp_encrypt(key: bytes, number: int, counter: bytes, data: bytes) -> bytes:
    found = b""
    for start in range(0, len(data), 16):
        found += _aes(lrp(key, number, counter), data[start : start + 16])
        counter = (int.from_bytes(counter, "big") + 1).to_bytes(len(counter), "big")
    return found


def _show(data: bytes) -> str:
    return data.hex().upper()


def _aes(key: bytes, block: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)  # noqa: S305  # one block


def _chain(key: bytes, start: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CBC(start)).encryptor().update(data)


def _cmac(key: bytes, text: bytes) -> bytes:
    mac = CMAC(algorithms.AES(key))
    mac.update(text)
    return mac.finalize()


def _times_two(block: bytes) -> bytes:
    bits = [byte >> shift & 1 for byte in block for shift in range(7, -1, -1)]
    carry, bits = bits[0], [*bits[1:], 0]
    if carry:
        for at in (120, 125, 126, 127):  # x^7 + x^2 + x + 1
            bits[at] ^= 1
    return bytes(int("".join(map(str, bits[at : at + 8])), 2) for at in range(0, 128, 8))


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
