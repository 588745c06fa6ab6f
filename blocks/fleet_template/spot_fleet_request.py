"""Checks of a fleet file of Distributed-CellProfiler. Pure.

The file is a SpotFleetRequestConfig (Amazon EC2 API Reference, RequestSpotFleet). The run fills in
user data, sizes, machine types, price, capacity and times, and keeps the rest unchanged.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from blocks.errors import Refusal

_ID = re.compile(r"(ami|subnet|sg|snap|vpc)-(.*)")
_ARN = re.compile(r"arn:[^:]*:iam::([^:]*):")


def is_spot_fleet(values: Any) -> bool:
    """Whether a mapping is a fleet file of Distributed-CellProfiler."""
    return isinstance(values, Mapping) and "LaunchSpecifications" in values


def refusals_of(request: Mapping[str, Any]) -> list[Refusal]:
    """All mistakes for which the run would not send the request."""
    return [*_missing(request), *_placeholders(request, "")]


def _missing(request: Mapping[str, Any]) -> Iterator[Refusal]:
    role = request.get("IamFleetRole")
    if not (isinstance(role, str) and _ARN.match(role)):
        yield Refusal(
            "is not the ARN of a role" if role else "is missing",
            key="IamFleetRole",
            got=repr(role) if role else "",
            allowed="arn:aws:iam::<account>:role/aws-ec2-spot-fleet-tagging-role",
        )
    specifications = request.get("LaunchSpecifications")
    if not isinstance(specifications, list) or not specifications:
        yield Refusal("is empty or not a list", key="LaunchSpecifications")
        return
    for number, specification in enumerate(specifications, 1):
        place = f"LaunchSpecifications[{number}]"
        if not isinstance(specification, Mapping):
            yield Refusal("is not a mapping", key=place, got=repr(specification))
            continue
        profile = specification.get("IamInstanceProfile")
        if not (isinstance(profile, Mapping) and (profile.get("Arn") or profile.get("Name"))):
            yield Refusal(
                "is missing",
                key=f"{place}.IamInstanceProfile.Arn",
                remedy="Add it: machines cannot join the ECS cluster without it.",
            )
        if not specification.get("ImageId"):
            yield Refusal("is missing", key=f"{place}.ImageId")


def _placeholders(value: Any, place: str) -> Iterator[Refusal]:
    """Ids and account numbers that are still placeholders."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _placeholders(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value, 1):
            yield from _placeholders(inner, f"{place}[{number}]")
    elif isinstance(value, str):
        yield from _unfilled(value, place)


def _unfilled(value: str, place: str) -> Iterator[Refusal]:
    # SubnetId may hold several subnets, separated by commas (RequestSpotFleet, SubnetId).
    for part in value.split(","):
        part = part.strip()
        if (match := _ID.fullmatch(part)) and not re.fullmatch(r"[0-9a-f]+", match[2]):
            yield Refusal(
                "is not filled in",
                key=place,
                got=repr(value),
                allowed=f"{match[1]}- and hexadecimal digits",
                remedy="Write the id from your account.",
            )
        elif (arn := _ARN.match(part)) and not re.fullmatch(r"\d{12}|aws", arn[1]):
            yield Refusal(
                "is not filled in",
                key=place,
                got=repr(value),
                allowed="an ARN with the 12 digits of an account",
                remedy="Write your account number.",
            )
        elif re.fullmatch(r"your[_-]key[_-]file[_-]name", part):
            yield Refusal(
                "is not filled in",
                key=place,
                got=repr(value),
                remedy="Write the name of an EC2 key pair, or remove the key.",
            )
