"""Webhooks, on both databases: each event once to who wants it, signed, again by the schedule, off when that is vain.

Tried by hand, each turning a test red: no UNIQUE of webhook and event; a participant's id told; the lease not asked
when a result is noted; a lease that never runs out; a success that leaves `failing_since`; an old failure counted as a
present one; Retry-After unbounded.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session, select
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from campaigns import care, ids, webhooks, worker
from campaigns.audit import AuditEntry
from campaigns.clock import utc_now
from campaigns.errors import Conflict, Invalid
from campaigns.events import Event, record_event
from campaigns.identity import Organisation
from campaigns.planning import Campaign
from campaigns.reactions import REACTIONS
from campaigns.storage import Database
from campaigns.webhooks import KINDS, DeliveryState, Webhook, WebhookDelivery, kinds
from campaigns.webhooks.delivering import FAILING_FOR, LEASE, PAUSES, REST, Sender, deliver, pause_after
from campaigns.webhooks.service import MOST_WEBHOOKS, OLD_SECRET_LIFE
from campaigns.webhooks.signing import signed_headers
from tests.factories import make_organisation
from tests.racing import race
from tests.receiver import Answer, Arrived, Receiver, receiver, to_here
from tests.scene import INSIDE, KEYRING, Scene, minutes, set_scene

URL = "https://erp.example/hook"
NOON = minutes(0)


class Post:
    """The sender of one worker, with a clock that is moved by hand."""

    def __init__(self, database: Database, folder: Path, at: datetime = NOON) -> None:
        self.database, self.at, self.id = database, at, ids.uuid7()
        self.sender = Sender(to_here(folder), KEYRING, lambda: self.at, chance=lambda: 0.0)

    def send(self, *, later: timedelta = timedelta()) -> int:
        """Send all that is due after a while; how many rounds it took."""
        self.at += later
        rounds = 0
        while deliver(self.database, self.sender, by=self.id):
            rounds += 1
        return rounds


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Receiver]:
    with receiver(tmp_path) as found:
        yield found


def register(scene: Scene, *events: str, url: str = URL, owner: UUID | None = None, now: datetime = NOON) -> UUID:
    with scene.database.transaction() as session:
        made, _ = webhooks.register(
            session,
            owner or scene.campaign.organisation_id,
            url=url,
            events=events or tuple(KINDS),
            keyring=KEYRING,
            now=now,
        )
    return made.id


def deliveries(database: Database) -> Sequence[WebhookDelivery]:
    with database.snapshot() as session:
        return session.exec(select(WebhookDelivery).order_by(WebhookDelivery.id)).all()  # type: ignore[arg-type]  # a column


def webhook(database: Database, id: UUID) -> Webhook:
    with database.snapshot() as session:
        return session.get_one(Webhook, id)


def bodies(database: Database) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in deliveries(database)]


def tell(scene: Scene, number: int = 1, *, now: datetime = NOON) -> None:
    """So many events that nobody but webhooks hears of."""
    with scene.database.transaction() as session:
        for _ in range(number):
            facts = {"organisation_id": scene.campaign.organisation_id, "pledge_id": ids.uuid7_at(now)}
            record_event(session, "pledge.exhausted", now=now, **facts, phase="live", participant_id=ids.uuid7_at(now))
    scene.drain(now=now)


def test_a_check_in_is_told_without_its_person(database: Database) -> None:
    scene = set_scene(database)
    register(scene, "scan.checked_in", "mission.completed")
    row = scene.scan()
    done = scene.check_in(row, position=INSIDE)
    scene.drain()
    (body,) = bodies(database)
    assert body["type"] == "scan.checked_in"
    assert datetime.fromisoformat(body["timestamp"]) == NOON
    assert body["data"] == {
        "check_in_id": ids.show("chk", done.check_in.id),
        "scan_id": ids.show("scn", UUID(row.id)),
        "campaign_id": ids.show("cmp", scene.campaign.id),
        "place_id": ids.show("plc", scene.entry.place.id if scene.entry.place else ids.NIL),
        "token_id": ids.show("tok", scene.token.id),
        "presence": 1,
        "verdict": "valid",
        "counted": True,
        "phase": "live",
    }
    assert done.person.id.hex not in json.dumps(body)
    assert scene.verdict(row) == "valid", "the judge had its turn too"
    assert scene.problems() == []


def test_a_mission_that_is_done_and_a_case_are_told_without_a_word_of_theirs(database: Database) -> None:
    scene = set_scene(database)
    register(scene, "mission.completed", "case.opened")
    person = scene.check_in(scene.scan()).person
    scene.post_idea(person)
    told: dict[str, Any] = {"mission_id": scene.mission.id, "place": scene.entry.place, "text": "Too loud"}
    with database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        opened = care.open_case(
            session, campaign, **told, person=person, sender_key=1, client_id="c-1", language="fr", now=NOON
        )
        record_event(
            session, "mission.completed", now=NOON, mission_id=scene.mission.id, participant_id=person.id, phase="live"
        )
    scene.drain()
    by_type = {one["type"]: one["data"] for one in bodies(database)}
    assert by_type["case.opened"]["case_id"] == ids.show("cas", opened.case.id)
    assert by_type["case.opened"]["phase"] == "live"
    mission = {"mission_id": ids.show("mis", scene.mission.id), "campaign_id": ids.show("cmp", scene.campaign.id)}
    assert by_type["mission.completed"] == mission | {"phase": "live"}
    whole = json.dumps(bodies(database))
    assert "Too loud" not in whole
    assert person.id.hex not in whole


def test_an_act_of_a_draft_and_of_a_pilot_says_so(database: Database) -> None:
    scene = set_scene(database, live=False)
    register(scene, "scan.checked_in")
    scene.check_in(scene.scan())
    scene.drain()
    assert [one["data"]["phase"] for one in bodies(database)] == ["draft"]


def test_events_of_capabilities_to_come_carry_what_they_are_told_to_and_nothing_else(database: Database) -> None:
    scene = set_scene(database)
    register(scene)
    stranger = ids.uuid7_at(NOON)
    facts = {"organisation_id": scene.campaign.organisation_id, "participant_id": stranger, "pseudonym": "Camille"}
    place = scene.entry.place.id if scene.entry.place else ids.NIL
    with database.transaction() as session:
        for name in ("coupon.redeemed", "pledge.exhausted", "pledge.ended"):
            more = {"coupon_id": stranger, "redemption_id": stranger, "pledge_id": stranger, "cap_minor": 5000}
            record_event(session, name, now=NOON, **facts, **more, place_id=place, currency="EUR", phase="live")
        record_event(session, "coupon.redeemed", now=NOON, coupon_id=stranger)  # whose it is cannot be told
    scene.drain()
    data = {one["type"]: one["data"] for one in bodies(database)}
    shown = stranger.hex
    assert data == {
        "coupon.redeemed": {
            "redemption_id": f"rdm_{shown}",
            "coupon_id": f"cpn_{shown}",
            "place_id": ids.show("plc", place),
            "phase": "live",
        },
        "pledge.exhausted": {"pledge_id": f"pld_{shown}", "cap_minor": 5000, "currency": "EUR", "phase": "live"},
        "pledge.ended": {"pledge_id": f"pld_{shown}", "currency": "EUR", "phase": "live"},
    }
    with database.snapshot() as session:
        assert session.exec(select(Event)).all() == []


def test_only_webhooks_of_the_organisation_that_ask_for_it_and_are_on_hear_of_an_event(database: Database) -> None:
    scene = set_scene(database)
    with database.transaction() as session:
        other = make_organisation(session, name="Autre Maison")
    wanting = [register(scene, "pledge.exhausted"), register(scene)]
    register(scene, "case.opened")
    register(scene, owner=other.id)
    off = register(scene)
    with database.transaction() as session:
        webhooks.change(session, session.get_one(Webhook, off), active=False, now=NOON)
    tell(scene)
    assert sorted(one.webhook_id for one in deliveries(database)) == sorted(wanting)


def test_a_message_is_made_once_however_often_its_event_is_consumed(database: Database) -> None:
    scene = set_scene(database)
    register(scene)
    event = Event(id=ids.uuid7_at(NOON), name="pledge.exhausted", recorded_at=NOON, payload=json.dumps(payload(scene)))

    def consume(_: int) -> None:
        with database.transaction() as session:
            write = webhooks.publish(session, [event], now=NOON)
            assert write is not None
            write(session)

    assert race(8, consume) == [None] * 8
    assert len(deliveries(database)) == 1


def payload(scene: Scene) -> dict[str, str]:
    return {"organisation_id": scene.campaign.organisation_id.hex, "pledge_id": ids.uuid7_at(NOON).hex}


def test_what_an_event_does_and_its_messages_are_written_together_or_not_at_all(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = set_scene(database)
    register(scene, "mission.completed")

    def fail(session: Session, events: Sequence[Event], now: datetime) -> Any:
        def write(session: Session) -> None:
            raise RuntimeError

        return write

    who = {"mission_id": scene.mission.id, "participant_id": ids.uuid7_at(NOON), "phase": "live"}
    with database.transaction() as session:
        record_event(session, "mission.completed", now=NOON, **who)
    with monkeypatch.context() as patch:
        patch.setitem(REACTIONS, "mission.completed", fail)
        worker.drain(database, now=NOON)
    assert deliveries(database) == []
    scene.drain(now=minutes(1))
    assert len(deliveries(database)) == 1


def test_where_nobody_listens_nothing_is_read_of_an_event(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = set_scene(database)
    register(scene, "case.opened")

    def read(session: Session, events: Sequence[Event]) -> dict[UUID, kinds.Told]:
        raise AssertionError

    monkeypatch.setitem(KINDS, "scan.checked_in", kinds.Kind("", read))
    scene.check_in(scene.scan())
    scene.drain()
    with database.snapshot() as session:
        assert session.exec(select(Event)).all() == []


def test_a_message_arrives_signed_and_its_receiver_verifies_it(
    database: Database, there: Receiver, tmp_path: Path
) -> None:
    scene = set_scene(database)
    with database.transaction() as session:
        made, secret = webhooks.register(
            session, scene.campaign.organisation_id, url=there.url, events=list(KINDS), keyring=KEYRING, now=NOON
        )
        assert secret.encode() not in made.sealed_secret
    tell(scene, 2)
    post = Post(database, tmp_path, utc_now())
    post.send()
    assert len(there.arrived) == 2
    assert there.connections == 1
    for one in there.arrived:
        assert Verifier(secret).verify(one.body, one.headers)["type"] == "pledge.exhausted"
        with pytest.raises(WebhookVerificationError):
            Verifier(secret).verify(one.body + b" ", one.headers)
    done = deliveries(database)
    assert [one.state for one in done] == ["delivered"] * 2
    assert {f"msg_{one.event_id.hex}" for one in done} == {one.headers["webhook-id"] for one in there.arrived}


def test_a_signature_is_that_of_the_specifications_example() -> None:
    """The vector that the specification's own libraries test with."""
    headers = signed_headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        '{"test": 2432232314}',
        at=datetime.fromtimestamp(1614265330, tz=NOON.tzinfo),
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_a_secret_is_rotated_both_verify(database: Database, there: Receiver, tmp_path: Path) -> None:
    scene, now = set_scene(database), utc_now()
    with database.transaction() as session:
        made, old = webhooks.register(
            session, scene.campaign.organisation_id, url=there.url, events=list(KINDS), keyring=KEYRING, now=now
        )
    with database.transaction() as session:
        new = webhooks.rotate_secret(session, session.get_one(Webhook, made.id), keyring=KEYRING, now=now)
    with database.transaction() as session, pytest.raises(Conflict) as refusal:
        webhooks.rotate_secret(session, session.get_one(Webhook, made.id), keyring=KEYRING, now=now)
    assert refusal.value.code == "secret_rotating"
    tell(scene, now=now)
    Post(database, tmp_path, now).send()
    (both,) = there.arrived
    for secret in (old, new):
        Verifier(secret).verify(both.body, both.headers)
    found = webhook(database, made.id)
    assert len(found.sealed_secrets(now + OLD_SECRET_LIFE - timedelta(seconds=1))) == 2
    assert [KEYRING.open_webhook_secret(one).decode() for one in found.sealed_secrets(now + OLD_SECRET_LIFE)] == [new]


