import io
import struct
import subprocess
import sys
import time
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from campaigns.errors import Invalid
from campaigns.tokens.logos import read_logo


def saved(format: str, size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 1 if mode == "1" else None).save(file, format, **options)
    return file.getvalue()


TURNED = Image.Exif()
TURNED[0x0112] = 6  # the camera was turned a quarter


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, data: bytes, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def animated(format: str) -> bytes:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, format, save_all=True, append_images=frames[1:], duration=100)
    return file.getvalue()


BOMB = png_of(9_000, 9_000, zlib.compress(bytes(3_000_000), 9))
JPEG = saved("JPEG", (2_000, 2_000), progressive=True)
_SOS = JPEG.index(b"\xff\xda")
SCAN = JPEG[_SOS : _SOS + 2 + JPEG[_SOS + 3]]  # the header of a scan, and nothing in it
# What comes from strangers, and what the refusal says of it.
BAD = {
    "nothing": (b"", "PNG, JPEG or WebP"),
    "text": (b"hello", "PNG, JPEG or WebP"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "SVG"),
    "gif": (saved("GIF"), "PNG, JPEG or WebP"),
    "tiff": (saved("TIFF"), "PNG, JPEG or WebP"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PNG, JPEG or WebP"),
    "a page before the image": (b"<script>" + saved("PNG"), "PNG, JPEG or WebP"),
    "an archive behind a PNG": (saved("PNG") + b"PK\x03\x04" + bytes(50), "behind the image's end"),
    "an archive behind a JPEG": (saved("JPEG") + b"PK\x03\x04" + bytes(50), "behind the image's end"),
    "an archive behind a WebP": (saved("WEBP") + b"PK\x03\x04" + bytes(50), "behind the image's end"),
    "half a PNG": (saved("PNG")[:-20], "cut short"),
    "half a JPEG": (saved("JPEG")[:-2], "cut short"),
    "a JPEG's start": (b"\xff\xd8\xff", "cut short"),
    "half a WebP": (saved("WEBP")[:-2], "cut short"),
    "a WebP's start": (b"RIFF\x04\x00\x00\x00WEBP", "cut short"),
    "animated PNG": (animated("PNG"), "animated"),
    "animated WebP": (animated("WEBP"), "animated"),
    "a PNG bomb": (BOMB, "4 megapixels"),
    "a PNG of no pixels": (png_of(0, 9, b""), "no pixels"),
    "a PNG too large by a row": (png_of(2_000, 2_001, b""), "4 megapixels"),
    "a PNG without data": (png_of(64, 64, b""), "cannot be decoded"),
    "a PNG of broken data": (png_of(64, 64, b"\x00" * 40), "cannot be decoded"),
    "a PNG text bomb": (
        png_of(8, 8, zlib.compress(bytes(200)), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(90_000_000)))),
        "cannot be decoded",
    ),
    "a PNG whose header comes late": (
        b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"a\0b") + saved("PNG")[8:],
        "no proper PNG",
    ),
    "a WebP that says 16,384 squared": (
        b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\x3f\x00" * 2,
        "4 megapixels",
    ),
    "a JPEG of a thousand scans": (JPEG[:-2] + SCAN * 1_000 + b"\xff\xd9", "too many scans"),
    "too many bytes": (saved("PNG") + bytes(1_000_000), "at most 1 MB"),
}


@pytest.mark.parametrize(("file", "says"), BAD.values(), ids=BAD)
def test_a_file_that_is_no_plain_image_is_refused_in_under_a_second(file: bytes, says: str) -> None:
    start = time.process_time()
    with pytest.raises(Invalid, match=says) as refusal:
        read_logo(file)
    assert time.process_time() - start < 1
    assert refusal.value.context["pointer"] == "/logo"


def test_no_bad_file_takes_more_than_200_mb() -> None:
    # In a process of its own, whose memory nobody else used. Not by getrusage: its peak begins with the parent's.
    names = ("a PNG bomb", "a PNG text bomb", "a WebP that says 16,384 squared", "a JPEG of a thousand scans")
    script = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from campaigns.errors import CampaignError\n"
        "from campaigns.tokens.logos import read_logo\n"
        "for line in sys.stdin:\n"
        "    try:\n"
        "        read_logo(bytes.fromhex(line))\n"
        "    except CampaignError:\n"
        "        continue\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])\n"
    )
    files = "\n".join(BAD[name][0].hex() for name in names)
    done = subprocess.run([sys.executable, "-c", script], input=files, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200_000


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_pixel_is_taken(format: str, mode: str) -> None:
    allowed = {"PNG": {"RGB", "L", "1", "P", "RGBA", "I;16"}, "JPEG": {"RGB", "L", "CMYK"}, "WEBP": {"RGB", "RGBA"}}
    if mode not in allowed[format]:
        return
    logo = read_logo(saved(format, mode=mode))
    assert (logo.width_px, logo.height_px) == (64, 48)
    with Image.open(io.BytesIO(logo.png)) as picture:
        assert (picture.format, picture.mode, picture.info) == ("PNG", "RGBA", {})


@pytest.mark.parametrize(
    "file",
    [
        saved("JPEG", progressive=True),
        saved("JPEG", (2_000, 2_000), progressive=True, quality=95),
        saved("JPEG", restart_marker_blocks=1),
        saved("WEBP", lossless=True),
        saved("WEBP", exif=TURNED),
        saved("PNG", (2_000, 2_000)),
        saved("PNG", (1, 1)),
    ],
)
def test_what_programs_save_is_taken(file: bytes) -> None:
    assert read_logo(file).png.startswith(b"\x89PNG")


def test_a_large_logo_is_made_small_and_keeps_its_shape() -> None:
    logo = read_logo(saved("PNG", (2_000, 1_000)))
    assert (logo.width_px, logo.height_px) == (512, 256)


def test_nothing_of_the_file_but_its_pixels_goes_on() -> None:
    secret = b"<script>alert(1)</script>"
    file = saved("JPEG", comment=secret)
    assert secret in file
    assert secret not in read_logo(file).png


def test_a_photo_stands_as_its_camera_held_it() -> None:
    logo = read_logo(saved("JPEG", (64, 48), exif=TURNED))
    assert (logo.width_px, logo.height_px) == (48, 64)


# Pillow warns of damaged tags and reads on.
@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning", "ignore:Tag:UserWarning")
@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([saved("PNG"), saved("JPEG"), saved("JPEG", progressive=True), saved("WEBP"), animated("PNG")]),
    st.lists(st.tuples(st.integers(0, 2_000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4),
)
def test_a_damaged_file_is_read_or_refused(file: bytes, damages: list[tuple[int, bytes]]) -> None:
    damaged = bytearray(file)
    for at, bytes_ in damages:
        at %= len(damaged)
        damaged[at : at + len(bytes_)] = bytes_
    with suppress(Invalid):
        assert read_logo(bytes(damaged)).width_px > 0
