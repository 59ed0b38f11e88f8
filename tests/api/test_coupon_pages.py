"""Coupons on pages: chosen and shown on a phone; read, checked, used and taken back at a till; on both databases."""

import gzip
import io
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import zxingcpp
from PIL import Image
from sqlmodel import select
from starlette.testclient import TestClient

from api.edge import BODY_LIMITS
from campaigns import ids, rewards
from campaigns.audit import AuditEntry
from campaigns.rewards import Coupon
from campaigns.tokens import photos, qr
from campaigns.tokens.picture import Format
from tests.api.peers import Peers
from tests.api.till import CAUSE, Till, open_till

FIRST_RESPONSE = 13_000  # bytes, compressed
MODULE = 5_000  # bytes
JSON = {"Accept": "application/json"}


@pytest.fixture
def till(peers: Peers) -> Till:
    return open_till(peers)


def path_of(coupon: Coupon) -> str:
    return f"/me/coupons/{ids.show('cpn', coupon.id)}"


def send(staff: TestClient, coupon: Coupon, **fields: Any) -> Any:
    """A use as a browser's queue sends it."""
    body = {"code": coupon.code, "device": "till-1", "nonce": uuid4().hex, **fields}
    return staff.post("/staff/coupons/redemptions", json=body, headers=JSON)


def picture_of(text: str, kind: str = "PNG", *, side: int = 600) -> bytes:
    """A photo of a code on a table."""
    drawn = Image.open(io.BytesIO(qr.draw(text, qr.Look(), format=Format.PNG, size=qr.Size(module_px=8))))
    photo = Image.new("RGB", (side, side), (90, 70, 60))
    photo.paste(drawn.convert("RGB").resize((320, 320)), (130, 110))
    file = io.BytesIO()
    photo.save(file, kind)
    return file.getvalue()


def test_a_coupon_is_shown_after_the_choice_and_its_code_reads_back(till: Till) -> None:
    coupon, phone = till.coupon()
    page = phone.get(path_of(coupon))
    for words in ("Two euros of apples", till.organisation.name, "2 EUR", "One a basket", "Halle de Bellecour", CAUSE):
        assert words in page.text, words
    assert coupon.code[:4] not in page.text.replace(ids.show("cpn", coupon.id), ""), "nothing to use before it is shown"
    assert page.headers["cache-control"] == "no-store"
    assert "Two euros of apples" in phone.get("/me").text
    shown = phone.post(f"{path_of(coupon)}/showing", data={"choice": "give"})
    assert shown.status_code == 303
    page = phone.get(shown.headers["location"])
    assert f"2 EUR go to {CAUSE}" in page.text
    assert f"{coupon.code[:4]}-{coupon.code[4:8]}-{coupon.code[8:]}" in page.text
    assert page.headers["cache-control"] == "private, no-cache", "the browser may go back to it without network"
    (svg,) = re.findall(r"<svg[^>]*>(?:(?!</svg>).)*</svg>", page.text.split('class="qr shown"')[1], re.S)[:1]
    (text,) = photos_of(svg)
    assert text == f"http://testserver/staff/coupons/{coupon.code}"
    assert len(gzip.compress(page.content, 6)) < FIRST_RESPONSE
    assert not re.search(r'<(?:img|link rel="stylesheet"|iframe)', page.text), "one answer has all of it"
    refused = phone.post(f"{path_of(coupon)}/choice", json={"choice": "keep"}, headers=JSON)
    assert (refused.status_code, refused.json()["code"]) == (409, "coupon_shown")
    assert phone.post(f"{path_of(coupon)}/return").status_code == 303
    kept = phone.post(f"{path_of(coupon)}/choice", json={"choice": "keep"}, headers=JSON)
    assert kept.json() == {"id": ids.show("cpn", coupon.id), "state": "issued", "choice": "keep"}


def photos_of(svg: str) -> list[str]:
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=svg, width=500, dpi=96, skip_system_fonts=True)
    return [one.text for one in zxingcpp.read_barcodes(Image.open(io.BytesIO(png)).convert("L"))]


