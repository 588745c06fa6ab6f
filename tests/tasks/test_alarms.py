"""Idle alarms of machines that are gone are removed, a hundred in a request."""

import pytest
from botocore.stub import Stubber
from paid_machines import counted

from tasks import alarms
from tasks.alarms import delete_alarms_of
from tasks.run import Run


def test_a_request_for_each_hundred_and_none_for_none(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(alarms.time, "sleep", pauses.append)
    with counted(run) as calls:
        assert delete_alarms_of(run, [])
        assert calls == {}
        assert delete_alarms_of(run, [f"i-{number}" for number in range(250)])
    assert calls == {"DeleteAlarms": 3}
    assert len(pauses) == 2
    assert min(pauses) >= 1 / 3, "CloudWatch takes three a second"


@pytest.mark.parametrize(("code", "gone"), [("ResourceNotFound", True), ("AccessDenied", False)])
def test_one_that_was_never_there_is_gone_and_a_refusal_is_not_raised(
    run: Run, code: str, gone: bool
) -> None:
    with Stubber(run.aws.cloudwatch) as stub:
        stub.add_client_error("delete_alarms", code)
        assert delete_alarms_of(run, ["i-0"]) is gone
