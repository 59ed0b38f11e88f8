"""Parquet, written by duckdb where it is installed (`pip install "passerelle[parquet]"`).

The rows go to a CSV file first, and duckdb turns that into row groups: neither is ever whole in memory.
"""

import csv
import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from campaigns.errors import Conflict

GROUP: Final = 20_000  # rows of a row group: what duckdb holds of them until it is written
MEMORY: Final = "64MB"  # of duckdb's own, beside what its library takes
BUFFER: Final = 4 << 20  # bytes of the CSV file it reads at once; with its 32 MB two of them are all of its memory
MISSING: Final = 'Parquet needs an extra: pip install "passerelle[parquet]", then start the server anew.'


def require() -> None:
    """Conflict (`parquet_missing`), with how to install it, where duckdb is not there."""
    if importlib.util.find_spec("duckdb") is None:
        raise Conflict(MISSING, code="parquet_missing")


def write(path: Path, columns: dict[str, str], pages: Iterable[Iterable[Sequence[Any]]]) -> int:
    """Write rows to a new file, columns by name and duckdb's type; how many. An empty text is a null.

    What it needs beside it, in the same folder, it takes away again.
    """
    require()
    import duckdb

    rows = path.with_name(path.name + ".csv")
    number = 0
    try:
        with rows.open("x", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            for page in pages:
                for row in page:
                    writer.writerow(row)
                    number += 1
        with duckdb.connect(config={"threads": 1, "memory_limit": MEMORY, "temp_directory": str(path.parent)}) as made:
            types = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
            read = f"read_csv({_quoted(rows)}, header=false, columns={{{types}}}, auto_detect=false, quote='\"', "
            read += f"buffer_size={BUFFER})"
            made.execute(
                f"COPY (SELECT * FROM {read}) TO {_quoted(path)} "  # noqa: S608  # a path and columns of our own
                f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {GROUP})"
            )
    finally:
        rows.unlink(missing_ok=True)
    return number


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
