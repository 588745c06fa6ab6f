"""The estimated cost of a run, for any work and any prices."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dcp_fleet import DCP_FLEET
from hypothesis import given
from hypothesis import strategies as st

from blocks import FleetTemplate, RunConfig
from tasks.cost.amounts import Estimate, Range
from tasks.cost.prices import Prices, SpotPrice
from tasks.jobs.past_durations import JobSeconds
from tasks.preflight.aws.cost import Workload, estimate, findings, workload
from tasks.preflight.aws.quotas import Demand, demand
from tasks.preflight.finding import Finding
from tasks.runs.limits import Limits

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ZONES = ("us-east-1a", "us-east-1b")


def spot(usd: float, zone: str = "us-east-1a", hours: int = 1) -> SpotPrice:
    return SpotPrice("m5.xlarge", zone, NOW - timedelta(hours=hours), usd)


TABLE = Prices(
    spot=(spot(0.06, hours=50), spot(0.08), spot(0.07, ZONES[1])),
    on_demand={"m5.xlarge": 0.192},
    gb_month={"gp3": 0.08, "gp2": 0.1},
    requests={"s3_write": 5e-6, "s3_read": 4e-7, "sqs": 4e-7},
    sources=("a table",),
)
PLAIN = Workload(
    jobs=1000,
    demand=Demand(10),
    slots_per_machine=4,
    seconds=Range(90, 110),
    stagger=540,
    max_price=0.2,
    volumes={"gp3": 30},
    writes=9,
    reads=10,
)
amounts = st.floats(0.001, 10, allow_nan=False)
spans = st.tuples(amounts, amounts).map(lambda two: Range(min(two), max(two)))


@st.composite
def workloads(draw: st.DrawFn) -> tuple[Workload, Limits, int]:
    size = Limits(draw(st.integers(1, 50)), draw(st.integers(1, 3)), draw(st.integers(1, 4)), NOW)
    jobs, base = draw(st.integers(1, 5000)), draw(st.integers(0, 20))
    sample = Workload(
        jobs=jobs,
        demand=demand(size, FleetTemplate(on_demand_base=base), jobs),
        slots_per_machine=size.tasks_per_machine * size.cores,
        seconds=draw(spans).times(1000),
        stagger=draw(st.integers(0, 600)),
        max_price=draw(amounts),
        volumes={"gp3": draw(st.integers(22, 1000))},
        writes=draw(st.integers(0, 20)),
        reads=draw(st.integers(0, 100)),
        renewal=draw(st.integers(5, 1000)),
    )
    return sample, size, base


@st.composite
def tables(draw: st.DrawFn) -> Prices:
    points = draw(
        st.lists(st.tuples(amounts, st.sampled_from(ZONES), st.integers(0, 70)), min_size=1)
    )
    return Prices(
        spot=tuple(spot(*point) for point in points),
        on_demand={"m5.xlarge": draw(amounts)},
        gb_month={"gp3": draw(amounts)},
        requests={name: draw(amounts) / 1e6 for name in ("s3_write", "s3_read", "sqs")},
    )


def usd(sample: Workload, prices: Prices) -> Range | None:
    return estimate(sample, prices).usd


@given(workloads(), tables())
def test_more_jobs_never_cost_less(drawn: tuple[Workload, Limits, int], prices: Prices) -> None:
    sample, size, base = drawn
    more = replace(
        sample,
        jobs=sample.jobs + 1,
        demand=demand(size, FleetTemplate(on_demand_base=base), sample.jobs + 1),
    )
    few, many = estimate(sample, prices), estimate(more, prices)
    assert few.hours is not None
    assert many.hours is not None
    assert few.hours.low <= many.hours.low * (1 + 1e-9)
    assert few.hours.high <= many.hours.high * (1 + 1e-9)
    if few.usd and many.usd and sample.demand.on_demand == more.demand.on_demand:
        assert few.usd.high <= many.usd.high * (1 + 1e-9)


@given(workloads(), tables(), st.floats(1, 3))
def test_higher_prices_never_cost_less(
    drawn: tuple[Workload, Limits, int], prices: Prices, factor: float
) -> None:
    sample = replace(drawn[0], max_price=1000.0)
    dear = replace(
        prices,
        spot=tuple(replace(price, usd=price.usd * factor) for price in prices.spot),
        on_demand={name: price * factor for name, price in prices.on_demand.items()},
        gb_month={name: price * factor for name, price in prices.gb_month.items()},
    )
    cheap_usd, dear_usd = usd(sample, prices), usd(sample, dear)
    assert cheap_usd is not None
    assert dear_usd is not None
    assert cheap_usd.low <= dear_usd.low * (1 + 1e-9)
    assert cheap_usd.high <= dear_usd.high * (1 + 1e-9)


@given(workloads(), tables())
def test_a_spot_machine_never_costs_more_than_machine_price(
    drawn: tuple[Workload, Limits, int], prices: Prices
) -> None:
    sample = replace(drawn[0], demand=Demand(drawn[0].demand.machines))
    result = estimate(sample, prices)
    bounded = sample.machine_hours
    assert bounded is not None
    machines = next((item.usd for item in result.parts if item.name == "machines"), None)
    now = prices.current().values()
    assert (machines is None) == all(price > sample.max_price for price in now)
    if machines is not None:
        assert machines.high <= bounded.high * sample.max_price * (1 + 1e-9)


def test_the_figures_of_a_plain_run() -> None:
    result = estimate(PLAIN, TABLE, "seconds_per_job")
    assert result.hours is not None
    # 1000 jobs on 40 slots: 25 rounds of 90 to 110 s, after 3 to 15 minutes, and the stagger.
    assert result.hours.low == (180 + 25 * 90) / 3600
    assert result.hours.high == (900 + 540 + 25 * 110) / 3600
    machines = result.parts[0].usd
    assert machines is not None
    assert machines.low == 10 * (180 + 25 * 90) / 3600 * 0.06
    assert machines.high == 10 * result.hours.high * 0.08
    assert result.usd is not None
    assert result.on_demand_usd is not None
    assert result.usd.high < result.on_demand_usd.high
    assert result.sources == ("seconds_per_job", "a table")


def test_no_price_is_invented() -> None:
    result = estimate(PLAIN, Prices(unknown=("spot prices (AWS returned none)",)))
    assert result.usd is None
    assert result.on_demand_usd is None
    assert result.hours is not None
    assert "spot prices (AWS returned none)" in result.unknown
    no_time = estimate(replace(PLAIN, seconds=None), TABLE)
    assert (no_time.usd, no_time.hours) == (None, None)
    assert "seconds_per_job" in no_time.text


def config(**settings: object) -> RunConfig:
    return RunConfig(dockerhub_tag="lab/worker:1", aws_bucket="lab-bucket", **settings)


def codes(result: Estimate, settings: RunConfig, prices: Prices = TABLE) -> dict[str, Finding]:
    return {finding.code: finding for finding in findings(result, settings, prices)}


def test_cost_limit_applies_to_the_upper_end_of_the_estimate() -> None:
    result = Estimate(usd=Range(8, 12), hours=Range(1, 2))
    assert codes(result, config()).keys() == {"cost"}
    assert codes(result, config(cost_limit=12)).keys() == {"cost"}
    over = codes(result, config(cost_limit=11))["cost_limit"]
    assert over.level == "error"
    assert "8.00 to 12.00 USD" in over.problem.mistake
    unknown = codes(Estimate(hours=Range(1, 2)), config(cost_limit=11))
    assert unknown["cost_unknown"].level == "warning"


def test_max_hours_and_machine_price_are_compared_with_the_estimate() -> None:
    result = Estimate(usd=Range(8, 12), hours=Range(10, 20))
    assert codes(result, config(max_hours=9))["max_hours_short"].level == "error"
    assert codes(result, config(max_hours=15))["max_hours_short"].level == "warning"
    assert codes(result, config(max_hours=20)).keys() == {"cost"}
    low = codes(result, config(machine_price=0.05))["machine_price_low"]
    assert low.level == "error"
    assert "0.07" in low.problem.got


def test_a_fleet_file_has_its_own_volumes() -> None:
    fleet = FleetTemplate(spot_fleet_request=DCP_FLEET)
    seconds = JobSeconds(Range(1, 1), 1, "")
    from_file = workload(config(ebs_vol_size=40), fleet, Demand(1), 1, seconds)
    assert from_file.volumes == {"gp2": 48}
    usual = workload(config(ebs_vol_size=40), FleetTemplate(), Demand(1), 1, seconds)
    assert usual.volumes == {"gp3": 40}
