"""Racing clients: threads that start at a barrier."""

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
PATIENCE_S = 60.0


def race(number: int, act: Callable[[int], Result], *, patience_s: float = PATIENCE_S) -> list[Result | Exception]:
    """Run `act(0)` to `act(number - 1)` at once; what each returned or raised, in that order."""
    barrier = threading.Barrier(number)
    outcomes: dict[int, Result | Exception] = {}

    def run(index: int) -> None:
        barrier.wait(timeout=PATIENCE_S)
        try:
            outcomes[index] = act(index)
        except Exception as error:
            outcomes[index] = error

    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=patience_s)
    assert not any(thread.is_alive() for thread in threads), "a racing client hangs"
    return [outcomes[index] for index in range(number)]
