"""The versions of legal texts. They only grow: triggers refuse UPDATE and DELETE on both databases."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Field, Index

from campaigns.storage import Row, json_column

_OF_MISSION = text("mission_id IS NOT NULL")
_OF_ORGANISATION = text("mission_id IS NULL")


class Document(StrEnum):
    """What is kept in versions: the legal notice and the privacy page of an organisation, the rules of a mission."""

    LEGAL = "legal"
    PRIVACY = "privacy"
    RULES = "rules"


class LegalVersion(Row, table=True):
    """A legal text as it was in force from an instant to the next version's, in every language of ours.

    `number` counts from 1, within the organisation's document or the mission's. Two processes that see a change
    together write one version: UNIQUE refuses the second. NULLs differ in a UNIQUE, hence two partial ones.
    """

    __tablename__ = "legal_versions"
    __table_args__ = (
        Index(
            "uq_legal_versions_of_organisation",
            "organisation_id",
            "document",
            "number",
            unique=True,
            sqlite_where=_OF_ORGANISATION,
            postgresql_where=_OF_ORGANISATION,
        ),
        Index(
            "uq_legal_versions_of_mission",
            "mission_id",
            "document",
            "number",
            unique=True,
            sqlite_where=_OF_MISSION,
            postgresql_where=_OF_MISSION,
        ),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    document: str
    mission_id: UUID | None = Field(default=None, foreign_key="missions.id")
    number: int
    digest: str = Field(description="SHA-256 of the text")
    text: dict[str, Any] = json_column()
    in_force_from: datetime
