"""The metrics of queues in CloudWatch, for alarms and dashboards.

Source: "Available CloudWatch metrics for Amazon SQS" in the Amazon SQS Developer Guide: metrics are
sent every minute for active queues.
"""

import time

from moto.cloudwatch.models import cloudwatch_backends
from moto.sqs.models import sqs_backends

from deployments.local.emulator.core.settings import ACCOUNT_ID
from deployments.local.emulator.core.state import EmulatorState, Region
from deployments.local.emulator.sqs.queue import EmulatedQueue

METRICS = {
    "ApproximateNumberOfMessagesVisible": "approximate_number_of_messages",
    "ApproximateNumberOfMessagesNotVisible": "approximate_number_of_messages_not_visible",
    "ApproximateNumberOfMessagesDelayed": "approximate_number_of_messages_delayed",
}


def note_counts(region: Region) -> None:
    """Make every queue of a region record its counts, so that they can be reported late."""
    for queue in list(sqs_backends[ACCOUNT_ID][region.name].queues.values()):
        if isinstance(queue, EmulatedQueue):
            queue.note_counts()


def measure_queues(emulator: EmulatorState, region: Region) -> None:
    """Send the counts of every queue of a region to CloudWatch, when due."""
    if time.monotonic() < region.measures_at:
        return
    region.measures_at = time.monotonic() + emulator.settings.metric_seconds
    for queue in list(sqs_backends[ACCOUNT_ID][region.name].queues.values()):
        data = [
            {
                "MetricName": metric,
                "Dimensions": [{"Name": "QueueName", "Value": queue.name}],
                "Unit": "Count",
                "Value": float(getattr(queue, attribute)),
            }
            for metric, attribute in METRICS.items()
        ]
        cloudwatch_backends[ACCOUNT_ID][region.name].put_metric_data("AWS/SQS", data)
