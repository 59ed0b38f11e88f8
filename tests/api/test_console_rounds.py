"""Rounds at the console: planned, seen and closed there, by who may; nothing typed is lost."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.api.desk import Desk, text_of
from tests.api.helpers import MISSION, made

ROUND = {"quota": "2", "min_presence": "0", "electorate": "everybody", "totals": "shown"}


def a_mission(desk: Desk, name: str) -> str:
    with desk.server.api() as api:
        wanted = MISSION | {"title": {"fr": name, "en": name}}
        campaign = desk.draft(name)
        mission = made(api.post(f"/v1/campaigns/{campaign}/missions", json=wanted))["id"]
        assert api.post(f"/v1/campaigns/{campaign}/launch").status_code == 200
    return str(mission)


def typed(opens: datetime, closes: datetime, **fields: Any) -> dict[str, Any]:
    return {
        "opens_at": f"{opens:%Y-%m-%dT%H:%M}",
        "closes_at": f"{closes:%Y-%m-%dT%H:%M}",
        **ROUND,
        **fields,
    }


def test_a_round_is_planned_shown_and_closed(desk: Desk) -> None:
    mission, now = a_mission(desk, "Fontaine"), datetime.now(UTC)
    fields = typed(now - timedelta(days=1), now + timedelta(days=3))
    with desk.signed_in("marketer") as it, desk.server.api() as api:
        assert it.post(f"/console/rounds/{mission}", data=fields).status_code == 303
        (found,) = api.get(f"/v1/missions/{mission}/rounds").json()["data"]
        assert (found["state"], found["quota"], found["totals"]) == ("open", 2, "shown")
        # The hours typed are those of the campaign's zone, Paris: one or two before UTC.
        ahead = now - timedelta(days=1) - datetime.fromisoformat(found["opens_at"])
        assert timedelta(minutes=59) < ahead < timedelta(minutes=122)
        assert "0 personne, voix données" in text_of(it.get("/console/rounds"))
        assert "Clore maintenant le vote de Fontaine" in text_of(it.get(f"/console/rounds/{found['id']}/closing"))
        assert it.post(f"/console/rounds/{found['id']}/closing").status_code == 303
        assert api.get(f"/v1/rounds/{found['id']}").json()["state"] == "over"
        again = it.post(f"/console/rounds/{found['id']}/closing")
        assert again.status_code == 409
        assert 'role="alert"' in again.text


def test_what_is_wrong_is_told_with_all_that_was_typed(desk: Desk) -> None:
    mission, now = a_mission(desk, "Marché"), datetime.now(UTC)
    with desk.signed_in("owner") as it:
        good = typed(now + timedelta(days=1), now + timedelta(days=2))
        wrong = (
            good | {"opens_at": "demain"},
            good | {"closes_at": "9999-12-31T23:59"},
            good | {"closes_at": good["opens_at"]},
            good | {"quota": "21"},
            good | {"electorate": "visitors"},  # a visitor's presence is proven
            good | {"totals": "sometimes"},
            good | {"electorate": "visitors", "min_presence": "2", "place_ids": f"plc_{'0' * 32}"},
        )
        for fields in wrong:
            answer = it.post(f"/console/rounds/{mission}", data=fields)
            assert answer.status_code in (404, 422), fields
            assert 'role="alert"' in answer.text, fields
            assert f'value="{fields["opens_at"]}"' in answer.text
        assert it.post(f"/console/rounds/{mission}", data=good).status_code == 303
        twice = it.post(f"/console/rounds/{mission}", data=good)
        assert twice.status_code == 409
        assert "ouvert en même temps" in text_of(twice)


def test_hidden_totals_are_hidden_from_the_console_and_who_reads_cannot_plan(desk: Desk) -> None:
    mission, now = a_mission(desk, "Jardin"), datetime.now(UTC)
    fields = typed(now - timedelta(days=1), now + timedelta(days=1), totals="hidden")
    with desk.signed_in("owner") as it:
        assert it.post(f"/console/rounds/{mission}", data=fields).status_code == 303
    with desk.signed_in("analyst") as reader:
        page = reader.get("/console/rounds")
        mine = page.text[page.text.index("Jardin") :].partition("</section>")[0]
        assert "à la clôture, ici comme pour tout le monde" in mine
        assert "Participation" not in mine
        assert "<form" not in mine
        assert reader.post(f"/console/rounds/{mission}", data=fields).status_code == 403
