"""Refusals as RFC 9457 problem details, or as a page for people. The only file with status numbers."""

import errno
import json
import logging
import sqlite3
from collections.abc import Iterable
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DatabaseError, IntegrityError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from api.faults import words_of
from campaigns import errors, ids
from campaigns.errors import CampaignError

log = logging.getLogger("passerelle.problems")

STATUS: dict[type[CampaignError], int] = {
    errors.NotFound: 404,
    errors.Forbidden: 403,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.Invalid: 422,
    errors.TooMany: 429,
}
# Codes whose status is not that of their kind, and codes no kind raises.
STATUS_OF_CODE = {
    "unauthenticated": 401,
    "not_signed_in": 401,
    "member_not_signed_in": 401,
    "pin_tries": 401,
    "method_not_allowed": 405,
    "precondition_failed": 412,
    "too_large": 413,
    "too_slow": 408,
    "head_too_large": 431,
    "malformed": 400,
    "error": 400,
    "internal": 500,
    "parquet_missing": 501,
    "log_unavailable": 503,
    "storage_unavailable": 503,
    "busy": 503,
}

# What every route may answer besides what it names: its description says so in one place.
RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A refusal: problem details (RFC 9457)",
        "content": {
            "application/problem+json": {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail", "code", "instance", "errors"],
                    "properties": {
                        **{name: {"type": "string"} for name in ("type", "title", "detail", "code", "instance")},
                        "status": {"type": "integer"},
                        "errors": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
                            },
                        },
                    },
                }
            }
        },
    }
}

# The kinds that raise the named codes, for the pages; a test compares it with every `raise`.
STATUS_OF_NAMED = {
    "unknown_code": 404,
    "unknown_link": 404,
    "no_live_code": 404,
    "cross_site": 403,
    "presence_missing": 403,
    "under_age_text": 403,
    "own_comment": 409,
    "old_letter": 404,
    "no_mail": 409,
    "under_age_mail": 403,
    "too_many_letters": 429,
    **dict.fromkeys(("edit_closed", "has_merged", "too_many_follows"), 409),
    "right_missing": 403,
    "own_proposal": 403,
    "maker_unknown": 403,
    "last_owner": 409,
    "member_exists": 409,
    "too_many_links": 409,
    "too_many_keys": 409,
    "rotation_running": 409,
    "decided_already": 409,
    "changed_since": 409,
    "locked": 403,
    "manager_needed": 403,
    "under_age": 403,
    "wrong_state": 409,
    **dict.fromkeys(("no_pilot", "pilot_declared", "pilot_unmet", "pilot_full", "waived_already"), 409),
    **dict.fromkeys(("pilot_only", "pilot_elsewhere"), 403),
    **dict.fromkeys(("unknown_cohort_link", "unknown_card"), 404),
    **dict.fromkeys(("place_apart", "already_recorded"), 409),
    "card_closed": 410,
    "staff_limit": 429,
    "cohort_link_over": 410,
    **dict.fromkeys(
        ("terms_frozen", "terms_changed", "pledge_matched", "match_unsigned", "no_cause", "overdrawn", "nothing_due"),
        409,
    ),
    **dict.fromkeys(("campaign_paused", "paid"), 409),
    "unknown_pledge_link": 404,
    **dict.fromkeys(("pledge_link_used", "pledge_link_over"), 410),
    **dict.fromkeys(("too_many_webhooks", "secret_rotating", "webhook_off"), 409),
    **dict.fromkeys(("holdout_drawn", "counted_by_log", "periods_overlap", "conversion_differs"), 409),
    "hosts_in_use": 409,
    "campaign_closed": 409,
    "targets_locked": 409,
    "threshold_there": 409,
    "too_many_thresholds": 409,
    "rules_frozen": 409,
    "still_running": 409,
    "no_such_step": 409,
    **dict.fromkeys(("no_round", "round_ahead", "round_open", "round_over", "rounds_overlap"), 409),
    **dict.fromkeys(("idea_closed", "already_voted", "not_voted", "quota_used", "proof_used"), 409),
    "visit_missing": 403,
    "already_checked_in": 409,
    "already_posted": 409,
    "unknown_act_code": 404,
    "act_code_used": 409,
    **dict.fromkeys(("unknown_recovery_code", "nobody_here"), 404),
    **dict.fromkeys(("recovery_code_used", "recovery_code_replaced", "merge_needed", "other_scope"), 409),
    **dict.fromkeys(("recovery_tries", "friend_tries"), 429),
    "already_told": 409,
    **dict.fromkeys(("coupon_over", "coupon_shown", "not_givable", "one_coupon_a_purchase", "coupons_out"), 409),
    **dict.fromkeys(("has_coupon", "no_coupon_left", "offer_closed"), 409),
    **dict.fromkeys(("points_short", "sent_before", "too_many_badges"), 409),
    **dict.fromkeys(("not_accepted", "not_today", "rolled_back_before"), 409),
    "unknown_coupon": 404,
    "reply_fixed": 409,
    "reply_hidden": 409,
    "not_flagged": 409,
    "serial_used": 409,
    "job_running": 409,
    "tag_taken": 409,
    "nothing_to_print": 409,
    "link_used": 410,
    "sign_in_link_used": 410,
    "link_expired": 410,
    "erased": 410,
    "receipt_expired": 410,
    "till_code_tries": 429,
    "guessing": 429,
    "reported": 429,
    "flagged": 429,
    "too_many_cases": 429,
    "too_many_texts": 429,
    "reply_changes": 429,
}

