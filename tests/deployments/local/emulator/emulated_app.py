"""One app on the emulator, controlled through AWS's own APIs."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config
from waiting import wait_for

from deployments.local.emulator_client import Emulator

IMAGE_ID = "ami-0123456789abcdef0"
ROLE = "arn:aws:iam::123456789012:role/fleet"


def client_of(
    emulator: Emulator,
    service: str,
    key: str = "key",
    region: str = "us-east-1",
    max_attempts: int = 0,
) -> Any:
    """Return a client of an emulator's service that does not retry."""
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=emulator.endpoint_url,
        aws_access_key_id=key,
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": max_attempts}, connect_timeout=5, read_timeout=30),
    )


@dataclass
class App:
    """One app's resources. All names contain its name, so tests can share the emulator."""

    name: str
    emulator: Emulator

    def __post_init__(self) -> None:
        for service in ("ec2", "ecs", "logs", "sqs", "s3"):
            setattr(self, service, client_of(self.emulator, service))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    @property
    def user_data(self) -> str:
        script = (
            "#!/bin/bash\ncat <<'EOF' >> /etc/ecs/ecs.config\n"
            f"ECS_CLUSTER={self.name}\n"
            "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true\n"
            f'ECS_INSTANCE_ATTRIBUTES={{"dcp.app":"{self.name}"}}\nEOF\n'
        )
        return base64.b64encode(script.encode()).decode()

    def cluster(self) -> None:
        self.ecs.create_cluster(clusterName=self.name)

    def fleet(self, target: int, instance_type: str = "m5.large", **more: Any) -> str:
        """Create a launch template and a Spot fleet of type maintain from it."""
        self.ec2.create_launch_template(
            LaunchTemplateName=self.name,
            LaunchTemplateData={
                "ImageId": IMAGE_ID,
                "InstanceType": instance_type,
                "UserData": self.user_data,
                "TagSpecifications": [
                    {"ResourceType": "instance", "Tags": [{"Key": "dcp:app", "Value": self.name}]}
                ],
            },
        )
        request: dict[str, Any] = {
            "Type": "maintain",
            "LaunchTemplateConfigs": [
                {
                    "LaunchTemplateSpecification": {
                        "LaunchTemplateName": self.name,
                        "Version": "$Latest",
                    }
                }
            ],
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": target,
                "DefaultTargetCapacityType": "spot",
            },
            **more,
        }
        fleet_id: str = self.ec2.create_fleet(**request)["FleetId"]
        return fleet_id

    def fleet_instances(self, fleet_id: str) -> list[str]:
        found = self.ec2.describe_fleet_instances(FleetId=fleet_id)["ActiveInstances"]
        return [instance["InstanceId"] for instance in found]

    def instance(self, instance_id: str) -> dict[str, Any]:
        reservations = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        instance: dict[str, Any] = reservations[0]["Instances"][0]
        return instance

    def fleet_history(self, fleet_id: str) -> list[dict[str, Any]]:
        """The history of an EC2 Fleet or a Spot Fleet, oldest first: type, sub-type and text."""
        start = datetime.now(UTC) - timedelta(hours=1)
        if fleet_id.startswith("sfr-"):
            page = self.ec2.describe_spot_fleet_request_history(
                SpotFleetRequestId=fleet_id, StartTime=start
            )
        else:
            page = self.ec2.describe_fleet_history(FleetId=fleet_id, StartTime=start)
        return [
            {"type": history_record["EventType"], **history_record["EventInformation"]}
            for history_record in page["HistoryRecords"]
        ]

    def subtypes(self, fleet_id: str) -> set[tuple[str, str]]:
        return {(event["type"], event["EventSubType"]) for event in self.fleet_history(fleet_id)}

    def hosts(self) -> list[dict[str, Any]]:
        arns = self.ecs.list_container_instances(cluster=self.name)["containerInstanceArns"]
        if not arns:
            return []
        found: list[dict[str, Any]] = self.ecs.describe_container_instances(
            cluster=self.name, containerInstances=arns
        )["containerInstances"]
        return found

    def definition(self, mode: str = "serve", cpu: int = 1024, memory: int = 1000) -> str:
        """Register a task definition with a container that behaves as `mode` specifies."""
        group = f"{self.name}_perInstance"
        if not self.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            self.logs.create_log_group(logGroupName=group)
        arn: str = self.ecs.register_task_definition(
            family=f"{self.name}Task",
            taskRoleArn="arn:aws:iam::123456789012:role/worker",
            networkMode="bridge",
            containerDefinitions=[
                {
                    "name": "worker",
                    "image": "dcp/worker:1",
                    "cpu": cpu,
                    "memory": memory,
                    "essential": True,
                    "stopTimeout": 2,
                    "environment": [
                        {"name": "MODE", "value": mode},
                        {"name": "APP_NAME", "value": self.name},
                    ],
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": group,
                            "awslogs-region": "us-east-1",
                            "awslogs-stream-prefix": self.name,
                        },
                    },
                }
            ],
        )["taskDefinition"]["taskDefinitionArn"]
        return arn

    def service(self, desired: int, **definition: Any) -> None:
        self.ecs.create_service(
            cluster=self.name,
            serviceName=f"{self.name}Service",
            taskDefinition=self.definition(**definition),
            desiredCount=desired,
            launchType="EC2",
            placementConstraints=[
                {"type": "memberOf", "expression": f"attribute:dcp.app == {self.name}"}
            ],
        )

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ecs.describe_services(
            cluster=self.name, services=[f"{self.name}Service"]
        )["services"][0]
        return found

    def scale(self, desired: int) -> None:
        self.ecs.update_service(
            cluster=self.name, service=f"{self.name}Service", desiredCount=desired
        )

    def containers(self) -> list[dict[str, Any]]:
        part = f":task/{self.name}/"
        return [
            container for container in self.emulator.containers() if part in container["task_arn"]
        ]

    def tasks(self, status: str = "RUNNING") -> list[dict[str, Any]]:
        arns = self.ecs.list_tasks(cluster=self.name, desiredStatus=status)["taskArns"]
        if not arns:
            return []
        found: list[dict[str, Any]] = self.ecs.describe_tasks(cluster=self.name, tasks=arns)[
            "tasks"
        ]
        return found

    def running(self, count: int) -> dict[str, Any]:
        """Wait until the service's exact count of running tasks is this."""
        found: dict[str, Any] = wait_for(
            lambda: self.state() if self.state()["runningCount"] == count else None,
            f"{count} tasks of {self.name} running",
        )
        return found

    def lines(self, task_arn: str) -> list[str]:
        """Return the output of a task's container."""
        stream = f"{self.name}/worker/{task_arn.rpartition('/')[2]}"
        events = self.logs.get_log_events(
            logGroupName=f"{self.name}_perInstance", logStreamName=stream, startFromHead=True
        )["events"]
        return [event["message"] for event in events]

    def end(self) -> None:
        """Delete what the test left behind, to free the computer for the next tests."""
        for fleet in self.ec2.describe_fleets()["Fleets"]:
            template = fleet["LaunchTemplateConfigs"][0]["LaunchTemplateSpecification"]
            if template["LaunchTemplateName"] == self.name:
                self.ec2.delete_fleets(FleetIds=[fleet["FleetId"]], TerminateInstances=True)
        found = self.ecs.describe_clusters(clusters=[self.name])["clusters"]
        if found and found[0]["status"] == "ACTIVE":
            for arn in self.ecs.list_services(cluster=self.name)["serviceArns"]:
                status = self.ecs.describe_services(cluster=self.name, services=[arn])
                if status["services"][0]["status"] == "ACTIVE":
                    self.ecs.delete_service(cluster=self.name, service=arn, force=True)


def spot_fleet(app: App, target: int, **changes: Any) -> str:
    spec = {
        "ImageId": IMAGE_ID,
        "InstanceType": "m5.large",
        "UserData": app.user_data,
        "SubnetId": "subnet-0123456789abcdef0",
        "SecurityGroups": [{"GroupId": "sg-0123456789abcdef0"}],
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [{"Key": "dcp:app", "Value": app.name}]}
        ],
    }
    role = changes.pop("role", ROLE)
    request_id: str = app.ec2.request_spot_fleet(
        SpotFleetRequestConfig={
            "IamFleetRole": role,
            "TargetCapacity": target,
            "SpotPrice": "0.10",
            "AllocationStrategy": "lowestPrice",
            "LaunchSpecifications": [{**spec, **changes}],
        }
    )["SpotFleetRequestId"]
    return request_id
