"""Organisations with one of everything in one application, and an example request for every route of the API.

The proofs of rights walk the application's own routes. A route they have no example for fails with the words of
`missing`: what a new route needs is added here, in EXAMPLES, BODIES or Peer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from fastapi import FastAPI
from fastapi.routing import RouteContext
from PIL import Image
from sqlmodel import Session, select
from starlette.testclient import TestClient

from api.app import make_services, prepare, wire
from api.dependencies import Services
from api.policies import each_route
from campaigns import (
    approvals,
    care,
    clock,
    community,
    identity,
    ids,
    jobs,
    missions,
    participants,
    places,
    planning,
    rewards,
    sponsorship,
    stats,
    tokens,
    webhooks,
)
from campaigns.approvals import ApprovalKind
from campaigns.audit import Author, AuthorKind
from campaigns.care import Alert, AlertKind, ReportKind
from campaigns.identity import RIGHTS, ApiKey, Role
from campaigns.identity.rights import KEY_ROLES, rights_of_key
from campaigns.ids import uuid7_at
from campaigns.missions import Mission, Repeat, StepKind, StepPlan
from campaigns.missions.models import CompletionState, StaffRecord, StepCompletion
from campaigns.planning import Campaign
from campaigns.settings import Settings
from campaigns.sponsorship import Beneficiary, Payout, Pledge, PledgeKind, PledgePlan
from campaigns.sponsorship.models import Accrual
from campaigns.stats import thresholds
from campaigns.tokens import TagPlan, sun
from tests.api.helpers import CAMPAIGN, MISSION, PLACE
from tests.conftest import PHONE, PIN, SECRET
from tests.factories import make_campaign, make_entry, make_mission, make_place, make_scan, make_token, write
from tests.sponsors import make_pledge

NEVER = "0" * 12 + "7" + "0" * 3 + "8" + "0" * 15  # digits of a UUIDv7 that nobody has
_hours = count()
KEYS = {"meta_read_key": "00" * 16, "file_read_key": "11" * 16}


@dataclass
class Peer:
    """One organisation: `ids` by the name of the parameter that takes them, `keys` by what is the matter with them.

    `further` are ids of another place than that its bound keys are bound to.
    """

    id: UUID
    mark: str
    now: datetime = field(default_factory=clock.utc_now)  # of its rows, and so never ahead of them
    ids: dict[str, str] = field(default_factory=dict)
    further: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    rows: set[str] = field(default_factory=set)  # the digits of every id it has

    def name(self, parameter: str, prefix: str, id: UUID, *, further: bool = False) -> None:
        (self.further if further else self.ids)[parameter] = ids.show(prefix, id)
        self.rows.add(id.hex)


@dataclass
class Peers:
    """The application in this process, with a clock that stands; a client; two organisations, and one to change."""

    services: Services
    inner: FastAPI
    client: TestClient
    one: Peer
    other: Peer
    changing: Peer

    def routes(self) -> list[RouteContext]:
        """Every route of ours, in the order they are found."""
        return list(each_route(self.inner.routes))

    def api(self) -> list[RouteContext]:
        """Those under /v1."""
        return [one for one in self.routes() if path_of(one).startswith("/v1")]

    def ask(self, route: RouteContext, peer: Peer, key: str | None, **changes: Any) -> Any:
        """Send the example of a route as a peer, with one of its keys.

        `changes` are of `path`, `query` or `body`, or a `whole` other body.
        """
        path = filled(route, peer.ids | changes.get("path", {}))
        query = QUERIES.get(name_of(route), lambda _: {})(peer) | changes.get("query", {})
        body = changes.get("whole") or body_of(route, peer)
        sent: dict[str, Any] = {} if body is None else {"json": body | changes.get("body", {})}
        headers = {} if key is None else {"Authorization": f"Bearer {peer.keys.get(key, key)}"}
        if isinstance(body, File):
            sent, headers = {"content": body.content}, headers | {"Content-Type": body.kind}
        return self.client.request(method_of(route), path, params=query, headers=headers, **sent)


@dataclass(frozen=True)
class File:
    """A body that is a file."""

    kind: str
    content: bytes

    def __or__(self, _: object) -> "File":
        return self


def method_of(route: RouteContext) -> str:
    (method,) = sorted((route.methods or set()) - {"HEAD", "OPTIONS"})
    return method


def path_of(route: RouteContext) -> str:
    return route.path or ""


def name_of(route: RouteContext) -> str:
    return f"{method_of(route)} {path_of(route)}"


def missing(what: str, route: RouteContext) -> AssertionError:
    return AssertionError(f"tests/api/peers.py has no example of {what} for {name_of(route)}: add one")


def parameters(route: RouteContext) -> list[str]:
    """The names in a route's path."""
    return [one.name for one in route.dependant.path_params]


