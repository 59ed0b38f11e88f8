"""Sign-in links by mail: a real SMTP conversation, and what happens when the mail server is away."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage

import httpx2
import pytest

from api.mail import Postman
from campaigns.errors import Invalid
from campaigns.letters.smtp import Smtp
from tests.api.helpers import Shop, inside, made, make_shop, problem
from tests.conftest import Server, client, free_port, running_server, wait_until
from tests.mail_sink import MailSink, mail_sink

JSON = {"Accept": "application/json"}
ADDRESS = "camille@lahalle.example"


@dataclass(frozen=True)
class Posting:
    """A server that sends mail, and where the mail arrives."""

    server: Server
    sink: MailSink

    def link(self, number: int) -> str:
        """The link in the letter of that number, once it is there."""
        wait_until(lambda: len(self.sink.letters) >= number)
        text = self.sink.letters[number - 1].get_content()
        return str(re.findall(r"http://\S+/console/sign-in/\S+", text)[0])


@pytest.fixture(scope="module")
def posting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Posting]:
    """One server for these tests; which database it has is nothing to mail."""
    with mail_sink() as sink:
        url = f"sqlite:///{tmp_path_factory.mktemp('mail')}/passerelle.db"
        settings = {
            "PASSERELLE_SMTP_URL": f"smtp+plain://127.0.0.1:{sink.port}",
            "PASSERELLE_MAIL_FROM": "passerelle@lahalle.example",
        }
        with running_server(url, **settings) as server:
            yield Posting(server, sink)


def test_invitation_and_links_go_by_mail_and_nowhere_else(posting: Posting) -> None:
    server, sink = posting.server, posting.sink
    with server.api() as api, server.phone(Accept="text/html") as it:
        member = made(api.post("/v1/members", json={"email": ADDRESS, "name": "Camille", "role": "owner"}))
        assert member["sign_in_link"]["url"] is None
        assert member["sign_in_link"]["sent_to"] == ADDRESS
        invitation = posting.link(1)
        letter = sink.letters[0]
        assert (letter["To"], letter["From"]) == (ADDRESS, "passerelle@lahalle.example")
        assert "votre lien de connexion" in letter["Subject"]
        assert letter.get_content().splitlines()[0] == "La Halle"
        assert it.post(invitation).status_code == 303

        asked = made(api.post(f"/v1/members/{member['id']}/sign-in-links"))
        assert asked["url"] is None
        assert posting.link(2) != invitation

        # From the console it is the same: the owner who asks does not see it.
        answer = it.post(f"/console/members/{member['id']}/sign-in-links")
        assert answer.headers["location"].endswith("?done=sent")
        posting.link(3)
        assert "/console/sign-in/" not in it.get("/console/shown").text

        # And for who is not signed in, with the same answer for every address.
        with client(server.url) as stranger:
            answers = [
                stranger.post("/console/sign-in", data={"email": email})
                for email in ("nobody@lahalle.example", f" {ADDRESS.upper()} ", "not an address", "")
            ]
            assert {(one.status_code, one.headers["location"], one.text) for one in answers} == {
                (303, "/console/sign-in?done=asked", "")
            }
            assert "email" in stranger.get("/console/sign-in").text
            assert stranger.post(posting.link(4)).status_code == 303
        assert len([one for one in sink.letters if one["To"] == ADDRESS]) == 4


def letters_to(posting: Posting, address: str, number: int) -> list[EmailMessage]:
    """The letters to an address, once there are so many."""

    def found() -> list[EmailMessage]:
        return [one for one in list(posting.sink.letters) if one["To"] == address]

    wait_until(lambda: len(found()) >= number)
    return found()


def link_in(letter: EmailMessage, purpose: str) -> str:
    return str(re.findall(rf"http://\S+/letters/ctc_[0-9a-f]+/{purpose}/[0-9a-f]+", letter.get_content())[0])


def complete(shop: Shop, phone: httpx2.Client) -> None:
    """Check in at the place: with the idea given before, the mission is done."""
    receipt = shop.scan()["receipt"]
    answer = phone.post(f"/t/{shop.code}/check-in", json={"receipt": receipt, **inside()}, headers=JSON)
    assert answer.status_code == 200, answer.text


def test_a_person_leaves_an_address_confirms_it_is_written_to_and_stops_it(posting: Posting) -> None:
    server, address = posting.server, "noe@verger.example"
    shop = make_shop(server)
    with server.phone(Accept="text/html", **{"Accept-Language": "fr"}) as it, server.api() as api:
        assert it.get("/me/address").status_code == 404
        assert it.post(f"/m/{shop.slug}/ideas", json={"text": "Des poiriers"}, headers=JSON).status_code == 201
        assert "/me/address?lang=fr&amp;participant=par_" in it.get("/me").text
        for bad in ("x", "a@b", "x" * 300 + "@b.fr", "a@b.fr<i>"):
            refused = it.post("/me/address", data={"address": bad})
            assert refused.status_code == 422
            assert f'value="{bad.replace("<", "&lt;").replace(">", "&gt;")}"' in refused.text
        assert it.post("/me/address", data={"address": address}).headers["location"].startswith("/me?just=mail_asked")
        confirming = link_in(letters_to(posting, address, 1)[0], "confirm")
        for _ in range(2):
            assert address in it.get(confirming).text, "GET changes nothing"
        assert "Pas encore confirmée" in it.get("/me").text
        assert it.get(confirming[:-12] + "0" * 12).status_code == 404
        assert it.post(confirming, headers={"Origin": "https://evil.example"}).status_code == 403
        assert it.post(confirming).status_code == 200
        assert "Confirmée." in it.get("/me").text
        assert it.get("/me/export").json()["people"][0]["contact"][0]["address"] == address
        complete(shop, it)
        letter = letters_to(posting, address, 2)[1]
        assert letter["Subject"] == "Mission accomplie : Un verger pour l’école"
        stop = link_in(letter, "stop")
        assert letter["List-Unsubscribe"] == f"<{stop}>"
        assert "Ne plus recevoir" in it.get(stop).text
        assert "Confirmée." in it.get("/me").text, "GET changes nothing"
        with client(server.url) as mailbox:  # RFC 8058: no cookie, no origin, this body
            assert mailbox.post(stop, data={"List-Unsubscribe": "One-Click"}).status_code == 200
            assert mailbox.post(stop, data={"List-Unsubscribe": "One-Click"}).status_code == 200
        assert address not in it.get("/me").text
        assert it.get("/me/export").json()["people"][0]["contact"] == []
        assert it.post("/me/address/removal", json={}, headers=JSON).json() == {"erased": False}
        assert address not in str(api.get("/v1/audit?limit=200").json())


def test_under_fifteen_no_address_is_taken_and_a_form_asks_the_age_once(posting: Posting) -> None:
    shop = make_shop(posting.server)
    with posting.server.phone(Accept="text/html") as it:
        assert it.post(f"/m/{shop.slug}/join", json={}, headers=JSON).status_code == 200
        asked = it.post("/me/address", data={"address": "young@verger.example"})
        assert (asked.status_code, "young@verger.example" in asked.text) == (422, True)
        young = it.post("/me/address", data={"address": "young@verger.example", "age": "under_15"})
        assert young.status_code == 403
        again = {"address": "young@verger.example", "age": "15_or_older"}
        problem(it.post("/me/address", json=again, headers=JSON), 403, "under_age_mail")
    assert [one for one in posting.sink.letters if one["To"] == "young@verger.example"] == []


def test_a_mail_server_that_hangs_keeps_no_request_waiting(posting: Posting) -> None:
    server, sink = posting.server, posting.sink
    sink.is_mute = True
    try:
        headers = {"Authorization": f"Bearer {server.key}"}
        with client(server.url, headers=headers, timeout=8) as api:  # less than the postman's patience
            for number in range(12):  # more than there are threads
                fields = {"email": f"away{number}@lahalle.example", "name": "Noé", "role": "analyst"}
                made(api.post("/v1/members", json=fields))
            assert api.get("/console/sign-in").status_code == 200
    finally:
        sink.is_mute = False


def test_a_letter_that_cannot_be_sent_is_logged_without_its_address(caplog: pytest.LogCaptureFixture) -> None:
    postman = Postman(Smtp(f"smtp+plain://127.0.0.1:{free_port()}", "passerelle@lahalle.example"))
    with caplog.at_level(logging.ERROR, "passerelle.mail"):
        postman.post_sign_in_link(ADDRESS, "La Halle", "https://shop.example/console/sign-in/secret", datetime.now(UTC))
        wait_until(lambda: bool(caplog.records))
    told = caplog.text
    assert "could not be sent: ConnectionRefusedError" in told
    assert ADDRESS not in told
    assert "secret" not in told


@pytest.mark.parametrize("url", ["http://mail.example", "smtp://", "mail.example:25", "smtps:///x"])
def test_a_mail_server_is_named_in_full(url: str) -> None:
    with pytest.raises(Invalid, match="PASSERELLE_SMTP_URL"):
        Smtp(url, "passerelle@lahalle.example")
    with pytest.raises(Invalid):
        Smtp("smtp://mail.example", "")
