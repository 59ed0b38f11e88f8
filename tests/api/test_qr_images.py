"""QR images over HTTP: every option, and what is refused with which words."""

import base64
import io
from typing import Any
from urllib.parse import quote

import httpx2
import pypdfium2
import pytest
import zxingcpp
from PIL import Image

from tests.api.conftest import House
from tests.api.helpers import Shop, owner, problem

KINDS = {"svg": "image/svg+xml", "png": "image/png", "pdf": "application/pdf"}


def logo_file(format: str = "PNG", size: tuple[int, int] = (120, 120)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "#c8102e").save(file, format)
    return file.getvalue()


def path_of(shop: Shop, format: str = "png") -> str:
    return f"/v1/tokens/{shop.token}/qr.{format}"


def read(image: bytes) -> list[str]:
    return [code.text for code in zxingcpp.read_barcodes(Image.open(io.BytesIO(image)).convert("RGB"))]


@pytest.mark.parametrize("format", KINDS)
def test_each_format_is_what_it_says_it_is(shop: Shop, format: str) -> None:
    with shop.server.api() as api:
        answer = api.get(path_of(shop, format), params={"style": "rounded", "ec": "Q", "frame": "Scannez-moi"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == KINDS[format]
    assert answer.content.startswith({"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}[format])


def test_the_image_says_the_tokens_url(shop: Shop) -> None:
    options: dict[str, Any] = {"style": "dots", "dark": "#7a0019", "light": "fff3d6", "quiet_zone": 5, "module_px": 7}
    with shop.server.api() as api:
        url = api.get(f"/v1/tokens/{shop.token}").json()["url"]
        plain = api.get(path_of(shop), params={"dark": "#7a0019", "light": "#fff3d6", "quiet_zone": 5, "module_px": 7})
        problem(api.get(path_of(shop), params=options), 422)
        styled = api.get(path_of(shop), params=options | {"light": "#fff3d6"})
    assert read(plain.content) == read(styled.content) == [url]
    assert plain.content != styled.content


def test_an_image_is_kept_by_its_tag_and_by_one_key_only(shop: Shop) -> None:
    with shop.server.api() as api:
        first = api.get(path_of(shop, "svg"), params={"module_mm": 0.5})
        again = api.get(
            path_of(shop, "svg"), params={"module_mm": 0.5}, headers={"If-None-Match": first.headers["etag"]}
        )
        other = api.get(path_of(shop, "svg"), params={"module_mm": 0.6})
    assert not first.headers["etag"].startswith("W/")
    assert first.headers["cache-control"] == "private, max-age=604800"
    assert "Authorization" in first.headers["vary"]
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert other.headers["etag"] != first.headers["etag"]


def test_a_frame_carries_the_short_code_unless_told_otherwise(shop: Shop) -> None:
    def heights(**asked: str) -> int:
        with shop.server.api() as api:
            return Image.open(io.BytesIO(api.get(path_of(shop), params=asked).content)).height

    assert heights() < heights(caption="{code}") < heights(frame="Ici", caption="") < heights(frame="Ici")
    assert heights(frame="Ici") == heights(frame="Ici", caption="{code}")


@pytest.mark.parametrize("format", KINDS)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_logo_is_posted_or_written_into_the_address(shop: Shop, format: str, kind: str) -> None:
    file = logo_file(kind)
    with shop.server.api() as api:
        posted = api.post(path_of(shop, format), params={"style": "rounded"}, content=file)
        assert posted.status_code == 200, posted.text
        assert posted.headers["content-type"] == KINDS[format]
        data = f"data:image/{kind.lower()};base64,{base64.b64encode(file).decode()}"
        for written in (quote(data, safe=""), data):  # a plus sign left as it is arrives as a space
            got = api.get(f"{path_of(shop, format)}?style=rounded&logo={written}")
            assert got.content == posted.content


BAD = [
    ({"ec": "X"}, "/ec"),
    ({"ec": "m"}, "/ec"),
    ({"style": "stars"}, "/style"),
    ({"finder": "hearts"}, "/finder"),
    ({"quiet_zone": "1"}, "/quiet_zone"),
    ({"quiet_zone": "0"}, "/quiet_zone"),
    ({"quiet_zone": "9" * 30}, "/quiet_zone"),
    ({"quiet_zone": "4.5"}, "/quiet_zone"),
    ({"module_px": "0"}, "/module_px"),
    ({"module_px": "-1"}, "/module_px"),
    ({"module_px": "1e3"}, "/module_px"),
    ({"module_px": "40", "quiet_zone": "20", "ec": "H", "frame": "Ici"}, None),
    ({"module_mm": "1"}, "/module_mm"),
    ({"module_mm": "NaN"}, "/module_mm"),
    ({"module_mm": "Infinity"}, "/module_mm"),
    ({"dark": "red"}, "/dark"),
    ({"dark": "#f00"}, "/dark"),
    ({"dark": "#808080"}, "/dark"),
    ({"dark": "#ffffff", "light": "#000000"}, "/dark"),
    ({"light": '"/><script>'}, "/light"),
    ({"light": "x" * 10_000}, "/light"),
    ({"frame": "x" * 10_000}, "/frame"),
    ({"caption": "x" * 10_000}, "/caption"),
    ({"caption": "😀"}, "/caption"),
    ({"caption": "a\x00b"}, "/caption"),
    ({"caption": "a\nb"}, "/caption"),
    ({"caption": "\u202eabc"}, "/caption"),
    ({"frame": "שלום"}, "/frame"),
    ({"logo": "https://example.com/logo.png"}, "/logo"),
    ({"logo": "data:image/png;base64,@@@"}, "/logo"),
    ({"logo": "data:image/svg+xml;base64,PHN2Zz48L3N2Zz4="}, "/logo"),
    ({"logo": ""}, "/logo"),
]


@pytest.mark.parametrize(("asked", "pointer"), BAD)
def test_what_cannot_be_drawn_is_refused_with_its_name(shop: Shop, asked: dict[str, str], pointer: str | None) -> None:
    with shop.server.api() as api:
        answer = api.get(path_of(shop), params=asked)
    if pointer is None:
        assert answer.status_code == 200
        return
    body = problem(answer, 422, "invalid")
    assert [fault["pointer"] for fault in body["errors"]] == [pointer]


def test_a_surrogate_in_the_address_is_refused(shop: Shop) -> None:
    with shop.server.api() as api:
        assert api.get(f"{path_of(shop)}?caption=%ED%A0%80").status_code == 422
        assert api.get(f"{path_of(shop)}?caption=%FF").status_code == 422


def refused_logo(api: httpx2.Client, shop: Shop, file: bytes) -> None:
    body = problem(api.post(path_of(shop), content=file), 422, "invalid")
    assert [fault["pointer"] for fault in body["errors"]] == ["/logo"]


def test_a_logo_that_is_no_plain_image_is_refused(shop: Shop) -> None:
    with shop.server.api() as api:
        svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
        for file in (
            b"",
            svg,
            logo_file("GIF"),
            logo_file()[:-30],
            logo_file() + b"PK\x03\x04",
            logo_file(size=(3_000, 2_000)),
        ):
            refused_logo(api, shop, file)
        problem(api.post(path_of(shop), content=bytes(1_000_001)), 413)
        twice = {"logo": "data:image/png;base64,"}
        problem(api.post(path_of(shop), params=twice, content=logo_file()), 422)
        problem(api.get(path_of(shop, "gif")), 422)


def test_an_image_belongs_to_its_organisation(house: House) -> None:
    path = path_of(house.shop)
    with owner(house.server, house.other_key) as other:
        problem(other.get(path), 404)
        problem(other.post(path, content=logo_file()), 404)
    with house.server.phone() as phone:
        problem(phone.get(path), 401)
        problem(phone.post(path, content=logo_file()), 401)


def test_a_poster_still_shows_its_code(shop: Shop) -> None:
    with shop.server.phone(Accept="text/html") as phone:
        page = phone.get(f"/posters/{shop.code}").text
    assert 'viewBox="0 0 ' in page
    assert "<svg" in page


def test_a_sheet_is_as_large_as_its_modules(shop: Shop) -> None:
    with shop.server.api() as api:
        sheet = pypdfium2.PdfDocument(api.get(path_of(shop, "pdf"), params={"module_mm": 2}).content)
    width_mm = sheet[0].get_width() * 25.4 / 72
    sheet.close()
    assert width_mm % 2 == pytest.approx(0, abs=0.01) or width_mm % 2 == pytest.approx(2, abs=0.01)