# code -> (title, what it means and what to do): the pages under /problems/
PROBLEMS: dict[str, tuple[str, str]] = {
    "not_found": ("Not found", "There is nothing at this address, or it belongs to someone else."),
    "unknown_code": ("Unknown code", "No token carries this code, or it was misread."),
    "unauthenticated": ("No valid key", "Send an API key as `Authorization: Bearer psr_live_...`."),
    "not_signed_in": ("Not signed in", "Open a staff link of the shop on this phone."),
    "forbidden": ("Not allowed", "This key or session may not do that."),
    "right_missing": (
        "Right missing",
        "The role or the scopes of this key or member do not allow it. /docs/rights shows who may do what.",
    ),
    "own_proposal": ("Own proposal", "Who proposed something, or issued the key that did, does not decide on it."),
    "member_not_signed_in": (
        "Not signed in",
        "Open a sign-in link: a session ends after 12 hours, or half an hour away.",
    ),
    "sign_in_link_used": ("Link used", "A member's sign-in link works once, and not for long. Ask for a new one."),
    "last_owner": ("Last owner", "An organisation keeps at least one owner who has signed in."),
    "member_exists": ("Member already", "Somebody with this address is a member of the organisation already."),
    "too_many_links": ("Too many links", "Five sign-in links in half an hour are enough. Use one, or wait."),
    "too_many_keys": ("Too many keys", "Revoke keys that nobody uses before you issue more."),
    "rotation_running": ("Rotation running", "Two keys of this line live already. Revoke the old one first."),
    "changed_since": ("Changed since", "It changed after it was proposed. Look at it again, and propose it anew."),
    "decided_already": ("Decided already", "Somebody decided on this before. Read it again."),
    "conflict": ("Conflict", "The present state does not allow this."),
    "wrong_state": ("Wrong state", "Its state does not lead there. The detail names the states that do."),
    "no_pilot": ("No pilot", "The campaign declares no pilot: give `pilot` while it is a draft."),
    "pilot_declared": ("Pilot declared", "What a pilot must show is declared in the draft, and then stays as it is."),
    "pilot_unmet": (
        "Pilot not passed",
        "`unmet` lists what the pilot has not shown. A member may waive a threshold in the console, with a reason.",
    ),
    "pilot_full": ("Pilot full", "The pilot has as many people as it was declared for."),
    "pilot_only": ("Pilot", "The campaign is tried out by the team first. It opens to everybody afterwards."),
    "pilot_elsewhere": ("Pilot elsewhere", "The pilot is held in other places."),
    "waived_already": ("Waived already", "A member waived this threshold before."),
    "unknown_cohort_link": ("Unknown link", "The link into the team was cut short or is not one of ours."),
    "too_many_webhooks": ("Too many webhooks", "Remove a webhook that nobody needs before you register more."),
    "secret_rotating": (
        "Rotation running",
        "A secret was rotated within the last 24 hours, and the one before is still good.",
    ),
    "holdout_drawn": ("Holdout drawn", "A campaign's holdout is drawn once, so that nobody can choose. Read it."),
    "counted_by_log": ("Counted by the log", "The draw is of codes: the log counts who came by them."),
    "periods_overlap": ("Periods overlap", "A day is in one period only. Send the other period again to replace it."),
    "conversion_differs": (
        "Another conversion",
        "The same source told of another conversion under this id. The first one stands, and is counted once.",
    ),
    "webhook_off": ("Webhook off", "It is switched off. PATCH it with `active: true` first."),
    "cohort_link_over": ("Link over", "The link into the team is used up, too old or taken back. Ask for a new one."),
    "overdrawn": ("Not that much left", "It would take more than a cap or a balance leaves. Nothing moved."),
    "campaign_paused": ("Campaign paused", "Nothing accrues or is posted until the campaign goes on."),
    "paid": ("Paid already", "It was sent in a payout. What was paid stays, and is told as such."),
    "terms_frozen": ("Terms frozen", "A signature or an acceptance froze this. End the pledge, and make another one."),
    "terms_changed": ("Terms changed", "They are not what was shown any more. Read them again."),
    "pledge_matched": ("Pledge matched", "Another pledge matches this one, and could not any more. Change that first."),
    "match_unsigned": ("Match too early", "The pledge that it matches is signed first."),
    "nothing_due": ("Nothing due", "Nothing is due to this beneficiary that is not in a payout already."),
    "maker_unknown": (
        "Nobody known",
        "Nobody can tell whose key proposed or approves this. A member issues one at the console.",
    ),
    "no_cause": ("No cause to choose", "No active pledge of the mission names several causes."),
    "cause_missing": ("Cause missing", "Choose one of the causes that the mission's page shows."),
    "unknown_pledge_link": ("Unknown link", "The link was cut short, is not one of ours, or its pledge was deleted."),
    "pledge_link_used": ("Link used", "A link to sign or to accept is good once."),
    "pledge_link_over": ("Link over", "The link was taken back, or is older than 14 days. Ask for a new one."),
    "unknown_card": ("Unknown card", "No card of the brand carries this code, or it was misread."),
    "card_closed": ("Card withdrawn", "The card was suspended or revoked. Give the person another one."),
    "place_apart": ("Place apart", "The place has no code of the card's campaign."),
    "already_recorded": ("Recorded already", "The same form arrived a moment ago."),
    "staff_limit": ("Enough for this hour", "A shop's phone records 40 acts and 15 votes an hour at most."),
    "hosts_in_use": (
        "Hosts in use",
        "Codes or campaigns lead to other hosts than the verified ones. The detail names them: change them first.",
    ),
    "campaign_closed": (
        "Campaign closed",
        "The campaign takes no acts now: it has not started, is paused, or has ended.",
    ),
    "targets_locked": ("Targets locked", "Objective and targets are locked when a campaign goes live."),
    "threshold_there": ("Threshold there already", "The campaign has this very threshold already."),
    "too_many_thresholds": ("Too many thresholds", "A campaign has at most 50 thresholds. Remove one first."),
    "rules_frozen": ("Rules frozen", "People have acted under these rules already; they cannot change any more."),
    "gone": ("Gone", "It was there and is over."),
    "unknown_link": ("Unknown sign-in link", "The link was cut short or is not one of ours. Ask for a new one."),
    "no_live_code": ("No live code", "No live token stands in this place: issue one with kind `live`."),
    "link_used": ("Link used", "A sign-in link works once. Ask for a new one."),
    "link_expired": (
        "Link too old",
        "A sign-in link works for 14 days, a phone's for 15 minutes. Ask for a new one.",
    ),
    "locked": (
        "Phone locked",
        "The phone was idle for ten minutes and nothing was done. Unlock it with its PIN.",
    ),
    "manager_needed": ("Manager needed", "Only a phone signed in as manager may do that. An owner makes such a link."),
    "pin_shape": ("No PIN", "A PIN is exactly four digits, 0 to 9. The link is still good."),
    "pin_wrong": ("Wrong PIN", "That is not this phone's PIN. Five wrong ones in a row sign it out."),
    "pin_tries": ("Signed out", "Five wrong PINs in a row signed this phone out. Open a new staff link on it."),
    "receipt_expired": (
        "Receipt expired",
        "A receipt takes a position or till code for 10 minutes and acts for 48 hours.",
    ),
    "receipt_forged": ("Receipt refused", "The receipt was altered or cut short. Scan the code again."),
    "receipt_of_another_code": ("Receipt of another code", "Scan the code you want to act on."),
    "parquet_missing": ("Not installed", "This server has no duckdb: ask for CSV or NDJSON, or install the extra."),
    "invalid": ("Invalid input", "A field is missing or out of its range; `errors` names it."),
    "till_code_wrong": (
        "Wrong till code",
        "The six digits change every 30 seconds: read them again from the shop's screen.",
    ),
    "guessing": (
        "Too many unknown codes",
        "This address asked for many codes that do not exist. Known codes still work.",
    ),
    "till_code_tries": ("Too many tries", "Share your position or ask the staff instead."),
    "reported": ("Reported already", "This code was reported many times today; the shop was asked to look."),
    "report_too_long": ("Report too long", "A report has at most 500 characters."),
    "learned_too_long": ("Too much was learned", "What was learned has at most 1,000 characters."),
    "flagged": ("Flagged already", "Many people flagged this contribution; a moderator looks at it first."),
    "comment_empty": ("Empty comment", "Write a few words first."),
    "comment_too_long": ("Comment too long", "A comment has at most 500 characters."),
    "one_link": ("Too many links", "A text has at most one link."),
    "edit_closed": ("Too late to change it", "An idea can be changed for 30 minutes, and until somebody answers it."),
    "has_merged": ("Others are merged into it", "An idea that took others in is not merged itself: merge those."),
    "merge_itself": ("The same idea", "An idea is merged into another one."),
    "too_many_follows": ("Enough followed", "A person follows a hundred ideas at most."),
    "old_letter": (
        "Old link",
        "The link of a letter was cut short, or its address is gone, or it came too late.",
    ),
    "no_mail": ("No mail", "No mail server is set here: PASSERELLE_SMTP_URL."),
    "no_address": ("No e-mail address", "This is not an e-mail address."),
    "under_age_mail": ("Under 15", "An e-mail address can be left from 15 years on."),
    "too_many_letters": ("Enough letters", "Three a day to an address, five of a person, ten of a phone."),
    "own_comment": ("Own comment", "Whether a comment was useful others say."),
    "too_many_texts": ("Enough for now", "Three texts in a newcomer's first hour, twenty a day."),
    "case_empty": ("Empty", "Write a few words first."),
    "case_too_long": ("Too long", "What is said in a case has at most 2,000 characters."),
    "too_many_cases": ("Enough for today", "A phone opens at most five cases with a brand on a day."),
    "under_age_text": ("From 15 years on", "Who is under 15 may check in, but not write. Ask the staff in the shop."),
    "flag_too_long": ("Flag too long", "What you say with a flag has at most 500 characters."),
    "reason_too_long": ("Reason too long", "A reason has at most 500 characters."),
    "not_flagged": ("Not flagged", "Without a flag only personal attacks and private data may be hidden."),
    "idea_empty": ("Empty idea", "Write a few words first."),
    "idea_too_long": ("Idea too long", "An idea has at most 500 characters."),
    "presence_missing": ("Presence needed", "This step is for people who showed that they were in the shop."),
    "under_age": (
        "From 15 years on",
        "Who is under 15 may check in, but not write or vote. To mend a mistake, ask us.",
    ),
    "age_missing": ("Age missing", "Say whether you are 15 or older: `age` is `15_or_older` or `under_15`."),
    "idea_missing": ("Idea missing", "Name the idea you vote for, by its id."),
    "no_round": ("No vote", "There is no vote in this mission."),
    "round_ahead": ("Not open yet", "The vote opens later: the mission page says when."),
    "round_open": ("Still open", "The tally is public once the vote is closed."),
    "round_over": ("Vote closed", "The vote is closed: its result stands and does not change any more."),
    "rounds_overlap": (
        "Rounds overlap",
        "Another round of the mission is open at that time. Choose another window.",
    ),
    "idea_closed": ("No votes any more", "Its author took this idea back, or it became part of another one."),
    "already_voted": ("Voted already", "You voted for this idea already; it counts once."),
    "not_voted": ("No such vote", "You have no vote for this idea."),
    "quota_used": ("No vote left", "You have used your votes. Take one back to give it to another idea."),
    "proof_used": ("Proof used", "This visit opened a ballot already; a visit opens one. Check in again."),
    "visit_missing": ("Visit needed", "This vote is for people who come to its shops while it is open."),
    "erased": ("Erased", "Who made this visit was erased; it stays counted. Scan again to take part anew."),
    "cross_site": ("Foreign form", "This form was sent from another site and was not taken."),
    "too_many": ("Too many requests", "Wait as long as `Retry-After` says."),
    "too_large": ("Body too large", "A request body has at most 1 MB, a CSV file 2 MB, a photo 8 MB."),
    "too_slow": ("Too slow", "The request did not arrive in time. Send it again."),
    "head_too_large": ("Headers too large", "Request line and headers have at most 64 kB together."),
    "malformed": ("Not a request", "What arrived is not an HTTP request, or one that can be read in two ways."),
    "log_unavailable": ("Try again in a moment", "The scan could not be stored just now, so it was not answered."),
    "storage_unavailable": (
        "Try again in a moment",
        "The database does not answer just now. Nothing was done; try again in a moment.",
    ),
    "busy": ("Busy", "Try again in a moment."),
    "idempotency_key_reused": ("Idempotency key reused", "Use a fresh key for another request."),
    "still_running": ("Still running", "The first request with this key has not ended; ask again in a moment."),
    "method_not_allowed": ("Method not allowed", "This address does not take that method."),
    "precondition_failed": ("Changed meanwhile", "The object changed since you read it. Read it again."),
    "internal": ("Our mistake", "Something failed on our side. It was logged; try again."),
    "no_such_step": ("No such step", "The mission does not ask for this act."),
    "already_checked_in": ("Already checked in", "This scan was checked in a moment ago."),
    "already_posted": ("Already posted", "This idea arrived a moment ago."),
    "unknown_act_code": ("Unknown code", "No phone shows this code now: it is good for ten minutes, and once."),
    "act_code_used": ("Code used already", "This code was taken once. The person asks for a new one on their page."),
    "unknown_recovery_code": ("Unknown recovery code", "It has sixteen letters and digits. Look at it again."),
    "recovery_code_used": ("Used already", "A recovery code is good once. Make a new one where you are known."),
    "recovery_code_replaced": ("Replaced", "A newer recovery code took its place: use that one."),
    "recovery_tries": ("Too many wrong codes", "Ten wrong recovery codes came from this address within the hour."),
    "friend_tries": ("Too many wrong codes", "Sixty wrong codes of friends came from this address within the hour."),
    "nobody_here": ("Nobody here", "This browser has no participant yet. Take part first."),
    "merge_needed": ("Two names", "This browser has another name. Send `confirm` to make the two one."),
    "other_scope": ("They stay two", "These two are known to different brands, or each in one campaign alone."),
    "own_code": ("Own code", "Type the code on your friend's phone, and they type yours."),
    "other_place": ("Another place", "This step is done in other places than this one."),
    "already_told": ("Told already", "This act arrived a moment ago. Ask again for the answer it got."),
    "reply_missing": ("No reply", "Choose one of the answers, or a mark from 1 to 5."),
    "reply_empty": ("No reply", "The text is empty."),
    "reply_too_long": ("Reply too long", "The words of a reply have at most 500 characters."),
    "reply_fixed": ("Reply fixed", "The time in which this reply could be changed is over."),
    "reply_changes": ("Reply changed often", "A reply is changed at most twenty times; it stands as it is."),
    "reply_hidden": ("Reply hidden", "A moderator hid this reply: it cannot be changed."),
    "currency_mismatch": ("Two currencies", "Amounts that belong together are in one currency."),
    "unknown_coupon": ("Unknown coupon", "No coupon of the organisation carries this code, or it was misread."),
    "unreadable_code": (
        "No coupon's code",
        "A code has ten characters, and the last checks the others. Read it again.",
    ),
    "unreadable_picture": ("No picture", "A photo is a PNG, JPEG or WebP file, whole and still, of at most 8 MB."),
    "no_code_in_picture": ("No coupon seen", "No QR code of a coupon is in the photo. Take it nearer, in more light."),
    "coupon_over": ("Coupon over", "The coupon was used, or its time is over."),
    "coupon_shown": ("Coupon on show", "While a coupon is on show its choice stands. Put it back first."),
    "not_givable": ("Nothing to give", "Only a coupon with a value, of a mission with a cause, can be given."),
    "coupons_out": ("Coupons out", "More coupons are out, or were used, than that would allow."),
    "has_coupon": ("Has one already", "This offer gives one coupon a person, and this one has it."),
    "no_coupon_left": ("None left", "As many coupons of this offer as there may be are out."),
    "offer_closed": ("Offer closed", "The offer gives nothing now: it is paused, over, or its campaign is not on."),
    "points_short": ("Too few points", "The person has fewer points in this campaign than the offer costs."),
    "sent_before": ("Sent before", "This `client_id` came before, with another offer. A further try takes a new one."),
    "too_many_badges": ("Too many badges", "A campaign has at most fifty badges."),
    "one_coupon_a_purchase": (
        "One coupon a purchase",
        "A nonce names a purchase, and this one came with another coupon. A further try takes a new nonce.",
    ),
    "occurred_at_far": ("Too far off", "A till may tell up to seven days later what it took, and of nothing to come."),
    "not_accepted": ("Nothing to take back", "The till was told no: the coupon was not used by it."),
    "not_today": ("Not today's", "A use is taken back on the civil day of the place on which it was recorded."),
    "rolled_back_before": ("Taken back before", "A use of a coupon is taken back once, and then stands."),
    "serial_used": ("Code used already", "Each of these codes is good once, and this one was used."),
    "job_running": ("Not done yet", "A job is still making this. `job` names it: ask again when it is done."),
    "tag_taken": ("Tag taken", "The NFC tag belongs to another code, which `label` names. Say `replace` to move it."),
    "nothing_to_print": ("Nothing to print", "No code that is in use stands here. Make tokens first."),
    "error": ("Refused", "The request was refused; the detail says why."),
}
_CODE_OF_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 412: "precondition_failed"}

