"""`passerelle ledger-check`: whether a downloaded public ledger is whole. Needs no server and no database."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from api.terminal import EXIT_REFUSED, AsJson, say
from campaigns.errors import Invalid
from campaigns.sponsorship import lines
from campaigns.sponsorship.lines import Checked, Head

EXIT_UNREADABLE = 2  # no file, no ledger, or a head that is none


def ledger_check(
    file: Annotated[
        Path, typer.Argument(help="The download: CSV of either dialect, or NDJSON; - reads standard input.")
    ],
    head: Annotated[str, typer.Option(help="A head that was published, NUMBER:HASH: nothing up to it was cut.")] = "",
    as_json: AsJson = False,
) -> None:
    """Recompute a public ledger from its download alone, as anybody can.

    Exits 0 when every line is right, 1 at the first that is not, saying which and why, and 2 when the file cannot be
    read as a ledger. Without --head a cut end cannot be told, nor a ledger that was written anew from some line on.
    """
    try:
        found = _check(file, head)
    except (OSError, UnicodeDecodeError) as error:
        typer.echo(f"{file} cannot be read: {error}", err=True)
        raise typer.Exit(EXIT_UNREADABLE) from error
    except Invalid as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(EXIT_UNREADABLE) from error
    say(_as_json(found) if as_json else _in_words(found, bool(head)))
    raise typer.Exit(EXIT_REFUSED if found.broken else 0)


def _check(file: Path, head: str) -> Checked:
    wanted = Head.of(head) if head else None
    opened: Any = nullcontext(sys.stdin) if str(file) == "-" else file.open(encoding="utf-8", newline="")
    with opened as text:
        return lines.check(lines.read(text), head=wanted)


def _in_words(found: Checked, has_head: bool) -> str:
    if found.broken:
        return found.broken
    told = [f"{found.lines} lines, each follows the one before. Head: {found.lines}:{found.hash}"]
    for name, sums in (("unlocked", found.unlocked_minor), ("given", found.given_minor), ("paid", found.paid_minor)):
        told += [f"{name}: {minor} {currency} in minor units" for currency, minor in sorted(sums.items())]
    if not has_head:
        told.append("Compare the head with one that was published (--head): only that shows a cut end.")
    return "\n".join(told)


def _as_json(found: Checked) -> str:
    return json.dumps({"ok": not found.broken, **vars(found)})
