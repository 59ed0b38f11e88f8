"""A batch's codes as a ZIP of images: all there, all readable, and no process left behind by a download."""

import asyncio
import io
import os
import shutil
import signal
import subprocess
import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest

from api.archives import ZipResponse
from campaigns.tokens.picture import Format
from campaigns.tokens.readback import reads_as
from tests.api.conftest import House
from tests.api.helpers import Shop, make_shop, owner, problem
from tests.conftest import Server, running_server, wait_until
from tests.descendants import drawing_processes, is_there
from tests.factories import NOON

NIL = "0" * 32
LARGE = 4_000


def batch_of(shop: Shop, count: int) -> str:
    """A serial batch, made; its id."""
    body = {"kind": "serial", "count": count, "medium": "qr"}
    with shop.server.api() as api:
        batch = api.post(f"/v1/campaigns/{shop.campaign}/token-batches", json=body).raise_for_status().json()
        path = f"/v1/token-batches/{batch['id']}"
        wait_until(lambda: api.get(path).json()["made"] == count, seconds=120)
        if batch["job"]:
            wait_until(lambda: api.get(f"/v1/jobs/{batch['job']['id']}").json()["state"] == "done")
    return str(batch["id"])


def get(shop: Shop, batch: str, file: str = "codes.zip", **query: Any) -> httpx2.Response:
    with shop.server.api() as api:
        return api.get(f"/v1/token-batches/{batch}/{file}", params=query)


def unpacked(answer: httpx2.Response) -> dict[str, bytes]:
    """The files of a ZIP, each checked against its checksum; none twice."""
    with zipfile.ZipFile(io.BytesIO(answer.raise_for_status().content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(names) == len(set(names))
        return {name: archive.read(name) for name in names}


def listed(shop: Shop, batch: str) -> dict[str, str]:
    """Code -> URL, in the order of the list."""
    lines = get(shop, batch, "codes.csv").raise_for_status().text.splitlines()[1:]
    return {line.split(",")[0]: line.split(",")[1] for line in lines}


@contextmanager
def half_read(shop: Shop, batch: str) -> Any:
    """A download that has begun, of which the rest waits for its reader."""
    with shop.server.api() as api, api.stream("GET", f"/v1/token-batches/{batch}/codes.zip") as answer:
        chunks = answer.iter_bytes(1_000)
        assert next(chunks).startswith(b"PK")
        wait_until(lambda: drawing_processes(shop.server.process.pid) != [])
        yield chunks


@pytest.fixture(scope="module")
def large(house: House) -> str:
    """A batch whose ZIP is larger than what the buffers of a connection hold; who reads it changes nothing."""
    return batch_of(house.shop, LARGE)


def test_every_code_of_the_batch_is_there_once_and_reads(shop: Shop) -> None:
    batch = batch_of(shop, 120)
    answer = get(shop, batch)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="codes-{batch}.zip"'
    assert "content-encoding" not in answer.headers
    files, expected = unpacked(answer), listed(shop, batch)
    assert list(files) == [f"{code}.svg" for code in expected]
    for code, url in expected.items():
        assert reads_as(files[f"{code}.svg"], Format.SVG, width_px=200) == [url]
    with shop.server.api() as api:
        token = api.get(f"/v1/campaigns/{shop.campaign}/tokens?limit=1").json()["data"][0]
        assert reads_as(api.get(f"/v1/tokens/{token['id']}/qr.svg").content, Format.SVG, width_px=200) == [token["url"]]


def test_a_large_zip_is_whole(shop: Shop, large: str, tmp_path: Path) -> None:
    answer = get(shop, large)
    files = unpacked(answer)
    assert list(files) == [f"{code}.svg" for code in listed(shop, large)]
    assert len(files) == LARGE
    wait_until(lambda: not drawing_processes(shop.server.process.pid), seconds=40)
    if unzip := shutil.which("unzip"):
        (tmp_path / "codes.zip").write_bytes(answer.content)
        subprocess.run([unzip, "-tq", tmp_path / "codes.zip"], check=True, capture_output=True)


def test_the_look_is_that_of_the_single_image(shop: Shop) -> None:
    batch = batch_of(shop, 3)
    look: dict[str, Any] = {"ec": "H", "quiet_zone": 6, "dark": "#7a0019", "light": "#fff4e0"}
    sizes: dict[Format, dict[str, Any]] = {
        Format.SVG: {"module_mm": 0.6},
        Format.PNG: {"module_px": 3, "format": "png"},
    }
    for format, more in sizes.items():
        files = unpacked(get(shop, batch, **look, **more))
        urls = listed(shop, batch)
        assert {name.partition(".")[2] for name in files} == {format.value}
        for code, url in urls.items():
            assert reads_as(files[f"{code}.{format}"], format, width_px=200) == [url]
    svg = next(iter(unpacked(get(shop, batch, module_mm=0.5, **look)).values())).decode()
    assert 'fill="#fff4e0"' in svg
    assert 'fill="#7a0019"' in svg
    assert 'mm"' in svg


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"ec": "X"}, "/ec"),
        ({"module_px": 0}, "/module_px"),
        ({"module_px": 41}, "/module_px"),
        ({"module_mm": 0.1}, "/module_mm"),
        ({"module_px": 4, "module_mm": 1}, "/module_mm"),
        ({"format": "png", "module_mm": 1}, "/module_mm"),
        ({"format": "pdf"}, "/format"),
        ({"quiet_zone": 1}, "/quiet_zone"),
        ({"dark": "red"}, "/dark"),
        ({"dark": "#ffffff", "light": "#000000"}, "/dark"),
        ({"light": "#555555"}, "/dark"),
    ],
    ids=str,
)
def test_a_look_that_would_not_read_is_refused_before_the_download(
    shop: Shop, query: dict[str, Any], pointer: str
) -> None:
    batch = batch_of(shop, 1)
    assert pointer in {fault["pointer"] for fault in problem(get(shop, batch, **query), 422)["errors"]}