def test_what_fails_comes_again_by_the_schedule_under_one_id_and_is_given_up_after_ten(
    database: Database, there: Receiver, tmp_path: Path
) -> None:
    scene, post = set_scene(database), Post(database, tmp_path)
    register(scene, url=there.url)
    there.always = Answer(500, body=b"what we were told stays there")
    tell(scene)
    post.send()
    for pause in PAUSES:
        assert post.send(later=pause - timedelta(seconds=1)) == 0, pause
        assert post.send(later=timedelta(seconds=1)) == 1, pause
    (given_up,) = deliveries(database)
    assert (given_up.state, given_up.attempts, given_up.due_at) == (DeliveryState.FAILED, 10, None)
    assert len({one.headers["webhook-id"] for one in there.arrived}) == 1
    assert len({one.headers["webhook-signature"] for one in there.arrived}) == 10, "each attempt has its own timestamp"
    assert [(one["status"], one["error"]) for one in given_up.tries] == [(500, "status")] * 10
    assert post.send(later=timedelta(days=2)) == 0


def test_pauses_are_those_of_standard_webhooks_with_jitter_and_within_what_a_receiver_asks() -> None:
    seconds = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert [pause_after(n, chance=0.0) for n in range(1, 10)] == [timedelta(seconds=one) for one in seconds]
    assert [pause_after(n, chance=1.0) for n in range(1, 10)] == [timedelta(seconds=one * 1.2) for one in seconds]
    assert pause_after(10, chance=0.5) is None
    assert pause_after(1, chance=0.0, retry_after_s=60) == timedelta(seconds=60)
    assert pause_after(4, chance=0.0, retry_after_s=1) == timedelta(hours=2)
    assert pause_after(1, chance=0.0, retry_after_s=10**9) == timedelta(hours=24)


