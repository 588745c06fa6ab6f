"""Starting a fleet: once, with what was asked for, and waiting for its machines."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from blocks import FleetTemplate
from blocks.errors import FleetError
from tasks.fleet.base import BASE_TAG, FleetEvent
from tasks.fleet.find import find_fleets
from tasks.fleet.launch_template import ensure_launch_template
from tasks.lifecycle import launch
from tasks.resources.ecs import ensure_task_definition
from tasks.runs import record
from tasks.runs.run import Run

TEMPLATE = FleetTemplate(on_demand_base=1, on_demand_share=50)
request_fleet: Any = launch.request_fleet
wait_for_machines: Any = launch.wait_for_machines
INVALID = "spotFleetRequestConfigurationInvalid"
LACK = "There is no Spot capacity available that matches your request."


def described(run: Run) -> list[Any]:
    return run.aws.ec2.describe_fleets()["Fleets"]


def of_run(run: Run) -> list[Any]:
    own = {"Key": run.names.app_tag, "Value": run.names.app}
    return [fleet for fleet in described(run) if own in fleet["Tags"]]


def test_a_fleet_has_its_share_on_demand_and_keeps_it(run: Run) -> None:
    fleet = request_fleet(run, TEMPLATE, 5)
    (made,) = of_run(run)
    assert made["TargetCapacitySpecification"]["OnDemandTargetCapacity"] == 3
    assert {"Key": BASE_TAG, "Value": "1"} in made["Tags"]
    fleet.resize(2)
    (smaller,) = of_run(run)
    assert smaller["TargetCapacitySpecification"]["OnDemandTargetCapacity"] == 2
    assert smaller["TargetCapacitySpecification"]["SpotTargetCapacity"] == 0
    fleet.cancel()


def test_a_request_that_is_repeated_makes_one_fleet(run: Run) -> None:
    first = request_fleet(run, TEMPLATE, 2)
    again = request_fleet(run, TEMPLATE, 3)
    assert first.id == again.id
    assert len(of_run(run)) == 1
    kept = record.load(run)
    assert kept is not None
    assert kept.fleet_id == first.id
    assert kept.fleet_at is not None
    first.cancel()


def test_a_run_that_is_continued_asks_with_another_token(run: Run) -> None:
    tokens = []
    for _ in range(2):
        request_fleet(run, TEMPLATE, 1).cancel()
        tokens = [fleet["ClientToken"] for fleet in of_run(run)]
    assert len(set(tokens)) == len(tokens) == 2


def test_a_request_that_is_repeated_before_its_fleet_is_shown_comes_to_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = request_fleet(run, TEMPLATE, 1)
    monkeypatch.setattr(launch, "find_fleets", lambda _: [])
    assert request_fleet(run, TEMPLATE, 1).id == made.id
    assert len(of_run(run)) == 1
    made.cancel()


def test_a_fleet_that_is_not_shown_yet_is_waited_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier request has made a fleet; this one differs, and EC2 shows the fleet late."""
    made = request_fleet(run, TEMPLATE, 1)
    shown: Iterator[list[Any]] = iter([[], [], [made]])
    monkeypatch.setattr(launch, "find_fleets", lambda _: next(shown))
    monkeypatch.setattr(launch, "wait_fixed", lambda _: launch.wait_exponential(max=0))
    assert request_fleet(run, TEMPLATE, 9).id == made.id
    monkeypatch.setattr(launch, "find_fleets", lambda _: [])
    monkeypatch.setattr(launch, "SHOWN_WITHIN", 0)
    with pytest.raises(FleetError, match="other settings"):
        request_fleet(run, TEMPLATE, 9)
    made.cancel()


def test_a_refused_request_says_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(**_: Any) -> Any:
        said = "The provided credentials do not have permission to create the service-linked role"
        raise ClientError({"Error": {"Code": "AuthFailure", "Message": said}}, "CreateFleet")

    monkeypatch.setattr(run.aws.ec2, "create_fleet", refuses)
    with pytest.raises(FleetError, match=r"service-linked role.*iam:PassRole"):
        request_fleet(run, TEMPLATE, 1)
    assert find_fleets(run) == []


def test_the_same_launch_template_is_the_same_version(run: Run) -> None:
    first = ensure_launch_template(run, TEMPLATE)
    assert ensure_launch_template(run, TEMPLATE) == first
    other = ensure_launch_template(run, FleetTemplate(key_name="lab"))
    assert (other.id, int(other.version)) == (first.id, int(first.version) + 1)


def test_the_execution_role_is_named_by_its_arn(make_run: Callable[..., Run]) -> None:
    run = make_run(execution_role="puller", task_role="worker")
    ensure: Any = ensure_task_definition
    arn = ensure(run, {})
    made = run.aws.ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
    assert made["executionRoleArn"] == "arn:aws:iam::123456789012:role/puller"
    assert made["taskRoleArn"] == "worker"


@dataclass
class History:
    """A fleet with a history, that may get a machine after some looks."""

    said: list[FleetEvent] = field(default_factory=list)
    comes_after: int = 10**6
    id: str = "fleet-1"
    looks: int = 0

    def machines(self) -> list[str]:
        self.looks += 1
        return ["i-1"] if self.looks > self.comes_after else []

    def events(self, since: datetime) -> Iterator[FleetEvent]:
        return iter(self.said)


def waited(run: Run, fleet: History, seconds: float = 0) -> tuple[int, list[str]]:
    told: list[str] = []
    since = datetime.now(UTC) - timedelta(minutes=5)
    return wait_for_machines(run, fleet, since, 1, told.append, seconds), told


def event(subtype: str, text: str) -> FleetEvent:
    return FleetEvent(datetime.now(UTC), True, subtype, text)


def test_a_lack_of_capacity_is_waited_for_and_told_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "LOOK_SECONDS", 0)
    (kind,) = run.config.machine_type[:1]
    lack = event("launchSpecTemporarilyBlacklisted", f"{kind}: {LACK}")
    fleet = History([lack, lack], comes_after=3)
    machines, told = waited(run, fleet, seconds=30)
    assert machines == 1
    assert len([line for line in told if line.startswith("fleet: capacity")]) == 1
    assert any(kind in line for line in told)
    late, _ = waited(run, History([lack, lack]))
    assert late == 0


def test_a_wrong_configuration_is_not_waited_for(run: Run) -> None:
    text = "The key pair 'lab' does not exist"
    with pytest.raises(FleetError, match=f"{text}.*key_name"):
        waited(run, History([event(INVALID, text)]), seconds=30)
    assert waited(run, History([event(INVALID, text)], comes_after=0))[0] == 1