# What a database or a disk throws, wrapped by SQLAlchemy or not; `is_passing` tells those that are not our mistake.
STORAGE_FAULTS = (DatabaseError, InterfaceError, PoolTimeoutError, sqlite3.Error, psycopg.Error, OSError)
_DISK_ERRORS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE))


def status_of(error: CampaignError) -> int:
    """The HTTP status of a refusal."""
    if error.code in STATUS_OF_CODE:
        return STATUS_OF_CODE[error.code]
    return next(status for kind, status in STATUS.items() if isinstance(error, kind))


def status_of_code(code: str) -> int:
    """The HTTP status a code is answered with."""
    kinds = {kind.code: status for kind, status in STATUS.items()}
    return STATUS_OF_CODE.get(code) or kinds.get(code) or STATUS_OF_NAMED.get(code, 422)


def headers_of(error: CampaignError) -> dict[str, str]:
    """The headers a refusal needs: when to come back, how to sign in."""
    headers = {}
    if "retry_after_s" in error.context:
        headers["Retry-After"] = str(error.context["retry_after_s"])
    if error.code == "unauthenticated":
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def problem(
    status: int, code: str, detail: str, *, instance: str, faults: Iterable[dict[str, str]] = (), **more: Any
) -> bytes:
    """The body of an `application/problem+json` answer."""
    title = PROBLEMS.get(code, PROBLEMS["error"])[0]
    body = {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": instance,
        "errors": list(faults),
        **more,
    }
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def answer(request: Request, status: int, code: str, detail: str, **more: Any) -> Response:
    """A refusal in the shape the caller asked for: a page for a browser, problem+json for the rest."""
    headers = more.pop("headers", {})
    if wants_page(request):
        typed = getattr(request.state, "typed", None) if status >= 500 else None
        renderer = request.app.state.services.renderer
        return renderer.refusal(request, status, code, detail, headers=headers, typed=typed)  # type: ignore[no-any-return]  # app.state is untyped
    body = problem(status, code, detail, instance=request.url.path, **more)
    return Response(body, status, media_type="application/problem+json", headers=headers)


