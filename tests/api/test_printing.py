"""Sheets and kits over HTTP: what is printed, for whom, and what is refused with which words."""

import io
import re
import zipfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pypdfium2
import pytest

from api import printing
from campaigns.errors import TooMany
from tests.api.conftest import House
from tests.api.helpers import CAMPAIGN, PLACE, Shop, made, make_shop, owner, problem
from tests.conftest import PIN, Server
from tests.printed import codes_on, pages, words_in

FORMATS = ["a4", "thanks", "labels", "tent", "stickers"]


@pytest.fixture
def shop(server: Server) -> Shop:
    """A shop of its own: what is printed changes with every token."""
    return make_shop(server)


def sheet(shop: Shop, **asked: Any) -> httpx2.Response:
    with shop.server.api() as api:
        return api.get(f"/v1/campaigns/{shop.campaign}/sheet.pdf", params=asked)


def printed(shop: Shop, **asked: Any) -> bytes:
    answer = sheet(shop, **asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/pdf"
    return answer.content


def add(shop: Shop, what: str, **body: Any) -> dict[str, Any]:
    with shop.server.api() as api:
        return made(api.post(f"/v1/campaigns/{shop.campaign}/{what}", json=body))


def token(shop: Shop, **body: Any) -> dict[str, Any]:
    return add(shop, "tokens", **{"medium": "qr", "place_id": shop.place, **body})


def place(shop: Shop, name: str) -> str:
    with shop.server.api() as api:
        return str(made(api.post("/v1/places", json=PLACE | {"name": name}))["id"])


def url_of(shop: Shop) -> str:
    with shop.server.api() as api:
        return str(api.get(f"/v1/tokens/{shop.token}").json()["url"])


def texts(pdf: bytes) -> list[str]:
    return sorted(code.text for page in pages(pdf, 200) for code in codes_on(page))


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_shows_every_code_and_says_how_far_it_reads(shop: Shop, format: str) -> None:
    other = token(shop, place_id=place(shop, "Croix-Rousse"))
    answer = sheet(shop, format=format)
    each = 2 if format == "tent" else 1
    assert texts(answer.content) == sorted([url_of(shop), other["url"]] * each)
    assert answer.headers["sheet-codes"] == str(2 * each)
    assert answer.headers["sheet-pages"] == answer.headers["sheet-pages-read-back"]
    assert float(answer.headers["sheet-module-mm"]) >= 0.4
    assert int(answer.headers["sheet-reading-distance-cm"]) >= 10
    assert answer.headers["cache-control"] == "private, no-store"
    assert re.search(r'filename="[a-z0-9]+-cmp_[0-9a-f]{32}\.pdf"', answer.headers["content-disposition"])
    assert "link" not in answer.headers


def test_a_poster_speaks_the_language_it_is_asked_for(shop: Shop) -> None:
    french, english = (words_in(printed(shop, format="a4", lang=lang)) for lang in ("fr", "en"))
    for text in ("Un verger pour l’école", "Scannez avec votre téléphone", "Imprimez à 100", "Bellecour"):
        assert text in french
    for text in ("An orchard for the school", "A tree for each hundred visits", "Scan with your phone", "Bellecour"):
        assert text in english
    assert f"{shop.code[:4]}-{shop.code[4:8]}-{shop.code[8:]}" in french
    with shop.server.api() as api:
        first = api.get(f"/v1/campaigns/{shop.campaign}").json()["languages"][0]
    assert words_in(printed(shop, format="a4")) == {"fr": french, "en": english}[first]


def test_thanks_tell_how_far_the_mission_came(shop: Shop) -> None:
    assert "What we reached" not in words_in(printed(shop, format="thanks", lang="en"))
    with shop.server.phone(Accept="application/json") as phone:
        receipt = phone.get(f"/t/{shop.code}").json()["receipt"]
        body = {"receipt": receipt, "lat": PLACE["lat"], "lon": PLACE["lon"], "accuracy_m": 10}
        assert phone.post(f"/t/{shop.code}/check-in", json=body).is_success
    words = words_in(printed(shop, format="thanks", lang="en"))
    assert "Thank you!" in words
    assert "1 confirmed visits, of 2,000 hoped for" in words


def test_a_caption_may_name_the_place_and_the_code(shop: Shop) -> None:
    words = words_in(printed(shop, format="labels", caption="Rayon bio, {place}"))
    assert "Rayon bio, Bellecour" in words
    assert "Bellecour" not in words_in(printed(shop, format="labels", caption=""))


def test_a_tag_beside_a_code_shares_its_poster(shop: Shop) -> None:
    token(shop, medium="nfc")
    alone = token(shop, medium="nfc", place_id=place(shop, "Croix-Rousse"))
    answer = sheet(shop, format="a4", lang="en")
    assert (answer.headers["sheet-pages"], answer.headers["sheet-codes"]) == ("2", "1")
    first, second = (words_in(one) for one in split(answer.content))
    assert "or tap it here" in first
    assert "Hold your phone here" in second
    assert alone["code_shown"] in second
    assert sheet(shop, format="a4", medium="nfc").headers["sheet-pages"] == "2"
    only = sheet(shop, format="a4", medium="qr")
    assert only.headers["sheet-pages"] == "1"
    assert "ou posez-le ici" in words_in(only.content)
    assert sheet(shop, format="a4", place_id=shop.place).headers["sheet-pages"] == "1"


def split(pdf: bytes) -> list[bytes]:
    """Each page as a file of its own."""
    document, made = pypdfium2.PdfDocument(pdf), []
    for number in range(len(document)):
        one, file = pypdfium2.PdfDocument.new(), io.BytesIO()
        one.import_pages(document, [number])
        one.save(file)
        made.append(file.getvalue())
    return made


def test_withdrawn_codes_serials_and_links_are_not_printed(shop: Shop) -> None:
    gone = token(shop)
    token(shop, medium="link")
    add(shop, "token-batches", kind="serial", count=3, medium="qr", place_id=shop.place)
    with shop.server.api() as api:
        api.post(f"/v1/tokens/{gone['id']}/revocation").raise_for_status()
    assert texts(printed(shop, format="labels")) == [url_of(shop)]


def test_long_sheets_come_a_part_at_a_time(shop: Shop) -> None:
    for _ in range(4):
        token(shop)
    found: list[str] = []
    path = f"/v1/campaigns/{shop.campaign}/sheet.pdf?format=labels&count=2&lang=fr"
    with shop.server.api() as api:
        for number in (2, 2, 1):
            answer = api.get(path).raise_for_status()
            assert answer.headers["sheet-codes"] == str(number)
            found += texts(answer.content)
            path = answer.headers.get("link", "").partition(">")[0].removeprefix("<")
        assert path == ""
        assert len(set(found)) == 5
        problem(api.get(f"/v1/campaigns/{shop.campaign}/sheet.pdf?format=labels&first=6"), 422, "invalid")


def test_who_comes_while_others_are_being_drawn_is_asked_to_come_back() -> None:
    with ExitStack() as turns:
        for _ in range(printing.AT_ONCE):
            turns.enter_context(printing._turn())
        with pytest.raises(TooMany) as refusal, printing._turn():
            pass
    assert (refusal.value.code, refusal.value.context["retry_after_s"] > 0) == ("busy", True)
    with printing._turn():
        pass


def test_a_batch_is_printed_in_its_order_and_in_parts(shop: Shop) -> None:
    batch = add(shop, "token-batches", kind="serial", count=70, medium="qr")
    path = f"/v1/token-batches/{batch['id']}"
    with shop.server.api() as api:
        listed = [line.split(",")[1] for line in api.get(f"{path}/codes.csv").text.splitlines()[1:]]
        first = api.get(f"{path}/sheet.pdf", params={"grid": "38.1x21.2", "count": 65}).raise_for_status()
        following = first.headers["link"].partition(">")[0].removeprefix("<")
        rest = api.get(following).raise_for_status()
        stickers = api.get(f"{path}/sheet.pdf", params={"format": "stickers", "first": 70}).raise_for_status()
        for asked in ({"format": "a4"}, {"medium": "qr"}, {"place_id": shop.place}, {"count": 2001}, {"count": 0}):
            problem(api.get(f"{path}/sheet.pdf", params=asked), 422, "invalid")
        problem(api.get(f"{path}/sheet.pdf", params={"first": 71}), 422, "invalid")
    assert (first.headers["sheet-pages"], rest.headers["sheet-codes"]) == ("1", "5")
    assert "link" not in rest.headers
    assert texts(first.content) == sorted(listed[:65])
    assert texts(rest.content) == sorted(listed[65:])
    assert texts(stickers.content) == listed[69:]


def test_a_batch_that_is_being_made_is_printed_afterwards(shop: Shop) -> None:
    with shop.server.api() as api:
        body = {"kind": "serial", "count": 100_000, "medium": "qr"}
        asked = api.post(f"/v1/campaigns/{shop.campaign}/token-batches", json=body)
        batch, job = asked.json()["id"], asked.headers["location"]
        problem(api.get(f"/v1/token-batches/{batch}/sheet.pdf"), 409, "job_running")
        api.post(f"{job}/cancellation").raise_for_status()


def test_a_campaign_without_codes_says_what_to_do(shop: Shop) -> None:
    with shop.server.api() as api:
        empty = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        for path in ("sheet.pdf?format=a4", "kits.zip"):
            body = problem(api.get(f"/v1/campaigns/{empty}/{path}"), 409, "nothing_to_print")
            assert "POST /v1/campaigns/{id}/tokens" in body["detail"]
        body = problem(api.get(f"/v1/campaigns/{shop.campaign}/sheet.pdf?format=a4&medium=nfc"), 409)
        made(api.post(f"/v1/campaigns/{empty}/tokens", json={"medium": "qr"}))
        problem(api.get(f"/v1/campaigns/{empty}/kits.zip"), 409, "nothing_to_print")
        assert api.get(f"/v1/campaigns/{empty}/sheet.pdf?format=a4").status_code == 200


BAD: list[tuple[dict[str, Any], str]] = [
    ({"format": "a3"}, "/format"),
    ({}, "/format"),
    ({"format": "A4"}, "/format"),
    ({"format": "a4", "count": 0}, "/count"),
    ({"format": "a4", "count": -1}, "/count"),
    ({"format": "a4", "count": 201}, "/count"),
    ({"format": "labels", "count": 2001}, "/count"),
    ({"format": "labels", "count": "9" * 30}, "/count"),
    ({"format": "a4", "first": 0}, "/first"),
    ({"format": "a4", "first": 2}, "/first"),
    ({"format": "a4", "first": 10**9}, "/first"),
    ({"format": "a4", "lang": "de"}, "/lang"),
    ({"format": "a4", "grid": "70x37"}, "/grid"),
    ({"format": "labels", "grid": "1x1"}, "/grid"),
    ({"format": "labels", "paper": "a5"}, "/paper"),
    ({"format": "tent", "paper": "a3"}, "/paper"),
    ({"format": "stickers", "shape": "star"}, "/shape"),
    ({"format": "stickers", "size_mm": "29"}, "/size_mm"),
    ({"format": "stickers", "size_mm": "NaN"}, "/size_mm"),
    ({"format": "stickers", "size_mm": "Infinity"}, "/size_mm"),
    ({"format": "labels", "size_mm": "50"}, "/size_mm"),
    ({"format": "a4", "ec": "X"}, "/ec"),
    ({"format": "a4", "style": "stars"}, "/style"),
    ({"format": "a4", "medium": "link"}, "/medium"),
    ({"format": "a4", "colour": "red"}, "/colour"),
    ({"format": "a4", "caption": "x" * 81}, "/caption"),
    ({"format": "a4", "caption": "x" * 10_000}, "/caption"),
    ({"format": "a4", "caption": "a\x00b"}, "/caption"),
    ({"format": "a4", "caption": "\u202eabc"}, "/caption"),
    ({"format": "a4", "caption": "שלום"}, "/caption"),
    ({"format": "a4", "caption": "مرحبا"}, "/caption"),
    ({"format": "a4", "caption": "😀"}, "/caption"),
]


@pytest.mark.parametrize(("asked", "pointer"), BAD, ids=str)
def test_what_cannot_be_printed_is_refused_by_its_field(shop: Shop, asked: dict[str, Any], pointer: str) -> None:
    body = problem(sheet(shop, **asked), 422, "invalid")
    assert [fault["pointer"] for fault in body["errors"]] == [pointer]


def test_a_sheet_belongs_to_its_organisation(house: House, shop: Shop) -> None:
    batch = add(shop, "token-batches", kind="serial", count=2, medium="qr")["id"]
    paths = [
        f"/v1/campaigns/{shop.campaign}/sheet.pdf?format=a4",
        f"/v1/campaigns/{shop.campaign}/kits.zip",
        f"/v1/token-batches/{batch}/sheet.pdf",
    ]
    with owner(house.server, house.other_key) as other, house.server.phone() as phone:
        theirs = made(other.post("/v1/places", json=PLACE))["id"]
        for path in paths:
            problem(other.get(path), 404, "not_found")
            problem(phone.get(path), 401, "unauthenticated")
    for nobodys in (theirs, "plc_" + "0" * 32, "ext_nothing", "nothing"):
        problem(sheet(shop, format="a4", place_id=nobodys), 404, "not_found")
        problem(kits(shop, place_id=nobodys), 404, "not_found")


def kits(shop: Shop, **asked: Any) -> httpx2.Response:
    with shop.server.api() as api:
        return api.get(f"/v1/campaigns/{shop.campaign}/kits.zip", params=asked)


def unpacked(answer: httpx2.Response) -> dict[str, bytes]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["cache-control"] == "no-store"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted(archive.namelist())
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_kit_has_all_a_shop_needs(shop: Shop) -> None:
    files = unpacked(kits(shop, lang="fr", contact="Camille Durand, 04 72 00 00 00"))
    assert list(files) == [
        f"01-bellecour/{name}"
        for name in ("1-affiche.pdf", "2-chevalet.pdf", "3-connexion-equipe.pdf", "4-mode-d-emploi.pdf")
    ]
    poster, card, sign_in, how_to = files.values()
    assert texts(poster) == [url_of(shop)]
    assert texts(card) == [url_of(shop)] * 2
    (link,) = texts(sign_in)
    assert link.startswith(f"{shop.server.url}/staff/sign-in/")
    words = words_in(how_to)
    assert "Camille Durand, 04 72 00 00 00" in words
    assert all(f"{number} " in words for number in range(1, 6))
    assert "Valable une fois, jusqu’au" in words_in(sign_in)
    assert "Bellecour" in words_in(sign_in)
    english = unpacked(kits(shop, lang="en"))
    assert "01-bellecour/3-staff-sign-in.pdf" in english
    assert "A question? Whom to call:" in words_in(english["01-bellecour/4-how-to.pdf"])


def test_the_sign_in_of_a_kit_works_once_and_each_download_has_its_own(shop: Shop) -> None:
    links = [texts(unpacked(kits(shop, lang="en"))["01-bellecour/3-staff-sign-in.pdf"])[0] for _ in range(2)]
    assert links[0] != links[1]
    for link in links:
        path = link.removeprefix(shop.server.url)
        with shop.server.phone(Accept="text/html") as phone:
            assert phone.get(path).status_code == 200
            assert phone.post(path, data={"pin": PIN}, headers={"Origin": shop.server.url}).status_code == 303
            assert "Bellecour" in phone.get("/staff").text
        with shop.server.phone(Accept="text/html") as late:
            assert late.post(path, headers={"Origin": shop.server.url}).status_code == 410
    with shop.server.api() as api:
        found = api.get(f"/v1/places/{shop.place}/staff-sessions").json()["data"]
    assert len(found) == 2


def test_a_sign_in_says_the_day_it_ends(shop: Shop) -> None:
    words = words_in(unpacked(kits(shop, lang="en"))["01-bellecour/3-staff-sign-in.pdf"])
    days = {(datetime.now(UTC) + timedelta(days=14, hours=hours)).strftime("%B %-d, %Y") for hours in (0, 2)}
    assert any(day in words for day in days)


def test_no_name_of_a_shop_breaks_out_of_its_folder(shop: Shop) -> None:
    names = ["../../etc/passwd", "C:\\Windows", "L’Épicerie / Œuf", "🍎🍎", "é" * 200, "Bellecour", "CON", "a\nb"]
    for name in names:
        token(shop, place_id=place(shop, name))
    token(shop, place_id=None)
    folders = {name.partition("/")[0] for name in unpacked(kits(shop))}
    assert len(folders) == len(names) + 1
    assert all(re.fullmatch(r"\d\d(-[a-z0-9-]{1,60})?", folder) for folder in folders)
    assert {folder[3:] for folder in folders} >= {"etc-passwd", "c-windows", "l-epicerie-oeuf", "", "e" * 60, "a-b"}


@pytest.mark.parametrize("contact", ["x" * 121, "😀\x00", "שלום", "\u202eabc"])
def test_a_contact_that_cannot_be_printed_is_refused(shop: Shop, contact: str) -> None:
    body = problem(kits(shop, contact=contact), 422, "invalid")
    assert [fault["pointer"] for fault in body["errors"]] == ["/contact"]


def test_a_kit_that_cannot_be_printed_makes_no_link_and_names_the_place(shop: Shop) -> None:
    token(shop, place_id=place(shop, "מכולת"))
    for answer in (kits(shop), sheet(shop, format="a4")):
        assert "מכולת" in problem(answer, 422, "invalid")["detail"]
    assert sheet(shop, format="a4", caption="Magasin").status_code == 200
    assert sheet(shop, format="a4", place_id=shop.place).status_code == 200
