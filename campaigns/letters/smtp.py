"""One letter over SMTP, to the server that PASSERELLE_SMTP_URL names."""

import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from campaigns.errors import Invalid

PATIENCE_S = 15  # for the mail server
PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}


class Smtp:
    """The mail server, and the address our letters come from.

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
        self.sender = sender
        self._scheme, self._host = parts.scheme, parts.hostname
        self._port = parts.port or PORTS[parts.scheme]
        self._login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None

    def send(self, message: EmailMessage) -> None:
        """Hand a letter over. Raises what smtplib and the network raise."""
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
