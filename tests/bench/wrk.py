"""What wrk is asked to send, and what it saw. Phones' user agents: wrk's own is a bot."""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 64
WIDE_AGENTS = 200
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
PAGE_HEADERS = {"User-Agent": PHONE, "Accept": "text/html", "Accept-Language": "fr-FR,fr;q=0.9,en;q=0.8"}
AGENTS = [
    f"Mozilla/5.0 (Linux; Android {10 + n % 6}; SM-S9{n % 50:02}B) AppleWebKit/537.36 (KHTML, like Gecko) "
    f"Chrome/{90 + n // 6}.0.0.0 Mobile Safari/537.36"
    for n in range(WIDE_AGENTS)
]

_DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests": %d, "us": %d, "errors": %d, "p50_us": %d, "p99_us": %d}\\n',
    summary.requests, summary.duration, e.status + e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""
# Codes in order, so that each was met once after as many requests; agents by another step, so that pairs differ.
_WIDE = """
local heads, tails, n = {%s}, {%s}, 0
request = function()
  n = n + 1
  return heads[n %% #heads + 1] .. tails[(n * 7 + math.floor(n / #heads)) %% #tails + 1]
end
"""
# One receipt a request, in the order of their scans, as phones would.
_CONFIRM = """
local codes, receipts, n = {}, {}, 0
for line in io.lines("%s") do
  codes[#codes + 1], receipts[#receipts + 1] = line:match("(%%S+) (%%S+)")
end
request = function()
  n = n %% #codes + 1
  return "POST /t/" .. codes[n] .. "/confirm HTTP/1.1\\r\\n%sContent-Length: 108\\r\\n\\r\\nreceipt=" .. receipts[n]
end
"""
_PAUSE = "delay = function() return %d end\n"


@dataclass(frozen=True)
class Load:
    """What wrk saw: `errors` counts answers other than 2xx and 3xx, and connections that failed."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    errors: int


@dataclass(frozen=True)
class Workload:
    """What wrk asks for. `script` is Lua, `headers` go with each request that the script does not make itself."""

    name: str
    path: str
    status: int
    headers: Mapping[str, str]
    script: str = ""
    connections: int = CONNECTIONS


PLAIN = Workload("bare", "/", 302, {"User-Agent": PHONE})


def hot(code: str, pause_ms: int = 0, connections: int = CONNECTIONS) -> Workload:
    """One code and one phone; each connection may pause before it asks again."""
    return Workload("hot", f"/t/{code}", 302, PAGE_HEADERS, _PAUSE % pause_ms if pause_ms else "", connections)


def wide(codes: Sequence[str]) -> Workload:
    """Many codes and 200 phones."""
    rest = "".join(f"{name}: {value}\\r\\n" for name, value in PAGE_HEADERS.items() if name != "User-Agent")
    heads = ",".join(f'"GET /t/{code} HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n{rest}User-Agent: "' for code in codes)
    tails = ",".join(f'"{agent}\\r\\n\\r\\n"' for agent in AGENTS)
    return Workload("wide", f"/t/{codes[0]}", 302, PAGE_HEADERS, _WIDE % (heads, tails))


def page(code: str) -> Workload:
    """The hosted page of one code."""
    return Workload("page", f"/t/{code}", 200, PAGE_HEADERS | {"Accept-Encoding": "gzip"})


def confirm(receipts: Path) -> Workload:
    """What the page's own module posts. The file has a code and a receipt a line."""
    headers = {
        "Host": "127.0.0.1",
        "User-Agent": PHONE,
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8",
    }
    lines = "".join(f"{name}: {value}\\r\\n" for name, value in headers.items())
    return Workload("confirm", "/", 204, {}, _CONFIRM % (receipts, lines))


def drive(url: str, work: Workload, seconds: float) -> Load:
    """Run wrk once."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_DONE + work.script)
        script.flush()
        command = ["wrk", "-t1", f"-c{work.connections}", f"-d{max(1, round(seconds))}s", "-s", script.name]
        for name, value in work.headers.items():
            command += ["-H", f"{name}: {value}"]
        done = subprocess.run([*command, url + work.path], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    rate = found["requests"] / found["us"] * 1e6
    return Load(found["requests"], rate, found["p50_us"] / 1000, found["p99_us"] / 1000, found["errors"])
