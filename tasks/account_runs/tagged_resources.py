"""All resources in an account and region that carry dcp's tags.

EC2 resources are listed kind by kind, with their states. Queues, services and alarms come from one
paged call of the Resource Groups Tagging API ("GetResources" in its API Reference), which lags by a
minute or so. The number of calls depends on the number of resources, not of jobs.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

from blocks.resource_names import Names
from tasks.aws.clients import Aws
from tasks.aws.concurrency import batches
from tasks.aws.errors import error_code
from tasks.fleet.ec2_fleet import ENDED_STATES as EC2_ENDED
from tasks.fleet.instances import LIVE_STATES
from tasks.fleet.spot_fleet import ENDED_STATES as SPOT_ENDED

Kind = Literal["fleet", "machine", "volume", "launch template", "queue", "service", "alarm"]
COSTLY: frozenset[Kind] = frozenset({"fleet", "machine", "volume"})
TAGGED: dict[str, Kind] = {
    "sqs": "queue",
    "ecs:service": "service",
    "cloudwatch:alarm": "alarm",
}


@dataclass(frozen=True)
class Resource:
    """A resource in AWS with the tag `dcp:app`.

    Attributes:
        kind: Its kind.
        id: Its id or name; for a service, cluster/name.
        app: Its app.
        run_id: Its run; "" without the tag.
        bucket: The bucket of the run's record; "" without the tag.
        region: The region.
        state: Its state in AWS; "" if its kind has no states.
    """

    kind: Kind
    id: str
    app: str
    run_id: str
    bucket: str
    region: str
    state: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


def inventory(aws: Aws, app: str | None = None) -> list[Resource]:
    """The resources of an app, or of all apps, in the region of the clients.

    Excludes what needs no clean-up: terminated machines, deleted fleets and attached volumes.
    """
    key = [{"Name": "tag-key", "Values": [Names.app_tag]}]
    by_app = [{"Name": f"tag:{Names.app_tag}", "Values": [app]}] if app else key
    tagged = list(_tagged(aws, app))
    services = _there(aws, [one.id for one in tagged if one.kind == "service"])
    tagged = [one for one in tagged if one.kind != "service" or one.id in services]
    found = [*_fleets(aws), *_ec2(aws, by_app), *tagged]
    return [one for one in found if app is None or one.app == app]


def _resource(
    aws: Aws, kind: Kind, name: str, tags: Mapping[str, str], state: str = ""
) -> Iterator[Resource]:
    if app := tags.get(Names.app_tag):
        region = aws.ec2.meta.region_name
        run, bucket = tags.get(Names.run_tag, ""), tags.get(Names.bucket_tag, "")
        yield Resource(kind, name, app, run, bucket, region, state)


def _pairs(tags: Iterable[Any] | None) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags or ()}


def _fleets(aws: Aws) -> Iterator[Resource]:
    """Fleets of both kinds; neither API filters by tag."""
    for page in aws.ec2.get_paginator("describe_fleets").paginate():
        for fleet in page["Fleets"]:
            if (state := fleet["FleetState"]) not in EC2_ENDED:
                yield from _resource(
                    aws, "fleet", fleet["FleetId"], _pairs(fleet.get("Tags")), state
                )
    for requests in aws.ec2.get_paginator("describe_spot_fleet_requests").paginate():
        for request in requests["SpotFleetRequestConfigs"]:
            stands = request["SpotFleetRequestState"]
            if stands not in SPOT_ENDED:
                name, tags = request["SpotFleetRequestId"], _pairs(request.get("Tags"))
                yield from _resource(aws, "fleet", name, tags, stands)


def _ec2(aws: Aws, filters: Any) -> Iterator[Resource]:
    live = [*filters, {"Name": "instance-state-name", "Values": LIVE_STATES}]
    for page in aws.ec2.get_paginator("describe_instances").paginate(Filters=live):
        for reservation in page["Reservations"]:
            for one in reservation["Instances"]:
                tags = _pairs(one.get("Tags"))
                yield from _resource(aws, "machine", one["InstanceId"], tags, one["State"]["Name"])
    alone = [*filters, {"Name": "status", "Values": ["available"]}]
    for volumes in aws.ec2.get_paginator("describe_volumes").paginate(Filters=alone):
        for volume in volumes["Volumes"]:
            tags = _pairs(volume.get("Tags"))
            yield from _resource(aws, "volume", volume["VolumeId"], tags, volume["State"])
    for templates in aws.ec2.get_paginator("describe_launch_templates").paginate(Filters=filters):
        for template in templates["LaunchTemplates"]:
            name, tags = template["LaunchTemplateName"], _pairs(template.get("Tags"))
            yield from _resource(aws, "launch template", name, tags)


def _tagged(aws: Aws, app: str | None) -> Iterator[Resource]:
    wanted: dict[str, Any] = {"Key": Names.app_tag} | ({"Values": [app]} if app else {})
    pages = aws.resourcegroupstaggingapi.get_paginator("get_resources").paginate(
        TagFilters=[wanted], ResourceTypeFilters=list(TAGGED)
    )
    for page in pages:
        for one in page["ResourceTagMappingList"]:
            kind, name = _named(one["ResourceARN"])
            yield from _resource(aws, kind, name, _pairs(one["Tags"]))


def _there(aws: Aws, services: list[str]) -> set[str]:
    """The services that are not deleted; ECS keeps deleted ones for a while, with their tags."""
    there = set()
    clusters = {one.partition("/")[0] for one in services}
    for cluster in sorted(clusters):
        own = [one.partition("/")[2] for one in services if one.partition("/")[0] == cluster]
        for names in batches(own, 10):
            try:
                answer = aws.ecs.describe_services(cluster=cluster, services=names)
            except ClientError as error:
                if error_code(error) == "ClusterNotFoundException":
                    continue
                raise
            for one in answer["services"]:
                if one["status"] in ("ACTIVE", "DRAINING"):
                    there.add(f"{cluster}/{one['serviceName']}")
    return there


def _named(arn: str) -> tuple[Kind, str]:
    """Kind and name of the resource with this ARN (Service Authorization Reference).

    For example `arn:aws:ecs:eu-west-1:1:service/cluster/LabService`.
    """
    _, _, service, _, _, rest = arn.split(":", 5)
    if service == "sqs":
        return "queue", rest
    return (
        ("service", rest.removeprefix("service/"))
        if service == "ecs"
        else (
            "alarm",
            rest.removeprefix("alarm:"),
        )
    )