def filled(route: RouteContext, known: dict[str, str]) -> str:
    """The path of a route with examples in it."""
    path = path_of(route)
    for name in parameters(route):
        where = f"{route.path} {name}"
        if where not in known and name not in known:
            raise missing(f"the parameter {name!r}", route)
        path = path.replace("{" + name + "}", known.get(where, known.get(name, "")))
    return path


def body_of(route: RouteContext, peer: Peer) -> Any:
    """The body of a route's example; None for a route that takes none."""
    made = BODIES.get(name_of(route))
    if made is None and route.body_field is not None:
        raise missing("a body", route)
    return made(peer) if made is not None else None


def a_window() -> dict[str, str]:
    """The window of a round: another one at each call, for those of one mission may not overlap."""
    opens = datetime(2050, 1, 1, tzinfo=UTC) + timedelta(hours=next(_hours))
    return {"opens_at": opens.isoformat(), "closes_at": (opens + timedelta(hours=1)).isoformat()}


def visitors_of(peer: Peer) -> dict[str, Any]:
    """The electorate of a round: who comes to the peer's place."""
    return {"electorate": "visitors", "min_presence": 1, "place_ids": [peer.ids["place_id"]]}


def a_sheet(peer: Peer) -> str:
    """A file with one conversion."""
    cells = ("till", f"n{next(_hours)}", peer.ids["campaign_id"], "EUR", peer.now.isoformat(), "1000")
    return "source,external_id,campaign_id,currency,occurred_at,amount_minor\n" + ",".join(cells) + "\n"


def a_logo() -> File:
    """A green square."""
    file = BytesIO()
    Image.new("RGB", (32, 32), "green").save(file, "PNG")
    return File("image/png", file.getvalue())


QUERIES: dict[str, Any] = {
    "GET /v1/campaigns/{campaign_id}/stats/stream": lambda peer: {"frames": 1},
    "GET /v1/staff-records": lambda peer: {"campaign_id": peer.ids["campaign_id"]},
    "GET /v1/scans": lambda peer: {"campaign_id": peer.ids["campaign_id"], "place_id": peer.ids["place_id"]},
    "GET /v1/campaigns/{campaign_id}/sheet.pdf": lambda peer: {"format": "labels"},
    "GET /v1/token-batches/{batch_id}/sheet.pdf": lambda peer: {"format": "labels"},
    "GET /v1/coupons/{code}": lambda peer: {"place_id": peer.ids["place_id"]},
    "GET /v1/costs": lambda peer: {"campaign_id": peer.ids["campaign_id"]},
    "GET /v1/conversions": lambda peer: {"campaign_id": peer.ids["campaign_id"]},
    "GET /v1/costs/export.csv": lambda peer: {"campaign_id": peer.ids["campaign_id"]},
    "GET /v1/conversions/export.csv": lambda peer: {"campaign_id": peer.ids["campaign_id"]},
    "GET /v1/redemptions": lambda peer: {"place_id": peer.ids["place_id"]},
}

