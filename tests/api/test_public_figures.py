"""I21: what a pilot did is in no public figure. Every address that anybody may read, and every figure of the API, is
the same after a launch, whether its pilot was busy or nobody came: the proof walks the application's own routes.

Tried by hand, each turning it red: no phase in `figures._sums`; `visitors` without the phase; `read_stats` counting
check-ins of any phase; `phase_shown` answering with the pilot's to everybody; ideas listed of any phase.
"""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text
from sqlmodel import Session, SQLModel

from api.policies import PUBLIC, policy_of
from campaigns import community, identity, ids, missions, participants, planning, rewards, stats, worker
from campaigns.community import Electorate
from campaigns.missions import Link, Phone, Repeat, StepKind, StepPlan
from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.planning import Campaign, LaunchFacts
from campaigns.scans import Position, SealedFix
from campaigns.scans.log import Confirmation
from campaigns.sponsorship import meter
from campaigns.sponsorship.meter import Sums
from campaigns.tokens import Token
from tests.api.peers import Peer, Peers, filled, furnish, method_of, name_of, parameters, path_of
from tests.factories import (
    BELLECOUR,
    make_campaign,
    make_entry,
    make_mission,
    make_receipt,
    make_scan,
    make_token,
    write,
)
from tests.treasury import make_purse

WORDS = "Quatre bancs sous le tilleul"  # of the pilot, and of nobody else
# Routes that show no figure, and why: everything else must not change.
NO_FIGURES = {
    "GET /v1/staff-records": "acts one by one: each says its phase",
    "GET /v1/scans": "the log itself: each row says its phase",
    "GET /v1/scans/{scan_id}": "a row of the log",
    "GET /v1/campaigns/{campaign_id}/pilot": "the pilot's own page",
    "GET /v1/campaigns/{campaign_id}": "says when its pilot began",
    "GET /v1/campaigns": "says when their pilots began",
    "GET /v1/api-keys": "when each key was last used",
    "GET /v1/cohort-links": "how many entered by each link",
    "GET /v1/campaigns/{campaign_id}/kits.zip": "each has sign-in links of its own",
    "GET /m/{mission}/rules": "a legal text, and its versions: one at each launch here",
    "GET /v1/webhooks/{webhook_id}/deliveries": "messages to the brand's own systems: each says its phase",
    "GET /v1/audit": "the audit log",
    "GET /v1/campaigns/{campaign_id}/offers": "what coupons cost: those of a pilot are real money",
    "GET /v1/offers/{offer_id}": "the same",
    "GET /v1/offers/{offer_id}/coupons": "each row says its phase",
    "GET /v1/redemptions": "what tills sent",
    "GET /v1/campaigns/{campaign_id}/badges": "what badges ask for; who has one is not counted",
    **dict.fromkeys(
        (f"GET /v1/places/{{place_id}}/coupon-statement{kind}" for kind in ("", ".csv", ".html")),
        "what a shop is owed: that of a pilot is real money",
    ),
    "GET /v1/campaigns/{campaign_id}/money": "what it cost: a pilot's coupons are real money, its sales are told apart",
    "GET /v1/conversions": "each row says its phase",
    "GET /v1/conversions/export.csv": "the same",
    "GET /v1/audit/export.csv": "the audit log",
    "GET /v1/audit/export.ndjson": "the audit log",
}
# What differs between two answers to one question: random, or of the moment.
# That a pilot's vote froze a round's rules is no figure: the brand is told it may not change them. And what a report
# says of the cost, its currency and its hash have a pilot's coupons in them: they are real money.
VOLATILE = re.compile(
    r"\"rules_frozen\":\w+|\"cost_\w*minor\":[\w.]+|\"currency\":[\"\w]+|\"sha256\": \"\w+|"
    r"(?:receipt|client_id|secret)\W+[^\"<>]{0,20}[\w-]{10,}|[0-9a-f-]{36}|[\w-]{100}|scn_\w+|[0-9a-f]{32}",
    re.I,
)
STEPS = [
    StepPlan(StepKind.SCAN, 1, Repeat.DAILY),
    StepPlan(StepKind.VISIT_PLACES, 1, params={"n": 1}),
    StepPlan(StepKind.IDEA, points=5),
    StepPlan(StepKind.VOTE),
    StepPlan(StepKind.COMMENT),
    StepPlan(StepKind.SHARE),
    StepPlan(StepKind.EXTERNAL),
    StepPlan(StepKind.RATE),
    StepPlan(StepKind.REFERRAL, 1, 2),
    StepPlan(StepKind.REDEEM),
]


