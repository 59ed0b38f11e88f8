"""State machines whose books are recounted now and then: after each step it would take most of their time."""

import os

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant

SOAK = bool(os.environ.get("PASSERELLE_SOAK"))
RECOUNT_STEPS = 5


def sized(*, examples: int, soak: int, steps: int, soak_steps: int) -> settings:
    """How long a machine runs: in `make test`, and at full size (`PASSERELLE_SOAK=1`, `make soak`)."""
    return settings(
        max_examples=soak if SOAK else examples,
        stateful_step_count=soak_steps if SOAK else steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


class Recounted(RuleBasedStateMachine):
    """A machine that recounts every few steps and at its end. `anew` makes it a database of its own."""

    steps_taken = 0

    def problems(self) -> list[str]:
        raise NotImplementedError

    @invariant()
    def the_books_add_up(self) -> None:
        self.steps_taken += 1
        if self.steps_taken % RECOUNT_STEPS == 0:
            assert self.problems() == []

    def teardown(self) -> None:
        assert self.problems() == []