def test_a_coupon_is_nobody_elses_and_only_what_has_a_cause_is_given(till: Till, peers: Peers) -> None:
    coupon, _ = till.coupon()
    _, stranger = till.coupon()
    for method, path in (("GET", ""), ("POST", "/showing"), ("POST", "/choice"), ("POST", "/return")):
        body: dict[str, Any] = {"data": {"choice": "keep"}} if path == "/choice" else {}
        assert stranger.request(method, path_of(coupon) + path, **body).status_code == 404, path
        assert till.phone().request(method, path_of(coupon) + path, **body).status_code == 404, path
    assert till.stored(coupon).state == "issued"
    theirs = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    worthless, phone = open_till(peers, face_value_minor=None, currency=None, beneficiary_id=None).coupon()
    assert phone.post(f"{path_of(worthless)}/showing", headers=theirs).status_code == 403
    for wrong, status in (({"choice": "give"}, 409), ({"choice": "half"}, 422), ({"choice": "keep", "a": 1}, 422)):
        assert phone.post(f"{path_of(worthless)}/showing", json=wrong).status_code == status, wrong
    assert till.stored(worthless).state == "issued"
    assert phone.post(f"{path_of(worthless)}/showing").status_code == 303


@pytest.mark.parametrize(("act", "fields"), [("choice", {"choice": "give"}), ("showing", {}), ("return", {})])
def test_another_site_neither_chooses_nor_opens_nor_puts_back(till: Till, act: str, fields: dict[str, str]) -> None:
    state = "locked" if act == "return" else "issued"
    coupon, phone = till.coupon(state=state)
    for theirs in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        refused = phone.post(f"{path_of(coupon)}/{act}", data=fields, headers=theirs)
        assert (refused.status_code, "another site" in refused.text) == (403, True), theirs
        assert (till.stored(coupon).state, till.stored(coupon).choice) == (state, "keep")
    ours = phone.post(f"{path_of(coupon)}/{act}", data=fields, headers={"Sec-Fetch-Site": "same-origin"})
    assert ours.status_code == 303
    assert (till.stored(coupon).state, till.stored(coupon).choice) != (state, "keep")


def test_each_state_of_a_coupon_is_told_in_words(till: Till) -> None:
    used, phone = till.coupon()
    assert send(till.staff(), used).status_code == 201
    assert "Used in Halle de Bellecour" in phone.get(path_of(used)).text
    for changes, words in (
        ({"expires_at": till.now - timedelta(days=1)}, "It was good until"),
        ({"state": "revoked", "reason": "voided", "ended_at": till.now}, "the act that gave it does not stand"),
        ({"state": "rolled_back", "rolled_back_at": till.now}, "it is good again"),
    ):
        coupon, phone = till.coupon(**changes)
        page = phone.get(path_of(coupon)).text
        assert words in page, words
        assert ("Show my coupon" in page) == (coupon.state == "rolled_back")
        over = phone.post(f"{path_of(coupon)}/showing", json={}, headers=JSON)
        assert over.status_code == (200 if coupon.state == "rolled_back" else 409)


def test_the_till_checks_then_uses_once_and_refuses_with_where_and_when(till: Till) -> None:
    coupon, _ = till.coupon()
    staff = till.staff()
    typed = f" {coupon.code[:4].lower()}-{coupon.code[4:].replace('0', 'O').replace('1', 'l')}"
    page = staff.get("/staff/coupons", params={"code": typed})
    assert page.status_code == 200
    assert "This coupon is good" in page.text
    assert "− 2 EUR" in page.text
    assert till.stored(coupon).state == "issued", "looking uses nothing"
    fields = dict(re.findall(r'name="(code|device|nonce)" value="([^"]+)"', page.text))
    first = staff.post("/staff/coupons/redemptions", data=fields)
    assert (first.status_code, "Accepted" in first.text, 'class="shopper yes"' in first.text) == (201, True, True)
    again = staff.post("/staff/coupons/redemptions", data=fields)
    assert (again.status_code, "Accepted" in again.text) == (201, True), "a retry costs nothing"
    other = staff.post("/staff/coupons/redemptions", data=fields | {"nonce": "another"})
    assert (other.status_code, "Refused" in other.text, 'class="shopper no"' in other.text) == (200, True, True)
    assert "It was used already: Halle de Bellecour," in other.text
    looked = staff.get(f"/staff/coupons/{coupon.code}")
    assert "It was used already: Halle de Bellecour," in looked.text
    assert "Use it" not in looked.text
    second, _ = till.coupon()
    mixed = send(staff, second, device=fields["device"], nonce=fields["nonce"])
    assert (mixed.status_code, mixed.json()["code"]) == (409, "one_coupon_a_purchase")
    assert till.stored(second).state == "issued"


