"""Letters, on both databases: only to who confirmed, once each, again after a failure, and gone with their address."""

from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import select

from campaigns import care, community, identity, letters, participants, privacy, worker
from campaigns.care.models import Case, Speaker
from campaigns.community import Rule, SubjectKind
from campaigns.errors import Forbidden, Invalid, NotFound, TooMany
from campaigns.identity import RIGHTS, Role
from campaigns.letters import Contact, Letter, LetterKind
from campaigns.letters.contacts import link_secret, tidy_address
from campaigns.letters.sending import Mailer, deliver, tell_results
from campaigns.letters.words import words_of
from campaigns.missions import Membership
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.sealing import Keyring
from campaigns.storage import Database
from tests.booth import Booth, open_booth
from tests.conftest import SECRET
from tests.racing import race
from tests.scene import minutes

KEYRING = Keyring(SECRET)
ADDRESS = "camille@verger.example"


class Box:
    """A mailbox: what was sent there. While it is shut every letter fails."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.is_shut = False
        self.mailer = Mailer(self._take, "passerelle@verger.example", KEYRING, "https://verger.example")

    def _take(self, message: EmailMessage) -> None:
        if self.is_shut:
            raise ConnectionRefusedError
        self.letters.append(message)

    def empty(self, database: Database, now: datetime) -> list[str]:
        """Send all that is due; the subjects of what came."""
        before = len(self.letters)
        while deliver(database, self.mailer, now=now):
            pass
        return [str(one["Subject"]) for one in self.letters[before:]]


def leave(booth: Booth, person: Participant, address: str = ADDRESS, **fields: Any) -> Contact:
    options = {"phone_key": 1, "keyring": KEYRING, "now": minutes(0), **fields}
    with booth.database.transaction() as session:
        return letters.ask(session, person, address=address, **options)


def confirm(booth: Booth, contact: Contact, now: datetime | None = None) -> Contact:
    with booth.database.transaction() as session:
        return letters.confirm(session, session.get_one(Contact, contact.id), now=now or minutes(1))


def with_address(booth: Booth, person: Participant, address: str = ADDRESS, **fields: Any) -> Contact:
    """A confirmed address, its confirming letter out of the way."""
    found = confirm(booth, leave(booth, person, address, **fields))
    Box().empty(booth.database, minutes(1))
    return found


def answer(booth: Booth, idea: UUID, text: str = "We shall see") -> UUID:
    fields: dict[str, Any] = {"email": "m@b.example", "name": "Ana", "role": Role.OWNER, "most": RIGHTS[Role.OWNER]}
    with booth.database.transaction() as session:
        member, *_ = identity.invite_member(session, booth.scene.campaign.organisation_id, now=minutes(-60), **fields)
        said = {"text": text, "member_id": member.id, "client_id": "a-1", "language": "en", "now": minutes(2)}
        community.post_answer(session, booth.scene.mission, idea, **said)  # type: ignore[arg-type]  # as it is named
    return member.id


def test_nothing_but_the_confirming_letter_goes_to_an_address_before_it_is_confirmed(database: Database) -> None:
    booth, box = open_booth(database), Box()
    idea = booth.idea()
    contact = leave(booth, booth.author)
    answer(booth, idea)
    booth.scene.drain(now=minutes(2))
    assert box.empty(database, minutes(2)) == ["La Halle : confirmez votre adresse"]
    (letter,) = box.letters
    assert letter["To"] == ADDRESS
    assert letter["List-Unsubscribe"] is None
    secret = link_secret(KEYRING, "confirm", contact.id)
    assert f"https://verger.example/letters/ctc_{contact.id.hex}/confirm/{secret}?lang=fr" in letter.get_content()
    assert box.empty(database, minutes(200)) == []


def test_the_three_letters_go_once_to_who_confirmed(database: Database) -> None:
    booth, box = open_booth(database), Box()
    voter, idea = booth.somebody(), booth.idea("Plant {pears}\nnow")
    with_address(booth, booth.author)
    with_address(booth, voter, "b@verger.example", phone_key=2)
    booth.vote(voter, idea, secret=KEYRING.ballot_secret(booth.scene.campaign.id))
    answer(booth, idea)
    for _ in range(2):
        booth.scene.drain(now=minutes(3))
        assert len(box.empty(database, minutes(3))) in (0, 1)
    assert [str(one["Subject"]) for one in box.letters] == ["La Halle a répondu à votre idée"]
    assert "« Plant {pears} now »" in box.letters[0].get_content()
    for _ in range(2):
        tell_results(database, box.mailer, now=minutes(61))
        box.empty(database, minutes(61))
    with database.snapshot() as session:
        assert letters.untold_rounds(session, now=minutes(61)) == []
    (_, result) = box.letters
    assert (result["To"], result["Subject"]) == ("b@verger.example", "Le résultat du vote : Un verger pour l’école")
    assert f"/rounds/rnd_{booth.round.id.hex}" in result.get_content()
    stop = str(result["List-Unsubscribe"])
    assert stop.startswith("<https://verger.example/letters/ctc_")
    assert stop.strip("<>") in result.get_content()
    assert result["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_a_letter_is_written_once_however_often_its_event_is_told(database: Database) -> None:
    booth, box = open_booth(database), Box()
    with_address(booth, booth.author)

    def tell(_: int) -> int:
        with database.transaction() as session:
            return letters.write(session, LetterKind.DONE, booth.scene.mission.id, [booth.author.id], minutes(2))

    outcomes = race(8, tell)
    assert sorted(outcomes) == [0] * 7 + [1], outcomes  # type: ignore[type-var]  # all numbers, or this fails
    assert box.empty(database, minutes(2)) == ["Mission accomplie : Un verger pour l’école"]


def test_who_has_done_a_mission_is_told(database: Database) -> None:
    booth, box = open_booth(database), Box()
    with_address(booth, booth.author)
    done = booth.scene.check_in(booth.scene.scan()).person
    with_address(booth, done, "b@verger.example", phone_key=2)
    booth.vote(done, booth.scene.post_idea(done).idea.id)
    booth.scene.drain(now=minutes(2))
    assert box.empty(database, minutes(2)) == ["Mission accomplie : Un verger pour l’école"]
    assert box.letters[0]["To"] == "b@verger.example"


def test_a_mission_that_was_undone_before_the_letter_is_not_told(database: Database) -> None:
    booth, box = open_booth(database), Box()
    done = booth.scene.check_in(booth.scene.scan()).person
    with_address(booth, done)
    booth.vote(done, booth.scene.post_idea(done).idea.id)
    with database.transaction() as session:
        (membership,) = session.exec(select(Membership).where(Membership.participant_id == done.id)).all()
        membership.completed_at = None
    booth.scene.drain(now=minutes(2))
    assert box.empty(database, minutes(2)) == []


def test_a_letter_that_fails_goes_again_and_is_given_up_at_last(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    booth, box = open_booth(database), Box()
    leave(booth, booth.author)
    box.is_shut = True
    now = minutes(0)
    assert box.empty(database, now) == []
    assert not deliver(database, box.mailer, now=now + timedelta(minutes=1)), "it waits before the next try"
    box.is_shut = False
    assert len(box.empty(database, now + timedelta(minutes=3))) == 1
    assert "ConnectionRefusedError" in caplog.text
    assert ADDRESS not in caplog.text
    leave(booth, booth.somebody(), "b@verger.example", phone_key=2)
    box.is_shut = True
    tries = 0
    for minute in range(4, 600):
        tries += deliver(database, box.mailer, now=minutes(minute))
    assert tries == 6
    with database.snapshot() as session:
        assert [one.due_at for one in session.exec(select(Letter))] == [None, None]


def test_of_racing_workers_each_letter_is_sent_by_one(database: Database) -> None:
    booth, box = open_booth(database), Box()
    for number in range(4):
        leave(booth, booth.somebody(), f"p{number}@verger.example", phone_key=number)
    race(8, lambda _: [deliver(database, box.mailer, now=minutes(0)) for _ in range(2)])
    box.empty(database, minutes(0))
    assert sorted(str(one["To"]) for one in box.letters) == [f"p{number}@verger.example" for number in range(4)]


def test_nobody_can_be_bombed_with_letters(database: Database) -> None:
    booth = open_booth(database)
    people = [booth.somebody() for _ in range(4)]
    for number, person in enumerate(people[:3]):
        leave(booth, person, "Victim@verger.example", phone_key=number)
    with pytest.raises(TooMany) as refused:
        leave(booth, people[3], "victim@VERGER.example", phone_key=9)
    assert refused.value.code == "too_many_letters"
    for number in range(5):
        leave(booth, people[3], f"p{number}@verger.example", phone_key=20 + number)
    with pytest.raises(TooMany):
        leave(booth, people[3], "p5@verger.example", phone_key=25)
    for number in range(10):
        leave(booth, booth.somebody(), f"q{number}@verger.example", phone_key=7)
    with pytest.raises(TooMany):
        leave(booth, booth.somebody(), "q10@verger.example", phone_key=7)
    assert leave(booth, people[0], now=minutes(24 * 60)).confirmed_at is None, "tomorrow it goes on"


def test_an_address_is_one_persons_and_goes_over_to_who_confirms_it_last(database: Database) -> None:
    booth = open_booth(database)
    old, new = with_address(booth, booth.author), leave(booth, booth.somebody(), phone_key=2)
    with database.snapshot() as session:
        assert session.get(Contact, old.id) is not None, "asking alone takes nothing from anybody"
    confirm(booth, new)
    with database.snapshot() as session:
        assert [one.id for one in session.exec(select(Contact))] == [new.id]
    others = [leave(booth, booth.somebody(), "c@verger.example", phone_key=3 + number) for number in range(3)]
    outcomes = race(3, lambda index: confirm(booth, others[index]))
    with database.snapshot() as session:
        confirmed = session.exec(select(Contact).where(Contact.confirmed_at != None)).all()  # noqa: E711  # SQL
    assert len(confirmed) == 2
    assert [type(one) for one in outcomes] == [Contact] * 3, outcomes


def test_an_old_or_wrong_link_confirms_nothing(database: Database) -> None:
    booth = open_booth(database)
    contact = leave(booth, booth.author)
    with pytest.raises(NotFound):
        confirm(booth, contact, now=minutes(24 * 60))
    with database.snapshot() as session:
        for purpose, secret in (
            ("confirm", "0" * 32),
            ("confirm", link_secret(KEYRING, "stop", contact.id)),
            ("stop", "é"),
        ):
            with pytest.raises(NotFound):
                letters.contact_by_link(session, KEYRING, purpose, contact.id, secret)


def test_under_fifteen_nobody_leaves_an_address(database: Database) -> None:
    booth = open_booth(database)
    person = booth.somebody()
    with database.transaction() as session:
        person = participants.declare_age(session, person, is_under_15=True, now=minutes(0))
    with pytest.raises(Forbidden):
        leave(booth, person)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "a@b",
        "a b@c.fr",
        "a@b.fr\nBcc: x@y.fr",
        "<a@b.fr>",
        "a@b.fr,c@d.fr",
        "a@b..",
        "é" * 300,
        "a\u202e@b.fr",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Invalid):
        tidy_address(address)


def test_the_address_is_sealed_and_gone_with_its_person_and_by_the_clock(database: Database) -> None:
    booth, box = open_booth(database), Box()
    idea = booth.idea()
    contact = with_address(booth, booth.author)
    assert ADDRESS.encode() not in contact.sealed
    answer(booth, idea)
    booth.scene.drain(now=minutes(2))
    with database.erasing() as session:
        privacy.erase(session, booth.author.id, note=lambda *_: None, now=minutes(3))
    assert box.empty(database, minutes(4)) == []
    leave(booth, booth.somebody(), "b@verger.example", phone_key=2)
    worker.purge(database, now=minutes(25 * 60))
    with database.snapshot() as session:
        assert session.exec(select(Contact)).all() == []
        assert session.exec(select(Letter)).all() == []
    assert booth.scene.problems() == []


def test_who_told_the_shop_something_hears_of_each_answer(database: Database) -> None:
    booth, box = open_booth(database), Box()
    person = booth.somebody()
    with_address(booth, person)
    told: dict[str, Any] = {"text": "The tree leans", "client_id": "t-1", "language": "fr", "sender_key": 1}
    with database.transaction() as session:
        campaign = session.get_one(Campaign, booth.scene.campaign.id)
        case = care.open_case(
            session, campaign, mission_id=None, place=None, person=person, now=minutes(1), **told
        ).case
    for number, speaker in enumerate((Speaker.SHOP, Speaker.BRAND), 2):
        with database.transaction() as session:
            found = session.get_one(Case, case.id)
            care.answer(session, found, text="We mend it", speaker=speaker, now=minutes(number))
        booth.scene.drain(now=minutes(number))
        assert box.empty(database, minutes(number)) == ["La Halle a répondu à votre demande"]
    secret = care.secret_of(KEYRING.derive("case-link"), case.id)
    assert f"/cases/{case.reference}/{secret}?lang=fr" in box.letters[1].get_content()


def test_who_turns_out_to_be_under_fifteen_has_no_address_any_more(database: Database) -> None:
    booth = open_booth(database)
    with_address(booth, booth.author)
    with database.erasing() as session:
        privacy.declare_young(session, booth.author, now=minutes(2))
    with database.snapshot() as session:
        assert session.exec(select(Contact)).all() == []


def test_an_answer_under_a_hidden_idea_is_not_told(database: Database) -> None:
    booth, box = open_booth(database), Box()
    idea = booth.idea()
    with_address(booth, booth.author)
    member_id = answer(booth, idea)
    booth.scene.drain(now=minutes(2))
    with database.transaction() as session:
        subject = community.subject_in(session, booth.scene.mission, SubjectKind.IDEA, idea)
        options = {"rule": Rule.PRIVATE_DATA, "reason": "x", "member_id": member_id, "now": minutes(3)}
        community.hide(session, booth.scene.mission, subject, **options)  # type: ignore[arg-type]  # as it is named
    assert box.empty(database, minutes(4)) == []


def test_every_letter_has_its_words_in_both_languages() -> None:
    for kind in LetterKind:
        for language in ("fr", "en", "und"):
            words = words_of(kind, language, brand="B {x}", about="A", url="U", stop="S")
            assert "U" in words.body
            assert ("S" in words.body.split()) == (kind is not LetterKind.CONFIRM)
            assert "{brand}" not in words.subject + words.body