# Every route that takes a body. The ids in them are the peer's own.
BODIES: dict[str, Any] = {
    "POST /v1/costs": lambda peer: {
        "campaign_id": peer.ids["campaign_id"],
        "kind": "print",
        "amount_minor": 1000,
        "currency": "EUR",
        "incurred_on": "2026-10-01",
        "label": "Posters",
    },
    "PATCH /v1/costs/{cost_id}": lambda peer: {"label": "Cards"},
    "PATCH /v1/campaigns/{campaign_id}/money": lambda peer: {"margin": 0.4},
    "POST /v1/conversions": lambda peer: {
        "source": "till",
        "external_id": f"n{next(_hours)}",
        "campaign_id": peer.ids["campaign_id"],
        "amount_minor": 1000,
        "currency": "EUR",
        "occurred_at": peer.now.isoformat(),
        "place_id": peer.ids["place_id"],
        "scan_id": peer.ids["scan_id"],
    },
    "POST /v1/conversions/import": lambda peer: File("text/csv", a_sheet(peer).encode()),
    "POST /v1/campaigns/{campaign_id}/holdout": lambda peer: {"number": 1},
    "POST /v1/campaigns/{campaign_id}/exposures": lambda peer: {
        "since": "2026-10-01",
        "until": "2026-10-07",
        "exposures": [{"place_id": peer.ids["place_id"], "number": 9}, {"place_id": peer.ids["drawn"], "number": 9}],
    },
    "POST /v1/places": lambda peer: PLACE,
    "PATCH /v1/places/{place_id}": lambda peer: {"radius_m": 120},
    "POST /v1/places/{place_id}/staff-links": lambda peer: {"role": "staff"},
    "POST /v1/places/import": lambda peer: File("text/csv", b"name,lat,lon,time_zone\nA,45,4,Europe/Paris\n"),
    "POST /v1/campaigns": lambda peer: CAMPAIGN,
    "PATCH /v1/campaigns/{campaign_id}": lambda peer: {"name": "Verger 2"},
    "PUT /v1/campaign-files/{external_id}": lambda peer: CAMPAIGN | {"external_id": peer.ids["external_id"]},
    "POST /v1/campaigns/{campaign_id}/missions": lambda peer: MISSION,
    "POST /v1/missions/{mission_id}/external-acts": lambda peer: {"participant": peer.ids["public_code"], "id": "o-1"},
    "POST /v1/scans/{scan_id}/void": lambda peer: {"reason": "scanned from home"},
    "POST /v1/staff-records/{record_id}/void": lambda peer: {"reason": "the wrong card"},
    "POST /v1/missions/{mission_id}/rounds": lambda peer: a_window() | visitors_of(peer),
    "POST /v1/ideas/{idea_id}/decisions": lambda peer: {"state": "shortlisted", "reason": "It fits the place"},
    "POST /v1/ideas/{idea_id}/merger": lambda peer: {"into": peer.ids["further_idea"], "reason": "It says the same"},
    "POST /v1/ideas/{idea_id}/separation": lambda peer: {"reason": "It does not say the same"},
    "POST /v1/campaigns/{campaign_id}/offers": lambda peer: {
        "title": "Two euros of apples",
        "max_issue": 10,
        "face_value": {"amount_minor": 200, "currency": "EUR"},
        "unlock": {"by": "staff"},
        "place_ids": [peer.ids["place_id"]],
    },
    "PATCH /v1/offers/{offer_id}": lambda peer: {"max_issue": 20, "place_ids": [peer.ids["place_id"]]},
    "POST /v1/campaigns/{campaign_id}/alerts": lambda peer: {
        "watch": "check_ins",
        "comparison": "above",
        "value": 1000 + next(_hours),
    },
    "POST /v1/campaigns/{campaign_id}/reports": lambda peer: {"learned": f"{peer.mark} learned"},
    "POST /v1/campaigns/{campaign_id}/badges": lambda peer: {
        "name": {"fr": "Fidèle", "en": "Regular"},
        "criteria": {"kind": "places", "at_least": 3},
    },
    "PATCH /v1/badges/{badge_id}": lambda peer: {"name": "Regular"},
    "POST /v1/redemptions": lambda peer: {
        "code": peer.ids["coupon_code"],
        "place_id": peer.ids["place_id"],
        "device": "till-1",
        "nonce": f"n{next(_hours)}",
    },
    "PATCH /v1/rounds/{round_id}": lambda peer: {"quota": 2} | visitors_of(peer),
    "POST /v1/campaigns/{campaign_id}/tokens": lambda peer: {"medium": "qr", "place_id": peer.ids["place_id"]},
    "POST /v1/campaigns/{campaign_id}/token-batches": lambda peer: {
        "kind": "static",
        "media": ["qr"],
        "place_ids": [peer.ids["place_id"]],
    },
    "POST /v1/cohort-links": lambda peer: {"max_uses": 5, "label": f"{peer.mark} team"},
    "PATCH /v1/tokens/{token_id}": lambda peer: {"label": "by the till"},
    "POST /v1/tokens/{token_id}/replacement": lambda peer: {"label": "new"},
    "POST /v1/tokens/{token_id}/qr.{format}": lambda peer: a_logo(),
    "POST /v1/tag-key-sets": lambda peer: {"label": "lot", **KEYS},
    "POST /v1/sponsors": lambda peer: {"name": "Banque"},
    "PATCH /v1/sponsors/{sponsor_id}": lambda peer: {"url": "https://bank.example"},
    "POST /v1/beneficiaries": lambda peer: {"name": "École", "legal_id": "W1"},
    "PATCH /v1/beneficiaries/{beneficiary_id}": lambda peer: {"url": "https://school.example"},
    "POST /v1/missions/{mission_id}/pledges": lambda peer: {
        "sponsor_id": peer.ids["sponsor_id"],
        "beneficiary_ids": [peer.ids["beneficiary_id"]],
        "kind": "per_act",
        "unit_minor": 10,
        "currency": "EUR",
        "cap_minor": 1000,
        "min_presence": 2,
        "step_id": peer.ids["step_id"],
    },
    "PATCH /v1/pledges/{pledge_id}": lambda peer: {"cap_minor": 2000, "sponsor_id": peer.ids["sponsor_id"]},
    "POST /v1/pledges/{pledge_id}/end": lambda peer: {"reason": "It is over"},
    "POST /v1/payouts": lambda peer: {"beneficiary_id": peer.ids["beneficiary_id"], "currency": "EUR"},
    "POST /v1/payouts/{payout_id}/sent": lambda peer: {"reference": "VIR 7"},
    "POST /v1/payouts/{payout_id}/confirmation": lambda peer: {"proof": {"text": "They wrote back"}},
    "POST /v1/payouts/{payout_id}/cancellation": lambda peer: {"reason": "Wrong account"},
    "POST /v1/pledges/{pledge_id}/release": lambda peer: {},
    "POST /v1/accruals/{accrual_id}/void": lambda peer: {"reason": "A photo of the code"},
    "PATCH /v1/organisation": lambda peer: {"verified_hosts": []},
    "POST /v1/members": lambda peer: {"email": f"{NEVER}@example.org", "name": "Ana", "role": "analyst"},
    "PATCH /v1/members/{member_id}": lambda peer: {"role": "moderator"},
    "POST /v1/webhooks": lambda peer: {"url": "https://erp.example/hook", "events": ["scan.checked_in"]},
    "PATCH /v1/webhooks/{webhook_id}": lambda peer: {"events": ["scan.checked_in", "case.opened"]},
    "POST /v1/api-keys": lambda peer: {"name": "till", "role": "staff", "place_ids": [peer.ids["place_id"]]},
}
# Names in a path that are no ids of ours: nothing of another organisation can be named by them.
NAMES = {"format": "svg", "external_id": "example"}


