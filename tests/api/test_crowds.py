"""The acts of crowds go past the framework's routing, and answer what it would."""

from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from api import crowds
from api.dependencies import Core
from api.policies import MEMBER, each_route, may
from campaigns.identity import Right
from tests.api.helpers import Shop, problem


async def act(request: Request, core: Core, name: str) -> Response:
    return Response(f"{name} by {request.path_params['name']} of {request.app.title}")


def test_a_path_is_matched_by_what_stands_around_its_name() -> None:
    one = crowds.Act("/m/", "/votes", "mission", act)
    names = {"/m/orchard/votes": "orchard", "/m/é/votes": "é", f"/m/{'a' * 80}/votes": "a" * 80}
    assert {path: one.name_in(path) for path in names} == names
    for path in (
        "/m//votes",
        "/m/votes",
        "/m/a/b/votes",
        "/m/a/votes/",
        "/m/a/votes/withdrawal",
        f"/m/{'a' * 81}/votes",
    ):
        assert one.name_in(path) is None


@pytest.mark.parametrize("policy", [MEMBER, may(Right.SCANS_READ)])
def test_an_act_that_is_not_for_everybody_stops_the_start(policy: Any) -> None:
    app = FastAPI(docs_url=None, redoc_url=None)
    app.add_api_route("/x/{name}/acts", act, methods=["POST"], dependencies=[policy])
    (route,) = (one for one in each_route(app.routes) if one.endpoint is act)
    with pytest.raises(RuntimeError, match="through the framework"):
        crowds._act_of(route)


def test_a_mission_nobody_could_name_is_refused_as_ever(shop: Shop) -> None:
    with shop.server.phone(Accept="application/json") as phone:
        assert phone.post(f"/m/{'a' * 81}/votes", data={"idea": "ide_"}).status_code == 422
        problem(
            phone.post("/m/nowhere/votes", data={"idea": f"ide_{'0' * 32}", "age": "15_or_older"}), 404, "not_found"
        )
        assert phone.get("/m/nowhere/votes").status_code == 405
        many = "&".join(f"field{number}=1" for number in range(41))
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        assert phone.post("/m/nowhere/votes", content=many, headers=kind).status_code == 422
