"""Every table module, imported so that the metadata is whole."""

import campaigns.approvals
import campaigns.audit
import campaigns.care.models
import campaigns.community.models
import campaigns.events
import campaigns.idempotency
import campaigns.identity.models
import campaigns.jobs
import campaigns.legal.models
import campaigns.letters.models
import campaigns.missions.models
import campaigns.participants.models
import campaigns.places.models
import campaigns.planning.holdouts
import campaigns.planning.models
import campaigns.privacy.models
import campaigns.rewards.models
import campaigns.rewards.point_models
import campaigns.scans.models
import campaigns.sponsorship.ledger
import campaigns.sponsorship.models
import campaigns.stats.kept
import campaigns.stats.models
import campaigns.tokens.models
import campaigns.webhooks.models
from campaigns.scans import partitions


def is_ours(name: str | None, type_: str) -> bool:
    """Whether a reflected object belongs to the schema; Alembic's own table and the months of the log do not."""
    return not (type_ == "table" and (name == "alembic_version" or partitions.is_month(name or "")))


__all__ = ["campaigns", "is_ours"]