def routes_of(app: Any) -> FastAPI:
    """The FastAPI application inside its callables."""
    while not isinstance(app, FastAPI):
        app = getattr(app, "_app", None) or app.app
    return app


def make_peers(database_url: str, tmp: Any) -> Iterator[Peers]:
    """The application on a database, with the organisations made in it.

    Its clock stands: a key's use is noted once, and what two requests ask of the database can be compared.
    """
    now = clock.utc_now()
    settings = Settings(
        _env_file=None,
        database_url=database_url,
        secret_key=SECRET,
        worker=False,
        spool_dir=tmp / "spool",
        erasure_dir=tmp / "erasures",
        base_url="http://testserver",
    )
    services = make_services(settings, lambda: now)
    prepare(services)
    made = []
    for mark in ("Pommeraie", "Vigneron", "Cerisaie"):
        with services.database.transaction() as session:
            organisation = identity.found_organisation(session, mark, now=now)
            made.append(Peer(organisation.id, mark))
        furnish(services, made[-1], now)
    app = wire(services)
    with TestClient(app, raise_server_exceptions=False, headers={"User-Agent": PHONE}) as client:
        yield Peers(services, routes_of(app), client, *made)


def furnish(services: Services, peer: Peer, now: datetime) -> None:
    """Give an organisation one of everything."""
    peer.now = now
    with services.database.transaction() as session:
        _give_keys(session, peer, now)
        entries = _give_campaign(session, services, peer, now)
        _give_people(session, peer, now)
        _give_pledges(session, peer, now)
        _give_coupons(session, peer, now)
        _give_webhook(session, services, peer, now)
        _give_figures(session, peer, now)
        _give_money(session, peer, now)
    scans = [make_scan(one, at=now) for one in entries]
    write(services.database, *scans, number=90, now=now)
    for scan, is_further in zip(scans, (False, True), strict=True):
        peer.name("scan_id", "scn", UUID(scan.id), further=is_further)
    peer.ids |= NAMES | {"subject_id": peer.ids["campaign_id"], "author_id": peer.ids["key_id"]}


