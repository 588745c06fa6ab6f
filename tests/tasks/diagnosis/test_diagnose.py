"""Diagnoses from AWS's messages: real texts, and any text."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.diagnosis.causes import CONTAINER, FLEET, NEVER_REGISTERS, SERVICE
from tasks.diagnosis.diagnose import (
    FleetDiagnosis,
    FleetMachine,
    StoppedTask,
    Symptoms,
    cause_of,
    diagnose,
)
from tasks.fleet.base import FleetEvent

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPEC = "m5.xlarge, ami-0d09143c6fc181fe3, Linux/UNIX (Amazon VPC)"
INVALID = "spotFleetRequestConfigurationInvalid"
PAUSED = "launchSpecTemporarilyBlacklisted"
REPEATED = (
    f'Repeated errors have occurred processing the launch specification "{SPEC}, us-east-1a while '
    'launching spot instance". It will not be retried for at least 13 minutes. Error message: '
)
UP = FleetMachine("i-1", NOW - timedelta(minutes=3))

FLEET_TEXTS = [
    ("fleet_role", "iamFleetRoleInvalid", "The provided IAM fleet role is not valid"),
    ("machine_image", INVALID, "The image id '[ami-12]' does not exist (InvalidAMIID.NotFound)"),
    ("machine_image", INVALID, "AuthFailure: Not authorized for images: [ami-0d09143c6fc181fe3]"),
    (
        "architecture",
        INVALID,
        "The architecture 'arm64' of the specified instance type does not match the architecture "
        "'x86_64' of the specified AMI. Specify an instance type and an AMI that have matching "
        "architectures, and try again.",
    ),
    (
        "instance_profile",
        INVALID,
        f"{SPEC}: Value (ecsInstanceRole) for parameter iamInstanceProfile.name is invalid. "
        "Invalid IAM Instance Profile name",
    ),
    ("security_group", INVALID, "The security group 'sg-1' does not exist in VPC 'vpc-2'"),
    (
        "security_group",
        INVALID,
        "Security group sg-1 and subnet subnet-2 belong to different networks.",
    ),
    (
        "subnet_full",
        INVALID,
        f"{SPEC}: There are not enough free addresses in subnet 'subnet-ad3ce9f4' to satisfy the "
        "requested number of instances.",
    ),
    ("subnet", INVALID, "The subnet ID 'subnet-1a2b3c4d' does not exist"),
    ("subnet", INVALID, "No default VPC for this user"),
    ("key_pair", INVALID, "The key pair 'lab' does not exist"),
    (
        "volume_size",
        INVALID,
        "Volume of size 22GB is smaller than snapshot 'snap-04007a196c0f3f398', "
        "expect size >= 30GB",
    ),
    ("launch_permission", INVALID, "You are not authorized to perform this operation."),
    (
        "launch_permission",
        INVALID,
        "The provided credentials do not have permission to create the service-linked role for EC2 "
        "Spot Instances.",
    ),
    (
        "price_too_low",
        "launchSpecUnusable",
        f"{SPEC}, us-east-1e, Spot bid price is less than Spot market price $0.2000",
    ),
    (
        "price_too_low",
        PAUSED,
        "SpotMaxPriceTooLow: Your Spot request price of 0.1 is lower than the minimum required "
        "Spot request fulfillment price of 0.2.",
    ),
    ("quota", "spotInstanceCountLimitExceeded", ""),
    ("quota", PAUSED, REPEATED + "Spot Max Instance Count Exceeded"),
    ("quota", PAUSED, "MaxSpotInstanceCountExceeded: Max spot instance count exceeded"),
    (
        "quota",
        INVALID,
        "VcpuLimitExceeded: You have requested more vCPU capacity than your current vCPU limit of "
        "32 allows for the instance bucket that the specified instance type belongs to.",
    ),
    (
        "unsupported",
        INVALID,
        "Your requested instance type (m5.xlarge) is not supported in your requested Availability "
        "Zone (us-east-1e). Please retry your request by not specifying an Availability Zone",
    ),
    (
        "no_capacity",
        PAUSED,
        REPEATED + "There is no Spot capacity available that matches your request.",
    ),
    (
        "no_capacity",
        PAUSED,
        "InsufficientInstanceCapacity: We currently do not have sufficient m5.xlarge capacity in "
        "the Availability Zone you requested (us-east-1a).",
    ),
    (
        "no_capacity",
        PAUSED,
        "UnfulfillableCapacity: Unable to fulfill capacity due to your request configuration.",
    ),
    ("fleet_request", INVALID, "c5.xlarge, ami-096981b2599d2d99b, Linux/UNIX: Value"),
    ("launches_failing", "allLaunchSpecsTemporarilyBlacklisted", "Several attempts have failed"),
    ("price_invalid", INVALID, "Invalid value '0.0' for price"),
]

PULL = "CannotPullContainerError: "
CONTAINER_TEXTS = [
    (
        "image_missing",
        PULL + "pull image manifest has been retried 1 time(s): failed to resolve ref "
        "docker.io/lab/wrong:1: docker.io/lab/wrong:1: not found",
    ),
    (
        "image_missing",
        PULL + "Error response from daemon: pull access denied for lab/wrong, repository does not "
        "exist or may require 'docker login': denied: requested access to the resource is denied",
    ),
    ("image_missing", PULL + "Error response from daemon: manifest unknown"),
    (
        "image_access",
        PULL + "Error response from daemon: Head https://1.dkr.ecr.us-east-1.amazonaws.com/v2/w/"
        "manifests/1: no basic auth credentials",
    ),
    (
        "image_access",
        "CannotPullECRContainerError: AccessDeniedException: User: arn:aws:sts::1:assumed-role/r/i "
        "is not authorized to perform: ecr:GetAuthorizationToken on resource: *",
    ),
    (
        "image_route",
        PULL + "pull image manifest has been retried 5 time(s): failed to resolve ref "
        'docker.io/lab/w:1: failed to do request: Head "https://registry-1.docker.io/v2/lab/w/'
        'manifests/1": dial tcp 34.205.13.154:443: i/o timeout',
    ),
    (
        "image_rate",
        PULL
        + "Error response from daemon: toomanyrequests: You have reached your pull rate limit.",
    ),
    (
        "image_platform",
        PULL + "image Manifest does not contain descriptor matching platform 'linux/amd64'",
    ),
    (
        "image_platform",
        "CannotStartContainerError: Error response from daemon: failed to create task for "
        "container: exec: /usr/bin/python: exec format error",
    ),
    ("disk_full", PULL + "failed to register layer: no space left on device"),
    (
        "log_group",
        "CannotStartContainerError: Error response from daemon: failed to initialize logging "
        "driver: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified "
        "log group does not exist.",
    ),
    (
        "log_group",
        "ResourceInitializationError: failed to validate logger args: create stream has been "
        "retried 1 times",
    ),
    ("out_of_memory", "OutOfMemoryError: Container killed due to memory usage"),
    (
        "mount",
        "CannotStartContainerError: Error response from daemon: error gathering device information "
        'while adding custom device "/dev/fuse": no such file or directory',
    ),
    ("container_start", "CannotCreateContainerError: Error response from daemon: mount failed"),
    ("container_exit", "Essential container in task exited"),
]

SERVICE_TEXTS = [
    (
        "task_role",
        "(service LabService) failed to launch a task with (error ECS was unable to assume the "
        "role 'arn:aws:iam::1:role/worker' that was provided for this task. Please verify that the "
        "role being passed has the proper trust relationship and permissions and that your IAM "
        "user has permissions to pass this role.).",
    ),
    (
        "container_size",
        "(service LabService) was unable to place a task because no container instance met all of "
        "its requirements. The closest matching (container-instance 0ff1ce) has insufficient "
        "memory available.",
    ),
    (
        "agent",
        "(service LabService) was unable to place a task because no container instance met all of "
        "its requirements. The closest matching (container-instance 0ff1ce) encountered error "
        '"AGENT".',
    ),
    ("restarts", "(service LabService) is unable to consistently start tasks successfully."),
]


def event(subtype: str, text: str, error: bool = True, minutes: int = 1) -> FleetEvent:
    return FleetEvent(NOW - timedelta(minutes=minutes), error, subtype, text)


def with_event(subtype: str, text: str, *machines: FleetMachine) -> Symptoms:
    events = (event(subtype, text),)
    return Symptoms(NOW, types=("m5.xlarge",), subnets=1, events=events, machines=tuple(machines))


def only(diagnoses: tuple[FleetDiagnosis, ...]) -> FleetDiagnosis:
    (diagnosis,) = diagnoses
    return diagnosis


@pytest.mark.parametrize(("code", "subtype", "text"), FLEET_TEXTS)
def test_errors_of_a_fleet(code: str, subtype: str, text: str) -> None:
    diagnosis = only(diagnose(with_event(subtype, text)))
    cause = next(cause for cause in FLEET if cause.code == code)
    assert (diagnosis.code, diagnosis.level) == (code, cause.level)
    assert text.split("Error message: ")[-1] in diagnosis.detail
    assert diagnosis.remedy in str(diagnosis)


@pytest.mark.parametrize(("code", "subtype", "text"), FLEET_TEXTS)
def test_launch_errors_do_not_stop_a_run_with_machines(code: str, subtype: str, text: str) -> None:
    assert only(diagnose(with_event(subtype, text, UP))).level != "configuration"


@pytest.mark.parametrize(("code", "text"), CONTAINER_TEXTS)
def test_errors_of_containers(code: str, text: str) -> None:
    exited = "exited" in text
    stop = "EssentialContainerExited" if exited else "TaskFailedToStart"
    task = StoppedTask(stop, text, exit_code=1 if exited else None)
    cause = next(cause for cause in CONTAINER if cause.code == code)
    sample = Symptoms(NOW, machines=(UP,), joined={"c": "i-1"}, stopped=(task,) * cause.times)
    diagnosis = only(diagnose(sample))
    assert (diagnosis.code, diagnosis.level) == (code, cause.level)
    assert text in diagnosis.detail
    # Too few to be sure, or others run.
    fewer = diagnose(replace(sample, stopped=(task,) * (cause.times - 1)))
    assert all(diagnosis.level != "configuration" for diagnosis in fewer)
    assert only(diagnose(replace(sample, running=1))).level == "notice"


@pytest.mark.parametrize(("code", "text"), SERVICE_TEXTS)
def test_messages_about_the_service(code: str, text: str) -> None:
    sample = Symptoms(NOW, machines=(UP,), joined={"0ff1ce": "i-1"}, service=(text,))
    cause = next(cause for cause in SERVICE if cause.code == code)
    diagnosis = only(diagnose(sample))
    assert (diagnosis.code, diagnosis.level) == (code, cause.level)


@pytest.mark.parametrize(
    "text",
    [
        "(service LabService) has started 2 tasks: (task 1).",
        "(service LabService) has reached a steady state.",
        "(service LabService) was unable to place a task because no container instance met all of "
        "its requirements. Reason: No Container Instances were found in your cluster.",
        "(service LabService) was unable to place a task because no container instance met all of "
        "its requirements. The closest matching (container-instance another) has insufficient "
        "memory available.",
    ],
)
def test_normal_service_messages_are_not_reported(text: str) -> None:
    sample = Symptoms(NOW, machines=(UP,), joined={"0ff1ce": "i-1"}, service=(text,), running=2)
    assert diagnose(sample) == ()


def test_an_unplaced_container_is_normal_while_another_is_starting() -> None:
    """It reserves memory while its image is pulled, but does not run yet."""
    size = next(text for code, text in SERVICE_TEXTS if code == "container_size")
    sample = Symptoms(NOW, machines=(UP,), joined={"0ff1ce": "i-1"}, service=(size,), placed=1)
    assert diagnose(sample) == ()
    assert only(diagnose(replace(sample, placed=0))).level == "configuration"


@pytest.mark.parametrize(
    "task",
    [
        StoppedTask("ServiceSchedulerInitiated", "Scaling activity initiated by (deployment e)"),
        StoppedTask("SpotInterruption", "Your Spot Task was interrupted.", 137),
        StoppedTask("EssentialContainerExited", "Essential container in task exited", 0),
        StoppedTask("", "Host EC2 (instance i-1) terminated."),
    ],
)
def test_normal_stops_of_containers_are_not_reported(task: StoppedTask) -> None:
    assert diagnose(Symptoms(NOW, stopped=(task,) * 5)) == ()


def test_a_container_that_ran_well_before_proves_the_configuration() -> None:
    exits = StoppedTask("EssentialContainerExited", "Essential container in task exited", 1)
    worked = replace(exits, ran=timedelta(hours=1))
    assert only(diagnose(Symptoms(NOW, stopped=(exits,) * 3))).level == "configuration"
    assert only(diagnose(Symptoms(NOW, stopped=(exits,) * 3 + (worked,)))).level == "notice"
    assert only(diagnose(Symptoms(NOW, stopped=(exits,) * 3, worked=True))).level == "notice"


def test_the_exit_code_is_reported() -> None:
    exits = StoppedTask("EssentialContainerExited", "Essential container in task exited", 78)
    assert "78" in only(diagnose(Symptoms(NOW, stopped=(exits,) * 3))).summary


def test_machines_that_never_join_are_named() -> None:
    late = FleetMachine("i-2", NOW - timedelta(minutes=11))
    alone = only(diagnose(Symptoms(NOW, machines=(late, UP))))
    assert (alone.code, alone.level, alone.machines) == (
        NEVER_REGISTERS.code,
        "configuration",
        ("i-2",),
    )
    beside = only(diagnose(Symptoms(NOW, machines=(late, UP), joined={"c": "i-1"})))
    assert (beside.level, beside.machines) == ("notice", ("i-2",))
    assert diagnose(Symptoms(NOW, machines=(late,), joined={"c": "i-2"})) == ()
    assert diagnose(Symptoms(NOW, machines=(UP,))) == ()


def test_machines_that_terminate_at_launch_are_diagnosed_by_their_state_reason() -> None:
    ended = "Client.InternalError: Client error on launch"
    dead = [FleetMachine(f"i-{n}", NOW - timedelta(minutes=n), False, ended) for n in (2, 3)]
    assert only(diagnose(Symptoms(NOW, machines=tuple(dead)))).code == "encryption"
    assert only(diagnose(Symptoms(NOW, machines=tuple(dead[:1])))).level == "notice"
    usual = replace(dead[0], ended="Server.SpotInstanceTermination: interrupted")
    assert diagnose(Symptoms(NOW, machines=(usual,))) == ()


def test_a_lack_of_capacity_names_the_machine_types() -> None:
    lack = "There is no Spot capacity available that matches your request."
    sample = with_event(PAUSED, REPEATED + lack)
    both = replace(sample, types=("c5.2xlarge", "m5.xlarge"))
    assert only(diagnose(both)).summary.endswith(": m5.xlarge")
    unnamed = replace(both, events=(event("spotInstanceCountLimitExceeded", ""),))
    assert only(diagnose(unnamed)).summary.endswith(": c5.2xlarge, m5.xlarge")


def test_a_type_missing_in_one_zone_is_a_configuration_error_only_if_missing_in_all() -> None:
    def missing(kind: str, zone: str) -> FleetEvent:
        text = f"instance type ({kind}) is not supported in your requested Availability Zone"
        return event(INVALID, f"Your requested {text} ({zone}).")

    two = Symptoms(
        NOW, types=("m5.xlarge",), subnets=2, events=(missing("m5.xlarge", "us-east-1e"),)
    )
    assert only(diagnose(two)).level == "notice"
    everywhere = replace(two, events=(*two.events, missing("m5.xlarge", "us-east-1f")))
    assert only(diagnose(everywhere)).level == "configuration"
    assert only(diagnose(replace(everywhere, subnets=0))).level == "notice"  # AWS has more zones
    more = replace(everywhere, types=("m5.xlarge", "c5.xlarge"))
    assert only(diagnose(more)).level == "notice"


def test_old_errors_are_ignored() -> None:
    old = event(INVALID, "The key pair 'lab' does not exist", minutes=31)
    assert diagnose(Symptoms(NOW, events=(old,))) == ()


def test_earlier_launches_prove_the_configuration() -> None:
    sample = with_event(INVALID, "The key pair 'lab' does not exist")
    launched = event("launched", "", error=False, minutes=90)
    assert only(diagnose(replace(sample, events=(*sample.events, launched)))).level == "notice"
    failed = FleetMachine("i-2", NOW, False, "Client.InternalError: Client error on launch")
    with_dead = replace(sample, events=(*sample.events, launched), machines=(failed,))
    assert "configuration" in {diagnosis.level for diagnosis in diagnose(with_dead)}


def test_the_key_ignores_ids_and_numbers() -> None:
    first, second = (
        only(diagnose(with_event("odd", f"Something about i-0123456789abcdef{n} went wrong")))
        for n in (0, 1)
    )
    assert first.key == second.key != only(diagnose(with_event("odd", "Another thing"))).key


texts = st.text(max_size=200)
events = st.builds(
    FleetEvent, st.datetimes().map(lambda at: at.replace(tzinfo=UTC)), st.booleans(), texts, texts
)
ages = st.timedeltas(timedelta(0), timedelta(days=2))
machines = st.builds(
    FleetMachine, st.text(max_size=5), ages.map(lambda age: NOW - age), st.booleans(), texts
)
tasks = st.builds(StoppedTask, texts, texts, st.none() | st.integers(0, 255), ages)
symptoms = st.builds(
    Symptoms,
    st.just(NOW),
    types=st.just(("m5.xlarge", "c5.xlarge")),
    subnets=st.integers(0, 3),
    events=st.lists(events, max_size=4).map(tuple),
    machines=st.lists(machines, max_size=4).map(tuple),
    joined=st.dictionaries(texts, st.text(max_size=5), max_size=3),
    service=st.lists(texts, max_size=4).map(tuple),
    stopped=st.lists(tasks, max_size=4).map(tuple),
    running=st.integers(0, 3),
    placed=st.integers(0, 3),
)


@given(symptoms)
def test_any_message_is_diagnosed_and_each_diagnosis_is_unique(sample: Symptoms) -> None:
    diagnoses = diagnose(sample)
    assert len({diagnosis.key for diagnosis in diagnoses}) == len(diagnoses)
    assert not sample.running or all(d.level != "configuration" for d in diagnoses)


@given(texts.filter(lambda text: cause_of(text, (*FLEET, *CONTAINER)).code == "unknown"))
def test_unknown_messages_are_reported_verbatim(text: str) -> None:
    sample = Symptoms(
        NOW,
        events=(event("", text),),
        stopped=(StoppedTask("InfrastructureHealth", f"stop {text}"),),
    )
    details = " ".join(diagnosis.detail for diagnosis in diagnose(sample))
    assert text.strip() in details
    assert f"stop {text}".strip() in details


@given(symptoms, texts)
def test_the_order_of_events_does_not_matter(sample: Symptoms, text: str) -> None:
    turned = replace(sample, events=sample.events[::-1])
    assert {diagnosis.level for diagnosis in diagnose(sample)} == {
        diagnosis.level for diagnosis in diagnose(turned)
    }
