"""The fleet template: the machines' settings in the account."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from blocks.errors import Refusal, Refusals
from blocks.fields import OptionalText, TextRule, as_list
from blocks.fleet_template.spot_fleet_request import refusals_of


def _aws_id(prefix: str) -> TextRule:
    return TextRule(rf"{prefix}-[0-9a-f]+", "is not an id", f"{prefix}- and hexadecimal digits")


Subnet = Annotated[str, _aws_id("subnet")]
SecurityGroup = Annotated[str, _aws_id("sg")]
ImageId = Annotated[str, _aws_id("ami")]


def on_demand_of(machines: int, base: int, share: int) -> int:
    """The number of on-demand machines of a fleet, rounded up.

    Args:
        machines: All machines, on-demand and Spot.
        base: Number of on-demand machines before any Spot machine.
        share: Percentage of on-demand machines above the base.
    """
    first = min(base, machines)
    return first + math.ceil((machines - first) * share / 100)


class FleetTemplate(BaseModel):
    """The machines' settings in the account: network, role, machine image, key pair.

    All fields are optional. `spot_fleet_request` holds a fleet file of Distributed-CellProfiler,
    which requests a Spot Fleet; the other fields are then unused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    subnets: Annotated[list[Subnet], BeforeValidator(as_list)] = Field(
        default=[],
        description="Subnets of the machines. Default: those of the default VPC.",
    )
    security_groups: Annotated[list[SecurityGroup], BeforeValidator(as_list)] = Field(
        default=[],
        description="Security groups of the machines. Default: the VPC's default group.",
    )
    instance_profile: str = Field(
        default="ecsInstanceRole",
        min_length=1,
        description="Instance profile of the machines, by name or ARN.",
    )
    key_name: OptionalText = Field(
        default=None, description="EC2 key pair to log in with. Default: none."
    )
    image_id: ImageId | None = Field(
        default=None,
        description="Machine image (ami-…). Default: AWS's newest Amazon Linux 2023 for ECS.",
    )
    architecture: Literal["x86_64", "arm64"] = Field(
        default="x86_64",
        description="Processor of the machine types; the worker's image must be built for it.",
    )
    on_demand_base: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Number of on-demand machines before any Spot machine.",
    )
    on_demand_share: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Percentage of on-demand machines above on_demand_base; the rest are Spot.",
    )
    capacity_rebalancing: bool = Field(
        default=True,
        description="Launch a replacement as soon as AWS reports that a Spot machine is likely to "
        "be interrupted; the old one runs until then.",
    )
    spot_fleet_request: dict[str, Any] | None = Field(
        default=None,
        description="An unchanged fleet file of Distributed-CellProfiler (SpotFleetRequestConfig).",
    )

    @model_validator(mode="after")
    def _check_spot_fleet(self) -> Self:
        if self.spot_fleet_request is None:
            return self
        refusals = refusals_of(self.spot_fleet_request)
        refusals += [
            Refusal(
                "is not used with spot_fleet_request",
                key=key,
                remedy="Write it into the fleet file, or remove it.",
            )
            for key, field in type(self).model_fields.items()
            if key != "spot_fleet_request" and getattr(self, key) != field.default
        ]
        if refusals:
            raise Refusals(refusals)
        return self

    def on_demand(self, machines: int) -> int:
        """The number of on-demand machines of a fleet of this size."""
        return on_demand_of(machines, self.on_demand_base, self.on_demand_share)

    @property
    def image_parameter(self) -> str:
        """The SSM parameter with the newest ECS image.

        Amazon ECS Developer Guide, "Retrieving Amazon ECS-optimized Linux AMI metadata".
        """
        arm = "arm64/" if self.architecture == "arm64" else ""
        return f"/aws/service/ecs/optimized-ami/amazon-linux-2023/{arm}recommended/image_id"

    @property
    def instance_profile_specification(self) -> dict[str, str]:
        """The instance profile as a parameter of EC2 requests, by ARN or by name."""
        kind = "Arn" if self.instance_profile.startswith("arn:") else "Name"
        return {kind: self.instance_profile}
