"""Where a service's containers may be placed."""

from collections.abc import Callable

import pytest

from deployments.local.emulator.ecs.placement import Host, Wish, place
from tasks.resources.ecs import placement_constraints
from tasks.runs.run import Run


@pytest.mark.parametrize(("tasks_per_machine", "second"), [(1, "other"), (2, "machine")])
def test_one_container_a_machine_stays_one(
    make_run: Callable[..., Run], tasks_per_machine: int, second: str
) -> None:
    """A machine with room for more, as the scheduler fills it."""
    run = make_run(tasks_per_machine=tasks_per_machine, ebs_vol_size=60)
    constraints = placement_constraints(run)
    wish = Wish(
        cpu=1024,
        memory=1000,
        constraints=tuple(one["expression"] for one in constraints if one["type"] == "memberOf"),
        distinct=any(one["type"] == "distinctInstance" for one in constraints),
        binpack="memory",
    )
    own = {run.names.attribute: run.names.app}
    has_one, empty = Host("machine", 3072, 7000, own, tasks=1), Host("other", 4096, 8000, own)
    assert place(wish, [has_one, empty])[0] == second
    assert place(wish, [Host("foreign", 4096, 8000, {})])[0] == ""
