"""A PostgreSQL of one test, which may be stopped and killed."""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import wait_until


@dataclass
class Postgres:
    """A PostgreSQL of one test, which may be stopped and killed."""

    data: Path
    port: int
    bin: Path

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def control(self, *arguments: str) -> None:
        command = [str(self.bin / "pg_ctl"), "-w", "-D", str(self.data), *arguments]
        user = "pgserver" if os.geteuid() == 0 else None
        quiet = subprocess.DEVNULL
        subprocess.run(command, check=True, user=user, stdout=quiet, stderr=quiet, stdin=quiet)

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self.control("start", "-o", options, "-l", str(self.data / "log"))

    def stop(self) -> None:
        self.control("stop", "-m", "fast")

    def kill(self) -> None:
        """SIGKILL of the postmaster; its children notice and go."""
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not runs_in(self.data), seconds=20)
        (self.data / "postmaster.pid").unlink(missing_ok=True)


def runs_in(data: Path) -> bool:
    """Whether a process of this cluster is still there: they all have it as their folder."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink() == data:
                    return True
            except OSError:
                continue
    return False
