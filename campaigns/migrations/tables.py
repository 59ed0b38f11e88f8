"""Every table module, imported so that the metadata is whole."""

import campaigns.community.models
import campaigns.events
import campaigns.idempotency
import campaigns.identity.models
import campaigns.missions.models
import campaigns.participants.models
import campaigns.places.models
import campaigns.planning.models
import campaigns.scans.models
import campaigns.tokens.models


def is_ours(name: str | None, type_: str) -> bool:
    """Whether a reflected object belongs to the schema; Alembic's own table does not."""
    return not (type_ == "table" and name == "alembic_version")


__all__ = ["campaigns", "is_ours"]
