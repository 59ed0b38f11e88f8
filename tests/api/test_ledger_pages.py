"""The public ledger over HTTP on both databases: the file and its check, the heads, the meter, nobody in it."""

import csv
import gzip
import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session

from campaigns import identity, ids, missions
from campaigns.missions.models import StepCompletion
from campaigns.sponsorship import chain, lines
from campaigns.sponsorship.chain import Chainer
from tests.api.peers import Peers
from tests.api.test_open_web import entries, items
from tests.conftest import ROOT, passerelle_here
from tests.factories import make_campaign, make_mission, make_participant
from tests.treasury import Purse, accrue, make_purse, pay, public_transfers, release, take_back

HTML = {"Accept": "text/html", "Accept-Language": "en"}


@dataclass
class Fund:
    """A mission with money in the application of the peers."""

    peers: Peers
    purse: Purse
    url: str

    def get(self, path: str, **headers: str) -> Any:
        return self.peers.client.get(f"{self.url}{path}", headers=headers)

    def chain(self, *, after: timedelta = timedelta(0)) -> None:
        chainer = Chainer(self.peers.services.database)
        chainer.turn(self.peers.services.clock() + after)
        while chainer.turn(self.peers.services.clock() + after):
            pass


@pytest.fixture
def fund(peers: Peers) -> Fund:
    """Thirty movements: postings of different amounts, two taken back, a payout with its fee."""
    now = peers.services.clock()
    with peers.services.database.transaction() as session:
        owner = identity.organisation_by_id(session, peers.one.id)
        mission = make_mission(session, make_campaign(session, owner, now=now), now=now)
        purse = make_purse(session, mission, sponsor="=Moulins, fils", now=now)
        acts = [accrue(session, purse, 10 + number, now=now) for number in range(26)]
        accrue(session, purse, 7, now=now)  # stays under review
        take_back(session, purse, accrue(session, purse, 9, now=now), now=now)  # voided: no line
        release(session, purse, acts, now=now)
        for one in acts[:2]:
            take_back(session, purse, one, now=now)
        pay(session, purse, acts[2:5], fee=4, now=now)
    found = Fund(peers, purse, f"/m/{mission.slug}")
    found.chain()
    return found


def test_the_file_is_the_ledger_and_nobody_is_in_it(fund: Fund) -> None:
    answer = fund.get("/ledger.csv")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    with fund.peers.services.database.snapshot() as session:
        transfers = [one for one in public_transfers(session) if one.mission_id == fund.purse.mission.id]
        hidden = {id for one in transfers for id in (one.id, one.group_id, one.subject_id)}
    assert len(rows) == len(transfers) == 30
    assert rows[0]["sponsor"] == "'=Moulins, fils"
    assert sum(int(one["amount_minor"]) for one in rows) == sum(one.amount_minor for one in transfers)
    assert all(id.hex not in answer.text and str(id) not in answer.text for id in hidden)
    assert len({one["reference"] for one in rows}) == 30