@pytest.fixture
def trial(peers: Peers) -> tuple[Peer, dict[str, str]]:
    """A brand of its own with a campaign in its pilot; the ids of that campaign, by the names of parameters."""
    now = peers.services.clock()
    with peers.services.database.transaction() as session:
        brand = identity.found_organisation(session, "Olivaie", now=now)
        peer = Peer(brand.id, "Olivaie")
    furnish(peers.services, peer, now)
    with peers.services.database.transaction() as session:
        place = session.get_one(Place, ids.parse("plc", peer.ids["place_id"]))
        campaign = make_campaign(session, brand, live=False, now=now)
        team = planning.PilotPlan([peer.ids["place_id"]], 50, {"people": 1})
        planning.declare_pilot(session, campaign, team, now=now)
        mission = make_mission(session, campaign, steps=STEPS, now=now)
        token = make_token(session, campaign, place, now=now)
        window = (now - timedelta(hours=1), now + timedelta(hours=1))
        round = community.plan_round(
            session, mission, community.RoundPlan(*window, electorate=Electorate.EVERYBODY), now=now
        )
        idea = missions.steps_of(session, mission.id)[2]
        plan = rewards.OfferPlan(
            {"": "Pilot"}, 10, rewards.Unlock.STEP, step_id=idea.id, face_value_minor=200, currency="EUR"
        )
        offer = rewards.make_offer(session, campaign, plan, now=now)
        make_purse(session, mission, now=now)  # so that every act of the pilot could have been paid for
        dear = rewards.OfferPlan({"": "For points"}, 10, rewards.Unlock.POINTS, points=5)
        bought = rewards.make_offer(session, campaign, dear, now=now)
        badge = rewards.BadgePlan({"": "First step"}, rewards.BadgeKind.COMPLETIONS, 1)
        rewards.make_badge(session, campaign, badge, now=now)
        planning.start_pilot(session, campaign, now=now)
        named = {
            "bought": ids.show("off", bought.id),
            "offer_id": ids.show("off", offer.id),
            "campaign_id": ids.show("cmp", campaign.id),
            "mission_id": ids.show("mis", mission.id),
            "mission": mission.slug,
            "round_id": ids.show("rnd", round.id),
            "round": ids.show("rnd", round.id),
            "token_id": ids.show("tok", token.id),
            "code": token.code,
        }
    return peer, named


