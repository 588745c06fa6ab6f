"""EC2 dry runs of the requests that launch machines; nothing is launched."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from blocks import FleetTemplate
from tasks.aws.errors import AwsError, error_code
from tasks.fleet.ami import MachineImage, image_id
from tasks.fleet.launch_template import launch_template_data
from tasks.fleet.spot_fleet import spot_fleet_request
from tasks.preflight.aws.permission_answers import Denial, PermissionAnswers
from tasks.runs.run import Run

ENDS = datetime(2100, 1, 1, tzinfo=UTC)  # end of the fleet in the dry run
# "User: … is not authorized to perform: ec2:RunInstances on resource: arn:… because …"
SAID = re.compile(r"not authorized to perform: (?P<action>[\w:]+) on resource: (?P<resource>\S+)")


def dry_runs(run: Run, template: FleetTemplate) -> PermissionAnswers:
    """Make a dry run of every request that launches machines."""
    ec2 = run.aws.ec2
    if template.spot_fleet_request is not None:
        config: Any = spot_fleet_request(run, template.spot_fleet_request, 1, ENDS, run.run_id)
        return _dry(
            "ec2:RequestSpotFleet",
            lambda: ec2.request_spot_fleet(DryRun=True, SpotFleetRequestConfig=config),
        )
    try:
        image = MachineImage(image_id(run, template))
    except AwsError:
        return PermissionAnswers()  # the simulation names the denied action
    data: Any = launch_template_data(run, template, image)
    name = run.names.launch_template
    creation = _dry(
        "ec2:CreateLaunchTemplate",
        lambda: ec2.create_launch_template(
            DryRun=True, LaunchTemplateName=name, LaunchTemplateData=data
        ),
    )
    return creation.merged_with(
        _dry(
            "ec2:RunInstances",
            lambda: ec2.run_instances(**_one_machine(run, template, data)),
        )
    )


def _one_machine(run: Run, template: FleetTemplate, data: dict[str, Any]) -> dict[str, Any]:
    (network,) = data["NetworkInterfaces"]
    if template.subnets:
        network = network | {"SubnetId": template.subnets[0]}
    machine = {"MinCount": 1, "MaxCount": 1, "InstanceType": run.config.machine_type[0]}
    return data | machine | {"DryRun": True, "NetworkInterfaces": [network]}


def _dry(action: str, call: Callable[[], Any]) -> PermissionAnswers:
    """Make a dry run, which always raises an error (EC2 API Reference, DryRun).

    Any error but these two concerns the made-up request or the connection, and proves nothing.
    """
    try:
        call()
    except AwsError as error:
        match error_code(error):
            case "DryRunOperation":
                return PermissionAnswers(allowed=frozenset({action}))
            case "UnauthorizedOperation":
                denial = SAID.search(str(error))
                denied = denial["action"] if denial else action
                resource = denial["resource"] if denial else "*"
                return PermissionAnswers(
                    (Denial(denied, resource, "fleet", why="UnauthorizedOperation"),)
                )
    return PermissionAnswers()