def test_a_receiver_that_asks_for_a_pause_has_it_from_all_messages(
    database: Database, there: Receiver, tmp_path: Path
) -> None:
    scene, post = set_scene(database), Post(database, tmp_path)
    register(scene, url=there.url)
    there.answers = [Answer(429, {"retry-after": "600"})]
    tell(scene, 3)
    assert post.send() == 1
    assert post.send(later=timedelta(seconds=599)) == 0
    assert len(there.arrived) == 1
    post.send(later=timedelta(seconds=1))
    assert [one.state for one in deliveries(database)] == ["delivered"] * 3


def test_a_receiver_that_hangs_rests_and_holds_up_no_other(database: Database, there: Receiver, tmp_path: Path) -> None:
    scene, post = set_scene(database), Post(database, tmp_path)
    silent = register(scene, url="https://10.0.0.1.example/")
    post.sender = Sender(
        to_here(tmp_path, lambda host, _: ["10.0.0.1" if "10" in host else "127.0.0.1"]),
        KEYRING,
        lambda: post.at,
        chance=lambda: 0.0,
    )
    register(scene, url=there.url, now=minutes(0.1))
    tell(scene, 30)
    post.send(later=timedelta(minutes=1))
    mine = [one for one in deliveries(database) if one.webhook_id == silent]
    assert sorted(one.attempts for one in mine) == [0] * 29 + [1], "one attempt, not thirty"
    assert [one["error"] for two in mine for one in two.tries] == ["address"]
    assert len(there.arrived) == 30
    assert post.send(later=REST - timedelta(seconds=1)) == 0
    assert post.send(later=timedelta(seconds=1)) == 1


