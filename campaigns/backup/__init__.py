"""Backups that are made beside a running server, and their way back: whole, or not at all."""

from campaigns.backup.archive import Manifest, read_manifest
from campaigns.backup.making import Made, make
from campaigns.backup.restoring import Replay, Restored, restore

__all__ = ["Made", "Manifest", "Replay", "Restored", "make", "read_manifest", "restore"]
