"""Racing clients: threads that start at a barrier."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

Result = TypeVar("Result")


def race(number: int, act: Callable[[int], Result]) -> list[Result | Exception]:
    """Run `act(0)` to `act(number - 1)` at once; what each returned or raised, in that order."""
    barrier = Barrier(number)

    def run(index: int) -> Result | Exception:
        barrier.wait(timeout=30)
        try:
            return act(index)
        except Exception as error:
            return error

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(run, range(number)))