def be_busy(peers: Peers, peer: Peer, named: dict[str, str]) -> None:
    """Six people of the team do all that can be done."""
    now, database = peers.services.clock(), peers.services.database
    code = ""
    for number in range(6):
        with database.snapshot() as session:
            campaign = session.get_one(Campaign, ids.parse("cmp", named["campaign_id"]))
            token = session.get_one(Token, ids.parse("tok", named["token_id"]))
            entry = make_entry(session, token)
            mission = missions.mission_by_name(session, named["mission"])
        row = make_scan(entry, at=now, visitor_key=7000 + number)
        assert row.phase == "pilot"
        assert row.token_id is not None
        write(database, row, number=91 + number, now=now)
        write(database, Confirmation(row.id, row.token_id, row.visitor_key, now), number=101 + number, now=now)
        with database.transaction() as session:
            link, _ = participants.issue_cohort_link(session, peer.id, now=now)
            person, cookie = participants.join(session, peer.id, language="fr", now=now)
            person = participants.enter_cohort(session, link, person, now=now)
            came = Link(code, Phone(1, number))
            missions.claim(session, mission, session.get_one(Campaign, campaign.id), person, came, now=now)
        receipt = make_receipt(entry, row)
        with database.snapshot() as session:
            ground = missions.ground_of(session, receipt, missions.led_to(session, entry.campaign.id))
        with database.transaction() as session:
            done = missions.check_in(
                session,
                receipt,
                entry,
                ground,
                cookie=cookie,
                language="fr",
                position=Position(*BELLECOUR, accuracy_m=10),
                seal=lambda _: SealedFix(b"sealed", None),
                till_window=None,
                occurred_at=None,
                now=now,
            )
            assert done.check_in.counted, done
            assert [one.outcome for one in done.outcomes] == ["verified", "verified"], done.outcomes
        with database.transaction() as session:
            campaign = session.get_one(Campaign, campaign.id)
            act_online(session, peers, mission, campaign, done.person, number)
            code = missions.invite(session, mission, campaign, done.person, Phone(1, 100 + number), now=now)
    while worker.drain(database, now=now).done:
        pass
    with database.transaction() as session:
        bought = rewards.offer_by_id(session, peer.id, ids.parse("off", named["bought"]))
        campaign = session.get_one(Campaign, campaign.id)
        rewards.buy(session, campaign, done.person, bought, client_id="tap", now=now)
        offer = rewards.offer_by_id(session, peer.id, ids.parse("off", named["offer_id"]))
        place = session.get_one(Place, ids.parse("plc", peer.ids["place_id"]))
        coupons = rewards.list_coupons(session, offer.id, before=None, limit=10)
        assert len(coupons) == 6
        for coupon in coupons:
            claim = rewards.Claim(coupon.code, "till-1", coupon.id.hex)
            assert rewards.redeem(session, place, claim, now=now).redemption.reason is None
        told = stats.Told("till", f"{peer.mark}-pilot", named["campaign_id"], 800, "EUR", now)
        stats.Clerk(session, peer.id, now=now).take(told)
        money = stats.money_of(session, campaign)
        assert (money.conversions, money.revenue_minor, money.results) == (0, 0, stats.Results(0, 0, 0))


def act_online(
    session: Session, peers: Peers, mission: Any, campaign: Campaign, person: Participant, number: int
) -> None:
    now = peers.services.clock()
    said: dict[str, Any] = {"client_id": f"p-{number}", "language": "fr"}
    person = participants.declare_age(session, person, is_under_15=False, now=now)
    idea = community.post_idea(session, mission, campaign, person, text=WORDS, now=now, **said).idea
    community.post_comment(session, mission, campaign, person, idea.id, text=WORDS, now=now, **said)
    community.cast_vote(
        session,
        None,
        mission,
        campaign,
        person,
        idea_id=idea.id,
        client_id=f"v-{number}",
        secret=peers.services.keyring.ballot_secret(campaign.id),
        now=now,
    )
    question = next(step for step in missions.steps_of(session, mission.id) if step.kind == StepKind.RATE)
    community.give_reply(session, mission, campaign, person, question, value=5, text="", now=now, **said)
    missions.share(session, mission, campaign, person, now=now)
    code = missions.public_code(session, mission, person, now=now)
    missions.tell(session, mission, campaign, code=code, external_id=f"e-{number}", now=now)


def launch(peers: Peers, named: dict[str, str]) -> None:
    with peers.services.database.transaction() as session:
        campaign = session.get_one(Campaign, ids.parse("cmp", named["campaign_id"]))
        planning.launch(
            session, campaign, LaunchFacts(1, 0, 1, 1, pilot=planning.PilotFacts({"people": 1.0})), now=now_of(peers)
        )
    peers.services.directory.hear("everything", campaign.id)


