"""Shops and spots: where they are, when they are open, and the phones of the people who work there."""

from campaigns.places.importing import Kept, keep_places
from campaigns.places.models import Place, StaffLink, StaffRole, StaffSession
from campaigns.places.phones import (
    Locked,
    PinTry,
    issue_staff_link,
    link_by_secret,
    list_staff_sessions,
    note_activity,
    require_manager,
    revoke_staff_session,
    sign_in,
    staff_session_by_secret,
    unlock,
)
from campaigns.places.service import (
    change_place,
    check_place,
    find_place,
    give_back_till_try,
    list_places,
    locate,
    open_place,
    place_by_id,
    place_by_name,
    reserve_till_try,
)

__all__ = [
    "Kept",
    "Locked",
    "PinTry",
    "Place",
    "StaffLink",
    "StaffRole",
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
    "note_activity",
    "open_place",
    "place_by_id",
    "place_by_name",
    "require_manager",
    "reserve_till_try",
    "revoke_staff_session",
    "sign_in",
    "staff_session_by_secret",
    "unlock",
]
