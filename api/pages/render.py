"""Rendering: Jinja2 in French and English, and the hosted page of a scan, made once and spliced for each visitor.

The page is the same for everybody but for its last bytes, the form with code and receipt. Its head is compressed once
per place, language and state; the form goes behind it as a stored block (RFC 1951, section 3.2.4), which costs
microseconds where compressing the page again would cost half a millisecond.
"""

import base64
import hashlib
import io
import secrets
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import quote

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from campaigns.missions.models import text_in

LANGUAGES = ("fr", "en")
_MARK = f"\x02{secrets.token_hex(8)}\x03"  # nobody can type it: it is made anew by each process
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
_PAGES = resources.files("api") / "pages"


@dataclass(frozen=True, slots=True)
class Spliced:
    """A page but for its form: the head as it is and deflated, the CRC-32 and length of the head, the bytes behind."""

    head: bytes
    deflated: bytes
    crc: int
    tail: bytes

    @classmethod
    def of(cls, html: str) -> "Spliced":
        """Cut a page at its mark and compress what comes before."""
        head, tail = (part.encode() for part in html.split(_MARK))
        pack = zlib.compressobj(9, zlib.DEFLATED, -15)
        deflated = pack.compress(head) + pack.flush(zlib.Z_FULL_FLUSH)
        return cls(head, _GZIP_HEAD + deflated, zlib.crc32(head), tail)

    def plain(self, form: bytes) -> bytes:
        """The whole page, not compressed."""
        return self.head + form + self.tail

    def gzipped(self, form: bytes) -> bytes:
        """The whole page as gzip: the deflated head, the form as the last stored block, the trailer."""
        rest = form + self.tail
        length = len(rest)
        return b"".join(
            (
                self.deflated,
                struct.pack("<BHH", 1, length, length ^ 0xFFFF),
                rest,
                struct.pack("<II", zlib.crc32(rest, self.crc), (len(self.head) + length) & 0xFFFFFFFF),
            )
        )


def act_form(code: str, receipt: bytes, lang: str = "", act: str = "check-in") -> bytes:
    """The forms that a scan page's controls belong to. `lang` is the page's, when the phone's own is another."""
    query = f"?lang={lang}" if lang else ""
    return (
        b'<form id="act" method="post" action="/t/%s/%s%s"><input type="hidden" name="receipt" value="%s"></form>%s'
        % (code.encode(), act.encode(), query.encode(), receipt, report_form(code, lang))
    )


def report_form(code: str, lang: str = "") -> bytes:
    """The form of the button that reports a code, which is all there is to do with one that is closed."""
    kept = f'<input type="hidden" name="lang" value="{lang}">' if lang else ""
    return b'<form id="report" action="/report/%s">%s</form>' % (code.encode(), kept.encode())


_SCRIPTS = ("shopper.js", "staff.js", "screen.js", "tags.js")


