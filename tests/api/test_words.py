"""Every sentence a person may read has its French, and no French is left that nobody reads."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from api.pages.refusals import MESSAGES
from tests.api.test_contract import raised_codes
from tests.conftest import ROOT

PAGES = ROOT / "api" / "pages"
PO = PAGES / "locales" / "fr" / "LC_MESSAGES" / "passerelle.po"
# Codes that only the API answers, or that a page shows in a form of its own.
NOT_ON_PAGES = {
    "error",
    "forbidden",
    "gone",
    "too_many",
    "unauthenticated",
    "hosts_in_use",
    "holdout_drawn",
    "counted_by_log",
    "periods_overlap",
    "conversion_differs",
    "targets_locked",
    "rules_frozen",
    "idempotency_key_reused",
    "still_running",
    "precondition_failed",
    "job_running",
    "tag_taken",
    "nothing_to_print",
    "merge_needed",
    "overdrawn",
    "pledge_matched",
    "coupons_out",
    "occurred_at_far",
    "currency_mismatch",
    "too_many_webhooks",
    "secret_rotating",
    "webhook_off",
    "threshold_there",
    "too_many_thresholds",
    "campaign_paused",
}


@pytest.fixture(scope="module")
def french() -> Catalog:
    with PO.open("rb") as file:
        return read_po(file, locale="fr", abort_invalid=True)


def in_templates() -> Iterator[str | tuple[str, ...]]:
    """What the templates say, as babel finds it."""
    methods = [("**.html", "jinja2.ext:babel_extract")]
    for _, _, message, _, _ in extract_from_dir(PAGES / "templates", methods):
        yield message


def in_code() -> Iterator[str]:
    """What `renderer.word` is given: literals, or every literal of the function that chooses among them."""
    for path in sorted((ROOT / "api").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from words_of(node, path)


def words_of(function: ast.FunctionDef | ast.AsyncFunctionDef, path: Path) -> Iterator[str]:
    calls = [one for one in ast.walk(function) if isinstance(one, ast.Call)]
    said = [one.args[1] for one in calls if isinstance(one.func, ast.Attribute) and one.func.attr == "word"]
    chosen = False
    for text in said:
        literals = [one.value for one in ast.walk(text) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        yield from literals
        chosen = chosen or not literals
    if chosen and path.name == "views.py":  # render.py chooses from MESSAGES
        doc = ast.get_docstring(function, clean=False)
        for one in ast.walk(function):
            if isinstance(one, ast.Constant) and isinstance(one.value, str) and " " in one.value and one.value != doc:
                yield one.value


def used() -> set[str]:
    """Every msgid."""
    found = {text if isinstance(text, str) else text[0] for text in in_templates()}
    return found | set(in_code()) | {text for message in MESSAGES.values() for text in message if text}


def test_every_sentence_on_a_page_has_its_french(french: Catalog) -> None:
    known = {message.id if isinstance(message.id, str) else message.id[0] for message in french if message.id}
    assert len(used()) > 150
    assert sorted(used() - known) == []


def test_no_french_is_left_that_nobody_reads(french: Catalog) -> None:
    known = {message.id if isinstance(message.id, str) else message.id[0] for message in french if message.id}
    assert sorted(known - used()) == []


def test_every_french_sentence_is_complete_and_keeps_its_values(french: Catalog) -> None:
    for message in french:
        if not message.id:
            continue
        originals = (message.id,) if isinstance(message.id, str) else tuple(message.id)
        translations = french_of(message)
        assert all(translations), message.id
        assert not message.fuzzy, message.id
        for text in translations:
            assert values_of(text) <= {name for original in originals for name in values_of(original)}, message.id
        assert values_of(originals[-1]) == values_of(translations[-1]), message.id


def french_of(message: Message) -> tuple[str, ...]:
    found: Any = message.string  # babel types it as more than a catalogue that was read can hold
    return tuple(found) if isinstance(found, list | tuple) else (found,)


def values_of(text: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)s", text))


def test_french_punctuation_has_its_no_break_spaces(french: Catalog) -> None:
    for message in french:
        for text in french_of(message):
            plain = re.sub(r"<[^>]*>|%\(\w+\)s|%%", "x", text) if message.id else ""
            assert not re.search(r"[^\u00a0\u202f][;!?»]|«[^\u00a0\u202f]", plain), text
            assert not re.search(r"[^\u00a0\u202f]:(?!\d|//)", plain), text
            assert "'" not in plain, text


def test_every_refusal_that_a_page_may_show_has_a_sentence_of_its_own() -> None:
    codes = {code for _, _, code in raised_codes()}
    assert sorted(codes - set(MESSAGES) - NOT_ON_PAGES) == []