@pytest.mark.parametrize("path", ["/ledger.csv", "/ledger.csv?dialect=excel-fr", "/ledger.ndjson"])
def test_each_form_of_the_file_can_be_checked(fund: Fund, tmp_path: Path, path: str) -> None:
    answer = fund.get(path)
    file = tmp_path / "download"
    file.write_bytes(answer.content)
    done = passerelle_here({}, "ledger-check", str(file), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    with fund.peers.services.database.snapshot() as session:
        head = chain.head_of(session, fund.purse.mission.id)
    assert (found["lines"], found["hash"]) == (head.number, head.hash)
    told = fund.get("/meter").json()["totals"][0]
    assert found["unlocked_minor"] == {"EUR": told["unlocked_minor"]}
    assert found["paid_minor"] == {"EUR": told["paid_minor"]}
    assert passerelle_here({}, "ledger-check", str(file), "--head", f"{head.number}:{head.hash}").returncode == 0


def test_a_french_spreadsheet_gets_its_own_dialect(fund: Fund) -> None:
    answer = fund.get("/ledger.csv?dialect=excel-fr")
    assert answer.content.startswith(b"\xef\xbb\xbfnumber;recorded_at;")
    first = answer.text.splitlines()[1].split(";")
    assert re.fullmatch(r"0,\d\d", first[8])
    assert fund.get("/ledger.csv?dialect=dos").status_code == 422


def test_whoever_has_the_file_already_is_told_so(fund: Fund) -> None:
    for path in ("/ledger.csv", "/ledger.csv?dialect=excel-fr", "/ledger.ndjson", "/meter", "/heads.atom"):
        answer = fund.get(path)
        tag = answer.headers["etag"]
        again = fund.get(path, **{"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b""), path
        if path.startswith("/ledger"):
            with fund.peers.services.database.transaction() as session:
                release(session, fund.purse, [accrue(session, fund.purse, 10)], now=fund.peers.services.clock())
            fund.chain()
            assert fund.get(path, **{"If-None-Match": tag}).status_code == 200


def test_a_mission_without_money_has_an_empty_ledger(peers: Peers) -> None:
    now = peers.services.clock()
    with peers.services.database.transaction() as session:
        owner = identity.organisation_by_id(session, peers.other.id)
        slug = make_mission(session, make_campaign(session, owner, now=now), now=now).slug
    assert peers.client.get(f"/m/{slug}/ledger.csv").text.splitlines() == [",".join(lines.COLUMNS)]
    assert peers.client.get(f"/m/{slug}/ledger.ndjson").text == ""
    assert peers.client.get(f"/m/{slug}/meter").json() == {"pledges": [], "gifts": [], "totals": []}
    assert peers.client.get(f"/m/{slug}/meter", headers=HTML).text == ""
    assert "No line yet" in peers.client.get(f"/m/{slug}/ledger", headers=HTML).text
    assert peers.client.get("/m/nothing/ledger.csv").status_code == 404


def script() -> str:
    """The stand-alone script of the README."""
    found = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (one,) = [text for text in found if "def fault" in text]
    assert len(one.splitlines()) <= 30
    return str(one)


def test_the_script_of_the_readme_verifies_a_download_and_catches_every_change(fund: Fund, tmp_path: Path) -> None:
    program = tmp_path / "check.py"
    program.write_text(script())
    plain, french = fund.get("/ledger.csv").text, fund.get("/ledger.csv?dialect=excel-fr").text
    head = plain.splitlines()[-1]
    published = f"30:{head.rpartition(',')[2]}"
    for text in (plain, french):
        done = run(program, text, tmp_path, published)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout == "every row is right\n"
    check = checker(program)
    rows = plain.splitlines(keepends=True)
    changed = altered(rows)
    assert len(changed) > 500
    for what, text in changed:
        assert check(text, published), what
        assert lines.check(lines.read(io.StringIO(text)), head=lines.Head.of(published)).broken, what
    assert run(program, changed[0][1], tmp_path, published).returncode == 1


def altered(rows: list[str]) -> list[tuple[str, str]]:
    """A download with one fault, each place tried: a digit, a missing row, a pair swapped, a row added, a cut end."""
    found = []
    for place in range(1, len(rows)):
        for column, one in enumerate(rows[place]):
            if one.isdigit():
                other = str((int(one) + 1) % 10)
                row = rows[place][:column] + other + rows[place][column + 1 :]
                found.append((f"digit {column} of row {place}", "".join([*rows[:place], row, *rows[place + 1 :]])))
        found.append((f"row {place} missing", "".join([*rows[:place], *rows[place + 1 :]])))
        found.append((f"row {place} twice", "".join([*rows[: place + 1], *rows[place:]])))
        for further in range(place + 1, len(rows)):
            swapped = [*rows]
            swapped[place], swapped[further] = swapped[further], swapped[place]
            found.append((f"rows {place} and {further} swapped", "".join(swapped)))
    return found


def checker(program: Path) -> Any:
    """The script's own function, in this process: thousands of faults are tried."""
    space: dict[str, Any] = {"__name__": "check"}
    exec(compile(program.read_text(), "README.md", "exec"), space)  # noqa: S102  # our own README
    return lambda text, head: space["fault"](io.StringIO(text), head)


def run(program: Path, text: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    file = folder / "ledger.csv"
    file.write_bytes(text.encode())
    command = [sys.executable, "-I", str(program), str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_command_says_the_first_broken_line_and_why(fund: Fund, tmp_path: Path) -> None:
    rows = fund.get("/ledger.csv").text.splitlines(keepends=True)
    file = tmp_path / "ledger.csv"

    def told(text: str, *arguments: str) -> tuple[int, str]:
        file.write_bytes(text.encode())
        done = passerelle_here({}, "ledger-check", str(file), *arguments)
        return done.returncode, done.stdout + done.stderr

    head = f"30:{rows[-1].strip().rpartition(',')[2]}"
    code, said = told("".join([*rows[:7], rows[7].replace(",0.", ",1."), *rows[8:]]))
    assert (code, said) == (1, "Line 7 was altered: its hash is not that of its texts.\n")
    code, said = told("".join([*rows[:7], *rows[8:]]))
    assert code == 1
    assert said.startswith("Line 7 is due, and number '8' follows")
    code, said = told("".join(rows[:-1]), "--head", head)
    assert (code, said) == (1, "The file ends with line 29, and the head that was published is line 30.\n")
    assert told("".join(rows[:-1]))[0] == 0  # nothing shows a cut end but a head
    code, said = told("".join(rows), "--head", f"12:{'0' * 64}")
    assert (code, said[:8]) == (1, "Line 12 ")
    for text in ("", "a,b\n1,2\n", "".join([*rows[:3], "4,2\n"]), "{}\n", '{"number": 1}\n'):
        assert told(text)[0] == 2, text
    assert told("".join(rows), "--head", "30")[0] == 2
    assert passerelle_here({}, "ledger-check", str(tmp_path / "none")).returncode == 2


def test_the_heads_are_published_as_page_and_feed(fund: Fund) -> None:
    assert items(fund.get("/heads.json").content) == []
    fund.chain(after=timedelta(days=1))
    (one,) = items(fund.get("/heads.json?lang=en").content)
    assert one["content_text"].startswith("30:")
    (entry,) = entries(fund.get("/heads.atom?lang=fr").content)
    assert entry["text"] == one["content_text"]
    assert entry["url"].endswith("/ledger?lang=fr")
    page = fund.get("/ledger?lang=en", **HTML)
    assert page.status_code == 200
    assert one["content_text"].partition(":")[2] in page.text
    assert f"--head {one['content_text']}" in page.text


def test_the_meter_says_what_the_ledger_says(fund: Fund) -> None:
    body = fund.get("/meter").json()
    total = body["totals"][0]
    acts = [10 + number for number in range(26)]
    assert total["unlocked_minor"] == sum(acts[2:])
    assert total["pending_minor"] == 7
    assert (total["paid_minor"], total["fees_minor"]) == (12 + 13 + 14 - 4, 4)
    assert (total["undone_minor"], total["undone_acts"]) == (9 + 10 + 11, 3)
    (pledge,) = body["pledges"]
    assert pledge["pledge"] == ids.show("pld", fund.purse.pledge.id)
    page = fund.get("?lang=en", **HTML).text
    words = fund.get("/meter?lang=en", **HTML).text
    for text in (
        "5.64 EUR",
        "0.07 EUR under review",
        "0.35 EUR paid",
        "0.30 EUR was taken back: 3 acts were found void",
    ):
        assert text in re.sub(r"<[^>]+>", "", words), text
    assert words.strip() in page
    french = fund.get("/meter?lang=fr", **HTML).text
    assert "0,07 EUR en vérification" in re.sub(r"<[^>]+>", "", french)


def test_what_was_paid_before_its_act_was_voided_is_told(fund: Fund) -> None:
    now = fund.peers.services.clock()
    with fund.peers.services.database.transaction() as session:
        acts = [completion(session, fund.purse, state, now) for state in ("reversed", "verified")]
        one, good = (accrue(session, fund.purse, 21, completion_id=id, now=now) for id in acts)
        release(session, fund.purse, [one, good], now=now)
        pay(session, fund.purse, [one, good], now=now)
        one.act_undone_at = now
        session.add(one)
    total = fund.get("/meter").json()["totals"][0]
    assert (total["kept_minor"], total["kept_acts"]) == (21, 1)
    words = re.sub(r"<[^>]+>", "", fund.get("/meter?lang=en", **HTML).text)
    assert "0.21 EUR stays paid: its 1 act was voided later." in words


def completion(session: Session, purse: Purse, state: str, now: Any) -> UUID:
    owner = identity.organisation_by_id(session, purse.pledge.organisation_id)
    person = make_participant(session, owner, now=now)
    step = missions.steps_of(session, purse.mission.id)[0]
    done = StepCompletion(
        step_id=step.id,
        mission_id=purse.mission.id,
        participant_id=person.id,
        period="once",
        phase="live",
        state=state,
        presence=1,
        source_id=person.id,
        completed_at=now,
    )
    session.add(done)
    session.flush()
    return done.id


def test_a_pledge_that_nobody_accepted_yet_is_not_shown(fund: Fund) -> None:
    now = fund.peers.services.clock()
    with fund.peers.services.database.transaction() as session:
        make_purse(session, fund.purse.mission, sponsor="Pas encore", state="signed", active_at=None, now=now)
    assert "Pas encore" not in fund.get("", **HTML).text + fund.get("/meter").text + fund.get("/ledger", **HTML).text


def test_money_of_several_currencies_is_never_added_up(fund: Fund) -> None:
    now = fund.peers.services.clock()
    with fund.peers.services.database.transaction() as session:
        for currency, label in (("JPY", None), ("XXX", {"fr": "arbres", "en": "trees"})):
            purse = make_purse(session, fund.purse.mission, currency=currency, unit_label=label, unit_minor=1, now=now)
            release(session, purse, [accrue(session, purse, 3, now=now)], now=now)
    totals = fund.get("/meter").json()["totals"]
    assert [(one["currency"], one["unlocked_minor"]) for one in totals] == [("EUR", 564), ("JPY", 3)]
    words = fund.get("/meter?lang=en", **HTML).text
    assert "3 JPY" in words
    assert "<b>3 trees</b>" in words


def test_every_first_response_stays_small(fund: Fund) -> None:
    now = fund.peers.services.clock()
    with fund.peers.services.database.transaction() as session:
        for number in range(3):
            make_purse(session, fund.purse.mission, sponsor=f"Partenaire numéro {number}", now=now)
    for path in ("", "/ledger"):
        page = fund.get(f"{path}?lang=fr", **HTML)
        assert len(gzip.compress(page.content)) < 13_000, path


def test_the_recount_agrees_with_what_was_published(fund: Fund) -> None:
    with fund.peers.services.database.snapshot() as session:
        assert list(chain.recount(session, now=fund.peers.services.clock())) == []
