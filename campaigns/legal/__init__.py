"""Legal texts: generated from what an organisation and its campaigns say, and kept as versions."""

from campaigns.legal.models import Document, LegalVersion
from campaigns.legal.service import find_in_force, history, version_by_number, version_in_force

__all__ = ["Document", "LegalVersion", "find_in_force", "history", "version_by_number", "version_in_force"]
