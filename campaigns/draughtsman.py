"""The process that draws codes in bulk for a server: `python -m campaigns.draughtsman DESCRIPTOR`.

A matrix is pure Python, and in the server it would take the interpreter from the scan path. The process lives as long
as the other end of its line: a server that ends, however it ends, closes it.
"""

import os
import sys
from contextlib import suppress
from importlib import import_module, util
from multiprocessing.connection import Connection
from typing import Final

from campaigns.errors import CampaignError

NICE: Final = 10  # whoever scans goes first


def main(descriptor: int) -> None:
    """Take orders and give back images, or the refusal of one, until the line is closed."""
    os.nice(NICE)
    leave_out_the_database()
    draw_all = import_module("campaigns.tokens.bulk_drawing").draw_all
    with Connection(descriptor) as line, suppress(EOFError, ConnectionError):
        while True:
            order = line.recv()
            try:
                line.send(draw_all(order))
            except CampaignError as refusal:
                line.send(refusal)


def leave_out_the_database() -> None:
    """Make `campaigns.tokens` a package without its front door, whose imports are 50 MB and half a second of SQL."""
    if (spec := util.find_spec("campaigns.tokens")) is not None:
        sys.modules[spec.name] = util.module_from_spec(spec)


if __name__ == "__main__":
    main(int(sys.argv[1]))
