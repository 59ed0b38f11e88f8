"""Every figure of speed and memory, beside a bare uvicorn 302 in the same run.

`make bench`, or `python -m tests.bench --part confirm --database sqlite --seconds 2 --json figures.json`. Real servers
driven by wrk with 64 keep-alive connections. A ratio is of two runs beside each other; absolute numbers stand with it.
A missed target fails nothing. Exits 1 only for what is wrong: an error, a scan lost, a counter that does not add up.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.accruals import accruals
from tests.bench.acts import acts
from tests.bench.codes import codes
from tests.bench.confirm import confirm
from tests.bench.crowd import crowd
from tests.bench.exports import exports
from tests.bench.figures import figures
from tests.bench.measure import Bench
from tests.bench.memory import memory
from tests.bench.mixed import mixed
from tests.bench.money import money
from tests.bench.people import people
from tests.bench.processes import processes
from tests.bench.redemptions import redemptions
from tests.bench.report import Line, as_json, headline, print_table
from tests.bench.rights import rights
from tests.bench.rows import MANY, rows
from tests.bench.servers import KINDS
from tests.bench.slow import slow
from tests.bench.speed import speed
from tests.bench.streams import streams
from tests.bench.wrk import CONNECTIONS

PARTS: dict[str, Callable[[Bench, str], Iterator[Line]]] = {
    "speed": speed,
    "confirm": confirm,
    "rows": rows,
    "processes": processes,
    "memory": memory,
    "acts": acts,
    "redemptions": redemptions,
    "accruals": accruals,
    "crowd": crowd,
    "figures": figures,
    "people": people,
    "money": money,
    "exports": exports,
    "mixed": mixed,
    "slow": slow,
    "codes": codes,
    "rights": rights,
    "streams": streams,
}
# The directory, a drawing and a policy are the same on both, and a SQLite file has one process.
ONLY_ON = {"memory": "sqlite", "codes": "sqlite", "processes": "postgres", "rights": "sqlite"}


def main() -> int:
    """Measure, print the table, write the JSON. 0 also without wrk: then no figure is printed."""
    options = read_options()
    if shutil.which("wrk") is None:
        print("wrk is not installed (Debian: apt-get install wrk): no figure is measured.")
        return 0
    machine = headline()
    print(f"{machine}, {CONNECTIONS} connections, {options.seconds:g} s each", flush=True)
    bench = Bench(options.seconds, round(options.rows))
    lines: list[Line] = []
    for part in options.part or PARTS:
        for kind in options.database or KINDS:
            if ONLY_ON.get(part, kind) != kind:
                continue
            for line in PARTS[part](bench, kind):
                print(f"... {part}, {kind}: {line.name}", file=sys.stderr, flush=True)
                lines.append(line)
    print_table(lines)
    for fault in bench.faults:
        print(f"WRONG: {fault}")
    if options.json:
        report = {"machine": machine, "seconds": options.seconds, "wrong": bench.faults}
        options.json.write_text(json.dumps(report | {"lines": [as_json(one) for one in lines]}, indent=1) + "\n")
    return 1 if bench.faults else 0


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description="Speed and memory, against their targets.")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="default: all")
    parser.add_argument("--database", action="append", choices=KINDS, help="default: both")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument(
        "--rows", type=float, default=MANY, help="scans in the long log of the parts `rows` and `exports`"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
