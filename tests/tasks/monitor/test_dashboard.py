"""The dashboard of an app comes and goes, and no other app's with it."""

import json
from collections.abc import Callable

from tasks.monitor.dashboard import delete_dashboard, put_dashboard
from tasks.runs.run import Run


def test_only_the_apps_own_dashboard_is_removed(make_run: Callable[..., Run]) -> None:
    run, longer = make_run("Dash"), make_run("Dash_2", aws_bucket="dash-2-bucket")
    assert not delete_dashboard(run), "there is none yet"
    for one in (run, longer):
        put_dashboard(one, "fleet-1")
        put_dashboard(one, "fleet-2")
    body = run.aws.cloudwatch.get_dashboard(DashboardName="Dash")["DashboardBody"]
    assert "fleet-2" in body
    assert len(json.loads(body)["widgets"]) == 10
    assert delete_dashboard(run)
    left = run.aws.cloudwatch.list_dashboards(DashboardNamePrefix="Dash")["DashboardEntries"]
    assert [one["DashboardName"] for one in left] == ["Dash_2"]
