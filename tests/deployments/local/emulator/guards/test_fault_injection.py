"""Faults of AWS itself: at the set rate, in each service's words, some after the deed was done."""

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
        expected, seen = codes | {RESET}, set[str]()
        # Drawn by chance, and the rarest is one in ten: 40 requests missed it now and then.
        for _ in range(400):
            seen.add(outcome(getattr(client, method), **parameters))
            if seen >= expected:
                break
        assert seen == expected, service


def test_what_failed_may_have_been_done(emulator: Emulator) -> None:
    emulator.record()
    emulator.set_chaos(errors=1.0)
    sqs = client_of(emulator, "sqs")
    for number in range(40):
        assert outcome(sqs.create_queue, QueueName=f"emulator-{number}")
    emulator.set_chaos(errors=0.0)
    made = sqs.list_queues(QueueNamePrefix="emulator-").get("QueueUrls", [])
    told = [one for one in emulator.requests() if one["operation"] == "CreateQueue"]
    done = [one for one in told if one["carried_out"]]
    assert {url.rpartition("/")[2] for url in made} == {
        one["parameters"]["QueueName"] for one in done
    }
    assert 0 < len(done) < 40
    assert all(one["code"] != "RequestThrottled" for one in done)


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
    hit = [one for one in found if one is not None]
    assert abs(len(hit) / 1000 - share) < 0.08
    assert not any(one.carried_out for one in hit if one.code == CODES.get(service, [["x"]])[0][0])
    assert Counter(one.status >= 400 or one.code == RESET for one in hit)[False] == 0


def test_nothing_fails_unless_it_is_switched_on() -> None:
    assert {fault(Chaos(), number, "s3") for number in range(1000)} == {None}
