"""The drain order in S3."""

from __future__ import annotations

import time
from typing import Any

import boto3
import pytest
from botocore.config import Config
from dcp_worker.common.settings import Settings
from dcp_worker.jobs import drain_order
from dcp_worker.jobs.drain_order import DrainOrder

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
    monkeypatch.setattr(drain_order, "POLL_SECONDS", 0.0)
    watcher = DrainOrder(cloud.s3, settings(cloud))
    cloud.put({f"dcp/{cloud.name}/another/finish.json": b"{}"})
    watcher.poll()
    assert not watcher.ordered
    order(cloud)
    watcher.poll()
    assert watcher.ordered
    cloud.s3.delete_object(Bucket=cloud.bucket, Key=drain_order.key(cloud.name, RUN))
    watcher.poll()
    assert not watcher.ordered


def test_s3_is_polled_at_most_every_thirty_seconds(
    cloud: Cloud, polls: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(drain_order.time, "monotonic", lambda: now)
    watcher = DrainOrder(cloud.s3, settings(cloud))
    for _ in range(241):
        watcher.poll()
        now += 0.5
    assert [at - polls[0] for at in polls] == [0, 30, 60, 90, 120]


@pytest.mark.parametrize("status", [403, 404])
def test_a_missing_or_inaccessible_order_does_not_count(
    cloud: Cloud, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    order(cloud)
    refuse(cloud, status)
    watcher = DrainOrder(cloud.s3, settings(cloud))
    watcher.poll()
    assert not watcher.ordered
    assert caplog.records == []


@pytest.mark.parametrize("before", [True, False])
def test_a_failed_poll_changes_nothing_and_is_logged_once(
    cloud: Cloud, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    monkeypatch.setattr(drain_order, "POLL_SECONDS", 0.0)
    watcher = DrainOrder(cloud.s3, settings(cloud))
    if before:
        order(cloud)
    watcher.poll()
    assert watcher.ordered is before
    unreachable = boto3.client(
        "s3",
        region_name=REGION,
        endpoint_url="http://127.0.0.1:1",
        config=Config(retries={"total_max_attempts": 1}),
    )
    monkeypatch.setattr(watcher, "_s3", unreachable)
    for _ in range(3):
        watcher.poll()
    assert watcher.ordered is before
    assert [record.levelname for record in caplog.records] == ["WARNING"]
