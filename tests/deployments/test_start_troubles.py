"""Machines that do not launch, or launch and do nothing: the reported causes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from recorded_run import config_at, new_run
from waiting import wait_for

from blocks import FleetTemplate
from blocks.errors import FleetError
from deployments.local.emulator_client import Emulator
from tasks.diagnosis.diagnose import REGISTER_WITHIN, FleetDiagnosis, Symptoms, diagnose
from tasks.diagnosis.evidence import collect_symptoms
from tasks.fleet.base import Fleet
from tasks.fleet.find import find_fleets
from tasks.lifecycle import launch
from tasks.resources import ecs
from tasks.resources.log_groups import ensure_log_groups
from tasks.runs import record
from tasks.runs.run import Run

pytestmark = pytest.mark.e2e

request_fleet: Any = launch.request_fleet
wait_for_machines: Any = launch.wait_for_machines


@pytest.fixture
def chaos(switched: Emulator) -> Callable[..., None]:
    return switched.set_chaos


@pytest.fixture
def run(switched: Emulator, app_name: str, request: pytest.FixtureRequest) -> Iterator[Run]:
    """A run that is set up, with one requested container."""
    settings: dict[str, Any] = {"ecs_cluster": app_name, "machine_type": ["m5.xlarge"]}
    settings |= getattr(request, "param", {})
    one = new_run(config_at(switched.endpoint_url, app_name, **settings))
    ecs.ensure_cluster(one)
    ensure_log_groups(one)
    definition = ecs.ensure_task_definition(one, {"MODE": "wait"})
    ecs.ensure_service(one, definition)
    ecs.set_desired_count(one, 1)
    yield one
    for fleet in find_fleets(one):
        fleet.cancel()
    ecs.set_desired_count(one, 0)


def since() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=5)


def seen(
    run: Run, fleet: Fleet, enough: Callable[[Symptoms], object], later: timedelta = timedelta(0)
) -> Symptoms:
    """AWS's answers once they suffice, as if this time had passed."""

    def look() -> Symptoms | None:
        found = collect_symptoms(run, [fleet], since())
        shown = replace(found, at=found.at + later)
        return shown if enough(shown) else None

    found: Symptoms = wait_for(look, "sufficient answers of AWS")
    return found


def diagnosis_of(symptoms: Symptoms, code: str) -> FleetDiagnosis | None:
    return next((diagnosis for diagnosis in diagnose(symptoms) if diagnosis.code == code), None)


def started(run: Run) -> tuple[Fleet, list[str], int]:
    lines: list[str] = []
    fleet: Fleet = request_fleet(run, FleetTemplate(), 1)
    machines = wait_for_machines(run, fleet, since(), 0, lines.append, 60)
    return fleet, lines, machines


def test_late_capacity_is_awaited_and_the_types_reported(
    run: Run, chaos: Callable[..., None]
) -> None:
    chaos(late={"m5.xlarge": 2})
    _, lines, machines = started(run)
    assert machines == 1
    assert [line for line in lines if "capacity: " in line and "m5.xlarge" in line]
    assert len(set(lines)) == len(lines)


def test_a_launch_that_can_never_be_ends_the_waiting(run: Run, chaos: Callable[..., None]) -> None:
    chaos(refused_launches={"InvalidKeyPair.NotFound": 1})
    with pytest.raises(FleetError, match="key_name"):
        started(run)


def test_a_wrong_image_name_is_reported(run: Run, chaos: Callable[..., None]) -> None:
    chaos(unpullable=["lab/*"])
    fleet, _, _ = started(run)
    found = seen(run, fleet, lambda now: now.stopped)
    wrong = diagnosis_of(found, "image_missing")
    assert wrong is not None
    assert wrong.level == "configuration"
    assert "lab/worker" in wrong.detail
    assert ecs.image_digest(run) == ""


def test_machines_that_never_join_are_reported_when_they_are_late(
    run: Run, chaos: Callable[..., None]
) -> None:
    chaos(unregistered=1)
    fleet, _, _ = started(run)
    early = seen(run, fleet, lambda now: now.alive)
    assert diagnosis_of(early, "never_registers") is None
    late = diagnosis_of(replace(early, at=early.at + REGISTER_WITHIN), "never_registers")
    assert late is not None
    assert late.level == "configuration"
    assert late.machines == tuple(fleet.machines())


def test_containers_that_exit_at_once_are_reported_by_their_code(
    run: Run, chaos: Callable[..., None]
) -> None:
    chaos(exits={"78": 1})
    fleet, _, _ = started(run)
    found = seen(run, fleet, lambda now: len(now.stopped) >= 3 and not now.running)
    exits = diagnosis_of(found, "container_exit")
    assert exits is not None
    assert exits.level == "configuration"
    assert "78" in exits.summary


@pytest.mark.parametrize("run", [{"memory": 16_300}], indirect=True)
def test_a_container_that_is_too_large_for_the_machine_is_reported(run: Run) -> None:
    fleet, _, _ = started(run)
    found = seen(run, fleet, lambda now: now.joined and diagnosis_of(now, "container_size"))
    size = diagnosis_of(found, "container_size")
    assert size is not None
    assert size.level == "configuration"


def test_machines_that_end_while_they_start_are_reported_by_their_reason(
    run: Run, chaos: Callable[..., None]
) -> None:
    chaos(launch_errors={"Client.VolumeLimitExceeded": 1})
    fleet: Fleet = request_fleet(run, FleetTemplate(), 1)
    found = seen(run, fleet, lambda now: any(machine.ended for machine in now.machines))
    quota = diagnosis_of(found, "quota")
    assert quota is not None
    assert quota.level == "capacity"


def test_a_working_run_has_no_diagnosis_and_a_known_image(run: Run) -> None:
    fleet, _, _ = started(run)
    found = seen(run, fleet, lambda now: now.running)
    assert diagnose(found) == ()
    digest = ecs.image_digest(run)
    assert digest.startswith("sha256:")
    assert record.update(run, image_digest=digest).image_digest == digest
