"""Bad input to figures, money and their files: a reason in words, and nothing half-written."""

import csv
import io
import json
from typing import Any
from uuid import uuid4

import pytest

from tests.api.helpers import CAMPAIGN, PLACE, Shop, problem
from tests.api.test_money import HEAD, a_campaign, a_cost, money, now, on_trial, send
from tests.conftest import Server

RANGES: list[tuple[dict[str, str], str]] = [
    ({"since": "2026-10-02", "until": "2026-10-01"}, "/until"),
    ({"since": "2026-10-01", "until": "2026-10-01T00:00:00+02:00"}, "/until"),
    ({"since": "0001-01-01"}, "/since"),
    ({"since": "0001-01-01T00:00:00+14:00"}, "/since"),
    ({"until": "9999-12-31"}, "/until"),
    ({"until": "9999-12-31T23:59:59-14:00"}, "/until"),
    ({"since": "275760-09-13"}, "/since"),
    ({"since": "2099-01-01"}, "/since"),
    ({"since": "2026-10-01T10:00:00"}, "/since"),
    ({"since": "2026-10-01T10:00:00 Europe/Nowhere"}, "/since"),
    ({"since": "9" * 4000}, "/since"),
]


@pytest.mark.parametrize("path", ["stats", "funnel", "export.csv", "export.ndjson", "export.parquet"])
@pytest.mark.parametrize(("params", "pointer"), RANGES)
def test_a_range_that_cannot_be_is_refused_wherever_it_is_asked(
    server: Server, shop: Shop, path: str, params: dict[str, str], pointer: str
) -> None:
    with server.api() as api:
        answer = api.get(f"/v1/campaigns/{shop.campaign}/{path}", params=params)
    body = problem(answer, 422)
    assert [one["pointer"] for one in body["errors"]] == [pointer]


@pytest.mark.parametrize("by", ["hour", "hour,place", "verdict,hour"])
def test_a_year_by_the_hour_is_refused_with_the_limit(server: Server, shop: Shop, by: str) -> None:
    params = {"group_by": by, "since": now(days=365), "until": now()}
    with server.api() as api:
        body = problem(api.get(f"/v1/campaigns/{shop.campaign}/stats", params=params), 422)
        assert "92 days" in body["detail"]
        unknown = api.get(f"/v1/campaigns/{shop.campaign}/stats", params=params | {"group_by": "minute"})
        assert "there are hour, day, week" in problem(unknown, 422)["detail"]


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "", "../etc/passwd", "UTC+25", "europe/paris\x00", "Z" * 300])
def test_a_time_zone_that_does_not_exist_makes_nothing(server: Server, zone: str) -> None:
    name = uuid4().hex
    with server.api() as api:
        for path, body in (("/v1/places", PLACE), ("/v1/campaigns", CAMPAIGN)):
            refused = api.post(path, json=body | {"time_zone": zone, "external_id": name})
            assert [one["pointer"] for one in problem(refused, 422)["errors"]] == ["/time_zone"]
            problem(api.get(f"{path}/ext_{name}"), 404)


NUMBERS = ("NaN", "Infinity", "-Infinity", "1e400", "-1", "9" * 400, "1.5", '"1"', "null", "true", "[]")


@pytest.mark.parametrize("number", NUMBERS)
def test_no_number_that_is_none_becomes_money_or_exposures(server: Server, number: str) -> None:
    campaign, drawn = on_trial(server, places=2)
    told = [{"place_id": one, "number": "\x01"} for one in drawn["exposed"] + drawn["held_out"]]
    day = now()[:10]
    bodies: list[tuple[str, dict[str, Any], str]] = [
        ("/v1/costs", a_cost(campaign, amount_minor="\x01"), "/amount_minor"),
        (f"/v1/campaigns/{campaign}/exposures", {"since": day, "until": day, "exposures": told}, "/exposures/0/number"),
    ]
    with server.api() as api:
        for path, body, pointer in bodies:
            text = json.dumps(body).replace('"\\u0001"', number)
            answer = api.post(path, content=text.encode(), headers={"Content-Type": "application/json"})
            errors = problem(answer, 422)["errors"]
            assert errors[0]["pointer"] == pointer, answer.text
            assert not errors[0]["detail"].startswith("Value error")
    found = money(server, campaign)
    assert found["costs"]["total_minor"] == 0
    assert found["incremental"]["exposed"]["exposures"] == 0


def test_a_file_as_windows_writes_it_is_read_to_the_line(server: Server) -> None:
    """BOM, semicolons, CRLF, quoted cells with separators and line breaks: each line number is where a row begins."""
    campaign, own = a_campaign(server), uuid4().hex
    rows = [
        f'till;"{own}-1";{campaign};EUR;{now()};"12,50"',
        "",
        f'till;"{own}\r\n-2";{campaign};EUR;{now()};1',
        f'till;{own}-3;{campaign};EUR;{now()};"1";',
        f'till;{own}-4;{campaign};EUR;{now()};"1',
    ]
    body = send(server, "\ufeff" + HEAD.strip() + "\r\n" + "\r\n".join(rows)).json()
    assert body["accepted"] == 2
    assert [(one["line"], one["column"]) for one in body["rejected"]] == [(4, "external_id"), (7, None)]
    assert money(server, campaign)["revenue_minor"] == 1350


@pytest.mark.parametrize("cell", ["=1+1", "@SUM(A1)", "+1", "-1+1", "\t=1+1", "=HYPERLINK(1)", "#REF!", "%0A=1"])
def test_formulas_in_cells_are_rows_refused_and_nothing_else(server: Server, cell: str) -> None:
    campaign, own = a_campaign(server), uuid4().hex
    good = ["till", own, campaign, "EUR", now(), "5"]
    rows = [good]
    for at in (0, 1, 2, 3, 4, 5):
        rows.append(
            [cell if column == at else f"{own}-{at}" if column == 1 else one for column, one in enumerate(good)]
        )
    text = io.StringIO()
    csv.writer(text, delimiter=";").writerows(rows)
    body = send(server, HEAD + text.getvalue()).json()
    assert (body["accepted"], [one["line"] for one in body["rejected"]]) == (1, [3, 4, 5, 6, 7, 8])
    assert all(one["column"] and one["reason"] for one in body["rejected"])
    assert (money(server, campaign)["conversions"], money(server, campaign)["revenue_minor"]) == (1, 500)


def test_a_file_too_long_is_refused_whole(server: Server) -> None:
    """10,001 rows, and 100,000: the limit is said, and no row is counted."""
    campaign, own = a_campaign(server), uuid4().hex
    at = now()
    rows = [f"till;{own}{number};{campaign};EUR;{at};1\n" for number in range(100_000)]
    assert "10,000" in problem(send(server, HEAD + "".join(rows[:10_001])), 422)["detail"]
    problem(send(server, HEAD + "".join(rows)), 413)
    assert money(server, campaign)["conversions"] == 0


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1", "cp1252"])
def test_a_file_in_another_encoding_is_refused_whole(server: Server, encoding: str) -> None:
    campaign = a_campaign(server)
    text = HEAD + f"till;{uuid4().hex};{campaign};EUR;{now()};1\ntill;é;{campaign};EUR;{now()};1\n"
    problem(send(server, text.encode(encoding)), 422)
    assert money(server, campaign)["conversions"] == 0