class Renderer:
    """The templates in each language, and the headers every page needs."""

    def __init__(self, *, is_https: bool) -> None:
        self.css = (_PAGES / "static" / "passerelle.css").read_text()
        self.console_css = (_PAGES / "static" / "console.css").read_text()  # apart: no shopper loads it
        self._catalogues = {language: _translations(language) for language in LANGUAGES}
        self._environments = {one: _environment(one, self._catalogues[one]) for one in LANGUAGES}
        self.headers = _security_headers((self.css, self.console_css), is_https=is_https)
        # Browsers hold every redirect of a form's answer against form-action, also those another site makes after it.
        self.leaving_policy = self.headers["Content-Security-Policy"].replace(
            "form-action 'self'", "form-action 'self' https: http:"
        )
        self.scripts = {name: (_PAGES / "static" / name).read_bytes() for name in _SCRIPTS}

    def script(self, name: str) -> str:
        """The URL of a module; it changes with its content, so it may be cached for ever."""
        return f"/static/{name}?v={hashlib.sha256(self.scripts[name]).hexdigest()[:8]}"

    def page(self, name: str, language: str, **context: Any) -> str:
        """A page as HTML. `context` overrides the frame's defaults (brand, owner, notices, js, ...)."""
        other = "en" if language == "fr" else "fr"
        frame: dict[str, Any] = {
            "lang": language,
            "other_lang": other,
            "other_lang_url": f"?lang={other}",
            "css": self.css,
        }
        defaults = {"brand": "", "js": "", "owner": "", "notices": [], "rules_url": ""}
        return self._environments[language].get_template(name).render({**frame, **defaults, **context})

    def spliced(self, name: str, language: str, **context: Any) -> Spliced:
        """The same, cut where the visitor's form goes."""
        return Spliced.of(self.page(name, language, act_form=Markup(_MARK), **context))  # noqa: S704  # a constant

    def word(self, language: str, text: str, **values: Any) -> str:
        """A sentence of the catalogue in a language, with its values put in."""
        found = self._catalogues[language].gettext(text)
        return found % values if values else found

    def sentence(self, language: str, code: str, detail: str = "") -> str:
        """What happened and the next step in one line, for a page that shows more; unknown codes show the detail."""
        _, happened, step = MESSAGES.get(code, ("", detail, ""))
        return " ".join(self.word(language, text) for text in (happened, step) if text)

    def refusal(
        self,
        request: Request,
        status: int,
        code: str,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        typed: dict[str, str] | None = None,
    ) -> HTMLResponse:
        """A refusal as a page: what happened and one next step. With `typed`, the form once more as it was sent."""
        language = language_of(request.query_params.get("lang"), request.headers.get("accept-language", ""))
        if typed is None:
            html = self.message(language, code, detail)
        else:
            url = request.url
            html = self._again(language, code, detail, f"{url.path}?{url.query}" if url.query else url.path, typed)
        return HTMLResponse(html, status, headers={"Cache-Control": "no-store", **(headers or {})})

    def _again(self, language: str, code: str, detail: str, action: str, typed: dict[str, str]) -> str:
        title, message, _ = MESSAGES.get(code, ("That did not work", detail, ""))
        return self.page(
            "again.html",
            language,
            title=self.word(language, title),
            message=self.word(language, message),
            action=action,
            typed=typed,
            other_lang_url="",
        )

    def message(
        self, language: str, code: str, detail: str = "", *, mission: Any = None, asked: str = "", **values: Any
    ) -> str:
        """The page of a message by its code; unknown ones show the detail. `asked` is a printed code to report."""
        title, message, step = MESSAGES.get(code, ("That did not work", detail, ""))
        url, label = _ONWARD.get(code, ("/", "Type a code"))
        return self.page(
            "message.html",
            language,
            title=self.word(language, title),
            message=self.word(language, message, **values),
            next_step=self.word(language, step) if step else "",
            action_url=mission.url if mission else (url if label else ""),
            action_label=self.word(language, "See the mission" if mission else label) if mission or label else "",
            mission=mission,
            report_url=f"/report/{quote(asked, safe='', errors='replace')}" if asked else "",
            other_lang_url="",
        )


# code -> (where its page leads, what the link says); the others lead to the field for a code.
_ONWARD = {
    "not_signed_in": ("/staff", ""),
    "no_live_code": ("/staff", "Shop console"),
    "manager_needed": ("/staff", "Shop console"),
    "member_not_signed_in": ("/console/sign-in", "Sign in"),
    **dict.fromkeys(("right_missing", "own_proposal", "decided_already"), ("/console", "To the console")),
}

