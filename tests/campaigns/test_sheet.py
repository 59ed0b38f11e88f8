"""Reading places from CSV files: pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.csv_file import MOST_ROWS, Fault
from campaigns.errors import Invalid
from campaigns.places.sheet import COLUMNS, Sheet, SheetRow

HEAD = "external_id,name,lat,lon,time_zone\n"
ROW = "a,Bellecour,45.7578,4.8320,Europe/Paris\n"
READ = {"external_id": "a", "name": "Bellecour", "lat": 45.7578, "lon": 4.832, "time_zone": "Europe/Paris"}


def read(text: str) -> list[SheetRow | Fault]:
    return list(Sheet(text.encode()).rows())


def fault(text: str) -> Fault:
    (found,) = read(text)
    assert isinstance(found, Fault), found
    return found


def test_a_plain_file_is_read() -> None:
    assert read(HEAD + ROW) == [SheetRow(2, READ)]


def test_a_french_excel_file_is_read() -> None:
    text = "\ufeff" + "Name ;LAT;Lon;Time zone;Radius M;Address\r\n"
    text += '"Halle; Est";45,7578;-4,8;Europe/Paris;250;"12 place\r\nBellecour"\r\n;;;;;\r\nDeux;1;2;Europe/Paris;;\r\n'
    first, second = read(text)
    assert isinstance(first, SheetRow)
    assert first.fields == {
        "name": "Halle; Est",
        "lat": 45.7578,
        "lon": -4.8,
        "time_zone": "Europe/Paris",
        "radius_m": 250,
        "address": "12 place\r\nBellecour",
    }
    assert isinstance(second, SheetRow)
    assert (second.line, second.fields["address"], "radius_m" in second.fields) == (5, None, False)


def test_a_line_is_that_on_which_the_row_begins() -> None:
    text = HEAD + '\n\na,"Belle\n\ncour",x,4,UTC\n' + "b,Two,y,4,UTC\n"
    assert [(one.line, one.column) for one in read(text) if isinstance(one, Fault)] == [(4, "lat"), (7, "lat")]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lines_end_as_any_system_ends_them(ending: str) -> None:
    assert read((HEAD + ROW + ROW).replace("\n", ending)) == [SheetRow(2, READ), SheetRow(3, READ)]


def test_tabs_separate_too() -> None:
    assert read((HEAD + ROW).replace(",", "\t")) == [SheetRow(2, READ)]


@pytest.mark.parametrize(
    "cell", ["", "x", "nan", "inf", "1e5", "45,75", "45.7.5", "--1", "0x10", "9" * 400, "٤٥", "=1+1", "4 5", "1."]
)
def test_a_position_is_written_as_a_number(cell: str) -> None:
    found = fault(HEAD + f'a,Bellecour,"{cell}",4.8,UTC\n')
    assert (found.line, found.column) == (2, "lat")
    assert "lat" in found.reason or "formula" in found.reason


def test_an_address_is_no_position() -> None:
    found = fault("name,lat,lon,time_zone,address\nBellecour,,,UTC,12 place Bellecour\n")
    assert "An address alone is not enough" in found.reason


def test_a_column_a_day_says_when_a_place_is_open() -> None:
    head = "name,lat,lon,time_zone,mon,tue,sat\n"
    (row,) = read(head + "A,1,2,UTC,9:00-12:30 14:00–19:00,closed,\n")
    assert isinstance(row, SheetRow)
    hours = row.fields["opening_hours"]
    assert hours["mon"] == [["09:00", "12:30"], ["14:00", "19:00"]]
    assert hours == {"mon": hours["mon"], "tue": [], "wed": [], "thu": [], "fri": [], "sat": [], "sun": []}
    (always,) = read(head + "A,1,2,UTC,,,\n")
    assert isinstance(always, SheetRow)
    assert always.fields["opening_hours"] is None
    for cell in ("9-12", "09:00", "from nine", "09:00-12:30;x"):
        assert fault(head + f"A,1,2,UTC,{cell},,\n").column == "mon"


def test_opening_hours_may_be_json() -> None:
    head = "name,lat,lon,time_zone,opening_hours\n"
    (row,) = read(head + 'A,1,2,UTC,"{""mon"": [[""09:00"", ""19:30""]]}"\n')
    assert isinstance(row, SheetRow)
    assert row.fields["opening_hours"] == {"mon": [["09:00", "19:30"]]}
    for cell in ("{", "mon", "[" * 5_000, "9" * 5_000):
        assert fault(head + f"A,1,2,UTC,{cell}\n").column == "opening_hours"


@pytest.mark.parametrize("cell", ["=A1&B1", '=HYPERLINK("http://x")', "#REF!", "#N/A", "#NOM?"])
def test_a_formula_is_not_a_name(cell: str) -> None:
    quoted = cell.replace('"', '""')
    found = fault(HEAD + f'a,"{quoted}",1,2,UTC\n')
    assert found.column == "name"
    assert "formula" in found.reason


def test_a_row_has_no_more_cells_than_there_are_columns() -> None:
    assert fault(HEAD + "a,b,1,2,UTC,more\n").reason == "The row has 6 cells, and there are 5 columns."
    assert read(HEAD + "a,Bellecour,45.7578,4.8320,Europe/Paris,,,\n") == [SheetRow(2, READ)]
    assert isinstance(fault(HEAD.replace("\n", ",,\n") + "a,b,1,2,UTC,,more\n"), Fault)
    assert fault(HEAD + "a,b\n").column == "lat"


def test_a_quotation_mark_out_of_place_costs_its_row_only() -> None:
    first, second = read(HEAD + 'a,"Belle"cour,1,2,UTC\n' + ROW)
    assert isinstance(first, Fault)
    assert (first.line, "quotation mark" in first.reason) == (2, True)
    assert second == SheetRow(3, READ)
    *_, last = read(HEAD + ROW + 'b,"never closed,1,2,UTC\nc,Third,1,2,UTC\n')
    assert isinstance(last, Fault)
    assert last.line == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "The file is empty"),
        ("\ufeff\n\n", "The file is empty"),
        ("name,lat\n", "lacks the columns lon, time_zone"),
        ("just words\n", "lacks the columns name, lat, lon, time_zone"),
        (HEAD.replace("\n", ",adress\n"), "no columns 'adress'"),
        (HEAD.replace("\n", ",name\n"), "columns name are there twice"),
        (HEAD.replace("\n", ",mon,opening_hours\n"), "not both"),
        ("na\x00me,lat,lon,time_zone\n", "lacks the columns name"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_whole(text: str, reason: str) -> None:
    with pytest.raises(Invalid) as refusal:
        Sheet(text.encode())
    assert reason in refusal.value.detail


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252"])
def test_another_encoding_is_refused_in_words(encoding: str) -> None:
    with pytest.raises(Invalid, match="UTF-8"):
        Sheet((HEAD + ROW.replace("Bellecour", "Théâtre")).encode(encoding))


def test_a_file_has_ten_thousand_rows_at_most() -> None:
    assert len(read(HEAD + ROW * MOST_ROWS + "\n\n")) == MOST_ROWS
    with pytest.raises(Invalid, match="10,000"):
        read(HEAD + ROW * (MOST_ROWS + 1))


@given(st.binary(max_size=300))
def test_junk_is_a_refusal_or_faults_never_a_failure(junk: bytes) -> None:
    for file in (junk, HEAD.encode() + junk):
        try:
            found = list(Sheet(file).rows())
        except Invalid:
            continue
        assert all(isinstance(one, SheetRow | Fault) for one in found)


@given(st.lists(st.text(st.sampled_from('a1;,"\n\r=.-'), max_size=20), max_size=8))
def test_every_line_of_a_file_is_accounted_for(lines: list[str]) -> None:
    text = HEAD + "\n".join(lines)
    for one in Sheet(text.encode()).rows():
        assert 2 <= one.line <= text.count("\n") + text.count("\r") + 1
        assert set(one.fields if isinstance(one, SheetRow) else ()) <= set(COLUMNS)
