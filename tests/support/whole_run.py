"""All AWS resources of a run, created without its flows; no container runs."""

from collections.abc import Sequence
from typing import Any

from dcp_fleet import DCP_FLEET
from waiting import wait_for

from blocks import FleetTemplate
from tasks.fleet.base import Fleet
from tasks.fleet.instances import container_instances
from tasks.jobs.queues import ensure_queues
from tasks.lifecycle.launch import request_fleet
from tasks.monitor.dashboard import put_dashboard
from tasks.resources.ecs import ensure_cluster, ensure_service, ensure_task_definition
from tasks.resources.log_groups import ensure_log_groups
from tasks.runs.run import Run

SPOT_FLEET = FleetTemplate(spot_fleet_request=DCP_FLEET)


def set_up(run: Run) -> None:
    """Create what `dcp-setup` creates."""
    ensure_queues(run)
    ensure_log_groups(run)
    ensure_cluster(run)
    definition = ensure_task_definition(run, {"RUN_ID": run.run_id})
    ensure_service(run, definition)


def start(run: Run, machines: int, template: FleetTemplate | None = None) -> Fleet:
    """Request a fleet, and wait until its machines have joined the cluster."""
    fleet: Fleet = request_fleet(run, template or FleetTemplate(), machines)
    wait_for(lambda: len(fleet.machines()) >= machines, "the machines")
    wait_for(lambda: len(list(container_instances(run))) >= machines, "them to join the cluster")
    return fleet


def put_alarm(run: Run, instance_id: str, actions: Sequence[str] = ()) -> None:
    """Create the idle alarm of a machine like its worker."""
    run.aws.cloudwatch.put_metric_alarm(
        AlarmName=run.names.alarm(instance_id),
        AlarmActions=list(actions),
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Dimensions=[{"Name": "InstanceId", "Value": instance_id}],
        Statistic="Maximum",
        Period=300,
        EvaluationPeriods=3,
        Threshold=1.0,
        ComparisonOperator="LessThanThreshold",
        Tags=[{"Key": key, "Value": value} for key, value in run.names.tags(run.run_id).items()],
    )


def leave_volume(run: Run) -> str:
    """Create a volume that outlived its machine; returns its id."""
    tags: Any = [{"Key": key, "Value": value} for key, value in run.tags.items()]
    volume = run.aws.ec2.create_volume(
        AvailabilityZone=f"{run.config.aws_region}a",
        Size=22,
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )
    return volume["VolumeId"]


def make_whole(run: Run, machines: int = 2, template: FleetTemplate | None = None) -> None:
    """Create all resources that a run can have, also of earlier machines."""
    set_up(run)
    fleet = start(run, machines, template)
    put_dashboard(run, fleet.id)
    for machine in (*fleet.machines(), "i-00000000000000001", "i-00000000000000002"):
        put_alarm(run, machine)
    leave_volume(run)
