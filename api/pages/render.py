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

from api.pages.refusals import MESSAGES, ONWARD
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
    """The forms of the buttons that report a code and tell the shop something: all there is to do with a closed one."""
    kept = f'<input type="hidden" name="lang" value="{lang}">' if lang else ""
    return b'<form id="report" action="/report/%s">%s</form><form id="say" action="/say/%s">%s</form>' % (
        code.encode(),
        kept.encode(),
        code.encode(),
        kept.encode(),
    )


_SCRIPTS = ("shopper.js", "keep.js", "staff.js", "screen.js", "tags.js", "till.js", "camera.js", "figures.js")


class Renderer:
    """The templates in each language, and the headers every page needs."""

    def __init__(self, *, is_https: bool) -> None:
        self.css = (_PAGES / "static" / "passerelle.css").read_text()
        self.console_css = (_PAGES / "static" / "console.css").read_text()  # apart: no shopper loads it
        self.figures_css = (_PAGES / "static" / "figures.css").read_text()
        self.director_css = (_PAGES / "static" / "director.css").read_text()  # of the report alone
        self._catalogues = {language: _translations(language) for language in LANGUAGES}
        self._environments = {one: _environment(one, self._catalogues[one]) for one in LANGUAGES}
        sheets = (self.css, self.console_css, self.figures_css, self.director_css)
        self.headers = _security_headers(sheets, is_https=is_https)
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
        defaults = {"brand": "", "js": "", "owner": "", "notices": [], "rules_url": "", "carry": ""}
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
        url, label = ONWARD.get(code, ("/", "Type a code"))
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
