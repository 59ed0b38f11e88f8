"""Who may do what: the one table of roles and rights. Routes name the right they need; a page of the docs shows it."""

from collections.abc import Iterable
from enum import StrEnum

from campaigns.errors import Invalid


class Role(StrEnum):
    """What a member or a key is to the organisation. `staff` is of keys alone, and bound to places."""

    OWNER = "owner"
    MARKETER = "marketer"
    MODERATOR = "moderator"
    APPROVER = "approver"
    ANALYST = "analyst"
    STAFF = "staff"


class Right(StrEnum):
    """One thing that may be done. A key's scopes are names of these."""

    ORGANISATION_READ = "organisation.read"
    ORGANISATION_WRITE = "organisation.write"
    MEMBERS_READ = "members.read"
    MEMBERS_WRITE = "members.write"
    KEYS_READ = "keys.read"
    KEYS_WRITE = "keys.write"
    AUDIT_READ = "audit.read"
    APPROVALS_READ = "approvals.read"
    APPROVALS_DECIDE = "approvals.decide"
    PLACES_READ = "places.read"
    PLACES_WRITE = "places.write"
    STAFF_WRITE = "staff.write"
    CAMPAIGNS_READ = "campaigns.read"
    CAMPAIGNS_WRITE = "campaigns.write"
    CAMPAIGNS_LAUNCH = "campaigns.launch"
    TOKENS_READ = "tokens.read"
    TOKENS_WRITE = "tokens.write"
    TAG_KEYS_WRITE = "tag_keys.write"
    MISSIONS_READ = "missions.read"
    MISSIONS_WRITE = "missions.write"
    REWARDS_READ = "rewards.read"
    REWARDS_WRITE = "rewards.write"
    COUPONS_REDEEM = "coupons.redeem"
    COUPONS_ROLL_BACK = "coupons.roll_back"
    SCANS_READ = "scans.read"
    MISSIONS_ACT = "missions.act"
    SCANS_CONFIRM = "scans.confirm"
    SCANS_VOID = "scans.void"
    FIGURES_READ = "figures.read"
    CONVERSIONS_WRITE = "conversions.write"
    CARE_READ = "care.read"
    CARE_WRITE = "care.write"
    MODERATION_WRITE = "moderation.write"
    IDEAS_WRITE = "ideas.write"
    PLEDGES_READ = "pledges.read"
    PLEDGES_WRITE = "pledges.write"
    WEBHOOKS_READ = "webhooks.read"
    WEBHOOKS_WRITE = "webhooks.write"
    PAYOUTS_WRITE = "payouts.write"
    PAYOUTS_APPROVE = "payouts.approve"


MEANING: dict[Right, str] = {
    Right.ORGANISATION_READ: "read the organisation's data",
    Right.ORGANISATION_WRITE: "change the organisation's data, verified hosts and whether a launch needs approval",
    Right.MEMBERS_READ: "list members and their sessions",
    Right.MEMBERS_WRITE: "invite and remove members, change roles, make sign-in links, end sessions",
    Right.KEYS_READ: "list API keys",
    Right.KEYS_WRITE: "issue, rotate and revoke API keys, never with more rights than one's own",
    Right.AUDIT_READ: "read and export the audit log",
    Right.APPROVALS_READ: "see what waits for approval",
    Right.APPROVALS_DECIDE: "approve or refuse what somebody else proposed; members only, never a key",
    Right.PLACES_READ: "read places",
    Right.PLACES_WRITE: "make and change places, import them",
    Right.STAFF_WRITE: "make staff links, kits with sign-in codes, and sign a shop's phones out",
    Right.CAMPAIGNS_READ: "read campaigns, KPIs and jobs",
    Right.CAMPAIGNS_WRITE: "plan and change campaigns, apply campaign files, note costs, draw holdouts, cancel jobs",
    Right.CAMPAIGNS_LAUNCH: "launch, pause, resume and end campaigns, or propose a launch where it needs approval",
    Right.TOKENS_READ: "read codes, batches and tags, and print them",
    Right.TOKENS_WRITE: "issue, change, replace and revoke codes",
    Right.TAG_KEYS_WRITE: "keep the keys of NFC tags",
    Right.MISSIONS_READ: "read missions and ideas",
    Right.MISSIONS_WRITE: "start and change missions",
    Right.REWARDS_READ: "read offers, their coupons, and what places took of them",
    Right.REWARDS_WRITE: "make, change, pause and end offers",
    Right.COUPONS_REDEEM: "look coupons up and use them, as a till does",
    Right.COUPONS_ROLL_BACK: "take back a mistaken use of a coupon, the same day",
    Right.SCANS_READ: "read the scan log",
    Right.MISSIONS_ACT: "tell of an act that was done in another system",
    Right.SCANS_VOID: "void a scan, with all that rests on it",
    Right.SCANS_CONFIRM: "confirm a scan, for the server of a destination",
    Right.FIGURES_READ: "read figures, costs and conversions",
    Right.CONVERSIONS_WRITE: "tell of sales and other conversions, as a shop's own system does",
    Right.CARE_READ: "read what people report, and alerts",
    Right.CARE_WRITE: "handle what people report",
    Right.IDEAS_WRITE: "decide what becomes of ideas and merge them, for a public reason",
    Right.PLEDGES_READ: "read sponsors, beneficiaries, pledges and the links to them",
    Right.PLEDGES_WRITE: "write sponsors, beneficiaries and pledges, make and take back their links, end a pledge",
    Right.WEBHOOKS_READ: "list webhooks, and what was sent to them",
    Right.WEBHOOKS_WRITE: "register and change webhooks, rotate their secrets, send messages again",
    Right.PAYOUTS_WRITE: "propose and cancel payouts, record them as sent and confirmed",
    Right.PAYOUTS_APPROVE: "approve a payout that somebody else proposed; a key only where its member is known",
    Right.MODERATION_WRITE: "hide and restore what people wrote, by a rule, with a reason; members only, never a key",
}

