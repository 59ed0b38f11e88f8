"""From a signed pledge to a confirmed payout, over HTTP on both databases, while a tenth of its scans is fraud.

The public file, its check, the stand-alone script, the meter, the sponsor's statement and `verify` agree to the cent.
"""

import csv
import io
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.helpers import CAMPAIGN, MISSION, PLACE, made, problem
from tests.conftest import PHONE, ROOT, Server, client, new_postgres_url, running_server, wait_until

JSON = {"Accept": "application/json"}
HTML = {"Accept": "text/html", "Accept-Language": "en"}
VISITS = 20


class Fund:
    """A live mission with an active pledge of 0.30 an act, and what is done with them."""

    def __init__(self, server: Server, ahead: Path, api: httpx2.Client) -> None:
        self.server, self.ahead, self.api = server, ahead, api
        place = made(api.post("/v1/places", json=PLACE))
        self.place = place["id"]
        self.campaign = made(api.post("/v1/campaigns", json=CAMPAIGN))
        steps = {"steps": [{"kind": "scan", "min_presence": 0, "repeat": "daily"}]}
        self.mission = made(api.post(f"/v1/campaigns/{self.campaign['id']}/missions", json=MISSION | steps))
        wanted = {"medium": "qr", "place_id": place["id"]}
        self.code = made(api.post(f"/v1/campaigns/{self.campaign['id']}/tokens", json=wanted))["code"]
        assert api.post(f"/v1/campaigns/{self.campaign['id']}/launch").status_code == 200
        sponsor = made(api.post("/v1/sponsors", json={"name": "=Banque & fils"}))
        self.cause = made(api.post("/v1/beneficiaries", json={"name": "Les Jardins", "legal_id": "W1"}))["id"]
        terms = {"kind": "per_act", "unit_minor": 30, "currency": "EUR", "cap_minor": 10_000, "min_presence": 0}
        named = {"sponsor_id": sponsor["id"], "beneficiary_id": self.cause, "last_slice": "keep_remainder"}
        path = f"/v1/missions/{self.mission['id']}/pledges"
        self.pledge = made(api.post(path, json=terms | named))["id"]
        self.agree(f"/v1/pledges/{self.pledge}/signature", "Jeanne Martin")
        self.agree(f"/v1/beneficiaries/{self.cause}/acceptance", "Ali Benali")
        assert self.read()["state"] == "active"

    def agree(self, path: str, name: str) -> None:
        """Sign or accept on the page of the one-time link, with nothing but what its form has."""
        url = made(self.api.post(path))["url"]
        with self.server.phone() as phone:
            page = phone.get(url, headers=HTML).text
            (action,) = re.findall(r'<form method="post" action="([^"]+)"', page)
            (hash,) = re.findall(r'name="terms_hash" value="([0-9a-f]{64})"', page)
            fields = {"terms_hash": hash, "name": name, "agreed": "yes"}
            assert phone.post(unescape(action), data=fields, headers=HTML).status_code == 303

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/v1/pledges/{self.pledge}").json()
        return found

    def later(self, **by: float) -> None:
        self.ahead.write_text(str(float(self.ahead.read_text()) + timedelta(**by).total_seconds()))

    def visits(self, number: int) -> list[str]:
        """Somebody new scans and checks in, a quarter of an hour after the one before; the scans' ids."""
        found = []
        for at in range(number):
            self.later(minutes=15)
            with self.server.phone(**{"User-Agent": f"{PHONE} Visitor/{at}"}) as phone:
                scan = phone.get(f"/t/{self.code}", headers=JSON).json()
                answer = phone.post(f"/t/{self.code}/check-in", data={"receipt": scan["receipt"]}, headers=JSON)
            assert answer.status_code == 200, answer.text
            found.append(scan["scan_id"])
        return found

    def void(self, scan_id: str) -> None:
        answer = self.api.post(f"/v1/scans/{scan_id}/void", json={"reason": "Fraud: scanned from a photo"})
        assert answer.status_code == 200, answer.text

    def holds(self, **amounts: int) -> None:
        """Wait until the book holds these amounts: the worker's turn comes after the answer."""
        wanted = {f"{name}_minor": amount for name, amount in amounts.items()}
        wait_until(lambda: wanted.items() <= self.read()["balances"].items(), seconds=30)

    def release(self) -> None:
        assert self.api.post(f"/v1/pledges/{self.pledge}/release", json={}).status_code == 200

    @contextmanager
    def member(self, name: str, role: str) -> Iterator[httpx2.Client]:
        """The browser of a new member who is signed in to the console."""
        body = {"email": f"{name}@example.org", "name": name, "role": role}
        link = made(self.api.post("/v1/members", json=body))["sign_in_link"]["url"]
        with client(self.server.url, headers={"User-Agent": PHONE, **HTML}) as browser:
            assert browser.post(link).status_code == 303
            yield browser

    def member_key(self, name: str) -> str:
        """A key that a new owner issues at the console."""
        with self.member(name, "owner") as browser:
            fields = {"name": f"{name}'s", "role": "owner"}
            assert browser.post("/console/keys", data=fields).status_code == 303
            return str(re.findall(r"psr_live_[\w-]+", browser.get("/console/shown").text)[0])

    def by(self, key: str) -> httpx2.Client:
        return client(self.server.url, headers={"Authorization": f"Bearer {key}"})

    def get(self, path: str, **options: Any) -> httpx2.Response:
        with self.server.phone() as phone:
            return phone.get(f"/m/{self.mission['slug']}{path}", **options)

    def rows(self, of: str, **query: Any) -> list[dict[str, Any]]:
        """All rows of a list of the pledge, seven a page."""
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            asked = {"limit": 7, **query} | ({"cursor": cursor} if cursor else {})
            page = self.api.get(f"/v1/pledges/{self.pledge}/{of}", params=asked).json()
            found, cursor = found + page["data"], page["next_cursor"]
        return found

    def statement(self, suffix: str = "", **query: Any) -> httpx2.Response:
        answer = self.api.get(f"/v1/pledges/{self.pledge}/statement{suffix}", params=query)
        assert answer.status_code == 200, answer.text
        return answer


