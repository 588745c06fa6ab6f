"""Faults of AWS: at the set rate, in each service's format, some after carrying out the request."""

from collections import Counter
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from emulated_app import client_of
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.local.emulator.core.chaos_switches import Chaos
from deployments.local.emulator.guards.fault_injection import CODES, RESET, fault
from deployments.local.emulator_client import Emulator

CALLS: list[tuple[str, str, dict[str, Any], set[str]]] = [
    ("ec2", "describe_fleets", {}, {"RequestLimitExceeded", "InternalError"}),
    ("ecs", "list_clusters", {}, {"ThrottlingException", "ServerException"}),
    ("sqs", "list_queues", {}, {"RequestThrottled", "ServiceUnavailable"}),
    ("s3", "list_buckets", {}, {"SlowDown", "InternalError"}),
    ("cloudwatch", "list_dashboards", {}, {"Throttling", "InternalServiceFault"}),
    ("logs", "describe_log_groups", {}, {"ThrottlingException", "ServiceUnavailableException"}),
    ("iam", "list_roles", {}, {"Throttling", "ServiceFailure"}),
    ("sts", "get_caller_identity", {}, {"Throttling", "InternalFailure"}),
]
RESETS = (ConnectionClosedError, EndpointConnectionError, ReadTimeoutError)


def outcome(call: Any, **parameters: Any) -> str:
    try:
        call(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    except RESETS:
        return RESET
    return ""


def test_each_service_fails_in_its_own_words(emulator: Emulator) -> None:
    emulator.set_chaos(errors=1.0)
    for service, method, parameters, codes in CALLS:
        client = client_of(emulator, service)
        expected, outcomes = codes | {RESET}, set[str]()
        # The faults are random, and the rarest is one in ten: 40 requests sometimes missed it.
        for _ in range(400):
            outcomes.add(outcome(getattr(client, method), **parameters))
            if outcomes >= expected:
                break
        assert outcomes == expected, service


def test_a_failed_request_may_have_been_carried_out(emulator: Emulator) -> None:
    emulator.record()
    emulator.set_chaos(errors=1.0)
    sqs = client_of(emulator, "sqs")
    for number in range(40):
        assert outcome(sqs.create_queue, QueueName=f"emulator-{number}")
    emulator.set_chaos(errors=0.0)
    urls = sqs.list_queues(QueueNamePrefix="emulator-").get("QueueUrls", [])
    requests = [request for request in emulator.requests() if request["operation"] == "CreateQueue"]
    done = [request for request in requests if request["carried_out"]]
    assert {url.rpartition("/")[2] for url in urls} == {
        request["parameters"]["QueueName"] for request in done
    }
    assert 0 < len(done) < 40
    assert all(request["code"] != "RequestThrottled" for request in done)


def test_a_client_that_tries_again_gets_through(emulator: Emulator) -> None:
    emulator.set_chaos(errors=0.2, seed=3)
    s3 = client_of(emulator, "s3", max_attempts=8)
    s3.create_bucket(Bucket="emulator")
    for number in range(8):
        s3.put_object(Bucket="emulator", Key=f"{number}", Body=b"x" * 100_000)
    emulator.set_chaos(errors=0.0)
    assert s3.list_objects_v2(Bucket="emulator")["KeyCount"] == 8


@settings(max_examples=15, deadline=None)
@given(st.floats(0.05, 0.95), st.integers(0, 1000), st.sampled_from([*CODES, "other"]))
def test_faults_come_at_their_rate_and_by_their_seed(share: float, seed: int, service: str) -> None:
    chaos = Chaos(errors=share, seed=seed)
    found = [fault(chaos, number, service) for number in range(1000)]
    assert found == [fault(chaos, number, service) for number in range(1000)]
    hit = [each for each in found if each is not None]
    assert abs(len(hit) / 1000 - share) < 0.08
    assert not any(
        each.carried_out for each in hit if each.code == CODES.get(service, [["x"]])[0][0]
    )
    assert Counter(each.status >= 400 or each.code == RESET for each in hit)[False] == 0


def test_nothing_fails_unless_it_is_switched_on() -> None:
    assert {fault(Chaos(), number, "s3") for number in range(1000)} == {None}