def test_a_given_coupon_takes_nothing_off_and_the_till_asks_nothing(till: Till) -> None:
    coupon, phone = till.coupon()
    assert phone.post(f"{path_of(coupon)}/showing", data={"choice": "give"}).status_code == 303
    staff = till.staff()
    page = staff.get(f"/staff/coupons/{coupon.code}").text
    assert "The customer pays the full price." in page
    assert 'name="choice"' not in page
    told = send(staff, coupon).json()
    assert (told["outcome"], told["deduct_minor"], told["choice"]) == ("accepted", 0, "give")
    assert f"2 EUR go to {CAUSE}" in phone.get(path_of(coupon)).text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"expires_at": timedelta(days=-1)}, "Its time is over."),
        ({"state": "revoked", "reason": "voided", "ended_at": timedelta()}, "It was withdrawn"),
    ],
)
def test_what_is_over_is_refused_in_words(till: Till, changes: dict[str, Any], words: str) -> None:
    at = {name: till.now + one if isinstance(one, timedelta) else one for name, one in changes.items()}
    coupon, _ = till.coupon(**at)
    staff = till.staff()
    assert words in staff.get(f"/staff/coupons/{coupon.code}").text
    assert words in send(staff, coupon).json()["words"]


def test_another_shop_an_unknown_code_and_what_is_no_code_are_refused_in_words(till: Till) -> None:
    coupon, _ = till.coupon()
    elsewhere = till.staff(elsewhere=True)
    assert "It is good elsewhere: Halle de Bellecour." in elsewhere.get(f"/staff/coupons/{coupon.code}").text
    assert send(elsewhere, coupon).json()["reason"] == "wrong_place"
    staff = till.staff()
    unknown = staff.get("/staff/coupons/7K3Q-9XAB-W4")
    assert (unknown.status_code, "No coupon of this brand has this code" in unknown.text) == (404, True)
    for typed in ("7K3Q-9XAB-W5", "7К3Q-9XAB-W4", "x" * 300, "%00", "<b>"):  # the second has a Cyrillic К
        page = staff.get("/staff/coupons", params={"code": typed})
        assert page.status_code == 422, typed
        assert "It has ten characters" in page.text
        assert "<b>" not in page.text
    assert till.phone().get(f"/staff/coupons/{coupon.code}").status_code in (401, 403), "a shopper's phone is no till"
    assert send(till.phone(), coupon).status_code in (401, 403)
    assert till.stored(coupon).state == "issued"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_photo_of_the_code_leads_to_the_coupon(till: Till, kind: str) -> None:
    coupon, _ = till.coupon()
    staff = till.staff()
    photo = picture_of(f"http://testserver/staff/coupons/{coupon.code}", kind)
    sent = staff.post("/staff/coupons/pictures", files={"picture": ("a.jpg", photo, "image/jpeg")})
    assert sent.status_code == 303
    assert sent.headers["location"].startswith(f"/staff/coupons/{coupon.code}")
    frame = {"Content-Type": f"image/{kind.lower()}", "Accept": "application/json"}
    trailing = photo + b"\0film" * 20 if kind == "JPEG" else photo  # as phones append
    assert staff.post("/staff/coupons/pictures", content=trailing, headers=frame).json() == {"code": coupon.code}
    bare = staff.post("/staff/coupons/pictures", content=picture_of(coupon.code), headers=frame)
    assert bare.json() == {"code": coupon.code}
    empty = io.BytesIO()
    Image.new("RGB", (300, 300), "white").save(empty, kind)
    assert staff.post("/staff/coupons/pictures", content=empty.getvalue(), headers=frame).json() == {"code": None}
    page = staff.post("/staff/coupons/pictures", files={"picture": ("a", empty.getvalue(), "image/png")})
    assert (page.status_code, "No code of a coupon was seen in the photo." in page.text) == (422, True)


def test_what_is_no_photo_is_refused_and_never_an_error_of_ours(till: Till) -> None:
    staff = till.staff()
    whole = picture_of("x")
    wide = io.BytesIO()
    Image.new("1", (3000, 3000)).save(wide, "PNG")
    assert len(wide.getvalue()) < 20_000
    for file in (b"", b"GIF89a", b"<svg/>", whole[:200], whole + b"more", wide.getvalue(), b"\xff\xd8\xff" * 50):
        answer = staff.post("/staff/coupons/pictures", files={"picture": ("a", file, "image/png")})
        assert answer.status_code == 422, file[:20]
        raw = staff.post("/staff/coupons/pictures", content=file, headers={"Accept": "application/json"})
        assert (raw.status_code, raw.json()["code"]) == (422, "unreadable_picture"), file[:20]
    assert staff.post("/staff/coupons/pictures", data={"picture": "text"}).status_code == 422
    assert staff.post("/staff/coupons/pictures", files=[("a", b"1"), ("b", b"2")]).status_code < 500
    assert BODY_LIMITS["/staff/coupons/pictures"] == photos.MOST_BYTES
    assert till.phone().post("/staff/coupons/pictures", content=whole).status_code in (401, 403)


