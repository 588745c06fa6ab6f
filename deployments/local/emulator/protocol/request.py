"""A parsed request: its service, action, parameters and caller."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug.wrappers import Request

from deployments.local.emulator.protocol.iam_actions import action_of
from deployments.local.emulator.protocol.parse import operation_model, parse_protocol, service_model

CREDENTIAL = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/")
# The names in IAM and botocore by signing name, where they differ.
IAM_NAMES = {"monitoring": "cloudwatch", "tagging": "tag"}
BOTOCORE_NAMES = {
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
    "tagging": "resourcegroupstaggingapi",
}


@dataclass(frozen=True)
class ApiRequest:
    """A parsed request.

    Attributes:
        service: The service's signing name.
        action: The IAM action, such as `sqs:CreateQueue`; "" if it is unknown.
        key: The access key id.
        region: The region that it is signed for.
        operation: The operation's name in the API; "" if it is unknown.
        protocol: The protocol's name in botocore.
        parameters: The parameters by their names in botocore, without the data of objects.
        unknown: Parameters that the operation does not have, if the protocol allows to detect them.
        unreadable: The reason why the body cannot be parsed; "" if it can.
    """

    service: str
    action: str
    key: str
    region: str
    operation: str = ""
    protocol: str = "json"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    unreadable: str = ""

    @property
    def botocore_service(self) -> str:
        """The service's name in botocore."""
        return BOTOCORE_NAMES.get(self.service, self.service)

    @property
    def model(self) -> Any:
        """botocore's model of the operation; None if it has none."""
        return operation_model(self.botocore_service, self.operation)

    @property
    def dry_run(self) -> bool:
        """Whether it is a dry run of EC2."""
        return self.service == "ec2" and self.parameters.get("DryRun") is True


def parse_request(environ: dict[str, Any], request: Request) -> ApiRequest | None:
    """Parse a request; None if it is not signed.

    Bodies are read and restored, except for the data of objects.
    """
    signature = request.headers.get("Authorization", "")
    presigned = f"Credential={request.args.get('X-Amz-Credential', '')}"
    signed = CREDENTIAL.search(signature) or CREDENTIAL.search(presigned)
    if signed is None:
        return None
    service, key, region = signed["service"], signed["key"], signed["region"]
    name = BOTOCORE_NAMES.get(service, service)
    if service_model(name) is None:
        return ApiRequest(service, "", key, region)
    spoken = parse_protocol(name, environ, request)
    iam_name = IAM_NAMES.get(service, service)
    return ApiRequest(
        service=service,
        action=action_of(iam_name, spoken.operation) if spoken.operation else "",
        key=key,
        region=region,
        operation=spoken.operation,
        protocol=spoken.protocol,
        parameters=spoken.parameters,
        unknown=spoken.unknown,
        unreadable=spoken.unreadable,
    )
