"""The CloudWatch dashboard of an app.

It has the seven widgets of Distributed-CellProfiler, and three with the monitor's metrics
(`tasks.monitor.cloudwatch_metrics`).
"""

import json
from typing import Any

from tasks.monitor import cloudwatch_metrics
from tasks.runs.run import Run

PERIOD_SECONDS = 300
WIDTH, HEIGHT = 12, 6
COLUMNS = 2


def dashboard(run: Run, fleet_id: str) -> dict[str, Any]:
    """The dashboard's body (CloudWatch API Reference, "Dashboard Body Structure and Syntax").

    Fleets of both kinds report their capacity in `AWS/EC2Spot` ("Monitor your EC2 Fleet or Spot
    Fleet using CloudWatch" in the Amazon EC2 User Guide). That counts only spot machines, so the
    widget also shows the monitor's count of machines.

    Args:
        run: The run.
        fleet_id: The fleet whose capacity to show.
    """
    names, region = run.names, run.config.aws_region
    queue = ["AWS/SQS", "QueueName", names.queue]
    dead_letters = ["AWS/SQS", "QueueName", names.dead_letter_queue]
    capacity = ["FleetRequestId", fleet_id]
    widgets = [
        _metric(
            region,
            "Machines",
            [
                *(
                    ["AWS/EC2Spot", name, *capacity]
                    for name in ("FulfilledCapacity", "TargetCapacity")
                ),
                _ours(run, cloudwatch_metrics.MACHINES),
            ],
        ),
        _metric(
            region,
            "Memory of the cluster",
            [["AWS/ECS", "MemoryUtilization", "ClusterName", run.config.ecs_cluster]],
        ),
        _metric(
            region,
            "Messages",
            [
                _of(queue, "ApproximateNumberOfMessagesVisible"),
                _of(queue, "ApproximateNumberOfMessagesNotVisible"),
                _of(dead_letters, "ApproximateNumberOfMessagesVisible"),
            ],
            stacked=True,
        ),
        _metric(
            region,
            "Messages received and deleted",
            [_of(queue, "NumberOfMessagesReceived"), _of(queue, "NumberOfMessagesDeleted")],
            stat="Sum",
        ),
        _log(region, names.log_group, "Commands", "filter @message like /cellprofiler -c/"),
        _log(
            region,
            names.log_group,
            "Distinct commands",
            "filter @message like /cellprofiler -c/ | stats count_distinct(@message)",
        ),
        _log(region, names.log_group, "Errors", "filter @message like /Error/"),
        _metric(
            region,
            "Jobs",
            [_ours(run, name) for name in cloudwatch_metrics.JOBS.values()],
            stacked=True,
        ),
        _metric(region, "Seconds a job", [_ours(run, cloudwatch_metrics.SECONDS)]),
        _metric(region, "Cost so far, USD", [_ours(run, cloudwatch_metrics.SPENT)], stat="Maximum"),
    ]
    for number, widget in enumerate(widgets):
        row, column = divmod(number, COLUMNS)
        widget |= {"x": column * WIDTH, "y": row * HEIGHT, "width": WIDTH, "height": HEIGHT}
    return {"widgets": widgets}


def _ours(run: Run, metric: str) -> list[str]:
    return [cloudwatch_metrics.NAMESPACE, metric, cloudwatch_metrics.DIMENSION, run.names.app]


def _of(source: list[str], metric: str) -> list[str]:
    namespace, *dimension = source
    return [namespace, metric, *dimension]


def _metric(
    region: str, title: str, metrics: list[list[str]], stat: str = "Average", stacked: bool = False
) -> dict[str, Any]:
    properties = {
        "region": region,
        "title": title,
        "metrics": metrics,
        "view": "timeSeries",
        "stat": stat,
        "stacked": stacked,
        "period": PERIOD_SECONDS,
    }
    return {"type": "metric", "properties": properties}


def _log(region: str, group: str, title: str, query: str) -> dict[str, Any]:
    properties = {
        "region": region,
        "title": title,
        "query": f"SOURCE '{group}' | fields @timestamp, @message | {query}",
        "view": "table",
    }
    return {"type": "log", "properties": properties}


def put_dashboard(run: Run, fleet_id: str) -> None:
    """Create or update the dashboard."""
    run.aws.cloudwatch.put_dashboard(
        DashboardName=run.names.dashboard, DashboardBody=json.dumps(dashboard(run, fleet_id))
    )


def find_dashboard(run: Run) -> bool:
    """Whether the app's dashboard exists, by its full name."""
    pages = run.aws.cloudwatch.get_paginator("list_dashboards").paginate(
        DashboardNamePrefix=run.names.dashboard
    )
    found = {one["DashboardName"] for page in pages for one in page["DashboardEntries"]}
    return run.names.dashboard in found


def delete_dashboard(run: Run) -> bool:
    """Delete the app's dashboard; returns whether it existed."""
    if not find_dashboard(run):
        return False
    run.aws.cloudwatch.delete_dashboards(DashboardNames=[run.names.dashboard])
    return True
