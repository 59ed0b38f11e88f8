"""Leakage resilient primitives: the cipher and the MAC of NTAG 424 DNA tags in LRP mode (NXP AN12304).

No library has them. Built on AES of single blocks; a server is no card, so nothing here hides from a power probe.
"""

from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK: Final = 16  # bytes
_ZERO: Final = bytes(BLOCK)
_FIVES: Final = b"\x55" * BLOCK
_TENS: Final = b"\xaa" * BLOCK
_REDUCTION: Final = 0x87  # x^128 = x^7 + x^2 + x + 1, as in AES-CMAC (RFC 4493)


class Lrp:
    """A key made ready. `number` says which updated key works: 0 for MACs and PICC data, 1 for file data."""

    def __init__(self, key: bytes, number: int = 0) -> None:
        self._plaintexts = _plaintexts(key)
        self._updated = _updated_key(key, number)

    def evaluate(self, data: bytes, *, is_final: bool = True) -> bytes:
        """The block that belongs to some bytes, read four bits at a time (algorithm 3)."""
        block = self._updated
        for digit in data.hex():
            block = encrypt_block(block, self._plaintexts[int(digit, 16)])
        return encrypt_block(block, _ZERO) if is_final else block

    def mac(self, message: bytes) -> bytes:
        """CMAC over LRP: 16 bytes (algorithms 6 and 7)."""
        first = double(self.evaluate(_ZERO))
        end = max(0, (len(message) - 1) // BLOCK * BLOCK)
        block = _ZERO
        for start in range(0, end, BLOCK):
            block = self.evaluate(xor(block, message[start : start + BLOCK]))
        last = message[end:]
        last = xor(last, first) if len(last) == BLOCK else xor(padded(last, BLOCK), double(first))
        return self.evaluate(xor(block, last))

    def decrypt(self, data: bytes, *, counter: bytes) -> bytes:
        """Undo LRICB without padding, from this counter on (algorithm 5). ValueError unless whole blocks."""
        if len(data) % BLOCK:
            raise ValueError("whole blocks")
        first, limit = int.from_bytes(counter, "big"), 1 << 8 * len(counter)
        found = b""
        for at, start in enumerate(range(0, len(data), BLOCK)):
            count = ((first + at) % limit).to_bytes(len(counter), "big")
            found += decrypt_block(self.evaluate(count), data[start : start + BLOCK])
        return found


def encrypt_block(key: bytes, block: bytes) -> bytes:
    """AES of one block."""
    return _aes(key).encryptor().update(block)


def decrypt_block(key: bytes, block: bytes) -> bytes:
    """The reverse."""
    return _aes(key).decryptor().update(block)


def double(block: bytes) -> bytes:
    """Twice an element of GF(2^128), as CMAC makes its subkeys (RFC 4493)."""
    number = int.from_bytes(block, "big") << 1
    if number >> 128:
        number = number & (1 << 128) - 1 ^ _REDUCTION
    return number.to_bytes(BLOCK, "big")


def padded(data: bytes, size: int) -> bytes:
    """The data, one bit, and zeros up to a size it is shorter than (ISO/IEC 9797-1, method 2)."""
    return (data + b"\x80").ljust(size, b"\0")


def xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def _plaintexts(key: bytes) -> list[bytes]:
    """The sixteen blocks that four bits choose from (algorithm 1)."""
    found = []
    seed = encrypt_block(key, _FIVES)
    for _ in range(16):
        found.append(encrypt_block(seed, _TENS))
        seed = encrypt_block(seed, _FIVES)
    return found


def _updated_key(key: bytes, number: int) -> bytes:
    """The key that really works in place of the given one (algorithm 2)."""
    seed = encrypt_block(key, _TENS)
    for _ in range(number):
        seed = encrypt_block(seed, _FIVES)
    return encrypt_block(seed, _TENS)


def _aes(key: bytes) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305  # one block: the modes are built from it