def test_what_fails_for_five_days_is_switched_off_and_says_so(
    database: Database, there: Receiver, tmp_path: Path
) -> None:
    scene, post = set_scene(database), Post(database, tmp_path)
    id = register(scene, url=there.url)
    there.always = Answer(500)
    while webhook(database, id).is_active:
        tell(scene, now=post.at)
        post.send(later=timedelta(hours=12))
        assert post.at <= NOON + FAILING_FOR + timedelta(hours=24)
    found = webhook(database, id)
    assert found.off_reason == "failing"
    assert found.switched_off_at is not None
    assert found.switched_off_at - NOON >= FAILING_FOR
    with database.snapshot() as session:
        entries = select(AuditEntry).where(AuditEntry.subject_id == id, AuditEntry.action == "webhook.changed")
        (said,) = session.exec(entries)
    assert (said.author_kind, said.changes["off_reason"]) == ("system", [None, "failing"])
    before, sent = len(deliveries(database)), len(there.arrived)
    tell(scene, now=post.at)
    assert (len(deliveries(database)), post.send(later=timedelta(days=2))) == (before, 0)
    assert len(there.arrived) == sent
    there.always = Answer()
    with database.transaction() as session:
        webhooks.change(session, session.get_one(Webhook, id), active=True, now=post.at)
    post.send()
    found = webhook(database, id)
    assert (found.is_active, found.off_reason, found.failing_since) == (True, None, None)
    assert DeliveryState.WAITING not in {one.state for one in deliveries(database)}