def _give_keys(session: Session, peer: Peer, now: datetime) -> None:
    where = identity.organisation_by_id(session, peer.id)
    place = make_place(session, where, name=f"{peer.mark} place", now=now, external_id=f"{peer.mark}-place")
    further = make_place(session, where, name=f"{peer.mark} further", now=now)
    peer.name("place_id", "plc", place.id)
    peer.name("place_id", "plc", further.id, further=True)

    member, _, __ = identity.invite_member(
        session,
        peer.id,
        email=f"{peer.mark}.keys@example.org".lower(),
        name=f"Zoé {peer.mark}",
        role=Role.OWNER,
        most=RIGHTS[Role.OWNER],
        now=now,
    )
    peer.rows.add(member.id.hex)

    def issue(name: str, role: Role, **fields: Any) -> ApiKey:
        fields = {"name": f"{peer.mark} {name}", "now": now, "member_id": member.id, **fields}
        key, peer.keys[name] = identity.issue_key(session, peer.id, role=role, **fields)
        peer.rows.add(key.id.hex)
        return key

    for role in KEY_ROLES:
        issue(role.value, role, place_ids=[place.id] if role is Role.STAFF else None)
    issue("placed", Role.OWNER, place_ids=[place.id])
    for right in sorted(rights_of_key(Role.OWNER, None)):
        issue(right.value, Role.OWNER, scopes=[right.value])
    issue("expired", Role.OWNER, expires_at=now - timedelta(hours=1), now=now - timedelta(days=1))
    identity.revoke_key(session, issue("revoked", Role.OWNER), now=now)
    peer.name("key_id", "key", issue("spare", Role.ANALYST).id)


def _give_campaign(session: Session, services: Services, peer: Peer, now: datetime) -> Any:
    where = identity.organisation_by_id(session, peer.id)
    place = places.place_by_name(session, peer.id, peer.ids["place_id"])
    campaign = make_campaign(session, where, name=f"{peer.mark} campaign", now=now, external_id=f"{peer.mark}-campaign")
    draft = make_campaign(session, where, name=f"{peer.mark} draft", now=now, live=False)
    steps = [StepPlan(StepKind.SCAN, 1, Repeat.DAILY), StepPlan(StepKind.IDEA), StepPlan(StepKind.EXTERNAL)]
    steps += [StepPlan(StepKind.RATE), StepPlan(StepKind.REFERRAL)]
    mission = make_mission(session, campaign, title={"fr": f"{peer.mark} mission"}, steps=steps, now=now)
    person, _ = participants.join(session, peer.id, language="fr", now=now - timedelta(hours=2))  # no newcomer
    peer.ids["public_code"] = missions.public_code(session, mission, person, now=now)
    token = make_token(session, campaign, place, label=f"{peer.mark} token", now=now)
    batch = tokens.issue_statics(
        session, campaign, media=[tokens.Medium.QR], places=[place], label=f"{peer.mark} batch", channel=None, now=now
    )
    plan = TagPlan(services.keyring.seal_tag_keys(bytes(32)), sun.Mode.AES, sun.MacInput.EMPTY, diversifier=None)
    window = community.RoundPlan(now - timedelta(hours=1), now + timedelta(hours=1))
    round = community.plan_round(session, mission, window, now=now)
    tag_keys = tokens.keep_key_set(session, peer.id, plan, label=f"{peer.mark} set", now=now)
    job = jobs.enqueue(session, peer.id, "nothing", total=1, now=now)
    approval = approvals.propose(
        session,
        peer.id,
        kind=ApprovalKind.LAUNCH,
        subject_id=draft.id,
        subject_name=draft.name,
        key_id=None,
        member_id=_maker(session, peer, "launch", now),
        now=now,
    )
    said = {"text": f"{peer.mark} idea", "client_id": "phone-1", "language": "fr", "now": now}
    idea = community.post_idea(session, mission, campaign, person, **said).idea  # type: ignore[arg-type]  # as it is named
    said |= {"client_id": "phone-2"}
    further = community.post_idea(session, mission, campaign, person, **said).idea  # type: ignore[arg-type]  # likewise
    merged = community.post_idea(session, mission, campaign, person, **said | {"client_id": "phone-3"}).idea  # type: ignore[arg-type]  # likewise
    by = community.By(key_id=ids.parse("key", peer.ids["key_id"]))
    community.merge_idea(session, mission, merged, further.id, reason=f"{peer.mark} reason", by=by, now=now)
    card: dict[str, Any] = {
        "campaign_id": campaign.id,
        "place_id": place.id,
        "participant_id": person.id,
        "phase": "live",
    }
    record = StaffRecord(
        id=ids.uuid7_at(now), act="check_in", outcome="already", client_id=peer.mark, recorded_at=now, **card
    )
    session.add(record)
    separation = "/v1/ideas/{idea_id}/separation idea_id"
    trial = make_campaign(session, where, name=f"{peer.mark} trial", now=now, live=False)
    team = planning.PilotPlan([peer.ids["place_id"]], 10, {"people": 5})
    planning.declare_pilot(session, trial, team, now=now)
    link, _ = participants.issue_cohort_link(session, peer.id, label=f"{peer.mark} link", now=now)
    peer.name("/v1/campaigns/{campaign_id}/pilot campaign_id", "cmp", trial.id)
    question = missions.steps_of(session, mission.id)[3]
    words = {"value": 4, **said, "text": f"{peer.mark} reply"}
    reply = community.give_reply(session, mission, campaign, person, question, **words).reply  # type: ignore[arg-type]
    peer.rows |= {question.id.hex, reply.id.hex}
    for parameter, prefix, row in (
        ("campaign_id", "cmp", campaign),
        ("mission_id", "mis", mission),
        ("idea_id", "ide", idea),
        ("record_id", "rec", record),
        ("further_idea", "ide", further),
        (separation, "ide", merged),
        ("round_id", "rnd", round),
        ("token_id", "tok", token),
        ("batch_id", "tbt", batch),
        ("key_set_id", "tks", tag_keys),
        ("job_id", "job", job),
        ("approval_id", "apr", approval),
        ("link_id", "col", link),
    ):
        peer.name(parameter, prefix, row.id)
    peer.rows |= {draft.id.hex, token.code}
    peer.ids["code"] = token.code
    peer.ids["/v1/campaigns/{campaign_id}/launch campaign_id"] = ids.show("cmp", draft.id)
    away = make_token(session, campaign, places.place_by_name(session, peer.id, peer.further["place_id"]), now=now)
    entries = [make_entry(session, token), make_entry(session, away)]
    for entry, is_further in zip(entries, (False, True), strict=True):
        _give_care(session, peer, entry, now, further=is_further)
    return entries