# code -> (title, what happened, next step). Plain English is the key of the French catalogue.
MESSAGES: dict[str, tuple[str, str, str]] = {
    "unknown_code": (
        "We do not know this code",
        "Perhaps a character was misread, or the print is too old.",
        "Check the characters printed under the code and type them again.",
    ),
    "guessing": (
        "Please wait a minute",
        "Too many unknown codes were asked for from here.",
        "Scan a printed code with the camera: known codes still work.",
    ),
    "suspended": (
        "This code is taking a break",
        "It was switched off for a while.",
        "Scan it again later, or ask the staff.",
    ),
    "replaced": (
        "This code was replaced",
        "A new code has taken its place.",
        "Go on to the new one: it is one tap away.",
    ),
    "revoked": (
        "This code was withdrawn",
        "It is no longer in use.",
        "Look for a newer code in the shop, or ask the staff.",
    ),
    "expired": (
        "This code has expired",
        "It was made for a time that is over.",
        "Look for a newer code in the shop, or ask the staff.",
    ),
    "page_away": (
        "Your scan is noted",
        "The page of this mission cannot be shown just now.",
        "Come back in a few minutes: your scan is kept.",
    ),
    "log_unavailable": (
        "Please try again in a moment",
        "Too many people are scanning at once, and we do not want to lose your scan.",
        "Wait a few seconds and reload this page.",
    ),
    "receipt_expired": (
        "This scan is too old",
        "Too much time has passed since you scanned.",
        "Scan the code again: it takes a second.",
    ),
    "receipt_forged": (
        "This page is out of date",
        "What your phone sent does not belong to a scan of ours.",
        "Scan the code again: it takes a second.",
    ),
    "receipt_of_another_code": (
        "This page belongs to another code",
        "What your phone sent was made for another code.",
        "Scan the code in front of you.",
    ),
    "already_checked_in": (
        "This visit was already counted.",
        "This scan was checked in a moment ago.",
        "Scan the code again if this was somebody else’s visit.",
    ),
    "serial_used": (
        "This code was used already",
        "Each of these codes is good once, and this one has been used.",
        "Take another code, or ask the staff if you have not used this one.",
    ),
    "already_posted": ("Thank you, your idea is in.", "This idea arrived a moment ago.", "You need not send it again."),
    "reported": (
        "Thank you",
        "This code was reported many times today already.",
        "You need not report it again.",
    ),
    "report_too_long": ("Your report was not sent", "A report has at most 500 characters; shorten it a little.", ""),
    "idea_empty": ("Your idea was not sent", "Write your idea first: the text is empty.", ""),
    "idea_too_long": ("Your idea was not sent", "An idea has at most 500 characters; shorten it a little.", ""),
    "under_age": (
        "From 15 years on",
        "Your idea was not sent: writing is for people of 15 and over.",
        "You can go on checking in in the shops. If this is a mistake, ask us.",
    ),
    "age_missing": ("Your idea was not sent", "Say whether you are 15 or older.", ""),
    "erased": (
        "This visit was erased",
        "It stays counted, but nobody knows any more who made it.",
        "Scan the code again to take part anew.",
    ),
    "no_such_step": ("That did not work", "This mission does not ask for ideas.", "See what it asks for on its page."),
    "conflict": (
        "That did not work",
        "It was done already, or something changed meanwhile.",
        "Reload the page and look again.",
    ),
    "too_large": ("That did not work", "What your phone sent is too large.", "Shorten it and try again."),
    "campaign_closed": (
        "This campaign takes nothing more just now",
        "It has not started, is taking a break, or is over.",
        "Thank you for coming. Nothing you did is lost.",
    ),
    "till_code_wrong": (
        "This is not the code of the moment.",
        "This is not the code of the moment.",
        "It changes every 30 seconds: read it again from the shop’s screen.",
    ),
    "till_code_tries": (
        "Too many codes were tried",
        "For safety, no more till codes are taken here for now.",
        "Share your position, or ask the staff.",
    ),
    "presence_missing": (
        "First show that you were in the shop",
        "This step is for people who came: that is what gives it weight.",
        "Scan a code in a shop and check in, then come back here.",
    ),
    "not_found": (
        "There is nothing at this address",
        "The link may be cut short or too old.",
        "Type the code you saw in the shop, or scan it again.",
    ),
    "method_not_allowed": ("That did not work", "This address does not take what your phone sent.", "Scan again."),
    "cross_site": (
        "This form came from elsewhere",
        "It was sent from another site, so we did not take it.",
        "Open the page from the code in the shop and try again.",
    ),
    "not_signed_in": (
        "This phone is not signed in",
        "The shop console opens with a sign-in link of the shop.",
        "Ask your manager for a new link.",
    ),
    "unknown_link": (
        "This link is not one of ours",
        "This sign-in link is not one of ours: perhaps it was cut short.",
        "Ask your manager for a new link.",
    ),
    "link_used": (
        "This link was used already",
        "A sign-in link works once, and this one has signed a phone in.",
        "Ask your manager for a new link.",
    ),
    "link_expired": (
        "This link is too old",
        "This sign-in link was good for a time that is over.",
        "Ask your manager for a new link.",
    ),
    "locked": ("This phone is locked", "Nothing was done: the phone was locked meanwhile.", "Type its PIN first."),
    "manager_needed": (
        "That is for the manager’s phone",
        "This phone is signed in as staff. Nothing was done.",
        "Ask your manager to do it from theirs.",
    ),
    "pin_shape": ("Choose four digits", "A PIN is exactly four digits, 0 to 9.", ""),
    "pin_tries": (
        "This phone was signed out",
        "The PIN was wrong five times in a row, so this phone was signed out.",
        "Ask your manager for a new link.",
    ),
    "sign_in_link_used": (
        "This link is used up",
        "A sign-in link works once, and not for long.",
        "Ask for a new one.",
    ),
    "member_not_signed_in": (
        "You are not signed in",
        "A session ends after twelve hours, or after half an hour without you.",
        "Sign in with a new link.",
    ),
    "right_missing": (
        "That is not for your role",
        "Your role does not allow this.",
        "Ask an owner of the organisation.",
    ),
    "own_proposal": (
        "Somebody else decides this",
        "You proposed it, or issued the key that did.",
        "Ask another member who may approve.",
    ),
    "decided_already": (
        "That is decided already",
        "Somebody was faster, or it was taken back.",
        "Load the page again to see what was decided.",
    ),
    "last_owner": (
        "The last owner stays",
        "An organisation keeps at least one owner who has signed in.",
        "Make somebody else an owner first.",
    ),
    "member_exists": (
        "Somebody with this address is a member already",
        "An address belongs to one member of an organisation.",
        "Look for it in the list of members.",
    ),
    "too_many_links": (
        "That is enough links for now",
        "This member was sent five links in half an hour.",
        "Use one of them, or wait.",
    ),
    "wrong_state": (
        "That does not fit its state",
        "Its state changed meanwhile, or does not lead there.",
        "Load the page again and look.",
    ),
    "too_many_keys": (
        "That is enough keys for now",
        "An organisation has at most 200 live keys.",
        "Revoke some that nobody uses.",
    ),
    "rotation_running": (
        "Two keys of this line live already",
        "The key was rotated before, and both still work.",
        "Revoke the old one first.",
    ),
    "no_live_code": (
        "This screen has no code to show",
        "No live code stands in this shop just now.",
        "Ask who runs the campaign to issue one, then open this page again.",
    ),
    "internal": (
        "Something failed on our side",
        "It was noted, and we will look into it.",
        "Please try again in a moment.",
    ),
    "invalid": (
        "Something could not be read",
        "What your phone sent was not complete.",
        "Go back, check what you typed, and try again.",
    ),
    "storage_unavailable": (
        "Please try again in a moment",
        "We cannot write anything down just now, and we do not want to lose what you did.",
        "Wait a few seconds and try again.",
    ),
    "busy": ("Please try again in a moment", "Many people are here at once.", "Wait a few seconds and try again."),
}


