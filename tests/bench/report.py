"""What was measured, as one table and one JSON: a line a run or a figure, each figure against its target."""

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Run:
    """A server under load, and the bare one around it. CPU is user and system time a request; scans/s or acts/s."""

    rate: float
    cpu_us: float
    database_cpu_us: float | None
    p50_ms: float
    p99_ms: float
    errors: int
    requests: int
    stored: int | None
    ratio: float | None = None
    bare_rate: float | None = None
    bare_cpu_us: float | None = None

    @property
    def whole_cpu_us(self) -> float:
        """The server's CPU and its database's own."""
        return self.cpu_us + (self.database_cpu_us or 0)


@dataclass(frozen=True)
class Figure:
    """A number with its target, if it has one: at most that, or at least."""

    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def is_ok(self) -> bool | None:
        if self.at_most is not None:
            return self.value <= self.at_most
        return self.value >= self.at_least if self.at_least is not None else None


@dataclass(frozen=True)
class Line:
    """A run, or figures of something else. `note` says what a reader must know of it."""

    part: str
    database: str
    name: str
    run: Run | None = None
    figures: Sequence[Figure] = ()
    note: str = ""


def headline() -> str:
    """Where and when: a figure without them means nothing."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores ({platform.machine()}), "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} before"
    )


def as_json(line: Line) -> dict[str, Any]:
    """A line for a program to read."""
    return asdict(line) | {"figures": [asdict(one) | {"ok": one.is_ok} for one in line.figures]}


def print_table(lines: Sequence[Line]) -> None:
    """One row a run or figure; notes below."""
    heading = ("part", "database", "run", "a second", "to bare", "CPU us", "DB us", "p50 ms", "p99 ms", "stored")
    table: list[tuple[str, ...]] = [(*heading, "figure", "value", "target", "")]
    table += [row for line in lines for row in _rows(line)]
    widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for line in lines:
        if line.note:
            print(f"{line.part}, {line.database}, {line.name}: {line.note}")


def _rows(line: Line) -> Iterator[tuple[str, ...]]:
    left = (line.part, line.database, line.name, *_cells(line.run))
    none: Sequence[Figure | None] = [None]
    for one in line.figures or none:
        yield (*left, *_figure_cells(one))
        left = ("",) * len(left)


def _cells(run: Run | None) -> tuple[str, ...]:
    if run is None:
        return ("",) * 7
    return (
        f"{run.rate:,.0f}",
        _number(run.ratio, 3),
        f"{run.cpu_us:.1f}",
        _number(run.database_cpu_us, 1),
        f"{run.p50_ms:.2f}",
        f"{run.p99_ms:.2f}",
        "-" if run.stored is None else f"{run.stored}",
    )


def _figure_cells(figure: Figure | None) -> tuple[str, ...]:
    if figure is None:
        return ("",) * 4
    value = f"{figure.value:,.0f}" if figure.value >= 1000 else f"{figure.value:.3g}"
    target = f"<= {figure.at_most:g}" if figure.at_most is not None else ""
    target = f">= {figure.at_least:g}" if figure.at_least is not None else target
    verdict = {None: "", True: "ok", False: "MISSED"}[figure.is_ok]
    return (figure.name, f"{value} {figure.unit}".strip(), target, verdict)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