def _give_care(session: Session, peer: Peer, entry: Any, now: datetime, *, further: bool) -> None:
    said = care.report_code(
        session, entry, code=entry.code, kind=ReportKind.ODD, text=f"{peer.mark} report", reporter_key=1, now=now
    )
    peer.name("report_id", "rpt", said.report.id, further=further)
    told = care.open_case(
        session,
        session.get_one(Campaign, entry.campaign.id),
        mission_id=None,
        place=entry.place,
        text=f"{peer.mark} case",
        person=None,
        sender_key=1,
        client_id=uuid7_at(now).hex,
        language="fr",
        now=now,
    )
    peer.name("case_id", "cas", told.case.id, further=further)
    alert = Alert(
        id=uuid7_at(now),
        organisation_id=peer.id,
        campaign_id=entry.campaign.id,
        token_id=entry.token_id,
        place_id=entry.place_id,
        kind=AlertKind.SCANS_FELL_OFF.value,
        since=now,
        open_days=3,
        expected=30.0,
        seen=0,
        opened_at=now,
    )
    session.add(alert)
    peer.name("alert_id", "alr", alert.id, further=further)


def _give_pledges(session: Session, peer: Peer, now: datetime) -> None:
    mission = missions.mission_by_id(session, peer.id, ids.parse("mis", peer.ids["mission_id"]))
    sponsor = sponsorship.register(session, sponsorship.Sponsor, peer.id, name=f"{peer.mark} bank", now=now)
    cause, further = (
        sponsorship.register(
            session, sponsorship.Beneficiary, peer.id, name=f"{peer.mark} {name}", legal_id="W1", now=now
        )
        for name in ("school", "choir")
    )
    plan = PledgePlan(sponsor.id, [cause.id, further.id], PledgeKind.PER_ACT, "EUR", 1000, 10, min_presence=2)
    draft, gone, signed = (sponsorship.promise(session, mission, plan, now=now) for _ in range(3))
    _, secret = sponsorship.issue_signature_link(session, signed, now=now)
    owner = identity.organisation_by_id(session, peer.id).name
    hash = sponsorship.terms_hash_of(session, signed, organisation_name=owner)
    sponsorship.sign(session, secret, name="Ana", terms_hash=hash, now=now)
    link, _ = sponsorship.issue_signature_link(session, gone, now=now)
    active, accrual = _give_accrual(session, peer, mission, cause, now)
    for parameter, prefix, row in (
        ("sponsor_id", "spo", sponsor),
        ("beneficiary_id", "ben", cause),
        ("pledge_id", "pld", draft),
        ("/v1/pledges/{pledge_id}/end pledge_id", "pld", signed),
        ("/v1/pledges/{pledge_id}/release pledge_id", "pld", active),
        ("/v1/pledges/{pledge_id}/accruals pledge_id", "pld", active),
        ("/v1/pledges/{pledge_id}/ledger pledge_id", "pld", active),
        ("accrual_id", "acr", accrual),
        ("pledge_link_id", "plk", link),
    ):
        peer.name(parameter, prefix, row.id)
    peer.ids["matches_id"] = ids.show("pld", signed.id)
    peer.ids["step_id"] = ids.show("stp", missions.steps_of(session, mission.id)[0].id)
    peer.rows |= {gone.id.hex, further.id.hex}
    _give_payouts(session, peer, signed, cause, now)


