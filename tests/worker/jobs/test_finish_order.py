"""The drain order in S3."""

from __future__ import annotations

import time
from typing import Any

import boto3
import pytest
from botocore.config import Config
from dcp_worker.common.settings import Settings
from dcp_worker.jobs import finish_order
from dcp_worker.jobs.finish_order import Finish

from cloud import REGION, RUN, Cloud


@pytest.fixture
def polls(cloud: Cloud) -> list[float]:
    """The times of all requests to S3."""
    times: list[float] = []
    cloud.s3.meta.events.register(
        "before-send.s3.HeadObject", lambda **_: times.append(time.monotonic())
    )
    return times


def settings(cloud: Cloud) -> Settings:
    return Settings.from_environment(cloud.environment())


def order(cloud: Cloud) -> None:
    cloud.put({f"dcp/{cloud.name}/{RUN}/finish.json": b"{}"})


def refuse(cloud: Cloud, status: int) -> None:
    """Let S3 answer each HEAD request with a status and, like S3, without a body."""

    def answer(request: Any, **_: Any) -> Any:
        from botocore.awsrequest import AWSResponse

        return AWSResponse(request.url, status, {}, type("Raw", (), {"stream": lambda *_: []})())

    cloud.s3.meta.events.register("before-send.s3.HeadObject", answer)


def test_the_order_of_this_run_is_noticed_and_its_withdrawal(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish_order, "LOOK_SECONDS", 0.0)
    watcher = Finish(cloud.s3, settings(cloud))
    cloud.put({f"dcp/{cloud.name}/another/finish.json": b"{}"})
    watcher.look()
    assert not watcher.ordered
    order(cloud)
    watcher.look()
    assert watcher.ordered
    cloud.s3.delete_object(Bucket=cloud.bucket, Key=finish_order.key(cloud.name, RUN))
    watcher.look()
    assert not watcher.ordered


def test_s3_is_asked_no_more_than_every_thirty_seconds(
    cloud: Cloud, polls: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(finish_order.time, "monotonic", lambda: now)
    watcher = Finish(cloud.s3, settings(cloud))
    for _ in range(241):
        watcher.look()
        now += 0.5
    assert [at - polls[0] for at in polls] == [0, 30, 60, 90, 120]


@pytest.mark.parametrize("status", [403, 404])
def test_an_order_that_is_not_there_or_may_not_be_seen_is_none(
    cloud: Cloud, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    order(cloud)
    refuse(cloud, status)
    watcher = Finish(cloud.s3, settings(cloud))
    watcher.look()
    assert not watcher.ordered
    assert caplog.records == []


@pytest.mark.parametrize("before", [True, False])
def test_what_s3_does_not_answer_changes_nothing_and_is_told_once(
    cloud: Cloud, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    monkeypatch.setattr(finish_order, "LOOK_SECONDS", 0.0)
    watcher = Finish(cloud.s3, settings(cloud))
    if before:
        order(cloud)
    watcher.look()
    assert watcher.ordered is before
    unreachable = boto3.client(
        "s3",
        region_name=REGION,
        endpoint_url="http://127.0.0.1:1",
        config=Config(retries={"total_max_attempts": 1}),
    )
    monkeypatch.setattr(watcher, "_s3", unreachable)
    for _ in range(3):
        watcher.look()
    assert watcher.ordered is before
    assert [record.levelname for record in caplog.records] == ["WARNING"]
