"""Preflight's checks of the account: over HTTP, with the permissions, quotas and prices as set."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from dcp_fleet import DCP_FLEET
from recorded_run import PIPELINE, config_at, new_run

from blocks import FleetTemplate
from deployments.local.emulator_client import Emulator
from tasks.cost.amounts import Estimate, Range
from tasks.fleet.instance_types import describe
from tasks.jobs.past_durations import expected
from tasks.preflight.aws.account_checks import JobStats, check_account
from tasks.preflight.finding import Finding
from tasks.runs import record
from tasks.runs.run import Run

JOBS = JobStats(number=100, pipelines={PIPELINE})
FITTING = {"cluster_machines": 2, "seconds_per_job": 60}
PRICES: dict[str, Any] = {
    "spot": [
        {
            "machine_type": "m5.xlarge",
            "zone": "us-east-1a",
            "at": "2026-01-01T00:00:00Z",
            "usd": 0.07,
        }
    ],
    "on_demand": {"m5.xlarge": 0.192},
    "gb_month": {"gp3": 0.08, "gp2": 0.1},
    "requests": {"s3_write": 5e-6, "s3_read": 4e-7, "sqs": 4e-7},
}


@pytest.fixture
def emulator(switched: Emulator) -> Emulator:
    """Tests of this module change settings of the whole account."""
    return switched


@pytest.fixture
def make(emulator: Emulator, app_name: str) -> Callable[..., Run]:
    def make_run(
        app: str = app_name, run_id: str = "20260301-120000-abcdef", **settings: Any
    ) -> Run:
        return new_run(config_at(emulator.endpoint_url, app, **(FITTING | settings)), run_id)

    return make_run


def check(
    run: Run, template: FleetTemplate | None = None, jobs: JobStats = JOBS
) -> tuple[dict[str, list[Finding]], Estimate]:
    findings, estimate = check_account(run, template or FleetTemplate(), jobs)
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    return by_code, estimate


def test_a_run_without_problems_has_only_its_cost(
    emulator: Emulator, make: Callable[..., Run]
) -> None:
    emulator.set_account(**PRICES)
    findings, estimate = check(make())
    assert findings.keys() == {"cost"}
    assert estimate.usd is not None
    assert [source.split()[0] for source in estimate.sources] == ["seconds_per_job", "EC2", "AWS"]
    with_fleet_file, _ = check(make(), FleetTemplate(spot_fleet_request=DCP_FLEET))
    assert with_fleet_file.keys() == {"cost"}


def test_without_prices_the_cost_is_unknown(make: Callable[..., Run]) -> None:
    findings, estimate = check(make(cost_limit=1))
    assert (estimate.usd, estimate.on_demand_usd) == (None, None)
    assert estimate.hours is not None
    assert "USD," not in estimate.text
    assert findings.keys() == {"cost", "cost_unknown"}


def test_each_denial_names_action_and_resource(
    emulator: Emulator, make: Callable[..., Run]
) -> None:
    run = make(task_role="worker")
    emulator.set_account(
        refused=[
            "sqs:CreateQueue",
            "iam:PassRole *role/worker",
            "logs:CreateExportTask",
            "s3:PutObject",
        ]
    )
    denials = {(finding.problem.key, finding.level) for finding in check(run)[0]["permission"]}
    queues = (run.names.queue, run.names.dead_letter_queue)
    account = "123456789012"
    groups = (run.names.log_group, run.names.instance_log_group)
    assert denials == {
        *(
            (f"sqs:CreateQueue on arn:aws:sqs:us-east-1:{account}:{queue}", "error")
            for queue in queues
        ),
        (f"iam:PassRole on arn:aws:iam::{account}:role/worker", "error"),
        # A run can end without exported logs, and a bucket policy may allow what IAM denies.
        *(
            (
                f"logs:CreateExportTask on arn:aws:logs:us-east-1:{account}:log-group:{group}:*",
                "warning",
            )
            for group in groups
        ),
        *(
            (f"s3:PutObject on arn:aws:s3:::{run.config.aws_bucket}/{prefix}*", "warning")
            for prefix in (run.names.record_prefix, "exportedlogs/")
        ),
    }


def machines_and_fleets(run: Run) -> set[str]:
    """The fleets and machines of the whole account."""
    fleets = run.aws.ec2.describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    groups = run.aws.ec2.describe_instances()["Reservations"]
    machines = {machine["InstanceId"] for group in groups for machine in group["Instances"]}
    return machines | {fleet["SpotFleetRequestId"] for fleet in fleets}


def test_launches_are_tested_by_dry_runs(emulator: Emulator, make: Callable[..., Run]) -> None:
    before = machines_and_fleets(make())
    emulator.set_account(refused=["ec2:RunInstances"])
    (denial,) = check(make())[0]["permission"]
    assert (denial.level, denial.problem.key) == ("error", "ec2:RunInstances on *")
    emulator.set_account(refused=["ec2:RequestSpotFleet"])
    fleet_file = FleetTemplate(spot_fleet_request=DCP_FLEET)
    (denial,) = check(make(), fleet_file)[0]["permission"]
    assert denial.problem.key == "ec2:RequestSpotFleet on *"
    assert machines_and_fleets(make()) == before, "other tests have machines; checks launch none"


def test_each_denied_check_is_reported_once(emulator: Emulator, make: Callable[..., Run]) -> None:
    run = make()
    actions = ("iam:*", "pricing:*", "servicequotas:*", "ec2:Describe*", "s3:GetBucketLocation")
    emulator.set_account(refused=list(actions))
    findings, estimate = check(run)
    assert not any(finding.level == "error" for several in findings.values() for finding in several)
    (note,) = findings["permissions_unknown"]
    assert note.level == "note"
    assert note.problem.key.startswith("iam:SimulatePrincipalPolicy on arn:aws:")
    assert findings["machine_types_unknown"][0].problem.key == "ec2:DescribeInstanceTypes on *"
    assert findings["role"][0].problem.key == "iam:GetInstanceProfile on ecsInstanceRole"
    assert findings["bucket_region_unknown"][0].level == "note"
    assert any("ec2:DescribeSpotPriceHistory" in text for text in estimate.unknown)
    assert any("pricing:GetProducts" in text for text in estimate.unknown)


def test_missing_roles_are_errors(emulator: Emulator, make: Callable[..., Run]) -> None:
    emulator.set_account(missing=["ecsInstanceRole", "worker"])
    findings, _ = check(make(task_role="worker"))
    assert {(finding.level, finding.problem.key) for finding in findings["role"]} == {
        ("error", "instance_profile"),
        ("error", "task_role"),
    }
    emulator.set_account(missing=["role of ecsInstanceRole"])
    (empty,) = check(make())[0]["role"]
    assert "without a role" in empty.problem.mistake


def test_the_quota_of_the_account_is_checked(emulator: Emulator, make: Callable[..., Run]) -> None:
    emulator.set_account(quotas={"L-34B43A08": 8, "L-1216C47A": 3})
    assert "above_quota" not in check(make())[0]
    (over,) = check(make(cluster_machines=3))[0]["above_quota"]
    assert over.level == "warning"
    (base,) = check(make(), FleetTemplate(on_demand_base=1))[0]["above_quota"]
    assert (base.level, base.problem.key) == ("error", "on_demand_base")
    emulator.set_account(refused=["servicequotas:*"])
    (unknown,) = check(make())[0]["quota_unknown"]
    assert unknown.problem.key == "servicequotas:GetServiceQuota on L-34B43A08"


def test_describe_machine_types(make: Callable[..., Run]) -> None:
    types = describe(make().aws.ec2, ["m5.xlarge", "m6g.large", "m5.xlrge"])
    assert [(kind.name, kind.vcpus, kind.memory) for kind in types.known] == [
        ("m5.xlarge", 4, 16_384),
        ("m6g.large", 2, 8192),
    ]
    assert types.known[1].architectures == {"arm64"}
    assert "m5.xlarge" in types.unknown["m5.xlrge"]


def test_a_bucket_in_another_region_is_reported(make: Callable[..., Run]) -> None:
    run = make()
    elsewhere = make(aws_region="eu-west-1", aws_bucket=run.config.aws_bucket)
    (finding,) = check(elsewhere)[0]["bucket_region"]
    assert (finding.level, finding.problem.key) == ("warning", "aws_bucket")


def test_seconds_come_from_earlier_runs_of_the_pipeline(make: Callable[..., Run]) -> None:
    run = make(seconds_per_job=None, run_id="20260303-120000-abcdef")
    assert expected(run, {PIPELINE}) is None
    earlier_seconds = ({"jobs": 10, "mean": 100, "p90": 200}, {"jobs": 30, "mean": 140, "p90": 180})
    for day, seconds in enumerate(earlier_seconds, 1):
        earlier = Run(run.config, f"2026030{day}-120000-abcdef", run.aws)
        other = {"jobs": 5, "mean": 9999, "p90": 9999}
        report = {"seconds": {PIPELINE: seconds, "p/other.cppipe": other}}
        record.put(earlier, "report.json", json.dumps(report))
    seconds_per_job = expected(run, {PIPELINE})
    assert seconds_per_job is not None
    assert (seconds_per_job.mean, seconds_per_job.most) == (Range(100, 140), 200)
    assert "20260301-120000-abcdef" in seconds_per_job.source
    configured = Run(run.config.model_copy(update={"seconds_per_job": 7.0}), run.run_id, run.aws)
    assert getattr(expected(configured, {PIPELINE}), "mean", None) == Range(7, 7)


def test_seconds_come_from_other_apps_with_the_same_workspace(
    make: Callable[..., Run],
) -> None:
    run = make(seconds_per_job=None)
    bucket = run.config.aws_bucket
    apps = [
        ("Own_P1", {}, 50.0),
        ("Own_P2", {}, 70.0),
        ("Far", {"workspace_bucket": "elsewhere"}, 9.0),
    ]
    for app, settings, mean in apps:
        other = make(app, aws_bucket=bucket, **settings)
        seconds = {PIPELINE: {"jobs": 4, "mean": mean, "p90": mean}}
        record.put(other, "report.json", json.dumps({"seconds": seconds}))
    record.put(make("Odd", aws_bucket=bucket), "run.json", "{}")
    seconds_per_job = expected(run, {PIPELINE})
    assert seconds_per_job is not None
    assert (seconds_per_job.mean, seconds_per_job.most) == (Range(50, 70), 70)
    assert "Own_P1" in seconds_per_job.source
    assert "Far" not in seconds_per_job.source
    own = Run(run.config, "20260201-120000-abcdef", run.aws)
    seconds = {PIPELINE: {"jobs": 4, "mean": 60, "p90": 60}}
    record.put(own, "report.json", json.dumps({"seconds": seconds}))
    seconds_per_job = expected(run, {PIPELINE})
    assert seconds_per_job is not None
    assert seconds_per_job.mean == Range(60, 60), "the app's own runs come first"


def test_without_permission_earlier_runs_are_ignored(
    emulator: Emulator, make: Callable[..., Run]
) -> None:
    run = make(seconds_per_job=None)
    emulator.set_account(refused=["s3:ListBucket"])
    assert expected(run, {PIPELINE}) is None


def test_answers_of_iam_count_even_if_it_fails_for_other_resources(
    emulator: Emulator, make: Callable[..., Run]
) -> None:
    run = make()
    emulator.set_account(refused=["sqs:CreateQueue", "iam:PassRole"])

    def throttled(params: dict[str, Any], **_: Any) -> None:
        if ":ecs:" in params["ResourceArns"][0]:
            raise EndpointConnectionError(endpoint_url="https://iam")

    run.aws.iam.meta.events.register("provide-client-params.iam.SimulatePrincipalPolicy", throttled)
    findings, _ = check(run)
    keys = {finding.problem.key.partition(" ")[0] for finding in findings["permission"]}
    assert keys == {"sqs:CreateQueue", "iam:PassRole"}
    assert len(findings["permissions_unknown"]) == 1


def test_an_estimate_above_the_limit_is_an_error(
    emulator: Emulator, make: Callable[..., Run]
) -> None:
    emulator.set_account(**PRICES)
    assert "cost_limit" not in check(make(cost_limit=5))[0]
    (over,) = check(make(cost_limit=0.01))[0]["cost_limit"]
    assert over.level == "error"


def test_a_price_set_before_the_window_still_counts(
    emulator: Emulator, make: Callable[..., Run]
) -> None:
    now = datetime.now(UTC)
    changes = [(now - timedelta(days=9), 0.15), (now - timedelta(days=5), 0.05)]
    spot = [PRICES["spot"][0] | {"at": at.isoformat(), "usd": usd} for at, usd in changes]
    emulator.set_account(**(PRICES | {"spot": spot}))
    findings, _ = check(make(machine_price=0.06))
    assert "machine_price_low" not in findings
    (low,) = check(make(machine_price=0.04))[0]["machine_price_low"]
    assert low.level == "error"
