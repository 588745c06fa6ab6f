"""Simulated cost of a plate with our policy, and with Distributed-CellProfiler's.

    .venv/bin/python benchmarks/fleet.py [--seeds N] [--json FILE]

A 384-well plate with 9 sites per well, 3,456 jobs of 4 to 16 minutes, on 50 machines with 4 slots,
in virtual time (fleet_world.py). Ours is `decide` of tasks/monitor/policy.py, which also monitors
runs in AWS. All policies get the same jobs and the same interruptions.

* `ours`: job times are known within 20 % from an earlier run, and the longest jobs go first.
* `ours, first run`: job times are unknown.
* `plain`: our worker, and idle machines terminated every minute.
* `DCP`: its worker (34 s per job in addition to CellProfiler, slots that start 180 s apart, jobs
  hidden for 2 hours after their machine is lost) and its policy (dcp_policy.py).
* `DCP, from receipt`: the same, but the 2 hours count from the receipt of the job.

The figures are means over the seeds, except `after`, which is the maximum:

* USD: machine hours at a fixed price, without AWS's rule that an interrupted first hour is free.
* utilisation: CellProfiler's seconds of completed jobs over paid slot seconds.
* again: jobs started more than once. after: minutes from the last job to the last termination.

--json FILE writes for each interruption rate R (per machine and day): `cost_vs_dcp_R`,
`cost_vs_dcp_from_receipt_R`, `utilisation_R`, `minutes_after_last_job_R` and `jobs_run_twice_R` of
`ours`, and the same with the prefix `first_run_`; R is the name of the last scenario.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from fleet_world import Scenario, SimulationResult, Trace, draw
from rich import box
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # run as a file

from fleet_policies import dcp, ours, plain  # noqa: E402

USD_AN_HOUR = 0.08  # about an m5.xlarge spot machine with its volume; ratios do not depend on it
NOISE = 0.2
SEEDS = 8
TABLE_WIDTH = 120
OURS, FIRST, DCP, RECEIPT = "ours", "ours, first run", "DCP", "DCP, from receipt"
POLICIES: dict[str, Callable[[Trace], SimulationResult]] = {
    OURS: lambda trace: ours(trace, earlier=True),
    FIRST: lambda trace: ours(trace, earlier=False),
    "plain": plain,
    DCP: lambda trace: dcp(trace, from_receipt=False),
    RECEIPT: lambda trace: dcp(trace, from_receipt=True),
}
SCENARIOS = (
    Scenario("0", interruptions=0),
    Scenario("2", interruptions=2),
    Scenario("5", interruptions=5),
    Scenario("late_and_bad", interruptions=2, late=0.5, bad=1),
)
TITLES = {
    "late_and_bad": "2 interruptions; half of the machines 20 minutes late, one never joins",
}
# Results of the plain policy in a rough model: cost relative to DCP's, utilisation.
GOALS = {"0": (0.88, 0.95), "2": (0.71, 0.93), "5": (0.58, 0.92)}


@dataclass(frozen=True)
class PolicyFigures:
    """Results of a policy over all seeds.

    Attributes:
        usd: Mean cost.
        hours: Mean time from the request to the end of the last job.
        utilisation: Mean.
        again: Mean number of repeated jobs.
        minutes_after: Maximum minutes that a machine ran after the last job.
        machine_minutes_after: Mean of all machine minutes after the last job.
    """

    usd: float
    hours: float
    utilisation: float
    again: float
    minutes_after: float
    machine_minutes_after: float


def figures(outcomes: Sequence[SimulationResult]) -> PolicyFigures:
    """The figures of a policy."""
    return PolicyFigures(
        usd=fmean(outcome.machine_seconds for outcome in outcomes) / 3600 * USD_AN_HOUR,
        hours=fmean(outcome.makespan for outcome in outcomes) / 3600,
        utilisation=fmean(outcome.utilisation for outcome in outcomes),
        again=fmean(outcome.again for outcome in outcomes),
        minutes_after=max(outcome.after for outcome in outcomes) / 60,
        machine_minutes_after=fmean(outcome.machine_seconds_after for outcome in outcomes) / 60,
    )


def simulate(scenario: Scenario, seeds: int) -> dict[str, PolicyFigures]:
    """The figures of all policies in a scenario."""
    traces = [draw(scenario, seed, NOISE) for seed in range(seeds)]
    return {name: figures([policy(trace) for trace in traces]) for name, policy in POLICIES.items()}


def table(scenario: Scenario, results: dict[str, PolicyFigures]) -> Table:
    """A table of a scenario's figures."""
    title = TITLES.get(scenario.name, f"{scenario.interruptions:g} interruptions")
    report = Table(title=f"{title} per machine and day", box=box.MARKDOWN, title_justify="left")
    for column in ("policy", "USD", "of DCP", "hours", "utilisation", "repeated", "min after"):
        report.add_column(column, justify="left" if column == "policy" else "right")
    report.add_column("machine min after", justify="right")
    for name, policy_figures in results.items():
        report.add_row(
            name,
            f"{policy_figures.usd:.2f}",
            f"{policy_figures.usd / results[DCP].usd:.3f}",
            f"{policy_figures.hours:.2f}",
            f"{policy_figures.utilisation:.3f}",
            f"{policy_figures.again:.0f}",
            f"{policy_figures.minutes_after:.1f}",
            f"{policy_figures.machine_minutes_after:.0f}",
        )
    return report


def as_json(results: dict[str, dict[str, PolicyFigures]]) -> dict[str, float]:
    """The figures of all scenarios by name."""
    values: dict[str, float] = {}
    for name, policies in results.items():
        for policy, prefix in ((OURS, ""), (FIRST, "first_run_")):
            policy_figures = policies[policy]
            values[f"{prefix}cost_vs_dcp_{name}"] = policy_figures.usd / policies[DCP].usd
            values[f"{prefix}cost_vs_dcp_from_receipt_{name}"] = (
                policy_figures.usd / policies[RECEIPT].usd
            )
            values[f"{prefix}utilisation_{name}"] = policy_figures.utilisation
            values[f"{prefix}minutes_after_last_job_{name}"] = policy_figures.minutes_after
            values[f"{prefix}jobs_run_twice_{name}"] = policy_figures.again
    return {name: round(value, 4) for name, value in values.items()}


def main() -> None:
    """Simulate, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description="Cost of a plate, ours compared with DCP's.")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    console = Console(width=TABLE_WIDTH)
    results: dict[str, dict[str, PolicyFigures]] = {}
    for scenario in SCENARIOS:
        results[scenario.name] = simulate(scenario, options.seeds)
        console.print(table(scenario, results[scenario.name]))
    for name, (cost, utilisation) in GOALS.items():
        our_figures = results[name][OURS]
        console.print(
            f"{name} interruptions: cost {our_figures.usd / results[name][DCP].usd:.3f} of DCP's "
            f"(a plain policy: {cost}), utilisation {our_figures.utilisation:.3f} ({utilisation})"
        )
    if options.json:
        options.json.write_text(json.dumps(as_json(results), indent=1) + "\n")


if __name__ == "__main__":
    main()
