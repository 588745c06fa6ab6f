"""CloudWatch Logs: retention, events, exports.

Sources, in the Amazon CloudWatch Logs API Reference: PutRetentionPolicy, PutLogEvents,
CreateExportTask.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from deployments.local.emulator.guards.parameter_rules.rule import Rule, RuleViolation

CODE = "InvalidParameterException"
DAYS = {
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
}
MOST_EVENTS = 10_000
MOST_BYTES = 1_048_576
EVENT_BYTES = 26  # overhead per event
SPAN_MS = 24 * 3_600_000


def put_retention_policy(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """PutRetentionPolicy."""
    days = params["retentionInDays"]
    if days not in DAYS:
        text = f"Value '{days}' at 'retentionInDays' failed to satisfy constraint: one of"
        yield RuleViolation(CODE, f"{text} {sorted(DAYS)}")


def put_log_events(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """PutLogEvents."""
    events = params["logEvents"]
    times = [event["timestamp"] for event in events]
    if len(events) > MOST_EVENTS:
        yield RuleViolation(CODE, f"A batch has at most {MOST_EVENTS} events")
    if sum(len(event["message"].encode()) + EVENT_BYTES for event in events) > MOST_BYTES:
        yield RuleViolation(CODE, f"Upload too large: a batch has at most {MOST_BYTES} bytes")
    if times != sorted(times):
        yield RuleViolation(
            CODE, "Log events in a single PutLogEvents request must be in order of time."
        )
    if times and max(times) - min(times) > SPAN_MS:
        yield RuleViolation(
            CODE, "The batch of log events in a single request spans more than 24 hours."
        )


def create_export_task(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """CreateExportTask."""
    if params["from"] < 0 or params["to"] < params["from"]:
        yield RuleViolation(
            CODE, "The specified time range is not valid: 'from' must not be after 'to'."
        )


RULES: dict[str, Rule] = {
    "PutRetentionPolicy": put_retention_policy,
    "PutLogEvents": put_log_events,
    "CreateExportTask": create_export_task,
}
