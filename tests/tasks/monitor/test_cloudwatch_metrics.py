"""The figures of a run in CloudWatch: one request a look, and never in the way."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from paid_machines import counted

from deployments.local.emulator_client import Emulator
from tasks.cost.spend import Spend
from tasks.jobs.queues import QueueCounts
from tasks.jobs.results import Account
from tasks.monitor import cloudwatch_metrics
from tasks.monitor.cloudwatch_metrics import publish
from tasks.monitor.observation import Observation
from tasks.runs.run import Run

SEEN = Observation(
    datetime.now(UTC),
    QueueCounts(1, 2),
    Account(frozenset("abcde"), succeeded=frozenset("a")),
    machines={"i-0": 1},
    spend=Spend(usd=1.5),
)


def test_the_figures_of_a_look_are_one_request(run: Run) -> None:
    with counted(run) as calls:
        publish(run, SEEN, 60.0)
    assert calls == {"PutMetricData": 1}
    found = run.aws.cloudwatch.list_metrics(Namespace=cloudwatch_metrics.NAMESPACE)["Metrics"]
    of_app = [one for one in found if one["Dimensions"][0]["Value"] == run.names.app]
    assert len(of_app) == 7


@pytest.fixture
def emulator(switched: Emulator) -> Emulator:
    """Tests of this module switch what holds for the whole account."""
    return switched


def test_without_a_dashboard_nothing_is_sent(make_run: Callable[..., Run]) -> None:
    run = make_run(create_dashboard=False)
    with counted(run) as calls:
        publish(run, SEEN, 60.0)
    assert calls == {}


def test_a_refusal_is_in_the_way_of_nothing(run: Run, emulator: Emulator) -> None:
    emulator.set_account(refused=["cloudwatch:PutMetricData"])
    with counted(run) as calls:
        publish(run, SEEN, 60.0)
    assert calls == {"PutMetricData": 1}
