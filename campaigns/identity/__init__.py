"""Organisations and API keys."""

from campaigns.identity.models import ApiKey, Organisation, Role
from campaigns.identity.service import (
    found_organisation,
    issue_key,
    key_by_secret,
    mark_of_database,
    organisation_by_id,
    recognise_secret_key,
    verify_hosts,
)

__all__ = [
    "ApiKey",
    "Organisation",
    "Role",
    "found_organisation",
    "issue_key",
    "key_by_secret",
    "mark_of_database",
    "organisation_by_id",
    "recognise_secret_key",
    "verify_hosts",
]