def language_of(asked: str | None, accept_language: str, default: str = "en") -> str:
    """`?lang=` when it is one of ours, else the first of ours that the browser names, else the default."""
    if asked in LANGUAGES:
        return asked
    for part in accept_language[:200].lower().split(","):
        if part.strip()[:2] in LANGUAGES:
            return part.strip()[:2]
    return default


def kept_language(language: str, accept_language: str) -> str:
    """The language of a page, when it must travel in the URL because the browser's own choice would be another."""
    return "" if language == language_of(None, accept_language) else language


def _environment(language: str, catalogue: NullTranslations) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(str(_PAGES / "templates")),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(catalogue, newstyle=True)  # type: ignore[attr-defined]  # the extension adds it
    environment.filters["number"] = lambda value: format_decimal(value, locale=language)
    environment.filters["local"] = lambda text: text_in(text, language)
    return environment


def _translations(language: str) -> NullTranslations:
    path = _PAGES / "locales" / language / "LC_MESSAGES" / "passerelle.po"
    if not path.is_file():
        return NullTranslations()
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)


def _security_headers(sheets: Iterable[str], *, is_https: bool) -> dict[str, str]:
    digests = (base64.b64encode(hashlib.sha256(css.encode()).digest()).decode() for css in sheets)
    styles = " ".join(f"'sha256-{digest}'" for digest in digests)
    policy = (
        f"default-src 'none'; style-src {styles}; script-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        # `no-referrer` would turn a form's Origin into `null`, which the cross-site check reads.
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": "geolocation=(self), camera=(self), microphone=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",  # unless an answer says otherwise: keys, links and figures are nobody else's
    }
    if is_https:
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    return headers
