import io
import tracemalloc
import zipfile

from campaigns.ids import plain_name
from campaigns.tokens import kits
from tests.factories import NOON


def test_a_zip_grows_file_by_file_and_is_whole_at_its_end() -> None:
    files = [(f"folder/{number}.pdf", bytes([number]) * 1000) for number in range(5)]
    asked: list[str] = []

    def one_by_one() -> object:
        for name, content in files:
            asked.append(name)
            yield name, content

    pieces = []
    for number, piece in enumerate(kits.zipped(one_by_one(), now=NOON), 1):  # type: ignore[arg-type]  # a generator of them
        assert len(asked) <= number
        pieces.append(piece)
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        assert [(name, archive.read(name)) for name in archive.namelist()] == files


def test_a_long_zip_takes_the_memory_of_one_file() -> None:
    tracemalloc.start()
    size = sum(map(len, kits.zipped(((f"{number}.pdf", bytes(100_000)) for number in range(300)), now=NOON)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 30_000_000
    assert peak < 3_000_000


def test_folders_are_plain_short_and_different() -> None:
    names = ["Bellecour", "Bellecour", "../../x", "", "🍎", "ÉPICERIE de l’Œuf", "a" * 200, "con", "日本"]
    found = kits.folders(names)
    assert found == [
        "01-bellecour",
        "02-bellecour",
        "03-x",
        "04",
        "05",
        "06-epicerie-de-l-oeuf",
        "07-" + "a" * 60,
        "08-con",
        "09",
    ]
    assert kits.folders(["x"] * 1000)[-1] == "1000-x"
    assert kits.folders(["x"] * 1000)[0] == "0001-x"
    assert plain_name("Straße / Ünter") == "strasse-unter"
