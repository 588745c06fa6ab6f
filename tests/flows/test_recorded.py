"""Every recorded request of a full run is valid by AWS's models, and allowed by its permissions.

The flows and the containers have the policies that the set-up of the account makes, and nothing
else: the emulator refuses what these do not allow.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from dcp_fleet import DCP_FLEET
from lab import Lab
from stand_in_worker import STAND_IN

from blocks.loading.load import load_config
from deployments.local.emulator_client import Emulator, start_emulator
from flows.full_run import dcp
from tasks.account import role_policies
from tasks.account.provision import create
from tasks.account.setup_config import INSTANCE_ROLE, AccountAws, open_setup
from tasks.lifecycle.cleanup import left_running
from tasks.permissions.flow_permissions import PERMISSIONS

# One process: what its tests stand on is made once.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("recorded")]

INSTANCE_PROFILE = f"instance-profile/{INSTANCE_ROLE}"
# What tells that something is not there, or that a dry run would succeed: all that may be refused.
WANTED = {
    "ClusterNotFoundException",
    "DryRunOperation",
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "InvalidLaunchTemplateName.NotFoundException",
    "NoSuchKey",
    "404",
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with start_emulator(
        tmp_path_factory.mktemp("aws"),
        Path(sys.executable),
        container_command=[str(STAND_IN)],
        boot_seconds=0.2,
        shutdown_seconds=1,
    ) as running:
        running.set_account(enforce=True)
        yield running


@pytest.fixture
def make_strict_lab(make_lab: Callable[..., Lab], strict: Emulator) -> Callable[..., Lab]:
    """Makes an app in an account that is set up, and a user with the flows' policy."""

    def make(*wells: str) -> tuple[Lab, str]:
        lab = make_lab(strict.endpoint_url)
        job = lab.jobs(*wells)
        bucket, region = lab.settings.aws_bucket, lab.settings.aws_region
        account = AccountAws.connect(lab.settings.credentials, region)
        # A set-up for each app, since it is for the app's bucket.
        name = f"lab-{len(account.iam.list_users()['Users'])}"
        setup = open_setup(account, region, name, {"bucket": bucket, "safety_net": False})
        assert [str(line) for line in create(account, setup) if line.needs_attention] == []
        account.iam.create_user(UserName=bucket)
        account.iam.attach_user_policy(UserName=bucket, PolicyArn=setup.flows_policy)
        key = account.iam.create_access_key(UserName=bucket)["AccessKey"]
        path = lab.folder / "as_user.yaml"
        text = (
            Path(lab.config)
            .read_text()
            .replace("aws_access_key_id: local", f"aws_access_key_id: {key['AccessKeyId']}")
        )
        path.write_text(f"{text}task_role: {setup.role_arn(setup.task_role)}\n")
        strict.record()
        return replace(lab, config=str(path), settings=load_config(str(path))), job

    return make


def actions(statements: tuple[Any, ...]) -> set[str]:
    return {action for statement in statements for action in statement.actions}


def wrong_with(requests: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    """What is wrong with requests: by AWS's models, the answers, and the caller's permissions."""
    session = botocore.session.get_session()
    services = {one["service"] for one in requests}
    models = {service: session.get_service_model(service) for service in services}
    permissions = {
        "caller": {action for permission in PERMISSIONS for action in permission.actions},
        "container": actions(role_policies.WORKER),
    }
    found = set()
    for one in requests:
        named = one["who"], f"{one['service']}:{one['operation']}"
        shape = models[one["service"]].operation_model(one["operation"]).input_shape
        report = ParamValidator().validate(one["parameters"], shape) if shape is not None else None
        if one["unknown"] or (report is not None and report.has_errors()):
            found.add((*named, report.generate_report() if report else str(one["unknown"])))
        if one["code"] and one["code"].rpartition("#")[2] not in WANTED:
            found.add((*named, one["code"]))
        if one["action"] not in permissions.get(one["who"], set()):
            found.add((*named, "is not among its permissions"))
    return found


def of_run(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The requests of the run: not those with which the test makes and looks at things."""
    return [one for one in requests if one["key"] != "local"]


def test_a_run_from_a_fleet_template(
    make_strict_lab: Callable[..., tuple[Lab, str]], strict: Emulator
) -> None:
    lab, job = make_strict_lab(*[f"A{number:02}" for number in range(1, 13)])
    state = dcp(lab.config, job, return_state=True)
    assert state.message == "12 jobs: 12 succeeded, 0 skipped, 0 failed, 0 lost"
    assert left_running(lab.run()) == []
    requests = of_run(strict.requests())
    assert wrong_with(requests) == set()
    counts = Counter((one["who"], one["operation"]) for one in requests if one["carried_out"])
    assert counts["caller", "CreateFleet"] == counts["caller", "DeleteFleets"] == 1
    assert counts["container", "ReceiveMessage"] >= 12
    assert strict.request_counts()["ec2:CreateFleet"] == 1


def test_a_run_from_a_dcp_fleet_file(
    make_strict_lab: Callable[..., tuple[Lab, str]], strict: Emulator
) -> None:
    lab, job = make_strict_lab("A01", "A02")
    fleet = lab.folder / "fleet.json"
    fleet.write_text(json.dumps(DCP_FLEET).replace("instance-profile/ecs", INSTANCE_PROFILE))
    state = dcp(lab.config, job, fleet=str(fleet), return_state=True)
    assert state.is_completed(), state.message
    requests = of_run(strict.requests())
    assert wrong_with(requests) == set()
    counts = Counter((one["who"], one["operation"]) for one in requests if one["carried_out"])
    assert counts["caller", "RequestSpotFleet"] == 1
    assert counts["container", "DeleteMessage"] == 2