def test_a_managers_phone_takes_a_use_back_once_with_a_reason(till: Till, peers: Peers) -> None:
    coupon, phone = till.coupon()
    staff, manager = till.staff(), till.staff("manager")
    path = f"/staff/coupons/redemptions/{send(staff, coupon).json()['id']}/rollback"
    assert "rollback" not in staff.get("/staff/coupons").text
    assert path in manager.get("/staff/coupons").text
    assert staff.post(path, data={"reason": "mistake"}).status_code == 403
    assert manager.post(path, data={"reason": "Ana is a thief"}).status_code == 422
    assert manager.post(path).status_code == 422
    assert till.stored(coupon).state == "redeemed"
    assert manager.post(path, data={"reason": "returned"}).status_code == 303
    assert till.stored(coupon).state == "rolled_back"
    assert "it is good again" in phone.get(path_of(coupon)).text
    again = manager.post(path, data={"reason": "returned"})
    assert (again.status_code, "A use of a coupon is taken back once." in again.text) == (409, True)
    with peers.services.database.snapshot() as session:
        query = select(AuditEntry).where(AuditEntry.organisation_id == till.organisation.id)
        (noted,) = [one for one in session.exec(query) if one.action == "redemption.rolled_back"]
    assert (noted.author_kind, noted.changes["reason"]) == ("staff", [None, "returned"])


def test_a_till_without_network_reads_of_its_conflict_and_so_does_the_other(peers: Peers) -> None:
    till = open_till(peers, place_names=None)
    coupon, _ = till.coupon()
    here, there = till.staff(), till.staff(elsewhere=True)
    assert send(there, coupon).status_code == 201
    taken = (till.now - timedelta(hours=1)).isoformat()
    late = send(here, coupon, occurred_at=taken, nonce="late")
    assert (late.status_code, late.json()["reason"]) == (200, "already_redeemed")
    assert "It was used already: Halle de Vaise," in late.json()["words"]
    assert send(here, coupon, occurred_at=taken, nonce="late").json() == late.json(), "sent again, answered again"
    mine = here.get("/staff/coupons/conflicts").text
    assert "Already used in Halle de Vaise" in mine
    assert "handed out here while offline" in mine
    assert "Halle de Bellecour took it while offline" in there.get("/staff/coupons/conflicts").text
    assert "One conflict of a till without network" in here.get("/staff/coupons").text
    good, _ = till.coupon()
    assert send(here, good, occurred_at=taken).status_code == 201
    for far in (till.now + timedelta(days=1), till.now - timedelta(days=8)):
        assert send(here, good, occurred_at=far.isoformat()).json()["code"] == "occurred_at_far"


def test_the_statement_is_a_managers_and_the_staff_hand_coupons_out(till: Till) -> None:
    coupon, _ = till.coupon()
    staff, manager = till.staff(), till.staff("manager")
    assert send(staff, coupon).status_code == 201
    assert staff.get("/staff/coupons/statement").status_code == 403
    assert "2 EUR" in manager.get("/staff/coupons/statement").text
    start = staff.get("/staff/coupons").text
    assert "Hand a coupon out" in start
    fields = {"offer": ids.show("off", till.offer.id), "code": "000000", "handing_id": str(uuid4())}
    unknown = staff.post("/staff/coupons/handings", data=fields)
    assert unknown.status_code in (404, 422)
    assert staff.post("/staff/coupons/handings", data=fields | {"handing_id": "x"}).status_code == 422
    for odd in ("\0", "A\0B", "\u202e", "\U000e0041"):
        assert staff.post("/staff/coupons/handings", data=fields | {"code": odd}).status_code in (404, 422), odd


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_pages_and_modules_are_small(till: Till, language: str) -> None:
    staff = till.staff("manager")
    coupon, _ = till.coupon()
    for path in ("/staff/coupons", f"/staff/coupons/{coupon.code}"):
        page = staff.get(f"{path}?lang={language}")
        assert len(gzip.compress(page.content, 6)) < FIRST_RESPONSE, path
        for module in re.findall(r'src="(/static/[^"]+)"', page.text):
            assert len(staff.get(module.replace("&amp;", "&")).content) < MODULE, module


def test_the_code_of_a_coupon_may_be_taken_by_its_person_while_it_is_shown_alone(till: Till) -> None:
    coupon, phone = till.coupon()
    phone.post(f"{path_of(coupon)}/showing")
    assert send(till.staff(), coupon).status_code == 201
    with till.peers.services.database.snapshot() as session:
        used, where = rewards.use_of(session, coupon.id)
    assert used is not None
    assert where == "Halle de Bellecour"
    assert "qr shown" not in phone.get(path_of(coupon)).text
