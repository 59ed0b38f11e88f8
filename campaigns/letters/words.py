"""The words of the letters, in French and English. Plain text: nothing in them calls home."""

from typing import NamedTuple

from campaigns.letters.models import LetterKind


class Words(NamedTuple):
    """Subject and body of a letter; `{brand}`, `{about}`, `{url}` and `{stop}` are put in."""

    subject: str
    body: str


_FOOT = {
    "fr": (
        "\n\n--\n{brand}, avec Passerelle. Nous n’écrivons que pour trois raisons : une réponse à vous, le résultat de "
        "votre vote, votre mission accomplie.\nNe plus rien recevoir, et effacer cette adresse :\n{stop}\n"
    ),
    "en": (
        "\n\n--\n{brand}, with Passerelle. We write for three reasons only: an answer to you, the result of your vote, "
        "your mission done.\nStop these letters, and erase this address:\n{stop}\n"
    ),
}
_WORDS: dict[str, dict[LetterKind, Words]] = {
    "fr": {
        LetterKind.CONFIRM: Words(
            "{brand} : confirmez votre adresse",
            "Quelqu’un a laissé cette adresse sur la page de {brand}. Si c’était vous, confirmez-la dans les 24 heures "
            "sur cette page :\n{url}\n\nCe n’était pas vous ? N’en faites rien : l’adresse s’efface d’elle-même et "
            "rien d’autre n’y est envoyé.\n",
        ),
        LetterKind.ANSWER: Words(
            "{brand} a répondu à votre idée", "{brand} a répondu à votre idée :\n\n« {about} »\n\n{url}"
        ),
        LetterKind.CASE: Words(
            "{brand} a répondu à votre demande", "{brand} a répondu à votre demande {about} :\n\n{url}"
        ),
        LetterKind.RESULT: Words(
            "Le résultat du vote : {about}",
            "Le vote auquel vous avez pris part est clos. Voici son résultat, et de quoi le recompter :\n\n"
            "{about}\n{url}",
        ),
        LetterKind.DONE: Words(
            "Mission accomplie : {about}",
            "Vous avez fait toutes les étapes de la mission « {about} ». Merci !\n\n{url}",
        ),
    },
    "en": {
        LetterKind.CONFIRM: Words(
            "{brand}: confirm your address",
            "Somebody left this address on the page of {brand}. If it was you, confirm it within 24 hours on this "
            "page:\n{url}\n\nIt was not you? Do nothing: the address erases itself, and nothing else is sent to it.\n",
        ),
        LetterKind.ANSWER: Words("{brand} answered your idea", "{brand} answered your idea:\n\n“{about}”\n\n{url}"),
        LetterKind.CASE: Words("{brand} answered your request", "{brand} answered your request {about}:\n\n{url}"),
        LetterKind.RESULT: Words(
            "The result of the vote: {about}",
            "The vote you took part in is closed. Here is its result, and how to recount it:\n\n{about}\n{url}",
        ),
        LetterKind.DONE: Words(
            "Mission done: {about}", "You did every step of the mission “{about}”. Thank you!\n\n{url}"
        ),
    },
}


def words_of(kind: LetterKind, language: str, *, brand: str, about: str, url: str, stop: str) -> Words:
    """A letter in a language; English for any other. All but the confirming one end with how to stop them."""
    language = language if language in _WORDS else "en"
    found, values = _WORDS[language][kind], {"brand": brand, "about": about, "url": url, "stop": stop}
    body = found.body if kind is LetterKind.CONFIRM else found.body + _FOOT[language]
    return Words(found.subject.format(**values), body.format(**values))