@pytest.fixture(params=["sqlite", "postgres"])
def fund(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fund]:
    ahead = tmp_path / "ahead"
    ahead.write_text("0")
    url = f"sqlite:///{tmp_path}/passerelle.db"
    if request.param == "postgres":
        url = new_postgres_url(request.getfixturevalue("postgres"))
    with running_server(url, str(ahead), module=("tests.scenarios.clocked",)) as server, server.api() as api:
        yield Fund(server, ahead, api)


def test_a_signed_pledge_is_paid_to_the_cent_though_a_tenth_of_its_scans_is_fraud(fund: Fund, tmp_path: Path) -> None:
    ana, ben = fund.by(fund.member_key("ana")), fund.by(fund.member_key("ben"))
    wanted = {"beneficiary_id": fund.cause, "currency": "EUR"}
    with ana, ben:
        assert problem(ana.post("/v1/payouts", json=wanted), 409, "nothing_due")
        first = fund.visits(VISITS // 2)
        fund.holds(pending=300)
        fund.void(first[3])  # under review: it is voided
        fund.holds(pending=270)
        fund.release()
        fund.holds(pending=0, due=270)

        # A void of what is in a payout that is not sent cancels the payout.
        early = made(ana.post("/v1/payouts", json=wanted))
        assert (early["state"], early["amount_minor"], early["pledges"][0]["acts"]) == ("proposed", 270, 9)
        problem(ana.post(f"/v1/payouts/{early['id']}/approval"), 403, "own_proposal")
        problem(fund.api.post(f"/v1/payouts/{early['id']}/approval"), 403, "maker_unknown")
        assert ben.post(f"/v1/payouts/{early['id']}/approval").json()["state"] == "approved"
        fund.void(first[7])  # due already: it is reversed
        early = ana.get(f"/v1/payouts/{early['id']}").json()
        assert (early["state"], early["state_reason"]) == ("cancelled", "Fraud: scanned from a photo")
        problem(ana.post(f"/v1/payouts/{early['id']}/sent", json={"reference": "VIR 1"}), 409, "wrong_state")

        fund.visits(VISITS // 2)
        fund.holds(pending=300, due=240)
        fund.release()
        fund.holds(pending=0, due=540)
        payout = made(ana.post("/v1/payouts", json=wanted))
        where = f"/v1/payouts/{payout['id']}"
        problem(ana.post("/v1/payouts", json=wanted), 409, "nothing_due")
        problem(ana.post(f"{where}/sent", json={"reference": "VIR 2"}), 409, "wrong_state")
        with fund.member("cleo", "approver") as cleo:
            assert "5.40 EUR to Les Jardins" in cleo.get("/console/payouts").text
            approval = f"/console/payouts/{payout['id']}/approval"
            assert cleo.post(approval).headers["location"] == "/console/payouts?done=payout_approved"
            assert cleo.post(approval).status_code == 409
        problem(ben.post(f"{where}/approval"), 409, "wrong_state")
        for wrong in (
            {"fee_minor": 540},
            {"fee_minor": -1},
            {"fee_minor": 1.0},
            {"reference": ""},
            {"sent_at": "2001-01-01T00:00:00Z"},
        ):
            problem(ana.post(f"{where}/sent", json={"reference": "VIR 2"} | wrong), 422)
        assert ana.post(f"{where}/sent", json={"reference": "=VIR 2", "fee_minor": 5}).json()["state"] == "sent"
        problem(ana.post(f"{where}/confirmation", json={"proof": {}}), 422)
        proof = {"proof": {"text": "They thanked us", "reference": "Receipt 12"}}
        assert ana.post(f"{where}/confirmation", json=proof).json()["state"] == "confirmed"
        problem(ana.post(f"{where}/cancellation", json={"reason": "Too late"}), 409, "wrong_state")
    with fund.member("dora", "analyst") as dora:
        for language, amounts in (("en", ("6 EUR", "5.35 EUR")), ("fr", ("6 EUR", "5,35 EUR"))):
            page = dora.get(f"/console/pledges/{fund.pledge}/statement", params={"lang": language}).text
            assert all(one in re.sub("[\u00a0\u202f]", " ", page) for one in amounts)
            assert "=VIR 2" in page
    agree(fund, tmp_path)


def test_a_coupon_that_was_given_is_a_public_line_and_is_paid_to_the_cause(fund: Fund) -> None:
    (step,) = fund.api.get(f"/v1/missions/{fund.mission['id']}").json()["steps"]
    value = {"amount_minor": 250, "currency": "EUR"}
    named = {"unlock": {"by": "step", "step_id": step["id"]}, "beneficiary_id": fund.cause}
    offer = made(
        fund.api.post(
            f"/v1/campaigns/{fund.campaign['id']}/offers",
            json={"title": "Apples", "face_value": value, "max_issue": 5, **named},
        )
    )
    with fund.server.phone(**{"User-Agent": f"{PHONE} Giver"}) as phone:
        scan = phone.get(f"/t/{fund.code}", headers=JSON).json()
        phone.post(f"/t/{fund.code}/check-in", data={"receipt": scan["receipt"]}, headers=JSON)

        def held() -> list[dict[str, Any]]:
            (person,) = phone.get("/me/export").json()["people"]
            return list(person["coupons"])

        wait_until(lambda: bool(held()), seconds=30)
        coupon = held()[0]
        assert phone.post(f"/me/coupons/{coupon['id']}/showing", data={"choice": "give"}).status_code == 303
        used = made(
            fund.api.post(
                "/v1/redemptions",
                json={"code": coupon["code"], "place_id": fund.place, "device": "till-1", "nonce": "n1"},
            )
        )
        assert (used["outcome"], used["deduct_minor"]) == ("accepted", 0)

        def brought() -> str:
            return phone.get("/me", headers=HTML).text

        wait_until(lambda: "Line 1 of the public ledger" in brought(), seconds=30)
        (gift,) = phone.get("/me/export").json()["people"][0]["gifts"]
        told = phone.get(f"/me/attestations/{gift['id']}", headers=JSON).json()
        assert (told["amount_minor"], told["cause"], told["line"]["number"]) == (250, "Les Jardins", 1)
        assert "the coupon that you gave away" in phone.get(f"/me/attestations/{gift['id']}", headers=HTML).text
    with fund.server.phone() as stranger:
        problem(stranger.get(f"/me/attestations/{gift['id']}", headers=JSON), 404)
    ana, ben = fund.by(fund.member_key("ana")), fund.by(fund.member_key("ben"))
    wanted = {"beneficiary_id": fund.cause, "currency": "EUR"}
    with ana, ben:
        problem(fund.api.post("/v1/payouts", json=wanted), 403, "maker_unknown")
        payout = made(ana.post("/v1/payouts", json=wanted))
        assert payout["gifts"] == [{"offer_id": offer["id"], "amount_minor": 250, "coupons": 1}]
        where = f"/v1/payouts/{payout['id']}"
        with fund.member("cleo", "approver") as cleo:
            assert "For 1 coupon that was given." in cleo.get("/console/payouts").text
        assert ben.post(f"{where}/approval").json()["state"] == "approved"
        assert ana.post(f"{where}/sent", json={"reference": "VIR 3", "fee_minor": 10}).json()["state"] == "sent"
        assert ana.post(f"{where}/confirmation", json={"proof": {"text": "It came"}}).json()["state"] == "confirmed"
        problem(fund.api.post(f"/v1/redemptions/{used['id']}/rollback"), 409, "paid")
    wait_until(lambda: fund.get("/ledger.csv").text.count("\n") == 1 + 3, seconds=30)
    rows = list(csv.DictReader(io.StringIO(fund.get("/ledger.csv").text)))
    sums = {row["code"]: (int(row["amount_minor"]), row["beneficiary"]) for row in rows}
    assert sums == {"gift": (250, "Les Jardins"), "payout": (240, "Les Jardins"), "fee": (10, "Les Jardins")}
    (given,) = fund.get("/meter").json()["gifts"]
    assert (given["given_minor"], given["paid_minor"], given["fees_minor"], given["due_minor"]) == (250, 240, 10, 0)
    assert "by 1 coupon" in fund.get("/meter?lang=en", headers=HTML).text
    balances = fund.api.get(f"/v1/offers/{offer['id']}").json()["balances"]
    assert (balances["given_minor"], balances["paid_minor"], balances["fees_minor"]) == (0, 240, 10)
    found = fund.server.passerelle("verify")
    assert found.returncode == 0, found.stdout + found.stderr


def agree(fund: Fund, folder: Path) -> None:
    """Every account of it says: 6.00 unlocked, 0.60 taken back, 5.40 due, of which 5.35 paid and 0.05 fees."""
    book = {"unlocked_minor": 540, "pending_minor": 0, "due_minor": 0, "paid_minor": 535, "fees_minor": 5}
    assert fund.read()["balances"] == book
    said = fund.statement().json()
    held = {"pending_minor": 0, "due_minor": 0, "paid_minor": 535, "fees_minor": 5}
    assert said["closing"] == held
    moved = {"unlocked": 600, "voided": 60, "posted": 570, "reversed": 30, "paid": 535, "fees": 5}
    assert said["moved"] == {f"{name}_minor": amount for name, amount in moved.items()}
    assert set(said["opening"].values()) == {0}

    # The statement as a file, in both dialects.
    lines = list(csv.DictReader(io.StringIO(fund.statement(".csv").text)))
    assert [one["line"] for one in (lines[0], lines[-1])] == ["opening", "total"]
    assert (lines[-1]["unlocked"], lines[-1]["paid"], lines[-1]["fees"]) == ("6.00", "5.35", "0.05")
    assert sum(round(100 * float(one["posted"])) for one in lines if one["line"] == "day") == 570
    assert any(one["references"] == "'=VIR 2" for one in lines)
    french = fund.statement(".csv", dialect="excel-fr")
    assert french.content.startswith(b"\xef\xbb\xbfline;day;")
    assert "5,35" in french.text

    # The public file, recounted by itself; the command and the stand-alone script find it whole.
    def is_chained() -> bool:
        return fund.get("/ledger.csv").text.count("\n") == 1 + 9 + 1 + 10 + 2

    wait_until(is_chained, seconds=30)
    public = fund.get("/ledger.csv").text
    sums: Counter[str] = Counter()
    for row in csv.DictReader(io.StringIO(public)):
        sums[row["code"]] += int(row["amount_minor"]) * (-1 if row["reverses"] else 1)
    assert sums == {"posting": 540, "payout": 535, "fee": 5}
    file = folder / "ledger.csv"
    file.write_bytes(public.encode())
    assert fund.server.passerelle("ledger-check", str(file)).returncode == 0
    assert fault_of(folder, public) == "every row is right\n"
    rows = public.splitlines(keepends=True)
    digit = rows[5].replace(",30,EUR", ",31,EUR")
    assert digit != rows[5]
    for broken in ([*rows[:5], digit, *rows[6:]], [*rows[:5], *rows[6:]], [*rows[:5], rows[6], rows[5], *rows[7:]]):
        assert fault_of(folder, "".join(broken)) == ""

    # The ledger of the pledge, page by page, and what acts accrued: every public line is one of its transfers.
    transfers = fund.rows("ledger")
    assert len(transfers) == len({one["id"] for one in transfers}) == 20 + 2 + 19 + 1 + 2
    assert {one["line"]: one["amount_minor"] for one in transfers if one["line"]} == {
        int(row["number"]): int(row["amount_minor"]) for row in csv.DictReader(io.StringIO(public))
    }
    entered: Counter[str] = Counter()
    for one in transfers:
        entered[one["to_account"]] += one["amount_minor"]
        entered[one["from_account"]] -= one["amount_minor"]
    assert entered == {"commitment": -540, "pending": 0, "due": 0, "settled": 535, "fees": 5}
    assert [fund.api.get(f"/v1/payouts/{one['payout_id']}").json()["state"] for one in transfers if one["payout_id"]]
    assert {one["accrual_id"] for one in transfers} - {None} == {one["id"] for one in fund.rows("accruals")}
    assert sum(one["amount_minor"] for one in fund.rows("accruals", state="posted")) == 540

    # The meter.
    (total,) = fund.get("/meter").json()["totals"]
    assert (total["unlocked_minor"], total["pending_minor"], total["paid_minor"]) == (540, 0, 535)
    assert (total["fees_minor"], total["undone_minor"], total["undone_acts"]) == (5, 60, 2)
    found = fund.server.passerelle("verify")
    assert found.returncode == 0, found.stdout + found.stderr


def fault_of(folder: Path, text: str) -> str:
    """What the stand-alone script of the README says of a file on its standard output; nothing of a broken one."""
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (program,) = [one for one in programs if "def fault" in one]
    script, file = folder / "check.py", folder / "tried.csv"
    script.write_text(program)
    file.write_bytes(text.encode())
    done = subprocess.run([sys.executable, "-I", str(script), str(file)], capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == bool(done.stdout)
    return done.stdout
