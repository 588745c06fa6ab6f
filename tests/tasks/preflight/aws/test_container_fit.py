"""What fits on a machine, and how many machines a run is allowed to and can use."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks import FleetTemplate, RunConfig
from tasks.cost.amounts import Range
from tasks.fleet.instance_types import MachineType, MachineTypes
from tasks.jobs.past_durations import JobSeconds
from tasks.preflight.aws import container_fit, quotas
from tasks.preflight.finding import Finding
from tasks.runs.limits import Limits

LARGE = MachineType("m5.large", 2, 8192)
XLARGE = MachineType("m5.xlarge", 4, 16_384)
HUGE = MachineType("m5.4xlarge", 16, 65_536)
ARM = MachineType("m6g.xlarge", 4, 16_384, frozenset({"arm64"}))
METAL = MachineType("u-6tb1.metal", 448, 6_291_456, spot=False)


def config(**settings: object) -> RunConfig:
    fitting = {"docker_cores": 4, "memory": 15_000, "cluster_machines": 2}
    return RunConfig(dockerhub_tag="lab/worker:1", aws_bucket="lab-bucket", **(fitting | settings))


def findings_of(
    settings: RunConfig,
    *known: MachineType,
    template: FleetTemplate | None = None,
    unknown: dict[str, list[str]] | None = None,
    seconds: JobSeconds | None = None,
    bytes_per_job: int | None = None,
) -> dict[str, Finding]:
    types = MachineTypes(known, unknown or {})
    template = template or FleetTemplate()
    every = container_fit.findings(settings, template, types, seconds, bytes_per_job)
    return {finding.code: finding for finding in every}


def test_containers_that_fit_have_no_findings() -> None:
    assert findings_of(config(), XLARGE) == {}
    assert findings_of(config(tasks_per_machine=2, docker_cores=1, memory=3500), LARGE) == {}
    twice = config(tasks_per_machine=2, docker_cores=2, memory=7500, ebs_vol_size=60)
    assert findings_of(twice, XLARGE, bytes_per_job=5_000_000_000) == {}


def test_an_unknown_type_is_reported_with_the_nearest_one() -> None:
    finding = findings_of(config(), XLARGE, unknown={"m5.xlrge": ["m5.xlarge"]})[
        "machine_type_unknown"
    ]
    assert finding.level == "error"
    assert finding.problem.got == "m5.xlrge"
    assert "m5.xlarge" in finding.problem.remedy


def test_containers_that_are_never_placed_are_an_error() -> None:
    by_memory = findings_of(config(), XLARGE, LARGE)["container_too_large"]
    assert (by_memory.level, by_memory.problem.key) == ("error", "cpu_shares")
    assert "m5.large" in by_memory.problem.got
    assert "m5.xlarge" not in by_memory.problem.got
    # A machine's memory is never fully available.
    whole = findings_of(config(memory=16_384), XLARGE)["container_too_large"]
    assert (whole.level, whole.problem.key) == ("error", "memory")


def test_containers_that_may_not_fit_are_a_warning() -> None:
    finding = findings_of(config(memory=15_800), XLARGE)["container_may_not_fit"]
    assert finding.level == "warning"
    assert "15155" in finding.problem.remedy


def test_fewer_and_more_containers_than_planned() -> None:
    fewer = findings_of(config(tasks_per_machine=2, ebs_vol_size=60), XLARGE)
    assert fewer["fewer_containers_than_planned"].problem.remedy.startswith(
        "Set tasks_per_machine to 1"
    )
    more = findings_of(config(tasks_per_machine=2, ebs_vol_size=60), HUGE)
    assert more["more_containers_than_planned"].level == "warning"
    assert "ECS may place 4" in more["more_containers_than_planned"].problem.mistake
    # ECS enforces one container per machine, and one machine gets no more containers than exist.
    for settings in (config(), config(cluster_machines=1, tasks_per_machine=2, ebs_vol_size=60)):
        (finding,) = findings_of(settings, HUGE).values()
        assert (finding.level, finding.code) == ("note", "machine_larger_than_planned")


def test_the_processor_and_spot() -> None:
    assert findings_of(config(), ARM)["machine_architecture"].level == "error"
    assert findings_of(config(), ARM, template=FleetTemplate(architecture="arm64")) == {}
    assert findings_of(config(), XLARGE, METAL)["machine_not_spot"].level == "warning"
    assert findings_of(config(), METAL)["machine_not_spot"].level == "error"


@pytest.mark.parametrize(("gigabytes", "level"), [(1, None), (4, "warning"), (8, "error")])
def test_the_disk_holds_the_images_of_all_slots(gigabytes: int, level: str | None) -> None:
    settings = config(docker_cores=4, ebs_vol_size=30)
    finding = findings_of(settings, XLARGE, bytes_per_job=gigabytes * 1_000_000_000).get(
        "disk_too_small"
    )
    assert (finding.level if finding else None) == level
    mounted = config(docker_cores=4, ebs_vol_size=30, download_files=False)
    assert findings_of(mounted, XLARGE, bytes_per_job=gigabytes * 1_000_000_000) == {}


def test_the_proposed_disk_size_is_sufficient() -> None:
    settings = config(docker_cores=4, ebs_vol_size=30)
    remedy = findings_of(settings, XLARGE, bytes_per_job=8_000_000_000)[
        "disk_too_small"
    ].problem.remedy
    size = int(remedy.split()[3].rstrip(","))
    assert (
        findings_of(config(docker_cores=4, ebs_vol_size=size), XLARGE, bytes_per_job=8_000_000_000)
        == {}
    )


def test_timeouts_are_compared_with_expected_seconds() -> None:
    seconds = JobSeconds(Range(900, 1000), 2000, "earlier runs")
    short = findings_of(config(job_timeout=800), XLARGE, seconds=seconds)["job_timeout_short"]
    assert short.level == "error"
    assert (
        findings_of(config(job_timeout=1500), XLARGE, seconds=seconds)["job_timeout_short"].level
        == "warning"
    )
    long = findings_of(config(sqs_message_visibility=43_200), XLARGE, seconds=seconds)
    assert long["visibility_long"].level == "note"
    assert findings_of(config(job_timeout=3000), XLARGE, seconds=seconds) == {}


@given(
    st.integers(1, 200),
    st.integers(1, 2_000_000),
    st.integers(128, 200_000),
    st.integers(500, 2_000_000),
)
def test_no_machine_holds_more_than_it_has(vcpus: int, memory: int, cpu: int, wanted: int) -> None:
    kind = MachineType("x", vcpus, memory)
    least, most = kind.holds(cpu, wanted)
    assert 0 <= least <= most
    assert most * cpu <= kind.cpu_units
    assert most * wanted <= memory


SIZES = st.builds(
    Limits,
    machines=st.integers(1, 200),
    tasks_per_machine=st.integers(1, 4),
    cores=st.integers(1, 8),
    ends_at=st.datetimes(),
)


@given(SIZES, st.integers(1, 100_000), st.integers(0, 300))
def test_never_more_slots_than_jobs_need(size: Limits, jobs: int, base: int) -> None:
    demand = quotas.demand(size, FleetTemplate(on_demand_base=base), jobs)
    per_machine = size.tasks_per_machine * size.cores
    assert 1 <= demand.machines <= size.machines
    assert (demand.machines - 1) * per_machine < jobs
    assert demand.on_demand <= base
    codes = [
        finding.code
        for finding in quotas.findings(size, FleetTemplate(), MachineTypes(()), [], jobs)
    ]
    assert ("more_slots_than_jobs" in codes) == (demand.machines < size.machines)


@pytest.mark.parametrize(
    ("machine_type", "expected"),
    [
        ("m5.xlarge", "standard"),
        ("im4gn.large", "standard"),
        ("is4gen.large", "standard"),
        ("g5.xlarge", "g"),
        ("vt1.3xlarge", "g"),
        ("p4d.24xlarge", "p"),
        ("inf2.xlarge", "inf"),
        ("x2idn.16xlarge", "x"),
        ("dl1.24xlarge", "dl"),
        ("d3.xlarge", "standard"),
        ("trn1.2xlarge", "trn"),
        ("mac2.metal", None),
        ("hpc7a.96xlarge", None),
    ],
)
def test_the_quota_family_of_a_type(machine_type: str, expected: str | None) -> None:
    assert quotas.family(machine_type) == expected


def above(vcpus: float, count: int, base: int = 0, *types: MachineType) -> Finding | None:
    size = Limits(count, 1, 1, datetime.max)
    template = FleetTemplate(on_demand_base=base)
    known = MachineTypes(types or (XLARGE,))
    tables = [*quotas.SPOT.values(), *quotas.ON_DEMAND.values()]
    limits = [quotas.QuotaLimit(table, vcpus) for table in tables]
    every = quotas.findings(size, template, known, limits, 10_000)
    return next((finding for finding in every if finding.code == "above_quota"), None)


def test_above_quota_names_the_allowed_number_of_machines() -> None:
    assert above(vcpus=40, count=10) is None
    over = above(vcpus=40, count=11)
    assert over is not None
    assert over.level == "warning"
    assert "set cluster_machines to 10" in over.problem.remedy
    none = above(vcpus=3, count=1)
    assert none is not None
    assert none.level == "error"
    base = above(40, 11, 11)
    assert base is not None
    assert base.problem.key == "on_demand_base"
    # A second family has a quota of its own.
    assert above(40, 20, 0, XLARGE, MachineType("g5.xlarge", 4, 16_384)) is None
