"""`passerelle scans tail`: beside a running server, until Ctrl-C."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.api.helpers import make_shop
from tests.conftest import Server


@contextmanager
def following(server: Server, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, running; ended by force if it does not end by itself."""
    command = [sys.executable, "-m", "api", "scans", "tail", *arguments, "-f", "--json"]
    process = subprocess.Popen(command, env=server.environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_begins_with_the_newest_and_goes_on_until_told_to_stop(server: Server) -> None:
    shop = make_shop(server)
    for _ in range(3):
        shop.scan()
    with following(server, shop.campaign, "-n", "2") as process:
        assert process.stdout is not None
        begun = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [one["code"] for one in begun] == [shop.code] * 2
        assert begun[0]["at"] <= begun[1]["at"]
        new = [shop.scan()["scan_id"] for _ in range(5)]
        came = [json.loads(process.stdout.readline()) for _ in new]
        assert sorted(one["id"] for one in came) == sorted(new), "each of them, once"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


def test_it_shows_what_was_asked_for(server: Server) -> None:
    shop, other = make_shop(server), make_shop(server)
    shop.scan()
    shop.scan(**{"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"})

    def told(*arguments: str) -> list[str]:
        lines = server.passerelle("scans", "tail", *arguments, "--json").stdout.splitlines()
        return [json.loads(one)["verdict"] for one in lines]

    assert len(told(shop.campaign)) == 2
    assert told(shop.campaign, "--verdict", "bot") == ["bot"]
    assert len(told(shop.campaign, "--place", shop.place, "--token", shop.token)) == 2
    assert told(other.campaign) == told(shop.campaign, "-n", "0") == []
    assert "bot_agent" in server.passerelle("scans", "tail", shop.campaign).stdout
    for wrong in (("cmp_" + "0" * 32,), (shop.campaign, "--place", "plc_nowhere"), (shop.campaign, "--verdict", "ok")):
        assert server.passerelle("scans", "tail", *wrong).returncode in (1, 2)
