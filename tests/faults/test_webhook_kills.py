"""A worker killed between a message's sending and its note: sent again under the same id, and every one arrives."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from sqlmodel import select, update

from campaigns import webhooks
from campaigns.clock import utc_now
from campaigns.events import record_event
from campaigns.ids import uuid7
from campaigns.storage import Database
from campaigns.webhooks import KINDS, Webhook, WebhookDelivery
from tests.conftest import ROOT, SECRET
from tests.receiver import Arrived, receiver
from tests.scene import KEYRING, set_scene

MESSAGES = 12
KILLS = 3


def test_a_worker_that_dies_between_sending_and_noting_sends_again_under_the_same_id(
    database: Database, tmp_path: Path
) -> None:
    scene, now = set_scene(database), utc_now()
    owner = scene.campaign.organisation_id
    killed: list[str] = []
    worker: list[subprocess.Popen[bytes]] = []

    def kill(arrived: Arrived) -> None:
        """Each third message is its sender's last act: it came, and nobody notes it."""
        if len(killed) < KILLS and len(there.arrived) % 3 == 0:
            killed.append(arrived.headers["webhook-id"])
            os.kill(worker[-1].pid, signal.SIGKILL)

    with receiver(tmp_path) as there:
        with database.transaction() as session:
            made, _ = webhooks.register(session, owner, url=there.url, events=list(KINDS), keyring=KEYRING, now=now)
            for _ in range(MESSAGES):
                record_event(session, "pledge.exhausted", now=now, organisation_id=owner, pledge_id=uuid7())
        scene.drain(now=now)
        there.on_arrival = kill
        command = [sys.executable, "-m", "tests.faults.webhook_kills", database.url, str(tmp_path), SECRET]
        for _ in range(KILLS + 1):
            worker.append(subprocess.Popen(command, cwd=ROOT))
            worker[-1].wait(timeout=60)
            with database.transaction() as session:  # a minute goes by, and the lease with it
                assert (session.get_one(Webhook, made.id).held_by is None) == (worker[-1].returncode == 0)
                session.execute(update(Webhook).values(free_at=now))
    assert [one.returncode for one in worker] == [-signal.SIGKILL] * KILLS + [0]
    arrived = Counter(one.headers["webhook-id"] for one in there.arrived)
    assert len(arrived) == MESSAGES, "every message arrives"
    assert arrived == Counter(arrived.keys()) + Counter(killed), "and again only what was sent when its sender died"
    with database.snapshot() as session:
        done = session.exec(select(WebhookDelivery)).all()
    assert {(one.state, one.due_at) for one in done} == {("delivered", None)}
    assert arrived.keys() == {f"msg_{one.event_id.hex}" for one in done}