def _give_payouts(session: Session, peer: Peer, pledge: Pledge, cause: Beneficiary, now: datetime) -> None:
    """Something due, and a payout in each state from which a route leads on."""
    due = Accrual(
        pledge_id=pledge.id,
        completion_id=uuid7_at(now),
        beneficiary_id=cause.id,
        surrogate=uuid7_at(now),
        civil_day=now.date(),
        amount_minor=10,
        currency="EUR",
        state="posted",
        accrued_at=now,
        review_until=now,
        posted_at=now,
    )
    session.add(due)
    peer.rows.add(due.id.hex)
    where = "/v1/payouts/{payout_id}/"
    maker_id = _maker(session, peer, "payouts", now)
    for parameter, state in (
        ("payout_id", "proposed"),
        (f"{where}cancellation payout_id", "proposed"),
        (f"{where}sent payout_id", "approved"),
        (f"{where}confirmation payout_id", "sent"),
    ):
        payout = Payout(
            organisation_id=peer.id,
            beneficiary_id=cause.id,
            currency="EUR",
            amount_minor=10,
            state=state,
            proposed_by=maker_id,
            proposed_at=now,
        )
        session.add(payout)
        session.flush()
        peer.name(parameter, "pay", payout.id)


def _maker(session: Session, peer: Peer, name: str, now: datetime) -> UUID:
    """A member who proposes, and does nothing else."""
    address = f"{peer.mark}.{name}@example.org".lower()
    fields: dict[str, Any] = {"role": Role.APPROVER, "most": RIGHTS[Role.OWNER], "now": now}
    member, *_ = identity.invite_member(session, peer.id, email=address, name=f"{peer.mark} {name}", **fields)
    peer.rows.add(member.id.hex)
    return member.id


def _give_accrual(
    session: Session, peer: Peer, mission: Mission, cause: Beneficiary, now: datetime
) -> tuple[Pledge, Accrual]:
    """A pledge on which an act accrued that a shop witnessed."""
    step = missions.steps_of(session, mission.id)[0]
    pledge = make_pledge(session, mission, causes=[cause], step_id=step.id, now=now - timedelta(hours=1))
    person, _ = participants.join(session, peer.id, language="fr", now=now)
    missions.take_part(session, mission, person, phase="live", now=now)
    done: dict[str, Any] = {"period": "once", "presence": 3, "phase": "live", "source_id": uuid4(), "now": now}
    missions.complete(session, mission, step, person, state=CompletionState.VERIFIED, **done)
    completion = session.exec(select(StepCompletion.id).where(StepCompletion.participant_id == person.id)).one()
    sponsorship.reckon(session, [completion], now=now)
    accrual = session.exec(select(Accrual).where(Accrual.pledge_id == pledge.id)).one()
    peer.rows |= {pledge.sponsor_id.hex}
    return pledge, accrual


def _give_coupons(session: Session, peer: Peer, now: datetime) -> None:
    """An offer with two coupons: one is there to be used, one was used today in each of two places."""
    campaign = planning.campaign_by_name(session, peer.id, peer.ids["campaign_id"])
    plan = rewards.OfferPlan({"": f"{peer.mark} offer"}, 10, rewards.Unlock.STAFF, face_value_minor=200, currency="EUR")
    offer = rewards.make_offer(session, campaign, plan, now=now)
    badge = rewards.BadgePlan({"": f"{peer.mark} badge"}, rewards.BadgeKind.PLACES, 3)
    peer.name("badge_id", "bdg", rewards.make_badge(session, campaign, badge, now=now).id)
    about: dict[str, Any] = {"legal_id": "W691234567", "accepted_at": now, "created_at": now, "changed_at": now}
    cause = Beneficiary(organisation_id=peer.id, name=f"{peer.mark} cause", **about)
    session.add(cause)
    peer.rows |= {cause.id.hex}
    owners = [participants.join(session, peer.id, language="fr", now=now)[0] for _ in range(3)]
    wants = [rewards.Want(offer.id, one.id, uuid7_at(now), "live") for one in owners]
    free, *used = rewards.issue(session, wants, now=now)
    peer.name("offer_id", "off", offer.id)
    peer.ids["coupon_code"] = peer.ids["/v1/coupons/{code} code"] = free.code
    peer.rows |= {free.code, free.id.hex}
    for coupon, names in zip(used, (peer.ids, peer.further), strict=True):
        place = places.place_by_name(session, peer.id, names["place_id"])
        claim = rewards.Claim(coupon.code, "till-9", coupon.id.hex)
        done = rewards.redeem(session, place, claim, now=now)
        peer.name("redemption_id", "rdm", done.redemption.id, further=names is peer.further)
        peer.rows |= {coupon.code, coupon.id.hex}


