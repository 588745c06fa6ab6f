"""Placement decisions, without an emulator."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.local.emulator.ecs.container_instances import ecs_config, resources
from deployments.local.emulator.ecs.placement import Host, PlacementRequest, allows, place

APP = {"dcp.app": "A-1", "ecs.instance-type": "m5.large"}


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("attribute:dcp.app == A-1", True),
        ("attribute:dcp.app == 'A-1'", True),
        ("attribute:dcp.app == A", False),
        ("attribute:dcp.app != A", True),
        ("attribute:dcp.app == A-1 and attribute:ecs.instance-type == m5.large", True),
        ("attribute:dcp.app == A-1 && attribute:ecs.instance-type == c5.large", False),
        ("attribute:ecs.instance-type in [c5.large, m5.large]", True),
        ("attribute:gpu exists", False),
        ("attribute:none == x", False),
    ],
)
def test_constraints(expression: str, allowed: bool) -> None:
    assert allows(expression, APP) is allowed


hosts = st.lists(
    st.builds(
        Host,
        arn=st.uuids().map(lambda uuid: f"arn:aws:ecs:us-east-1:1:container-instance/c/{uuid}"),
        cpu=st.integers(0, 4096),
        memory=st.integers(0, 8000),
        attributes=st.sampled_from([APP, {"dcp.app": "B"}, {}]),
        tasks=st.integers(0, 3),
    ),
    max_size=6,
)


@settings(deadline=None)
@given(hosts, st.integers(0, 4096), st.integers(0, 8000), st.booleans())
def test_a_task_goes_only_where_it_fits_and_may_go(
    found: list[Host], cpu: int, memory: int, distinct: bool
) -> None:
    placement_request = PlacementRequest(cpu, memory, ("attribute:dcp.app == A-1",), distinct)
    good = {
        host.arn
        for host in found
        if host.cpu >= cpu
        and host.memory >= memory
        and host.attributes.get("dcp.app") == "A-1"
        and not (distinct and host.tasks)
    }
    arn, reason = place(placement_request, found)
    assert bool(arn) is bool(good)
    assert bool(arn) is not bool(reason)
    assert not arn or arn in good


def test_tasks_are_spread_or_packed() -> None:
    empty = Host("empty", 4096, 8000, {}, tasks=0)
    busy = Host("busy", 2048, 4000, {}, tasks=2)
    assert place(PlacementRequest(100, 100), [busy, empty])[0] == "empty"
    assert place(PlacementRequest(100, 100, binpack="memory"), [empty, busy])[0] == "busy"


def test_ecs_config_is_read_from_a_here_document() -> None:
    data = (
        "#!/bin/bash\ncat <<'EOF' >> /etc/ecs/ecs.config\nECS_CLUSTER=c-1\n"
        'ECS_INSTANCE_ATTRIBUTES={"dcp.app":"A"}\nEOF\n'
    )
    assert ecs_config(data) == {
        "ECS_CLUSTER": "c-1",
        "ECS_INSTANCE_ATTRIBUTES": '{"dcp.app":"A"}',
    }
    assert ecs_config("#!/bin/bash\nexport ECS_CLUSTER=c-1\n") == {}
    quoted = 'echo \'ECS_INSTANCE_ATTRIBUTES={"dcp.app":"A"}\' >> /etc/ecs/ecs.config'
    assert ecs_config(quoted) == {"ECS_INSTANCE_ATTRIBUTES": '{"dcp.app":"A"}'}


def test_resources_of_a_type() -> None:
    assert resources("m5.large") == (2048, 7577)
