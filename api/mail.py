"""Mail: one-time sign-in links to members, over SMTP, only where PASSERELLE_SMTP_URL is set."""

import logging
import queue
import threading
from datetime import datetime
from email.message import EmailMessage

from campaigns.letters.smtp import Smtp

MOST_WAITING = 200  # letters; more are not sent, and the log says so

log = logging.getLogger("passerelle.mail")


class Postman:
    """Sends our few mails, after the commit, one after the other in a thread of its own.

    So a mail server that is away keeps no request waiting, and no thread from the others. A letter that cannot be sent
    is logged without its address, and one that waits when the server stops is lost: people ask for another link.
    """

    def __init__(self, smtp: Smtp) -> None:
        self._smtp = smtp
        self._letters: queue.Queue[EmailMessage] = queue.Queue(MOST_WAITING)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def post_sign_in_link(self, address: str, brand: str, url: str, expires_at: datetime) -> None:
        """Send a member the link that signs them in to the console of a brand, without waiting for it to go."""
        message = EmailMessage()
        message["Subject"] = "Passerelle : votre lien de connexion / your sign-in link"
        message["From"], message["To"] = self._smtp.sender, address
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
                self._smtp.send(message)
            except Exception as error:  # whatever one letter meets, the next ones go
                log.error("a sign-in link could not be sent: %s", type(error).__name__)
