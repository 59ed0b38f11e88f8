"""What a user agent says of who scanned: a person's browser, a bot, or nothing; and the kind of device.

Two errors cost differently: a preview counted as a person inflates a figure, a phone taken for a bot robs a
shopper. So agents that declare themselves, and everything that is not shaped like a browser, are bots; and on
agents shaped like a phone's browser the public list (crawler-user-agents) reads neither the phone's model nor
the names of the apps whose windows people browse in, where its words are found by accident (Wiko's FEVER,
Viber, an OPPO build number).
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from typing import Final

from ua_parser import Domain, load_lazy_builtins
from ua_parser.matchers import UserAgentMatcher
from ua_parser.regex import Resolver

LONGEST_AGENT: Final = 512  # characters; in-app browsers reach 400, beyond it only attackers write
UNKNOWN: Final = "other"


class AgentKind(StrEnum):
    """Who sends an agent like this: a person's browser, a program, or a client that says nothing."""

    PERSON = "person"
    BOT = "bot"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Agent:
    """A judged agent. `device`: phone, tablet, desktop, other. `os`, `browser`: ua-parser's, lower case."""

    kind: AgentKind
    device: str
    os: str
    browser: str

    @property
    def platform(self) -> str:
        """`ios`, `android`, `desktop` or `other`: what the rules of a destination can tell apart."""
        if self.os in ("ios", "android"):
            return self.os
        return "desktop" if self.device == "desktop" else UNKNOWN


def classify(user_agent: str) -> Agent:
    """Who and what sent this user agent; only its first 512 characters are read. Never raises.

    A known agent costs a dictionary look-up. The first call of a process builds the tables (about 0.2 s):
    make it at start-up. An iPad with its default settings says it is a Mac, and counts as a desktop.
    """
    return _classify(user_agent[:LONGEST_AGENT])


@lru_cache(4096)
def _classify(user_agent: str) -> Agent:
    # A lone surrogate cannot cross into Rust; no real agent has one.
    text = user_agent.encode("utf-8", "replace").decode()
    if not text.strip():
        return Agent(AgentKind.EMPTY, UNKNOWN, UNKNOWN, UNKNOWN)
    bot = _is_bot(text)
    families = _families()(text, Domain.USER_AGENT | Domain.OS)
    return Agent(
        AgentKind.BOT if bot else AgentKind.PERSON,
        UNKNOWN if bot else _device(text),
        families.os.family.lower() if families.os else UNKNOWN,
        families.user_agent.family.lower() if families.user_agent else UNKNOWN,
    )


# A browser names itself Mozilla or Opera and an engine; the phones before Android name their maker and a Java
# profile.
_BROWSER: Final = re.compile(
    r"(?:Mozilla|Opera)/\d.*(?:AppleWebKit|Gecko|Trident|MSIE|Presto|KHTML|Opera|NetFront|PLAYSTATION|UCBrowser)"
    r"|(?:UCWEB|JUC|BlackBerry|Nokia|SonyEricsson|SAMSUNG|LG|MOT|Alcatel|ZTE|HUAWEI|Lenovo|Lava|Micromax|Spreadtrum)"
    r".*(?:MIDP|CLDC|Opera Mini|UCBrowser|U2/|NetFront|Browser)",
    re.IGNORECASE | re.DOTALL,
)

_PHONE: Final = re.compile(
    r"Mozilla/5\.0 \((?:iPhone|iPad|iPod|Linux; (?:U; )?Android|Android|Mobile|Tablet|Windows Phone)"
    r".*(?:AppleWebKit|Gecko/)",
    re.DOTALL,
)

# Words no person's browser writes, on any device. `bot` must end a word: Googlebot/2.1, bot-pge,
# trendictionbot0.5.
_DECLARED: Final = re.compile(
    r"bot(?:s?\b|_|(?=\d))|crawler|crawling|spider(?![a-z])|slurp|https?://|\bwww\.|\w@[\w-]+\.[a-z]"
    r"|\(compatible[;)](?! *(?:MSIE|Konqueror|IEMobile))|compatible; [^)]*\+"
    r"|facebookexternalhit|facebot|meta-external|facebookcatalog|bytespider|preview(?![a-z])|unfurl|embedly"
    r"|headless|phantomjs|slimerjs|puppeteer|playwright|selenium|webdriver|cypress/|lighthouse|\bptst/|prerender"
    r"|uptime|pingdom|statuscake|site24x7|stackdriver|datadog|newrelic|catchpoint|gtmetrix|dareboost"
    r"|barracuda|proofpoint|mimecast|messagelabs|fortiguard|urldefen[cs]e|safelinks|mailscanner|ironport|cloudmark"
    r"|virustotal|urlscan|trendmicro|netcraft|nessus|qualys|acunetix|nikto|sqlmap|zgrab|masscan|nmap"
    r"|gptbot|chatgpt|oai-search|claude-|anthropic|perplexity|google-extended|google-read-aloud|mistralai",
    re.IGNORECASE,
)
# Cubot is a maker of phones, and puts its name where a bot would.
_CUBOT: Final = re.compile(r"cubot", re.IGNORECASE)

