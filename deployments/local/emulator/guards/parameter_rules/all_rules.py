"""Rules between the parameters of a request, by operation.

A rule is a generator of the errors in a request's parameters, each with code and text. Each module
names the pages of AWS's documentation. Checks that depend on the account's resources, such as names
in use, are in the actions themselves.
"""

from werkzeug.wrappers import Response

from deployments.local.emulator.guards.parameter_rules import (
    alarms,
    fleets,
    launch_templates,
    log_groups,
    queues,
    services,
    spot_fleets,
    task_definitions,
)
from deployments.local.emulator.guards.parameter_rules.rule import Rule
from deployments.local.emulator.protocol.request import ApiRequest
from deployments.local.emulator.protocol.responses import error

RULES: dict[tuple[str, str], Rule] = {
    (service, operation): rule
    for service, rules in (
        ("ec2", fleets.RULES),
        ("ec2", launch_templates.RULES),
        ("ec2", spot_fleets.RULES),
        ("ecs", services.RULES),
        ("ecs", task_definitions.RULES),
        ("logs", log_groups.RULES),
        ("monitoring", alarms.RULES),
        ("sqs", queues.RULES),
    )
    for operation, rule in rules.items()
}


def rule_violation(api_request: ApiRequest) -> Response | None:
    """The response to a request that breaks a rule of its service; None for any other."""
    rule = RULES.get((api_request.service, api_request.operation))
    if rule is None:
        return None
    for violation in rule(api_request.parameters):
        return error(api_request, violation.code, violation.text)
    return None