def test_an_unfinished_or_foreign_batch_is_answered_as_its_list_is(house: House, shop: Shop) -> None:
    body = {"kind": "serial", "count": 100_000, "medium": "qr"}
    with shop.server.api() as api:
        batch = api.post(f"/v1/campaigns/{shop.campaign}/token-batches", json=body).raise_for_status().json()
        assert problem(get(shop, batch["id"]), 409, "job_running")["job"] == batch["job"]["id"]
        api.post(f"/v1/jobs/{batch['job']['id']}/cancellation").raise_for_status()
        wait_until(lambda: api.get(f"/v1/jobs/{batch['job']['id']}").json()["state"] == "cancelled")
    assert list(unpacked(get(shop, batch["id"]))) == [f"{code}.svg" for code in listed(shop, batch["id"])]
    for unknown in ("x", f"tbt_{NIL}"):
        problem(get(shop, unknown), 404, "not_found")
    with owner(house.server, house.other_key) as other:
        problem(other.get(f"/v1/token-batches/{batch['id']}/codes.zip"), 404, "not_found")
    with shop.server.phone() as nobody:
        problem(nobody.get(f"/v1/token-batches/{batch['id']}/codes.zip"), 401, "unauthenticated")


def test_whoever_leaves_a_download_leaves_no_process(shop: Shop, large: str) -> None:
    with half_read(shop, large):
        pass
    wait_until(lambda: not drawing_processes(shop.server.process.pid), seconds=40)


def test_two_downloads_share_the_processes_and_scans_go_on(shop: Shop, large: str) -> None:
    another = batch_of(shop, 200)
    with half_read(shop, large) as slow:
        assert len(unpacked(get(shop, another))) == 200
        assert len(drawing_processes(shop.server.process.pid)) <= 2
        assert shop.scan()["receipt"]
        assert sum(map(len, slow)) > 1_000_000
    wait_until(lambda: not drawing_processes(shop.server.process.pid), seconds=40)


def test_a_drawing_process_that_dies_breaks_the_download_off(shop: Shop, large: str) -> None:
    with half_read(shop, large) as chunks:
        for pid in drawing_processes(shop.server.process.pid):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(httpx2.RemoteProtocolError):
            list(chunks)
    wait_until(lambda: not drawing_processes(shop.server.process.pid), seconds=40)
    assert len(unpacked(get(shop, batch_of(shop, 200)))) == 200


@pytest.mark.parametrize(
    "ending", [signal.SIGKILL, signal.SIGTERM, *([signal.SIGINT] if os.environ.get("PASSERELLE_SOAK") else [])]
)
def test_a_server_that_ends_takes_its_drawing_processes_along(tmp_path: Path, ending: signal.Signals) -> None:
    with running_server(f"sqlite:///{tmp_path}/passerelle.db") as server:
        shop = make_shop(server)
        with half_read(shop, batch_of(shop, LARGE)):
            drawing = drawing_processes(server.process.pid)
            assert all(os.getsid(pid) == pid for pid in drawing), "a Ctrl-C in the server's terminal would reach them"
            server.process.send_signal(ending)
            server.process.wait(timeout=20)
        wait_until(lambda: not any(map(is_there, drawing)), seconds=5)


def test_a_zip_of_more_files_than_sixteen_bits_count_is_whole() -> None:
    number = 65_600

    async def files() -> AsyncIterator[Sequence[tuple[str, bytes]]]:
        for start in range(0, number, 100):
            yield [(f"{index}.txt", b"%d" % index) for index in range(start, start + 100)]

    async def collect() -> bytes:
        answer = ZipResponse("all", files(), made_at=NOON)
        return b"".join([cast(bytes, chunk) async for chunk in answer.body_iterator])

    with zipfile.ZipFile(io.BytesIO(asyncio.run(collect()))) as archive:
        assert len(archive.namelist()) == number
        assert archive.read("65599.txt") == b"65599"
        assert archive.getinfo("0.txt").date_time[:3] == datetime(2026, 10, 14, tzinfo=UTC).timetuple()[:3]


def test_a_server_without_downloads_has_no_drawing_process(server: Server) -> None:
    wait_until(lambda: drawing_processes(server.process.pid) == [], seconds=40)  # of a test before this one, if any
