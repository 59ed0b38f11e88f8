"""Organisations and API keys."""

from campaigns.identity.legal_data import LegalData
from campaigns.identity.models import ApiKey, Organisation, Role
from campaigns.identity.service import (
    describe,
    found_organisation,
    issue_key,
    key_by_secret,
    list_organisations,
    mark_of_database,
    organisation_by_id,
    recognise_secret_key,
    verify_hosts,
)

__all__ = [
    "ApiKey",
    "LegalData",
    "Organisation",
    "Role",
    "describe",
    "found_organisation",
    "issue_key",
    "key_by_secret",
    "list_organisations",
    "mark_of_database",
    "organisation_by_id",
    "recognise_secret_key",
    "verify_hosts",
]