def _give_figures(session: Session, peer: Peer, now: datetime) -> None:
    """A threshold that was crossed, and a frozen report."""
    campaign = planning.campaign_by_name(session, peer.id, peer.ids["campaign_id"])
    watched: dict[str, Any] = {"watched": "check_ins", "comparison": stats.Comparison.BELOW, "value": 7}
    threshold = stats.set_threshold(session, campaign, **watched, now=now)
    thresholds.tell(session, [thresholds.Look(threshold, 0)], now=now)
    (raised,) = stats.list_raised(session, peer.id, before=None, limit=2)
    author = Author(AuthorKind.KEY, ids.parse("key", peer.ids["key_id"]))
    report = stats.freeze(session, campaign, learned=f"{peer.mark} learned", author=author, now=now)
    peer.name("/v1/campaigns/{campaign_id}/alerts/{alert_id} alert_id", "alt", threshold.id)
    peer.name("/v1/reports/{report_id} report_id", "rep", report.id)
    peer.rows |= {raised.id.hex, report.sha256}


def _give_money(session: Session, peer: Peer, now: datetime) -> None:
    """A cost and a conversion; and two drafts with a code in two places, one of them with its draw."""
    campaign = planning.campaign_by_name(session, peer.id, peer.ids["campaign_id"])
    spent: dict[str, Any] = {"kind": stats.CostKind.MEDIA, "amount_minor": 900, "currency": "EUR", "now": now}
    cost = stats.add_cost(session, campaign, incurred_on=now.date(), label=f"{peer.mark} cost", **spent)
    told = stats.Told("till", f"{peer.mark}-1", peer.ids["campaign_id"], 800, "EUR", now)
    _, sale = stats.Clerk(session, peer.id, now=now).take(told)
    peer.name("cost_id", "cst", cost.id)
    peer.name("conversion_id", "cnv", sale.id)
    where = identity.organisation_by_id(session, peer.id)
    there = [places.place_by_name(session, peer.id, one["place_id"]) for one in (peer.ids, peer.further)]
    peer.ids["drawn"] = peer.further["place_id"]
    for name in ("undrawn", "drawn"):
        draft = make_campaign(session, where, name=f"{peer.mark} {name}", now=now, live=False)
        for place in there:
            peer.rows.add(make_token(session, draft, place, now=now).code)
        peer.name(f"{name}_campaign", "cmp", draft.id)
    units, kind = [one.id for one in there], planning.HoldoutUnitKind.PLACE
    drawn = planning.draw_holdout(session, draft, kind, units, number=1, seed="0" * 32, now=now)
    peer.rows.add(drawn.id.hex)
    for path in ("holdout", "exposures"):
        peer.ids[f"/v1/campaigns/{{campaign_id}}/{path} campaign_id"] = peer.ids["drawn_campaign"]


def _give_webhook(session: Session, services: Services, peer: Peer, now: datetime) -> None:
    where = {"url": f"https://{peer.mark.lower()}.example/hook", "events": ["case.opened"]}
    made, _ = webhooks.register(session, peer.id, keyring=services.keyring, now=now, **where)  # type: ignore[arg-type]  # as it is named
    peer.name("webhook_id", "whk", made.id)
    peer.name("delivery_id", "dlv", webhooks.try_out(session, made, now=now).id)


def _give_people(session: Session, peer: Peer, now: datetime) -> None:
    member, _, secret = identity.invite_member(
        session,
        peer.id,
        email=f"{peer.mark}@example.org".lower(),
        name=f"Ana {peer.mark}",
        role=Role.ANALYST,
        most=RIGHTS[Role.OWNER],
        now=now,
    )
    signed, _ = identity.sign_in_member(session, secret, label=f"{peer.mark} browser", replaces=None, now=now)
    place = places.place_by_name(session, peer.id, peer.ids["place_id"])
    link = places.issue_staff_link(session, place, now=now)
    phone, _ = places.sign_in(session, link, pin=PIN, pin_key=b"p" * 32, label=peer.mark, now=now)
    session.flush()
    peer.name("member_id", "mbr", member.id)
    peer.name("session_id", "mse", signed.id)
    staff_session = "/v1/places/{place_id}/staff-sessions/{session_id}/revocation session_id"
    peer.name(staff_session, "ses", phone.id)
