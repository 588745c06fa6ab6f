"""Placement of a service's containers."""

from collections.abc import Callable

import pytest

from deployments.local.emulator.ecs.placement import Host, PlacementRequest, place
from tasks.resources.ecs import placement_constraints
from tasks.runs.run import Run


@pytest.mark.parametrize(("tasks_per_machine", "second"), [(1, "other"), (2, "machine")])
def test_tasks_per_machine_1_limits_a_machine_to_one_container(
    make_run: Callable[..., Run], tasks_per_machine: int, second: str
) -> None:
    """The scheduler fills a machine that has room for more."""
    run = make_run(tasks_per_machine=tasks_per_machine, ebs_vol_size=60)
    constraints = placement_constraints(run)
    request = PlacementRequest(
        cpu=1024,
        memory=1000,
        constraints=tuple(c["expression"] for c in constraints if c["type"] == "memberOf"),
        distinct=any(c["type"] == "distinctInstance" for c in constraints),
        binpack="memory",
    )
    own = {run.names.attribute: run.names.app}
    occupied, empty = Host("machine", 3072, 7000, own, tasks=1), Host("other", 4096, 8000, own)
    assert place(request, [occupied, empty])[0] == second
    assert place(request, [Host("foreign", 4096, 8000, {})])[0] == ""
