"""What of a run may change when it is continued, and what it begins anew."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from recorded_run import config_at, end, ends, job, plan

from blocks import FleetTemplate
from blocks.errors import ConfigError, InputError
from tasks.jobs.queues import ensure_queues
from tasks.lifecycle.continuation import changed, continued
from tasks.monitor import state
from tasks.monitor.trackers import Drain, Memory
from tasks.runs import record
from tasks.runs.drain import drain
from tasks.runs.limits import limits_of
from tasks.runs.run import Run

CONFIG = config_at("http://127.0.0.1:1", "Lab", cluster_machines=3, max_hours=10)


def kept(run: Run) -> record.RunRecord:
    found = record.load(run)
    assert found is not None
    return found


def test_size_price_time_and_memory_may_change() -> None:
    settings = {"cluster_machines": 9, "max_hours": 5, "max_cost": 12.5, "memory": 30_000}
    config = changed(CONFIG, settings | {"machine_type": ["m5.2xlarge"], "machine_price": 0.4})
    assert (config.cluster_machines, config.max_hours, config.max_cost) == (9, 5, 12.5)
    assert (config.memory, config.machine_type) == (30_000, ["m5.2xlarge"])
    assert config.names == CONFIG.names


def test_what_would_change_the_jobs_is_refused_by_name() -> None:
    with pytest.raises(InputError) as caught:
        changed(CONFIG, {"max_hours": 5, "destination_bucket": "b-2", "always_continue": True})
    assert [problem.key for problem in caught.value.problems] == [
        "destination_bucket",
        "always_continue",
    ]


def test_what_keeps_its_value_and_what_names_the_run_is_no_change() -> None:
    same = {"app_name": "Other", "aws_bucket": "lab-bucket", "dockerhub_tag": "lab/worker:1"}
    assert changed(CONFIG, same) == CONFIG


def test_a_wrong_value_is_told() -> None:
    with pytest.raises(ConfigError, match="max_hours"):
        changed(CONFIG, {"max_hours": 0})


def test_a_key_without_effect_is_refused_as_in_a_file() -> None:
    with pytest.raises(ConfigError, match="Remove it"):
        changed(CONFIG, {"max_hours": 5, "auto_monitor": True})


def test_a_continued_run_has_its_hours_anew_and_its_workers_begin_again(
    make_run: Callable[..., Run],
) -> None:
    run = make_run(max_hours=10)
    messages = plan(run, [job(run, f"Metadata_Well=A{number:02}") for number in range(3)])
    ends(run, messages[0], "succeeded")
    queue = ensure_queues(run).jobs
    run.aws.sqs.send_message(QueueUrl=queue, MessageBody=messages[1].body)
    record.update(run, started_at=datetime.now(UTC) - timedelta(hours=11), note="it stopped")
    drain(run, "the run has reached its max_hours")
    state.keep(run, Memory(drain=Drain("the run has reached its max_hours")))

    template = FleetTemplate(key_name="lab")
    again = continued(run, {"max_hours": 20}, template)
    found = kept(run)
    assert (found.note, found.fleet["key_name"]) == ("", "lab")
    assert found.config["max_hours"] == again.config.max_hours == 20
    left = limits_of(again, found.counts_from).ends_at - datetime.now(UTC)
    assert timedelta(hours=19.9) < left <= timedelta(hours=20)
    assert state.recall(run) == Memory()
    assert record.read(run, record.FINISH) is None
    assert record.submitted(run) == 3, "its messages wait in the queue"


@pytest.mark.parametrize("there", [True, False])
def test_jobs_whose_messages_are_gone_are_sent_again(
    make_run: Callable[..., Run], there: bool
) -> None:
    run = make_run()
    plan(run, [job(run, "Metadata_Well=A01")])
    if there:
        ensure_queues(run)
    continued(run)
    assert record.submitted(run) == 0


def test_a_run_without_jobs_or_that_has_ended_is_not_continued(
    make_run: Callable[..., Run],
) -> None:
    run = make_run()
    with pytest.raises(InputError, match="no jobs"):
        continued(run)
    plan(run, [job(run, "Metadata_Well=A01")])
    end(run)
    with pytest.raises(InputError, match="ended"):
        continued(run)
    assert kept(run).continued_at is None