def back_to_the_pilot(peers: Peers, named: dict[str, str]) -> None:
    """As it was before the launch: so that one campaign is launched with and without a busy pilot."""
    with peers.services.database.transaction() as session:
        statement = text("UPDATE campaigns SET state = 'pilot', launched_at = NULL WHERE id = :id")
        id = ids.parse("cmp", named["campaign_id"])
        of = {"id": id.hex if peers.services.database.is_sqlite else id}
        session.execute(statement, of)
        session.execute(text("UPDATE targets SET locked_at = NULL WHERE campaign_id = :id"), of)
    peers.services.directory.hear("everything", id)


def now_of(peers: Peers) -> Any:
    return peers.services.clock()


def public_figures(peers: Peers, peer: Peer, named: dict[str, str]) -> dict[str, str]:
    """Every answer to a reader without a cookie, and every figure a key reads, without what is of the moment."""
    found = {}
    known = {**peer.ids, **named, "secret": "x" * 22, "case": "NONE", "idea": peer.ids["idea_id"]}
    for route in peers.routes():
        name, is_public = name_of(route), policy_of(route) == PUBLIC.dependency
        if method_of(route) != "GET" or name in NO_FIGURES or not (is_public or path_of(route).startswith("/v1")):
            continue
        path = filled(route, known | {one: known.get(one, "none") for one in parameters(route)})
        headers = {"Accept": "text/html" if is_public else "application/json"}
        if not is_public:
            headers["Authorization"] = f"Bearer {peer.keys['owner']}"
        query = {"campaign_id": named["campaign_id"]} if "campaign_id" in str(route.dependant.query_params) else {}
        if "frames" in str(route.dependant.query_params):
            query["frames"] = "1"  # of a stream, which goes on else
        answer = peers.client.get(path, params=query, headers=headers)
        found[name] = f"{answer.status_code} {VOLATILE.sub('…', answer.text)}"
    return found


def test_nothing_of_a_pilot_is_in_a_public_figure(peers: Peers, trial: tuple[Peer, dict[str, str]]) -> None:
    peer, named = trial
    idle = public_figures(peers, peer, named)
    launch(peers, named)
    empty = public_figures(peers, peer, named)
    assert len(empty) > 60
    assert "200 " in empty["GET /m/{mission}"][:4]
    back_to_the_pilot(peers, named)

    be_busy(peers, peer, named)
    require_acts_of_every_kind(peers, UUID(named["mission_id"][4:]))
    busy = public_figures(peers, peer, named)
    launch(peers, named)
    full = public_figures(peers, peer, named)

    assert [name for name in idle if idle[name] != busy[name]] == [], "while the pilot runs"
    assert [name for name in empty if empty[name] != full[name]] == [], "after the launch"
    assert not any(WORDS in page for page in (*busy.values(), *full.values()))


def require_acts_of_every_kind(peers: Peers, mission_id: UUID) -> None:
    """The pilot was busy in each table that has a phase, or a figure of it could not have been missed."""
    idle = {"act_codes", "friend_namings", "validations", "moderation_acts", "staff_records"}
    with peers.services.database.snapshot() as session:
        for table in SQLModel.metadata.sorted_tables:
            if "phase" not in table.c or table.name in idle:
                continue
            assert not table.c.phase.nullable, table.name
            number = session.execute(select(func.count()).select_from(table).where(table.c.phase == "pilot"))
            assert number.scalar_one() > 0, table.name
        assert [vars(one) for one in meter.in_all(meter.meters_of(session, mission_id))] == [
            vars(Sums("EUR", cap_minor=100_000))
        ]
        assert missions.counters(session, mission_id) == {}
        assert missions.counters(session, mission_id, phase="pilot")["check_ins"] == 6
        assert missions.counters(session, mission_id, phase="pilot")["coupons_redeemed"] == 6