_READS = frozenset(
    {
        Right.ORGANISATION_READ,
        Right.PLACES_READ,
        Right.CAMPAIGNS_READ,
        Right.TOKENS_READ,
        Right.MISSIONS_READ,
        Right.REWARDS_READ,
        Right.SCANS_READ,
        Right.FIGURES_READ,
        Right.CARE_READ,
        Right.APPROVALS_READ,
        Right.PLEDGES_READ,
    }
)

RIGHTS: dict[Role, frozenset[Right]] = {
    Role.OWNER: frozenset(Right),
    Role.MARKETER: _READS
    | {
        Right.PLACES_WRITE,
        Right.STAFF_WRITE,
        Right.CAMPAIGNS_WRITE,
        Right.CAMPAIGNS_LAUNCH,
        Right.TOKENS_WRITE,
        Right.TAG_KEYS_WRITE,
        Right.MISSIONS_WRITE,
        Right.REWARDS_WRITE,
        Right.COUPONS_ROLL_BACK,
        Right.MISSIONS_ACT,
        Right.SCANS_CONFIRM,
        Right.CONVERSIONS_WRITE,
        Right.CARE_WRITE,
        Right.IDEAS_WRITE,
        Right.PLEDGES_WRITE,
        Right.WEBHOOKS_READ,
        Right.WEBHOOKS_WRITE,
        Right.PAYOUTS_WRITE,
    },
    Role.MODERATOR: _READS | {Right.CARE_WRITE, Right.MODERATION_WRITE, Right.SCANS_VOID, Right.IDEAS_WRITE},
    Role.APPROVER: _READS | {Right.APPROVALS_DECIDE, Right.PAYOUTS_APPROVE, Right.MEMBERS_READ, Right.AUDIT_READ},
    Role.ANALYST: _READS,
    Role.STAFF: frozenset(
        {
            Right.PLACES_READ,
            Right.SCANS_READ,
            Right.FIGURES_READ,
            Right.CARE_READ,
            Right.CARE_WRITE,
            Right.REWARDS_READ,
            Right.COUPONS_REDEEM,
        }
    ),
}

MEMBER_ROLES = (Role.OWNER, Role.MARKETER, Role.MODERATOR, Role.APPROVER, Role.ANALYST)
KEY_ROLES = (Role.OWNER, Role.MARKETER, Role.MODERATOR, Role.ANALYST, Role.STAFF)
MEMBERS_ONLY = frozenset({Right.APPROVALS_DECIDE, Right.MODERATION_WRITE})


def rights_of_key(role: str, scopes: Iterable[str] | None) -> frozenset[Right]:
    """What a key may do: what its role may, or of that its scopes; never what only members may."""
    all_of_role = RIGHTS[Role(role)] - MEMBERS_ONLY
    return all_of_role if scopes is None else all_of_role & {Right(one) for one in scopes if one in set(Right)}


def checked_scopes(role: Role, scopes: Iterable[str]) -> list[str]:
    """Scopes in a fixed order, each once. Invalid for an unknown one, and for one its role does not have."""
    known = RIGHTS[role] - MEMBERS_ONLY
    wanted = sorted(set(scopes))
    wrong = [one for one in wanted if one not in known]
    if wrong or not wanted:
        named = f"{wrong[0][:60]!r} is not one of them" if wrong else "name at least one, or leave scopes out"
        raise Invalid(f"A {role} key has the scopes {', '.join(sorted(known))}; {named}.", pointer="/scopes")
    return wanted
