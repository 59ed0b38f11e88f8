"""Every formula id that an answer carries is explained at /docs/figures, in French and English.

Tried by hand: an entry taken out of the list; an id in `read_stats` that the list does not have.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from campaigns.stats.formulas import FORMULAS, GROUPS
from tests.api.peers import Peers, name_of

ROOT = Path(__file__).resolve().parents[2]
ID = re.compile(r"[a-z][a-z_]*/[1-9][0-9]?\Z")
NO_FORMULAS = {"report/1"}  # what only looks like one: the format of a report


def written() -> dict[str, str]:
    """Every text of the code that is a formula's id, and where."""
    found = {}
    for folder in ("api", "campaigns"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.name.startswith("formulas"):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and ID.match(node.value):
                    found[node.value] = path.name
    return found


def carried(answer: Any) -> Iterator[str]:
    """The ids an answer carries, wherever in it: under `formula`, or in `formulas` by figure."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            if name == "formula":
                yield value
            elif name == "formulas":
                yield from value.values()
            else:
                yield from carried(value)
    elif isinstance(answer, list):
        for one in answer:
            yield from carried(one)


def test_every_id_in_the_code_is_explained() -> None:
    found = written()
    assert len(found) > 12
    assert {one: where for one, where in found.items() if one not in FORMULAS and one not in NO_FORMULAS} == {}


def test_every_id_that_an_answer_carries_is_explained(peers: Peers) -> None:
    found: set[str] = set()
    page = peers.client.get("/docs/figures", headers={"Accept": "text/html"}).text
    for route in peers.api():
        if name_of(route).startswith("GET"):
            answer = peers.ask(route, peers.one, "owner")
            if answer.headers["content-type"] == "application/json":
                found |= set(carried(answer.json()))
    assert {"inflation/1", "roi/1", "cost/1", "k_factor/1", "return_rate/1"} <= found
    assert [one for one in sorted(found) if f"<code>{one}</code>" not in page] == []


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_page_has_every_formula_in_either_language(peers: Peers, language: str) -> None:
    answer = peers.client.get(f"/docs/figures?lang={language}", headers={"Accept": "text/html"})
    assert answer.status_code == 200
    for one in FORMULAS.values():
        assert f'id="{one.id.replace("/", "-")}"' in answer.text
        assert one.words(language).name in answer.text.replace("&#39;", "'")
    assert ("Ce que disent les chiffres" in answer.text) is (language == "fr")
    assert 'href="/docs/figures"' in peers.client.get("/docs", headers={"Accept": "text/html"}).text


def test_the_list_is_whole_and_in_good_french() -> None:
    assert len(FORMULAS) == sum(len(group) for group in GROUPS.values())  # no id twice
    for one in FORMULAS.values():
        assert ID.match(one.id), one.id
        assert all((*one.english, *one.french)), one.id
        for text in one.french:
            assert not re.search(r"[^\u00a0\u202f][;!?»]|«[^\u00a0\u202f]", text), text
            assert not re.search(r"[^\u00a0\u202f]:", text), text
            assert "'" not in text, text
