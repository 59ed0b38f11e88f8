"""What the head of a public page says to those who show links to it, and to feed readers."""

from dataclasses import dataclass
from uuid import UUID

from api.dependencies import Services
from campaigns import ids
from campaigns.missions import Mission
from campaigns.missions.models import text_in

DESCRIPTION_LENGTH = 200  # characters; networks cut sooner


@dataclass(frozen=True)
class OpenGraph:
    """The preview of a page (https://ogp.me), and the feeds that go with it. All addresses are whole."""

    title: str
    description: str
    url: str
    image: str
    feeds_url: str


def of_mission(core: Services, mission: Mission, language: str) -> OpenGraph:
    """The preview of a mission's page."""
    page = f"{core.settings.base_url}/m/{mission.slug}"
    return OpenGraph(
        title=text_in(mission.title, language),
        description=_short(text_in(mission.promise, language)),
        url=f"{page}?lang={language}",
        image=f"{page}/preview.png?lang={language}",
        feeds_url=page,
    )


def of_idea(core: Services, mission: Mission, idea_id: UUID, words: str, language: str) -> OpenGraph:
    """The preview of an idea's page; `words` are empty where they are withheld."""
    page = f"{core.settings.base_url}/m/{mission.slug}"
    path = f"{page}/ideas/{ids.show('ide', idea_id)}"
    return OpenGraph(
        title=text_in(mission.title, language),
        description=_short(words or text_in(mission.promise, language)),
        url=f"{path}?lang={language}",
        image=f"{path}/preview.png?lang={language}",
        feeds_url=page,
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= DESCRIPTION_LENGTH else f"{line[: DESCRIPTION_LENGTH - 1]}…"
