"""`passerelle serve` by a clock that runs ahead by the seconds in a file: what takes days is told in minutes."""

import sys
from datetime import datetime, timedelta
from pathlib import Path

import uvicorn

from api.app import make_services, settle_interpreter, wire
from api.cli import SERVER_FLAGS
from campaigns import clock
from campaigns.settings import Settings


def main() -> None:
    """Serve until told to stop."""
    ahead = Path(sys.argv[1])
    settings = Settings()

    def now() -> datetime:
        return clock.utc_now() + timedelta(seconds=float(ahead.read_text() or 0))

    app = wire(make_services(settings, now))
    settle_interpreter()
    uvicorn.run(app, host=settings.host, port=settings.port, **SERVER_FLAGS)


if __name__ == "__main__":
    main()
