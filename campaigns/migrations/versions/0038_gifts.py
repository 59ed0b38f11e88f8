"""Gifts: what people gave to a cause by a coupon, in the public ledger and paid out

What was given before becomes a gift as well: its transfer is taken back and made anew, for the gift and its mission.

Revision: 0038, after 0036
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from campaigns.clock import utc_now
from campaigns.ids import uuid7, uuid7_at

revision = "0038"
down_revision = "0036"
branch_labels = None
depends_on = None

_TRANSFER = ("organisation_id", "book_id", "debit_id", "credit_id", "currency", "amount_minor", "code")


def upgrade() -> None:
    op.create_table(
        "gifts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=True),
        sa.Column("book_id", sa.Uuid(), nullable=False),
        sa.Column("beneficiary_id", sa.Uuid(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", AutoString(), nullable=False),
        sa.Column("given_at", UTCDateTime(), nullable=False),
        sa.Column("payout_id", sa.Uuid(), nullable=True),
        sa.Column("undone_at", UTCDateTime(), nullable=True),
        sa.Column("act_undone_at", UTCDateTime(), nullable=True),
        sa.Column("reason", AutoString(), nullable=True),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_gifts_amount")),
        sa.CheckConstraint(
            "(reason IS NOT NULL) = (undone_at IS NOT NULL OR act_undone_at IS NOT NULL)", name=op.f("ck_gifts_reason")
        ),
        sa.CheckConstraint("undone_at IS NULL OR payout_id IS NULL", name=op.f("ck_gifts_undone")),
        *(
            sa.ForeignKeyConstraint([f"{one}_id"], [f"{table}.id"], name=op.f(f"fk_gifts_{one}_id_{table}"))
            for one, table in (
                ("organisation", "organisations"),
                ("mission", "missions"),
                ("beneficiary", "beneficiaries"),
                ("payout", "payouts"),
            )
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gifts")),
    )
    for column in ("mission_id", "book_id", "beneficiary_id", "payout_id"):
        op.create_index(op.f(f"ix_gifts_{column}"), "gifts", [column])
    found = sa.MetaData()
    names = ("accounts", "gifts", "redemptions", "coupons", "offers", "transfers", "unchained_transfers")
    found.reflect(op.get_bind(), only=names, resolve_fks=False)
    tables = {name: _typed(found.tables[name]) for name in names}
    _open_fees(tables)
    _make_gifts(tables)


def _typed(table: sa.Table) -> sa.TableClause:
    """A table as the models type it: SQLite reflects ids as text."""

    def kind(column: sa.Column[Any]) -> Any:
        if column.name == "id" or column.name.endswith("_id") or column.name == "reverses":
            return sa.Uuid()
        return UTCDateTime() if column.name.endswith("_at") else column.type

    return sa.table(table.name, *(sa.column(one.name, kind(one)) for one in table.columns))


def _open_fees(tables: dict[str, sa.TableClause]) -> None:
    """An account for what it costs to pay gifts, in the book of each offer."""
    accounts = tables["accounts"]
    for row in op.get_bind().execute(sa.select(accounts).where(accounts.c.kind == "budget")).mappings().all():
        fees = {**row, "id": uuid7(), "kind": "fees", "floor_minor": 0, "balance_minor": 0}
        op.get_bind().execute(sa.insert(accounts).values(**fees))


def _make_gifts(tables: dict[str, sa.TableClause]) -> None:
    uses, coupons, offers = (tables[name] for name in ("redemptions", "coupons", "offers"))
    query = (
        sa.select(uses, coupons.c.phase, offers.c.mission_id)
        .join(coupons, coupons.c.id == uses.c.coupon_id)
        .join(offers, offers.c.id == uses.c.offer_id)
        .where(uses.c.outcome == "accepted", uses.c.rolled_back_at.is_(None), uses.c.choice == "give")
        .where(uses.c.value_minor.is_not(None), uses.c.beneficiary_id.is_not(None))
        .order_by(uses.c.id)
    )
    for use in op.get_bind().execute(query).mappings().all():
        mission_id = use["mission_id"] if use["phase"] == "live" else None
        gift = {"id": use["id"], "organisation_id": use["organisation_id"], "mission_id": mission_id}
        gift |= {"book_id": use["offer_id"], "beneficiary_id": use["beneficiary_id"], "currency": use["currency"]}
        op.get_bind().execute(
            sa.insert(tables["gifts"]).values(**gift, amount_minor=use["value_minor"], given_at=use["recorded_at"])
        )
        _post_anew(tables, gift, use["coupon_id"])


def _post_anew(tables: dict[str, sa.TableClause], gift: dict[str, Any], coupon_id: Any) -> None:
    """Take the transfer for the coupon back, and make it for the gift: balances stay as they are."""
    transfers = tables["transfers"]
    undone = sa.select(transfers.c.reverses).where(transfers.c.reverses.is_not(None))
    mine = (transfers.c.subject_id == coupon_id, transfers.c.code == "gift", transfers.c.reverses.is_(None))
    stands = sa.select(transfers).where(*mine, transfers.c.id.not_in(undone))
    now = utc_now()
    for row in op.get_bind().execute(stands).mappings().all():
        kept = {name: row[name] for name in _TRANSFER} | {"recorded_at": now}
        back = kept | {"debit_id": row["credit_id"], "credit_id": row["debit_id"], "reverses": row["id"]}
        back |= {"id": uuid7_at(now), "group_id": uuid7_at(now), "subject_id": coupon_id, "mission_id": None}
        anew = kept | {"id": uuid7_at(now), "group_id": uuid7_at(now), "subject_id": gift["id"], "reverses": None}
        anew["mission_id"] = gift["mission_id"]
        for one in (back, anew):
            op.get_bind().execute(sa.insert(transfers).values(**one))
        if gift["mission_id"] is not None:
            waits = sa.insert(tables["unchained_transfers"]).values(transfer_id=anew["id"], is_reversal=False)
            op.get_bind().execute(waits)
