"""The board of figures: one round of a fixed number of statements, whatever there is to show, on both databases."""

import os
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from campaigns import stats, worker
from campaigns.identity import Organisation
from campaigns.planning import Campaign
from campaigns.stats import Board
from campaigns.storage import Database
from tests.factories import NOON, make_campaign, make_entry, make_place, make_scan, make_token, write
from tests.scene import Scene, set_scene

NOW = NOON + timedelta(hours=3)
MOST = 16  # statements of a board


def a_campaign(scene: Scene, codes: int, people: int, days: int) -> tuple[Campaign, UUID]:
    """A campaign of so many codes in one place, each scanned by so many people on so many days; and the place."""
    with scene.database.transaction() as session:
        organisation = session.get_one(Organisation, scene.campaign.organisation_id)
        campaign, place = make_campaign(session, organisation), make_place(session, organisation)
        entries = [
            make_entry(session, make_token(session, campaign, place, random_bytes=os.urandom)) for _ in range(codes)
        ]
    rows = [
        make_scan(entry, at=NOON - timedelta(days=day), visitor_key=1000 * day + person)
        for entry in entries
        for day in range(days)
        for person in range(people)
    ]
    write(scene.database, *rows, now=NOON)
    return campaign, place.id


def drain(database: Database) -> None:
    while worker.drain(database, now=NOW).done:
        pass


def read(database: Database, campaign: Campaign, places: frozenset[UUID] | None) -> tuple[Board, list[tuple[str, Any]]]:
    """The board, and the statements it took with their parameters."""
    asked: list[tuple[str, Any]] = []

    def note(*arguments: Any) -> None:
        asked.append((arguments[2], arguments[3]))

    scope = stats.scope_of_campaign(campaign, places=places, is_measured=True)
    with database.moment() as session:
        fresh, _ = stats.fresh_sums(session, NOW)
        event.listen(database.engine, "before_cursor_execute", note)
        try:
            return stats.read_board(session, scope, fresh.sums, now=NOW), asked
        finally:
            event.remove(database.engine, "before_cursor_execute", note)


@pytest.mark.parametrize("is_of_places", [False, True], ids=["everywhere", "of a place"])
def test_a_board_takes_as_many_statements_for_forty_busy_codes_as_for_two_quiet_ones(
    database: Database, is_of_places: bool
) -> None:
    scene = set_scene(database)
    few, here = a_campaign(scene, codes=2, people=1, days=1)
    many, there = a_campaign(scene, codes=40, people=6, days=4)
    drain(database)
    quiet, asked_of_few = read(database, few, frozenset([here]) if is_of_places else None)
    busy, asked_of_many = read(database, many, frozenset([there]) if is_of_places else None)
    assert (quiet.headline.today.raw, quiet.best) == (2, [])
    assert (busy.headline.today.raw, len(busy.best)) == (40 * 6, 8)
    assert [sql for sql, _ in asked_of_few if "scan_rollups" in sql]
    assert len(asked_of_few) == len(asked_of_many) <= MOST


def test_a_board_reads_hours_and_days_of_single_dimensions_by_their_key(database: Database) -> None:
    """Never weeks, which are kept for long ranges, nor pairs, which are many; and no other campaign's rows."""
    scene = set_scene(database)
    campaign, place = a_campaign(scene, codes=3, people=6, days=2)
    drain(database)
    for places in (None, frozenset([place])):
        asked = [one for one in read(database, campaign, places)[1] if "scan_rollups" in one[0]]
        assert len(asked) >= 5
        for sql, parameters in asked:
            values = list(parameters.values() if isinstance(parameters, dict) else parameters)
            assert {"hour", "day"} & set(values)
            assert not {"week", "eight_weeks"} & set(values)
            assert not [one for one in values if isinstance(one, str) and "," in one]
            if database.is_sqlite:
                with database.engine.connect() as connection:
                    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).all()
                (read_by,) = [row[3] for row in plan if "scan_rollups" in row[3]]
                assert "(campaign_id=? AND dimension=? AND span=? AND phase=? AND period" in read_by