# Words of programs, too common for phones: a shopper's QR scanner or feed reader is an app with a window.
_PROGRAM: Final = re.compile(
    r"monitor|scan(?:ner|ning)?\b|check(?:er|ing)?\b|validator|fetch|scrap(?:er|y|ing)|archiv|harvest|probe"
    r"|robot|proxy|feed|index(?:er|ing)|link ?(?:check|expand)|screenshot|powershell|java/|python|perl"
    r"|php/|ruby|curl|wget|okhttp|httpclient|http_request|axios|snapshot",
    re.IGNORECASE,
)

# What a phone's agent says of its own model and of the app around the page, with its remarks in brackets.
_OWN_NAMES: Final = re.compile(
    r"\((?:Linux; )?(?:U; )?Android[^)]*"
    r"|\[(?:FB|Pinterest|LinkedIn)[^\]]*\]?"
    r"|\b(?:Instagram|Barcelona|Threads|Telegram-Android|Telegram-iOS|Snapchat|WhatsApp|Viber|MetaIAB)\b"
    r"(?: Facebook)?[ /]?[\w.]*(?: (?:Android|\((?:iPhone|iPad|iPod))? ?\([^)]*\)?)?"
    r"|\b(?:Sogou(?:MobileBrowser|MSE|Search)|Feedly|Flipboard|Tumblr|Bluesky|Mastodon|Notion|PayPal|Goodreads"
    r"|Instapaper|PocketCasts|Overcast|Grammarly|Blackboard|Salesforce\.com|HubSpot|Trae|Fluid|Fever)\b[\w./-]*"
)


def _is_bot(text: str) -> bool:
    if not _BROWSER.match(text) or _DECLARED.search(_CUBOT.sub("", text)):
        return True
    if _PHONE.match(text):
        return _on_the_public_list(_OWN_NAMES.sub("", text))
    return bool(_PROGRAM.search(text)) or _on_the_public_list(text)


def _on_the_public_list(text: str) -> bool:
    return _public_list()(text, Domain.USER_AGENT).user_agent is not None


@cache
def _public_list() -> Resolver:
    # ua-parser's Rust engine picks the few of the 1,504 patterns that can match before it tries any: 6 µs for
    # an agent on none, against 150 µs in the package's own function and 470 µs in one joined pattern.
    # Imported here: the package reads 2 MB of JSON, which only a process that judges scans has to pay for.
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA

    return Resolver(([UserAgentMatcher(entry["pattern"], "bot") for entry in CRAWLER_USER_AGENTS_DATA], [], []))


@cache
def _families() -> Resolver:
    # Without ua-parser's table of device models, its largest and one nobody here asks for.
    browsers, systems, _ = load_lazy_builtins()
    return Resolver((browsers, systems, []))


_TELEVISION: Final = re.compile(
    r"\bTV\b|SmartTV|SMART-TV|GoogleTV|BRAVIA|\bAFT[A-Z]|CrKey|HbbTV|Web0S|PLAYSTATION|Xbox|Nintendo"
)
_TABLET: Final = re.compile(r"iPad|Tablet|PlayBook|Kindle|\bSilk/(?!.*Mobile)|FBID/tablet")
_PHONE_WORDS: Final = re.compile(
    r"iPhone|iPod|Mobile|Windows Phone|IEMobile|KAIOS|Opera Mini|BlackBerry|BB10|MIDP|Symbian|UCWEB|Phone",
    re.IGNORECASE,
)
_DESKTOP: Final = re.compile(r"Windows NT|Windows 9|Macintosh|X11|CrOS|Linux")


def _device(text: str) -> str:
    if _TELEVISION.search(text):
        return UNKNOWN
    if _TABLET.search(text):
        return "tablet"
    if _PHONE_WORDS.search(text):
        return "phone"
    if "Android" in text:
        return "tablet"  # Android browsers say Mobile on phones, and only there
    return "desktop" if _DESKTOP.search(text) else UNKNOWN
