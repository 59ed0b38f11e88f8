"""Codes drawn by the thousand, in processes of their own: each reads, and nobody is left behind."""

import os
import subprocess
import sys
from concurrent.futures import Future
from random import Random
from typing import Any

import pytest
from qrcode import util

from campaigns.draughtsman import NICE
from campaigns.errors import Invalid
from campaigns.tokens import codes, qr
from campaigns.tokens.bulk_drawing import SAMPLED, Order, draw_all
from campaigns.tokens.readback import reads_as
from campaigns.tokens.workshop import PROCESSES, Workshop
from tests.conftest import ROOT, wait_until
from tests.descendants import drawing_processes

TEXTS = tuple(f"HTTPS://SHOP.EXAMPLE/T/{code}" for code in codes.new_serials(40, Random(7).randbytes))
UNREADABLE = qr.Look(dark="#ffffff")  # nobody but a reader of the image itself can tell


def order(texts: tuple[str, ...] = TEXTS, **fields: Any) -> Order:
    given: dict[str, Any] = {"look": qr.Look(), "format": qr.Format.SVG, "size": qr.Size(), **fields}
    return Order(texts, **given)


@pytest.mark.parametrize("format", list(qr.Format))
@pytest.mark.parametrize(
    "look",
    [
        *(qr.Look(error_correction=level) for level in qr.ErrorCorrection),
        qr.Look(quiet_zone=2),
        qr.Look(quiet_zone=20, dark="#7a0019", light="#fff4e0"),
    ],
    ids=lambda look: f"{look.error_correction}{look.quiet_zone}",
)
def test_every_code_drawn_in_bulk_reads_as_its_text(format: qr.Format, look: qr.Look) -> None:
    size = qr.Size(module_mm=0.6) if format is not qr.Format.PNG else qr.Size(module_px=3)
    images = draw_all(order(TEXTS[:8], look=look, format=format, size=size))
    assert [reads_as(image, format, width_px=400) for image in images] == [[text] for text in TEXTS[:8]]


def test_a_long_text_makes_the_codes_of_its_order_larger_and_all_read() -> None:
    texts = ("HTTPS://A.EU/T/7K3Q9XABW4", "https://shop.example/under/a/long/path/t/7K3Q9XABW4" * 3)
    images = draw_all(order(texts))
    assert [reads_as(image, qr.Format.SVG, width_px=600) for image in images] == [[text] for text in texts]


def test_in_bulk_a_code_looks_as_it_does_alone_but_for_its_mask() -> None:
    image, alone = draw_all(order(TEXTS[:1]))[0], qr.svg(TEXTS[0], module_px=8)
    assert image.partition(b' d="')[0] == alone.partition(b' d="')[0]


@pytest.mark.parametrize(("first", "refused"), [(0, True), (1, False), (SAMPLED - 39, True), (SAMPLED * 7, True)])
def test_one_image_in_a_thousand_is_read_from_its_bytes(first: int, refused: bool) -> None:
    if not refused:
        assert len(draw_all(order(look=UNREADABLE, first=first))) == len(TEXTS)
        return
    with pytest.raises(Invalid):
        draw_all(order(look=UNREADABLE, first=first))


def test_a_code_the_encoder_spoils_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = util.create_data

    def spoil(*given: Any) -> list[int]:
        return [byte ^ 0xFF for byte in encode(*given)]

    monkeypatch.setattr(util, "create_data", spoil)
    with pytest.raises(Invalid, match="does not read back"):
        draw_all(order(first=1))


def test_orders_come_back_in_their_turn_and_the_processes_end_with_the_last_user() -> None:
    workshop = Workshop()
    expected = draw_all(order())
    with workshop.open() as first:
        assert first(order()).result(timeout=30) == expected
        (only,) = drawing_processes(os.getpid())
        assert os.getpriority(os.PRIO_PROCESS, only) == os.getpriority(os.PRIO_PROCESS, 0) + NICE
        with workshop.open() as second:
            futures = [draw(order(TEXTS[at : at + 5])) for at in range(0, 40, 5) for draw in (first, second)]
            drawn = [image for future in futures[::2] for image in future.result(timeout=30)]
            assert drawn == [image for future in futures[1::2] for image in future.result(timeout=30)] == expected
            assert 1 <= len(drawing_processes(os.getpid())) <= PROCESSES
        assert first(order()).result(timeout=30) == expected
    wait_until(lambda: not drawing_processes(os.getpid()))
    with workshop.open() as again:
        assert again(order()).result(timeout=30) == expected
    wait_until(lambda: not drawing_processes(os.getpid()))


def test_a_refusal_and_a_death_are_told_and_the_next_order_is_drawn() -> None:
    with Workshop().open() as draw:
        with pytest.raises(Invalid) as refusal:
            draw(order(look=UNREADABLE)).result(timeout=30)
        assert refusal.value.context["pointer"]
        for pid in drawing_processes(os.getpid()):
            os.kill(pid, 9)
        assert isinstance(death_of(draw(order())), RuntimeError)
        assert len(draw(order()).result(timeout=30)) == len(TEXTS)
    wait_until(lambda: not drawing_processes(os.getpid()))


def death_of(drawing: Future[list[bytes]]) -> BaseException | None:
    return drawing.exception(timeout=30)


def test_a_drawing_process_knows_neither_the_web_nor_the_database() -> None:
    script = (
        "import sys; from campaigns import draughtsman; draughtsman.leave_out_the_database(); "
        "import campaigns.tokens.bulk_drawing; "
        "print([name for name in ('sqlalchemy', 'sqlmodel', 'psycopg', 'fastapi', 'starlette') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
