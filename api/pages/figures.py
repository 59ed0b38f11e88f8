"""Every formula of the figures, in plain words: made from the list that the figures' ids are of."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api.dependencies import Core
from api.pages.render import language_of
from api.policies import PUBLIC
from campaigns.stats.formulas import GROUPS

router = APIRouter(include_in_schema=False, dependencies=[PUBLIC])


@router.get("/docs/figures", response_class=HTMLResponse)
def figures(request: Request, core: Core) -> HTMLResponse:
    """What each figure means, and how it is reckoned; an id leads to its place on the page (`#roi-1`)."""
    language = language_of(request.query_params.get("lang"), request.headers.get("accept-language", ""))
    groups = {
        name: [{"id": one.id, "source": one.source, **one.words(language)._asdict()} for one in formulas]
        for name, formulas in GROUPS.items()
    }
    return HTMLResponse(core.renderer.page("figures.html", language, groups=groups))