def wants_page(request: Request) -> bool:
    """Whether a person is looking: a browser outside the API."""
    return not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")


def refuse(request: Request, error: Exception) -> Response:
    """CampaignError -> answer."""
    assert isinstance(error, CampaignError)  # noqa: S101  # FastAPI calls it for nothing else
    pointer = error.context.get("pointer")
    faults = [{"pointer": pointer, "detail": error.detail}] if pointer else []
    more = {"kpis": error.context["kpis"]} if "kpis" in error.context else {}
    if "label" in error.context:
        more["label"] = error.context["label"]
    if "unmet" in error.context:
        more["unmet"] = error.context["unmet"]
    if "job_id" in error.context:
        more["job"] = ids.show("job", error.context["job_id"])
    return answer(request, status_of(error), error.code, error.detail, headers=headers_of(error), faults=faults, **more)


def refuse_input(request: Request, error: Exception) -> Response:
    """A validation error -> 422. The input is never echoed: echoing NaN is itself a 500."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # FastAPI calls it for nothing else
    faults = [
        {"pointer": "/" + "/".join(_segment(part) for part in fault["loc"][1:]), "detail": words_of(fault)}
        for fault in error.errors()
    ]
    detail = faults[0]["detail"] if len(faults) == 1 else f"{len(faults)} fields cannot be accepted."
    return answer(request, 422, "invalid", detail, faults=faults)


def refuse_http(request: Request, error: Exception) -> Response:
    """Starlette's own refusals (404, 405, ...) -> the same shape."""
    assert isinstance(error, HTTPException)  # noqa: S101  # Starlette calls it for nothing else
    code = _CODE_OF_STATUS.get(error.status_code, "error")
    detail = PROBLEMS[code][1] if code != "error" else str(error.detail)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods_of(request))
    return answer(request, error.status_code, code, detail, headers=headers)


