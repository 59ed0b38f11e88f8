"""What an export takes: the scans between its bounds, as they were judged last, of a batch its serials alone."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlmodel import col, select

from campaigns import ids, tokens
from campaigns.places import Place
from campaigns.scans.models import ScanJudgement
from campaigns.stats import exporting
from campaigns.stats.exporting import Wanted
from campaigns.storage import Database
from campaigns.tokens import Medium, Token
from tests.factories import NOON, make_entry
from tests.scene import set_scene


def _ids(database: Database, wanted: Wanted) -> list[str]:
    return [row.scan_id.removeprefix("scn_") for _, rows in exporting.export(database, wanted) for row in rows]


def test_the_bounds_are_those_of_the_rows_and_of_their_number(database: Database) -> None:
    scene = set_scene(database)
    early, middle, late = (scene.scan(at=NOON + timedelta(hours=h), visitor_key=h) for h in (0, 1, 2))
    first, end = (ids.first_of(NOON + timedelta(minutes=minutes)) for minutes in (30, 90))
    wanted = Wanted(scene.campaign, until=end, since=first)
    everything = Wanted(scene.campaign, until=ids.first_of(NOON + timedelta(days=1)))
    for asked, rows in (
        (everything, (early, middle, late)),
        (wanted, (middle,)),
        (replace(everything, since=first), (middle, late)),
        (replace(everything, until=end), (early, middle)),
    ):
        assert _ids(database, asked) == [row.id.replace("-", "") for row in rows]
        with database.snapshot() as session:
            assert exporting.number(session, asked) == len(rows)


def test_the_newest_of_several_judgements_stands(database: Database) -> None:
    scene = set_scene(database)
    row = scene.scan()
    scan_id = ids.parse("scn", f"scn_{row.id.replace('-', '')}")
    with database.transaction() as session:
        for minutes, verdict, reasons in ((1, "held", "far"), (2, "invalid", "voided"), (3, "valid", "")):
            at = NOON + timedelta(minutes=minutes)
            told: dict[str, Any] = {
                "verdict": verdict,
                "reasons": reasons,
                "score": 0,
                "rules_version": 1,
                "decided_by": "judge",
            }
            session.add(ScanJudgement(id=ids.uuid7_at(at), scan_id=scan_id, decided_at=at, **told))
    wanted = Wanted(scene.campaign, until=ids.first_of(NOON + timedelta(days=1)))
    ((found,),) = [rows for _, rows in exporting.export(database, wanted)]
    assert (found.verdict, found.reasons) == ("valid", "")
    assert _ids(database, replace(wanted, verdict="held")) == []


def test_a_batch_is_its_serials_and_nothing_else(database: Database) -> None:
    scene = set_scene(database)
    with database.transaction() as session:
        place = session.exec(select(Place)).one()
        batch = tokens.issue_serials(session, scene.campaign, count=2, medium=Medium.QR, place=place, now=NOON)
        statics = tokens.issue_statics(session, scene.campaign, media=[Medium.QR], places=[place], now=NOON)
    with database.snapshot() as session:
        codes = [
            make_entry(session, one)
            for batch_id in (batch.id, statics.id)
            for one in session.exec(select(Token).where(Token.batch_id == batch_id).order_by(col(Token.id)))
        ]
    rows = [scene.scan(entry=one, visitor_key=number) for number, one in enumerate(codes)]
    scene.scan(visitor_key=9)
    everything = Wanted(scene.campaign, until=ids.first_of(NOON + timedelta(days=1)))
    assert len(_ids(database, everything)) == 4
    serials = sorted(row.id.replace("-", "") for row in rows[:2])
    assert _ids(database, replace(everything, batch_id=batch.id)) == serials
    assert _ids(database, replace(everything, batch_id=statics.id)) == []
