"""What a formula is: an id with its version, and what it says in both languages."""

from typing import NamedTuple


class Words(NamedTuple):
    """A formula in one language: its name, what it says in plain words, and how it is reckoned."""

    name: str
    meaning: str
    formula: str


class Formula(NamedTuple):
    """One version of a formula. `source`: where it comes from, when it is not our own."""

    id: str
    english: Words
    french: Words
    source: str = ""

    def words(self, language: str) -> Words:
        return self.french if language == "fr" else self.english
