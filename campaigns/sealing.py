"""One secret key, one key derived per purpose. Every ciphertext and receipt names the key it was made with.

Derivation is HKDF-SHA256 (RFC 5869), encryption AES-256-GCM with a random 96-bit nonce.
"""

import hashlib
import os
import secrets
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from campaigns.errors import Invalid

MIN_SECRET = 32  # characters; shorter ones are refused at start


class Keyring:
    """The keys of one installation. `key_id` (0 to 255) names the secret in receipts and ciphertexts."""

    def __init__(self, secret_key: str) -> None:
        if len(secret_key) < MIN_SECRET:
            raise Invalid(f"PASSERELLE_SECRET_KEY needs at least {MIN_SECRET} characters.")
        self._secret = secret_key.encode()
        self.key_id = self.derive("key-id", 1)[0]
        self._position = AESGCM(self.derive("position"))
        self._answer = AESGCM(self.derive("idempotent-answer"))
        self._tag_keys = AESGCM(self.derive("tag-keys"))
        self._address = AESGCM(self.derive("address"))
        self._webhook = AESGCM(self.derive("webhook-secret"))
        self._point = self.derive("point")
        self._ballots = lru_cache(1024)(self.derive)
        self._attestation = Ed25519PrivateKey.from_private_bytes(self.derive("attestation"))

    def derive(self, purpose: str, length: int = 32) -> bytes:
        """`length` bytes that belong to this purpose alone."""
        return HKDF(SHA256(), length, salt=b"passerelle", info=purpose.encode()).derive(self._secret)

    def ballot_secret(self, campaign_id: UUID) -> bytes:
        """The key of one campaign's secret ballots: no other campaign's votes can be joined to them."""
        return self._ballots(f"ballots {campaign_id.hex}")

    def recovery_key(self) -> bytes:
        """The key of the hashes of recovery codes."""
        return self.derive("recovery-code")

    def fingerprint(self) -> str:
        """What the database keeps of the key: enough to notice another one, useless to forge with."""
        return self.derive("fingerprint", 16).hex()

    def seal_position(self, plain: bytes) -> bytes:
        """Encrypt a position: key id, nonce, ciphertext."""
        return self._seal(self._position, plain)

    def point(self, lat: float, lon: float) -> int:
        """A keyed hash (63 bits) of a position to seven decimals, a centimetre: equal ones can be told, none read."""
        place = f"{lat + 0.0:.7f},{lon + 0.0:.7f}".encode()
        return int.from_bytes(hashlib.blake2b(place, digest_size=8, key=self._point).digest(), "big") >> 1

    def open_position(self, sealed: bytes) -> bytes:
        """The reverse; Invalid when it was made with another key or altered."""
        return _open(self._position, sealed)

    def seal_answer(self, plain: bytes) -> bytes:
        """Encrypt an answer that is kept for a repeated request."""
        return self._seal(self._answer, plain)

    def open_answer(self, sealed: bytes) -> bytes:
        """The reverse; Invalid when it was made with another key or altered."""
        return _open(self._answer, sealed)

    def seal_address(self, plain: bytes) -> bytes:
        """Encrypt the e-mail address that somebody left."""
        return self._seal(self._address, plain)

    def open_address(self, sealed: bytes) -> bytes:
        """The reverse; Invalid when it was made with another key or altered."""
        return _open(self._address, sealed)

    def seal_webhook_secret(self, plain: bytes) -> bytes:
        """Encrypt the secret that messages to a webhook are signed with."""
        return self._seal(self._webhook, plain)

    def open_webhook_secret(self, sealed: bytes) -> bytes:
        """The reverse; Invalid when it was made with another key or altered."""
        return _open(self._webhook, sealed)

    def seal_tag_keys(self, plain: bytes) -> bytes:
        """Encrypt the keys of an NFC tag."""
        return self._seal(self._tag_keys, plain)

    def open_tag_keys(self, sealed: bytes) -> bytes:
        """The reverse; Invalid when they were sealed with another key or altered."""
        return _open(self._tag_keys, sealed)

    def sign_attestation(self, text: bytes) -> bytes:
        """The Ed25519 signature (RFC 8032, 64 bytes) of what a person is given to show to others."""
        return self._attestation.sign(text)

    def attestation_key(self) -> bytes:
        """The public key (32 bytes) that those signatures are checked with; another secret has another one."""
        return self._attestation.public_key().public_bytes_raw()

    def _seal(self, cipher: AESGCM, plain: bytes) -> bytes:
        nonce = os.urandom(12)
        return bytes([self.key_id]) + nonce + cipher.encrypt(nonce, plain, None)


def _open(cipher: AESGCM, sealed: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[1:13], sealed[13:], None)
    except (InvalidTag, ValueError) as error:
        raise Invalid("This was sealed with another key, or altered.") from error


def hash_secret(secret: str) -> str:
    """SHA-256 of a random secret of 128 bits or more; such secrets need no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret() -> str:
    """160 random bits, URL-safe."""
    return secrets.token_urlsafe(20)


def keep_secret_file(path: Path) -> str:
    """The secret kept in a 0600 file beside a SQLite database; made at the first call."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        secret = secrets.token_urlsafe(48)
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    return secret
