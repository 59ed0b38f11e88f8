"""Who stands before a staff page: the session of a shop's phone, from its cookie."""

from typing import Annotated

from fastapi import Depends, Request

from api.dependencies import Core
from campaigns import places
from campaigns.errors import Forbidden
from campaigns.places import StaffSession

COOKIE = "passerelle_staff"


def signed_in(request: Request, core: Core) -> StaffSession:
    """The session of this phone; Forbidden when there is none, or it was revoked."""
    secret = request.cookies.get(COOKIE)
    if not secret:
        raise Forbidden("This phone is not signed in. Open a staff link of your shop.", code="not_signed_in")
    with core.database.snapshot() as session:
        return places.staff_session_by_secret(session, secret, now=core.clock())


Staff = Annotated[StaffSession, Depends(signed_in)]
