"""`passerelle report`: the report of a campaign for a director, through the HTTP API; frozen if asked."""

from pathlib import Path
from typing import Annotated, Any

import typer

from api.remote import ServerKey, ServerUrl, ask, fetch, post
from api.terminal import AsJson, refuse, say
from campaigns.planning.models import RATES

HERE = "http://127.0.0.1:8000"


def show_report(
    campaign: Annotated[str, typer.Argument(help="A campaign: cmp_... or ext_...")],
    freeze: Annotated[bool, typer.Option("--freeze", help="Keep it, to be made again identically.")] = False,
    learned: Annotated[str, typer.Option(help="With --freeze: what was learned, in your words.")] = "",
    lang: Annotated[str, typer.Option(help="Of the page: fr or en.")] = "en",
    out: Annotated[Path | None, typer.Option(help="Write the page, HTML to print, to this file.")] = None,
    server: ServerUrl = HERE,
    key: ServerKey = "",
    as_json: AsJson = False,
) -> None:
    """The report of a campaign: positive or negative, how far, the load, the return, the risks.

    Prints the answer in a line and each target; --out writes the page, --json prints the whole document.
    """
    if lang not in ("fr", "en"):
        refuse("A report is written in fr or en.")
    if learned and not freeze:
        refuse("What was learned is kept with a frozen report: add --freeze.")
    path = f"/v1/campaigns/{campaign}/report"
    if freeze:
        made = post(server, f"/v1/campaigns/{campaign}/reports", key, {"learned": learned})
        path = f"/v1/reports/{made['id']}"
    if out is not None:
        _write(out, fetch(server, path, key, accept="text/html", lang=lang))
    if as_json:
        say(fetch(server, path, key, accept="application/json").decode())
        return
    told = ask("GET", server, path, key)
    if freeze:
        say(f"frozen as {told['id']}, sha256 {told['sha256']}")
    _say(told["inputs"])
    if out is not None:
        say(f"written to {out}")


def _write(out: Path, page: bytes) -> None:
    try:
        out.write_bytes(page)
    except OSError as error:
        refuse(f"{out} cannot be written: {error.strerror}")


def _say(told: dict[str, Any]) -> None:
    """The answer, and a line a target."""
    answer, campaign = told["answer"], told["campaign"]
    what = answer["word"].replace("_", " ")
    say(f"{campaign['name']}: {what}, {answer['good']} of {answer['targets']} targets reached or on course")
    for one in told["targets"]:
        kpi, forecast = one["kpi"], one["forecast"]
        value = "not measured" if one["value"] is None else _written(kpi, one["value"])
        ends = [_written(kpi, forecast[end]) for end in ("value", "low", "high")] if forecast else []
        until = f", forecast {ends[0]} ({ends[1]} to {ends[2]})" if ends else ""
        say(f"  {kpi}: {value} of {_written(kpi, one['target'])}{until}")
    say(f"  return: {told['money']['verdict'].replace('_', ' ')}")
    for risk in told["risks"]:
        say(f"  risk: {risk['risk'].replace('_', ' ')}")


def _written(kpi: str, value: float) -> str:
    """A count in whole numbers; a share with four decimals at most."""
    return f"{value:.4g}" if kpi in RATES else f"{value:,.0f}"