def refuse_twin(request: Request, error: Exception) -> Response:
    """Two requests made the same thing at once, and a UNIQUE let one of them in -> 409; any other breach is ours."""
    if "unique" in str(getattr(error, "orig", "")).lower():
        return answer(request, 409, "conflict", "Another request made this a moment ago. Read it again.")
    raise error


def is_passing(error: BaseException) -> bool:
    """Whether the database or the disk failed, not what we asked of it."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, OSError):
        return cause.errno in _DISK_ERRORS
    if isinstance(
        cause, (sqlite3.OperationalError, psycopg.OperationalError, psycopg.InterfaceError, PoolTimeoutError)
    ):
        return True
    return type(cause) is sqlite3.DatabaseError  # the file is damaged or no database; its subclasses are our mistakes


def refuse_for_now(request: Request, error: Exception) -> Response:
    """The database does not answer, or its disk is full -> the declared 503: nothing was done, come back."""
    if not is_passing(error):
        raise error
    log.error("the database refused: %s", type(getattr(error, "orig", error)).__name__)
    detail = PROBLEMS["storage_unavailable"][1]
    return answer(request, 503, "storage_unavailable", detail, headers={"Retry-After": "5"})


def refuse_failure(request: Request, error: Exception) -> Response:
    """Anything unforeseen -> 500 without a stack trace; the server's log has it."""
    return answer(request, 500, "internal", PROBLEMS["internal"][1])


def install(app: FastAPI) -> None:
    """Give every error one shape."""
    app.add_exception_handler(CampaignError, refuse)
    app.add_exception_handler(RequestValidationError, refuse_input)
    app.add_exception_handler(HTTPException, refuse_http)
    app.add_exception_handler(IntegrityError, refuse_twin)
    for fault in STORAGE_FAULTS:
        app.add_exception_handler(fault, refuse_for_now)
    app.add_exception_handler(Exception, refuse_failure)


def _methods_of(request: Request) -> list[str]:
    """The methods an address takes. FastAPI has a route for each, and would name those of the first one only."""
    return [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]


def _segment(part: object) -> str:
    return str(part).encode("ascii", "replace").decode()[:60].replace("~", "~0").replace("/", "~1")
