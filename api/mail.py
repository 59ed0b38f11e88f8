"""Mail: one-time sign-in links to members, over SMTP, only where PASSERELLE_SMTP_URL is set."""

import logging
import queue
import smtplib
import ssl
import threading
from datetime import datetime
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from campaigns.errors import Invalid

PATIENCE_S = 15  # for the mail server
MOST_WAITING = 200  # letters; more are not sent, and the log says so
PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}

log = logging.getLogger("passerelle.mail")


class Postman:
    """Sends our few mails, after the commit, one after the other in a thread of its own.

    So a mail server that is away keeps no request waiting, and no thread from the others. A letter that cannot be sent
    is logged without its address, and one that waits when the server stops is lost: people ask for another link.

    `smtp://user:password@host:587` speaks STARTTLS, `smtps://` TLS from the first byte, `smtp+plain://` neither, for a
    relay on the same machine.
    """

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname or not sender:
            raise Invalid(
                "PASSERELLE_SMTP_URL is smtp://user:password@host:587, smtps://... or smtp+plain://..., and "
                "PASSERELLE_MAIL_FROM is the address that mails come from."
            )
        self._scheme, self._host = parts.scheme, parts.hostname
        self._port = parts.port or PORTS[parts.scheme]
        self._login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        self._sender = sender
        self._letters: queue.Queue[EmailMessage] = queue.Queue(MOST_WAITING)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def post_sign_in_link(self, address: str, brand: str, url: str, expires_at: datetime) -> None:
        """Send a member the link that signs them in to the console of a brand, without waiting for it to go."""
        message = EmailMessage()
        message["Subject"] = "Passerelle : votre lien de connexion / your sign-in link"
        message["From"], message["To"] = self._sender, address
        until = expires_at.strftime("%Y-%m-%d %H:%M UTC")
        message.set_content(
            f"{brand}\n\n"
            f"Ce lien vous connecte une fois à la console, jusqu’au {until} :\n"
            f"This link signs you in to the console once, until {until}:\n\n"
            f"{url}\n\n"
            "Vous ne l’avez pas demandé ? N’en faites rien.\nYou did not ask for it? Do nothing.\n"
        )
        try:
            self._letters.put_nowait(message)
        except queue.Full:
            log.error("a sign-in link could not be sent: too many letters wait")
            return
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._deliver, name="mail", daemon=True)
                self._thread.start()

    def _deliver(self) -> None:
        while True:
            message = self._letters.get()
            try:
                self._send(message)
            except Exception as error:  # whatever one letter meets, the next ones go
                log.error("a sign-in link could not be sent: %s", type(error).__name__)

    def _send(self, message: EmailMessage) -> None:
        context = ssl.create_default_context()
        if self._scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=PATIENCE_S, context=context)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=PATIENCE_S)
        with server:
            if self._scheme == "smtp":
                server.starttls(context=context)
            if self._login:
                server.login(*self._login)
            server.send_message(message)
