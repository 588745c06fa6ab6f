"""The requests a run makes: as AWS's service models have them, and with what the config says."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.validate import ParamValidator
from dcp_fleet import DCP_FLEET
from hypothesis import given
from hypothesis import strategies as st

from blocks import AwsCredentials, FleetTemplate, RunConfig
from blocks.fleet_template.model import on_demand_of
from tasks.aws.clients import Aws
from tasks.cost.spend import Spend
from tasks.fleet.ami import MachineImage
from tasks.fleet.ec2_fleet import fleet_request
from tasks.fleet.launch_template import LaunchTemplate, launch_template_data, user_data
from tasks.fleet.spot_fleet import spot_fleet_request
from tasks.jobs.queues import QueueCounts
from tasks.jobs.results import Account
from tasks.monitor import cloudwatch_metrics
from tasks.monitor.cloudwatch_metrics import values
from tasks.monitor.dashboard import dashboard
from tasks.monitor.observation import Observation
from tasks.resources.ecs import task_definition, worker_environment
from tasks.runs.run import Run, new_run_id

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DCP_VARIABLES = {
    "AWS_REGION",
    "APP_NAME",
    "SQS_QUEUE_URL",
    "AWS_BUCKET",
    "DOCKER_CORES",
    "LOG_GROUP_NAME",
    "ECS_CLUSTER",
    "CHECK_IF_DONE_BOOL",
    "EXPECTED_NUMBER_FILES",
    "SECONDS_TO_START",
    "MIN_FILE_SIZE_BYTES",
    "USE_PLUGINS",
    "NECESSARY_STRING",
    "DOWNLOAD_FILES",
    "ALWAYS_CONTINUE",
    "SOURCE_BUCKET",
}


def run_with(**settings: Any) -> Run:
    given = {
        "app_name": "Lab",
        "dockerhub_tag": "lab/worker:1",
        "aws_bucket": "lab-bucket",
        "machine_type": ["m5.xlarge", "c5.2xlarge"],
        "max_hours": 5,
    }
    config = RunConfig(**(given | settings))
    aws = Aws.connect(config.credentials, config.aws_region)
    return Run(config, "20260301-120000-abcdef", aws)


def validated(service: str, operation: str, request: dict[str, Any]) -> None:
    """Hold a request against the service model that botocore ships."""
    model = boto3.client(service, region_name="us-east-1").meta.service_model
    shape = model.operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()


@pytest.mark.parametrize(
    "fleet",
    [
        FleetTemplate(),
        FleetTemplate(
            subnets=["subnet-1a2b3c4d", "subnet-2a2b3c4d"],
            security_groups=["sg-1a2b3c4d"],
            key_name="lab",
            on_demand_base=1,
        ),
    ],
)
def test_an_ec2_fleet_as_aws_takes_it(fleet: FleetTemplate) -> None:
    run = run_with()
    data = launch_template_data(run, fleet, MachineImage("ami-1"))
    validated(
        "ec2",
        "CreateLaunchTemplate",
        {"LaunchTemplateName": run.names.launch_template, "LaunchTemplateData": data},
    )
    request = fleet_request(run, fleet, LaunchTemplate("lt-1", "7"), 4, NOW, "token")
    validated("ec2", "CreateFleet", request)
    overrides = request["LaunchTemplateConfigs"][0]["Overrides"]
    assert len(overrides) == 2 * max(1, len(fleet.subnets))
    assert request["ValidUntil"] == NOW
    assert request["TerminateInstancesWithExpiration"] is True
    (configuration,) = request["LaunchTemplateConfigs"]
    assert configuration["LaunchTemplateSpecification"]["Version"] == "7"
    capacity = request["TargetCapacitySpecification"]
    assert capacity["OnDemandTargetCapacity"] == fleet.on_demand_base
    assert capacity["SpotTargetCapacity"] + capacity["OnDemandTargetCapacity"] == 4


def test_a_machine_at_risk_is_replaced_and_never_ended_by_the_fleet() -> None:
    run = run_with()
    for wanted in (True, False):
        fleet = FleetTemplate(capacity_rebalancing=wanted)
        spot = fleet_request(run, fleet, LaunchTemplate("lt-1", "1"), 4, NOW, "t")["SpotOptions"]
        strategies = {"CapacityRebalance": {"ReplacementStrategy": "launch"}}
        assert spot.get("MaintenanceStrategies") == (strategies if wanted else None)


@given(st.integers(0, 200), st.integers(0, 50), st.integers(0, 100))
def test_the_on_demand_share_is_at_least_what_was_asked_for(
    machines: int, base: int, share: int
) -> None:
    bought = on_demand_of(machines, base, share)
    assert min(base, machines) <= bought <= machines
    assert 100 * bought >= share * machines
    assert on_demand_of(machines + 1, base, share) - bought in (0, 1)


def test_machines_take_tokens_only_and_carry_the_tags() -> None:
    run = run_with(assign_ip=False, ebs_vol_size=50)
    image = MachineImage("ami-1", root_device="/dev/sda1")
    data = launch_template_data(run, FleetTemplate(), image)
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False
    (volume,) = data["BlockDeviceMappings"]
    assert volume["DeviceName"] == "/dev/sda1"
    assert volume["Ebs"]["VolumeSize"] == 50
    assert volume["Ebs"]["VolumeType"] == "gp3"
    assert volume["Ebs"]["Encrypted"] is True
    assert volume["Ebs"]["DeleteOnTermination"] is True
    for specification in data["TagSpecifications"]:
        tags = {tag["Key"]: tag["Value"] for tag in specification["Tags"]}
        assert tags["dcp:app"] == "Lab"
        assert tags["dcp:run"] == run.run_id


def test_user_data_joins_the_cluster_as_the_apps() -> None:
    run = run_with(ecs_cluster="labs")
    lines = base64.b64decode(user_data(run.names, "labs")).decode().splitlines()
    assert "ECS_CLUSTER=labs" in lines
    assert 'ECS_INSTANCE_ATTRIBUTES={"dcp.app":"Lab"}' in lines
    assert "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" in lines


def test_a_dcp_fleet_file_is_filled_in_and_otherwise_kept() -> None:
    run = run_with(machine_price=0.1, ebs_vol_size=40, assign_ip=False)
    template = FleetTemplate(spot_fleet_request=DCP_FLEET).spot_fleet_request
    assert template is not None
    request = spot_fleet_request(run, template, 3, NOW, "token")
    validated("ec2", "RequestSpotFleet", {"SpotFleetRequestConfig": request})
    assert request["TargetCapacity"] == 3
    assert request["SpotPrice"] == "0.10"
    assert request["ValidUntil"] == NOW
    assert request["IamFleetRole"] == DCP_FLEET["IamFleetRole"]
    specifications = request["LaunchSpecifications"]
    assert [one["InstanceType"] for one in specifications] == ["m5.xlarge", "c5.2xlarge"]
    for one in specifications:
        assert [volume["Ebs"]["VolumeSize"] for volume in one["BlockDeviceMappings"]] == [8, 40]
        assert one["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False
        assert one["KeyName"] == "lab"
    first = DCP_FLEET["LaunchSpecifications"][0]
    assert "UserData" not in first


def test_the_task_definition_has_dcps_variables_and_no_credentials() -> None:
    run = run_with(
        aws_credentials=AwsCredentials(
            aws_access_key_id="AKIASECRET",
            aws_secret_access_key="wJalrXUtnFEMI",
            aws_session_token="FwoGZXIvYXdzE",
        ),
        source_bucket="images",
        upload_flags="--acl bucket-owner-full-control",
        docker_cores=2,
    )
    environment = worker_environment(run, "https://sqs/q", "https://sqs/d")
    definition = task_definition(run, environment)
    validated("ecs", "RegisterTaskDefinition", definition)
    assert environment.keys() >= DCP_VARIABLES
    assert "WORKSPACE_BUCKET" not in environment
    assert json.loads(environment["UPLOAD_OPTIONS"]) == {"ACL": "bucket-owner-full-control"}
    (container,) = definition["containerDefinitions"]
    assert container["logConfiguration"]["options"]["mode"] == "non-blocking"
    assert not container.get("privileged")
    for secret in ("AKIASECRET", "wJalrXUtnFEMI", "FwoGZXIvYXdzE"):
        assert secret not in str(definition)
    assert definition["containerDefinitions"][0]["cpu"] == 2048


def test_the_worker_is_told_what_dcp_adds() -> None:
    run = run_with(
        idle_seconds=60,
        idle_action="reboot",
        warm=False,
        memory=4000,
        no_sign_request=True,
        check_if_done_exact=True,
    )
    environment = worker_environment(run, "https://sqs/q", "https://sqs/d")
    added = {
        "WARM": "False",
        "MEMORY": "4000",
        "STOP_SECONDS": "120",
        "IDLE_SECONDS": "60",
        "IDLE_ACTION": "reboot",
        "NO_SIGN_REQUEST": "True",
        "CHECK_IF_DONE_EXACT": "True",
        "ECS_SERVICE": "LabService",
    }
    assert environment.items() >= added.items()
    (container,) = task_definition(run, environment)["containerDefinitions"]
    assert container["stopTimeout"] == int(added["STOP_SECONDS"])
    assert "UPLOAD_OPTIONS" not in environment


def test_only_a_container_that_mounts_gets_what_fuse_needs() -> None:
    run = run_with(download_files=False)
    definition = task_definition(run, worker_environment(run, "https://sqs/q", "https://sqs/d"))
    validated("ecs", "RegisterTaskDefinition", definition)
    (container,) = definition["containerDefinitions"]
    assert container["linuxParameters"]["devices"][0]["hostPath"] == "/dev/fuse"
    assert container["linuxParameters"]["capabilities"] == {"add": ["SYS_ADMIN"]}
    usual = task_definition(run_with(), {})["containerDefinitions"][0]
    assert "linuxParameters" not in usual


def test_a_run_id_is_the_same_for_a_flow_run_that_is_retried() -> None:
    flow_run = "3f9a1c00-1111-2222-3333-444455556666"
    assert new_run_id(NOW, flow_run) == new_run_id(NOW, flow_run) == "20260301-120000-3f9a1c"


def test_the_dashboard_has_dcps_widgets_and_ours_beside_each_other() -> None:
    run = run_with()
    widgets = dashboard(run, "fleet-1")["widgets"]
    assert len(widgets) == 7 + 3
    places = {(one["x"], one["y"]) for one in widgets}
    assert len(places) == len(widgets)
    text = str(widgets)
    for shown in ("fleet-1", run.names.queue, run.names.dead_letter_queue, run.names.log_group):
        assert shown in text
    validated(
        "cloudwatch",
        "PutDashboard",
        {"DashboardName": run.names.dashboard, "DashboardBody": json.dumps({"widgets": widgets})},
    )


def test_every_figure_that_is_sent_is_shown_and_every_one_that_is_shown_is_sent() -> None:
    run = run_with()
    seen = Observation(NOW, QueueCounts(1, 1), Account(), spend=Spend(usd=1.0))
    shown = {
        metric[1]
        for widget in dashboard(run, "fleet-1")["widgets"]
        for metric in widget["properties"].get("metrics", [])
        if metric[0] == cloudwatch_metrics.NAMESPACE
        and metric[2:] == [cloudwatch_metrics.DIMENSION, run.names.app]
    }
    assert shown == values(seen, 60.0).keys()
    assert values(seen, None).keys() == shown - {cloudwatch_metrics.SECONDS}