def test_a_success_begins_the_five_days_anew_and_silence_is_no_failure(
    database: Database, there: Receiver, tmp_path: Path
) -> None:
    scene, post = set_scene(database), Post(database, tmp_path)
    id = register(scene, url=there.url)
    for answers in ([Answer(500), Answer()], [Answer(500)] * 10):
        there.answers = list(answers)
        tell(scene, now=post.at)
        for pause in (timedelta(), *PAUSES):
            post.send(later=pause)
        assert (webhook(database, id).failing_since is None) == (len(answers) == 2)
        post.at += timedelta(days=6)
    there.answers = [Answer(500)]  # the first in six days: no five days of failures
    tell(scene, now=post.at)
    post.send()
    found = webhook(database, id)
    assert (found.is_active, found.failing_since) == (True, post.at)


def test_410_switches_off_at_once(database: Database, there: Receiver, tmp_path: Path) -> None:
    scene, post = set_scene(database), Post(database, tmp_path)
    id = register(scene, url=there.url)
    there.answers = [Answer(410)]
    tell(scene, 3)
    post.send()
    found = webhook(database, id)
    assert (found.is_active, found.off_reason, found.held_by) == (False, "gone", None)
    assert sorted(one.state for one in deliveries(database)) == ["failed", "waiting", "waiting"]
    assert len(there.arrived) == 1


def test_a_replay_is_sent_at_once_under_its_own_id(database: Database, there: Receiver, tmp_path: Path) -> None:
    scene, post = set_scene(database), Post(database, tmp_path)
    id = register(scene, url=there.url)
    tell(scene)
    post.send()
    (first,) = deliveries(database)
    with database.transaction() as session:
        webhooks.replay(session, session.get_one(Webhook, id), session.get_one(WebhookDelivery, first.id), now=post.at)
    post.send()
    assert len({one.headers["webhook-id"] for one in there.arrived}) == 1
    assert len(there.arrived) == 2
    (again,) = deliveries(database)
    assert (again.state, len(again.tries)) == ("delivered", 2)


def test_a_test_ends_a_rest_and_is_refused_while_switched_off(
    database: Database, there: Receiver, tmp_path: Path
) -> None:
    scene, post = set_scene(database), Post(database, tmp_path)
    id = register(scene, url=there.url)
    there.answers = [Answer(503, {"retry-after": "3600"})]
    for at in (NOON, minutes(1)):
        post.at = at
        with database.transaction() as session:
            webhooks.try_out(session, session.get_one(Webhook, id), now=at)
        post.send()
    assert [json.loads(one.body)["type"] for one in there.arrived][:2] == ["webhook.tested"] * 2
    with database.transaction() as session:
        webhooks.change(session, session.get_one(Webhook, id), active=False, now=NOON)
    with database.transaction() as session, pytest.raises(Conflict) as refusal:
        webhooks.try_out(session, session.get_one(Webhook, id), now=NOON)
    assert refusal.value.code == "webhook_off"


