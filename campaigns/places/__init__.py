"""Shops and spots: where they are, when they are open, and the phones of the people who work there."""

from campaigns.places.importing import Kept, keep_places
from campaigns.places.models import Place, StaffLink, StaffSession
from campaigns.places.service import (
    change_place,
    check_place,
    find_place,
    give_back_till_try,
    issue_staff_link,
    link_by_secret,
    list_places,
    list_staff_sessions,
    locate,
    open_place,
    place_by_id,
    place_by_name,
    reserve_till_try,
    revoke_staff_session,
    sign_in,
    staff_session_by_secret,
)

__all__ = [
    "Kept",
    "Place",
    "StaffLink",
    "StaffSession",
    "change_place",
    "check_place",
    "find_place",
    "give_back_till_try",
    "issue_staff_link",
    "keep_places",
    "link_by_secret",
    "list_places",
    "list_staff_sessions",
    "locate",
    "open_place",
    "place_by_id",
    "place_by_name",
    "reserve_till_try",
    "revoke_staff_session",
    "sign_in",
    "staff_session_by_secret",
]
