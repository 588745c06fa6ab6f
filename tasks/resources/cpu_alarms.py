"""The idle alarms, which workers create for their machines.

The monitor deletes those of terminated machines (`tasks.monitor.tick.clear_alarms`). The clean-up
deletes all alarms of the app by the prefix of their names.
"""

import logging
import re
import time
from collections.abc import Collection

from botocore.exceptions import ClientError

from tasks.aws.concurrency import batches
from tasks.aws.errors import AwsError, error_code
from tasks.runs.run import Run

logger = logging.getLogger("prefect.dcp")

BATCH = 100  # CloudWatch's limit for a DeleteAlarms request
# An account has a fixed quota of 3 DeleteAlarms requests per second (CloudWatch User Guide,
# "CloudWatch service quotas"), shared with other runs and the console.
SECONDS_APART = 0.5


def alarm_names(run: Run) -> list[str]:
    """The names of the idle alarms of all present and past machines of the app."""
    pages = run.aws.cloudwatch.get_paginator("describe_alarms").paginate(
        AlarmNamePrefix=run.names.alarm_prefix
    )
    own = re.compile(re.escape(run.names.alarm_prefix) + r"[0-9a-f]+")
    names = [alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]]
    return [name for name in names if own.fullmatch(name)]


def delete_alarms(run: Run) -> int:
    """Delete all idle alarms of the app; returns their number."""
    names = alarm_names(run)
    _delete(run, names)
    return len(names)


def delete_alarms_of(run: Run, terminated: Collection[str]) -> bool:
    """Delete the idle alarms of terminated machines, a hundred per request.

    Such an alarm costs little and has no effect, so an error is only logged: it must not keep the
    caller from terminating machines.

    Args:
        run: The run.
        terminated: Instance ids. Some may never have had an alarm.

    Returns:
        Whether all these alarms are deleted.
    """
    try:
        _delete(run, [run.names.alarm(machine) for machine in sorted(terminated)])
    except AwsError as error:
        logger.warning(
            "Could not delete the alarms of %d terminated machines: %s", len(terminated), error
        )
        return False
    return True


def _delete(run: Run, names: Collection[str]) -> None:
    for number, batch in enumerate(batches(names, BATCH)):
        if number:
            time.sleep(SECONDS_APART)
        try:
            run.aws.cloudwatch.delete_alarms(AlarmNames=batch)
        except ClientError as error:
            # It still deletes the alarms that exist (CloudWatch API Reference, DeleteAlarms).
            if error_code(error) != "ResourceNotFound":
                raise
