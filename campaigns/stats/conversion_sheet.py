"""Reading conversions from a CSV file: ids, codes and instants as text, amounts in minor units or as typed."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from campaigns.csv_file import CsvFile, Fault
from campaigns.errors import Invalid
from campaigns.sponsorship.money import require_currency, typed

REQUIRED = ("source", "external_id", "campaign_id", "currency", "occurred_at")
OPTIONAL = ("amount_minor", "amount", "place_id", "token", "scan_id", "coupon")
_WHOLE = re.compile(r"\d{1,18}\Z", re.ASCII)


class ConversionRow(NamedTuple):
    """A row that could be read: the fields of a conversion."""

    line: int
    fields: dict[str, Any]


def rows_of(file: bytes, usual: Mapping[str, str]) -> Iterator[ConversionRow | Fault]:
    """Row after row, a Fault for one that cannot be read; `usual` is what a row has that names no other.

    Invalid, for the whole file, when it is not UTF-8, its header does not fit, or it has over 10,000 rows.
    """
    required = [name for name in REQUIRED if name not in usual]
    sheet = CsvFile(file, columns=(*REQUIRED, *OPTIONAL), required=required, of="conversions")
    if ("amount_minor" in sheet.columns) is ("amount" in sheet.columns):
        raise Invalid("Give amounts as amount_minor, whole minor units, or as amount, such as 12.50: one of the two.")
    for row in sheet.rows():
        if isinstance(row, Fault):
            yield row
            continue
        try:
            yield ConversionRow(row.line, _fields({**usual, **{k: v for k, v in row.given.items() if v}}))
        except Invalid as error:
            yield Fault(row.line, error.context["pointer"].lstrip("/"), error.detail)


def _fields(given: dict[str, str]) -> dict[str, Any]:
    """The fields of a row. Invalid for an empty cell of a required column, and an amount nobody can read."""
    for name in REQUIRED:
        if name not in given:
            raise Invalid(f"{name} is empty.", pointer=f"/{name}")
    fields: dict[str, Any] = dict(given)
    if "amount" in fields:
        require_currency(given["currency"])
        fields["amount_minor"] = typed(fields.pop("amount"), given["currency"], pointer="/amount")
    elif not _WHOLE.match(given.get("amount_minor", "")):
        raise Invalid("amount_minor is a whole number of minor units, such as 1250.", pointer="/amount_minor")
    else:
        fields["amount_minor"] = int(given["amount_minor"])
    return fields
