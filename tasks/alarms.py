"""The idle alarms that the workers put on their machines."""

import re

from tasks.machines import batches
from tasks.run import Run

BATCH = 100  # the most names that CloudWatch takes in a DeleteAlarms request


def alarm_names(run: Run) -> list[str]:
    """The names of all idle alarms of the app's machines, those of past machines too."""
    pages = run.aws.cloudwatch.get_paginator("describe_alarms").paginate(
        AlarmNamePrefix=run.names.alarm_prefix
    )
    own = re.compile(re.escape(run.names.alarm_prefix) + r"[0-9a-f]+")
    names = [alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]]
    return [name for name in names if own.fullmatch(name)]


def delete_alarms(run: Run) -> int:
    """Delete all idle alarms of the app; returns how many."""
    names = alarm_names(run)
    for batch in batches(names, BATCH):
        run.aws.cloudwatch.delete_alarms(AlarmNames=batch)
    return len(names)
