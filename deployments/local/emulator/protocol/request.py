"""What a request asks for: which action of which service, with what, by whom."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug.wrappers import Request

from deployments.local.emulator.protocol.iam_actions import action_of
from deployments.local.emulator.protocol.parse import listen, operation_model, service_model

CREDENTIAL = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/")
# Signing names to the names that IAM and botocore have, where they differ.
IAM_NAMES = {"monitoring": "cloudwatch", "tagging": "tag"}
BOTOCORE_NAMES = {
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
    "tagging": "resourcegroupstaggingapi",
}


@dataclass(frozen=True)
class Asked:
    """A request, understood.

    Attributes:
        service: The service's signing name.
        action: The IAM action, such as `sqs:CreateQueue`; "" when it is none that is known.
        key: The access key id.
        region: The region that it is signed for.
        operation: The operation as the API names it; "" when it is none that is known.
        protocol: The protocol, as botocore names it.
        parameters: The parameters under botocore's names; the data of objects is left out.
        unknown: Parameters that the operation does not have, where the protocol can tell.
        unreadable: Why the body cannot be read; "" when it can.
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
        """botocore's model of the operation; None when there is none."""
        return operation_model(self.botocore_service, self.operation)

    @property
    def dry_run(self) -> bool:
        """Whether EC2 is only asked whether it would be allowed."""
        return self.service == "ec2" and self.parameters.get("DryRun") is True


def asked(environ: dict[str, Any], request: Request) -> Asked | None:
    """Understand a request; None when it is not signed.

    Bodies are read and put back, but for the data of objects.
    """
    signature = request.headers.get("Authorization", "")
    presigned = f"Credential={request.args.get('X-Amz-Credential', '')}"
    signed = CREDENTIAL.search(signature) or CREDENTIAL.search(presigned)
    if signed is None:
        return None
    service, key, region = signed["service"], signed["key"], signed["region"]
    name = BOTOCORE_NAMES.get(service, service)
    if service_model(name) is None:
        return Asked(service, "", key, region)
    spoken = listen(name, environ, request)
    iam_name = IAM_NAMES.get(service, service)
    return Asked(
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