def test_several_senders_send_each_message_once(database: Database, there: Receiver, tmp_path: Path) -> None:
    scene = set_scene(database)
    for number in range(3):
        register(scene, url=there.url.replace("shop=1", f"shop={number}"))
    tell(scene, 40)
    posts = [Post(database, tmp_path, minutes(1)) for _ in range(6)]
    assert not [one for one in race(6, lambda number: posts[number].send()) if isinstance(one, Exception)]
    for post in posts:
        post.send()
    arrived = [(one.path, one.headers["webhook-id"]) for one in there.arrived]
    assert len(arrived) == len(set(arrived)) == 120
    assert {one.state for one in deliveries(database)} == {"delivered"}


def test_who_lost_the_lease_notes_nothing_and_sends_no_more(
    database: Database, there: Receiver, tmp_path: Path
) -> None:
    """A sender that stood still for a minute while another took over."""
    scene = set_scene(database)
    id = register(scene, url=there.url)
    tell(scene, 2)
    slow, quick = Post(database, tmp_path), Post(database, tmp_path, NOON + LEASE)
    turns = threading.Lock()

    def stand_still(arrived: Arrived) -> None:
        if turns.acquire(blocking=False):  # the first message only
            assert quick.send() > 0

    there.on_arrival = stand_still
    slow.send()
    assert [len(one.tries) for one in deliveries(database)] == [1, 1], "only the second noted"
    assert len(there.arrived) == 3, "one message twice, the other once"
    assert webhook(database, id).held_by is None


def test_while_the_lease_runs_nobody_else_sends(database: Database, there: Receiver, tmp_path: Path) -> None:
    scene = set_scene(database)
    register(scene, url=there.url)
    tell(scene)
    other = Post(database, tmp_path, NOON + LEASE - timedelta(seconds=1))
    there.on_arrival = lambda arrived: None if other.send() == 0 else pytest.fail("two at a time")
    assert Post(database, tmp_path).send() == 1
    assert len(there.arrived) == 1


def test_a_webhook_that_is_removed_or_switched_off_meanwhile_is_sent_no_more(
    database: Database, there: Receiver, tmp_path: Path
) -> None:
    scene, post = set_scene(database), Post(database, tmp_path)
    for act in ("off", "remove"):
        id = register(scene, url=there.url)
        tell(scene, 3)

        def end(arrived: Arrived, id: UUID = id, act: str = act) -> None:
            with database.transaction() as session:
                found = session.get_one(Webhook, id)
                webhooks.remove(session, found) if act == "remove" else webhooks.change(
                    session, found, active=False, now=NOON
                )

        there.on_arrival = end
        post.send()
        assert len(there.arrived) == 1, act
        there.arrived.clear()
        with database.transaction() as session:
            for left in session.exec(select(Webhook)):
                assert left.held_by is None
                webhooks.remove(session, left)
    assert deliveries(database) == []


def test_an_organisation_has_at_most_twenty(database: Database) -> None:
    scene = set_scene(database)
    for _ in range(MOST_WEBHOOKS - 1):
        register(scene)
    outcomes = race(4, lambda _: register(scene))
    assert sorted(isinstance(one, Conflict) for one in outcomes) == [False, True, True, True]


@pytest.mark.parametrize("events", [[], ["scan.confirmed"], ["scan.checked_in", "SCAN.CHECKED_IN"], ["webhook.tested"]])
def test_only_published_events_can_be_asked_for(session: Session, events: list[str]) -> None:
    organisation: Organisation = make_organisation(session)
    with pytest.raises(Invalid) as refusal:
        webhooks.register(session, organisation.id, url=URL, events=events, keyring=KEYRING, now=NOON)
    assert "scan.checked_in" in refusal.value.detail
    assert refusal.value.context["pointer"] == "/events"


def test_every_published_event_has_a_reaction_and_a_meaning() -> None:
    assert set(KINDS) <= set(REACTIONS)
    assert all(kind.meaning for kind in KINDS.values())
    assert set(KINDS) >= {"scan.checked_in", "coupon.redeemed", "pledge.exhausted", "case.opened"}
