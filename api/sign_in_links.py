"""Sign-in links of members on their way: by mail where it is set up, else shown to who asked, once."""

from fastapi import BackgroundTasks

from api.dependencies import Services
from campaigns.identity import Member, SignInLink


def url_of(core: Services, secret: str) -> str:
    """The address that a link's secret makes."""
    return f"{core.settings.base_url}/console/sign-in/{secret}"


def post_or_show(
    core: Services, after: BackgroundTasks, brand: str, member: Member, link: SignInLink, secret: str
) -> str | None:
    """Send a link to its member after the commit, and None; without mail, its URL for who asked to pass on."""
    url = url_of(core, secret)
    if core.postman is None:
        return url
    after.add_task(core.postman.post_sign_in_link, member.email or "", brand, url, link.expires_at)
    return None
