"""Run by the test of webhooks in a process of its own: send what is due with the worker's own loop, until killed."""

import sys
from pathlib import Path

from campaigns import clock, ids
from campaigns.sealing import Keyring
from campaigns.storage import Database
from campaigns.webhooks.delivering import Sender, deliver
from tests.receiver import to_here

if __name__ == "__main__":
    database, id = Database(sys.argv[1]), ids.uuid7()
    sender = Sender(to_here(Path(sys.argv[2])), Keyring(sys.argv[3]), clock.utc_now)
    while deliver(database, sender, by=id):
        pass
    database.close()
