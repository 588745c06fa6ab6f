"""What a plate costs under our policy, and under Distributed-CellProfiler's: simulated.

    .venv/bin/python benchmarks/fleet.py [--seeds N] [--json FILE]

A 384-well plate of 9 sites, 3,456 jobs of 4 to 16 minutes, on 50 machines of 4 slots, in virtual
time (fleet_world.py); ours is the `decide` of tasks/monitor/policy.py, which watches runs in AWS.
All policies meet the same jobs and the same interruptions.

* `ours`: an earlier run of the plate tells, within 20 %, what jobs take: the longest go first.
* `ours, first run`: nothing is known of them.
* `plain`: our worker, and machines without work ended each minute.
* `DCP`: its worker (34 s a job besides CellProfiler, slots that start 180 s apart, a job hidden for
  2 hours when its machine is lost) and its policy (dcp_policy.py).
* `DCP, from receipt`: the same, with those 2 hours counted from the job's receipt.

The figures, each a mean over the seeds but for `after`, which is the longest:

* USD: machine hours at a fixed price, without AWS's rule that an interrupted first hour is free.
* utilisation: CellProfiler's seconds that came to a result over paid slot seconds.
* again: jobs begun more than once. after: minutes until the last machine ended after the last job.

--json FILE writes for each interruption rate R (a machine and day): `cost_vs_dcp_R`,
`cost_vs_dcp_from_receipt_R`, `utilisation_R`, `minutes_after_last_job_R` and `jobs_run_twice_R` of
`ours`, and the same with `first_run_` before it; for the last scenario its name in place of R.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from fleet_world import Outcome, Scenario, Trace, draw
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
POLICIES: dict[str, Callable[[Trace], Outcome]] = {
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
TOLD = {
    "late_and_bad": "2 interruptions; half of the machines 20 minutes late, one never joins",
}
# What the plain policy reaches in a rough model: cost beside DCP's, utilisation.
GOALS = {"0": (0.88, 0.95), "2": (0.71, 0.93), "5": (0.58, 0.92)}


@dataclass(frozen=True)
class Figures:
    """What a policy came to, over all seeds.

    Attributes:
        usd: Mean cost.
        hours: Mean time from request to the last job's end.
        utilisation: Mean.
        again: Mean number of jobs begun again.
        minutes_after: The longest that a machine ran after the last job.
        machine_minutes_after: Mean of all machines' minutes after it.
    """

    usd: float
    hours: float
    utilisation: float
    again: float
    minutes_after: float
    machine_minutes_after: float


def figures(outcomes: Sequence[Outcome]) -> Figures:
    """The figures of a policy."""
    return Figures(
        usd=fmean(one.machine_seconds for one in outcomes) / 3600 * USD_AN_HOUR,
        hours=fmean(one.makespan for one in outcomes) / 3600,
        utilisation=fmean(one.utilisation for one in outcomes),
        again=fmean(one.again for one in outcomes),
        minutes_after=max(one.after for one in outcomes) / 60,
        machine_minutes_after=fmean(one.machine_seconds_after for one in outcomes) / 60,
    )


def simulate(scenario: Scenario, seeds: int) -> dict[str, Figures]:
    """The figures of all policies in a scenario."""
    traces = [draw(scenario, seed, NOISE) for seed in range(seeds)]
    return {name: figures([policy(one) for one in traces]) for name, policy in POLICIES.items()}


def table(scenario: Scenario, found: dict[str, Figures]) -> Table:
    """A scenario's figures as a table."""
    told = TOLD.get(scenario.name, f"{scenario.interruptions:g} interruptions")
    made = Table(title=f"{told} a machine and day", box=box.MARKDOWN, title_justify="left")
    for column in ("policy", "USD", "of DCP's", "hours", "utilisation", "again", "after, min"):
        made.add_column(column, justify="left" if column == "policy" else "right")
    made.add_column("machine min after", justify="right")
    for name, one in found.items():
        made.add_row(
            name,
            f"{one.usd:.2f}",
            f"{one.usd / found[DCP].usd:.3f}",
            f"{one.hours:.2f}",
            f"{one.utilisation:.3f}",
            f"{one.again:.0f}",
            f"{one.minutes_after:.1f}",
            f"{one.machine_minutes_after:.0f}",
        )
    return made


def as_json(found: dict[str, dict[str, Figures]]) -> dict[str, float]:
    """The figures by name, of all scenarios."""
    told: dict[str, float] = {}
    for name, policies in found.items():
        for policy, prefix in ((OURS, ""), (FIRST, "first_run_")):
            one = policies[policy]
            told[f"{prefix}cost_vs_dcp_{name}"] = one.usd / policies[DCP].usd
            told[f"{prefix}cost_vs_dcp_from_receipt_{name}"] = one.usd / policies[RECEIPT].usd
            told[f"{prefix}utilisation_{name}"] = one.utilisation
            told[f"{prefix}minutes_after_last_job_{name}"] = one.minutes_after
            told[f"{prefix}jobs_run_twice_{name}"] = one.again
    return {name: round(value, 4) for name, value in told.items()}


def main() -> None:
    """Simulate, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description="Cost of a plate, ours beside DCP's.")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    console = Console(width=TABLE_WIDTH)
    found: dict[str, dict[str, Figures]] = {}
    for scenario in SCENARIOS:
        found[scenario.name] = simulate(scenario, given.seeds)
        console.print(table(scenario, found[scenario.name]))
    for name, (cost, utilisation) in GOALS.items():
        one = found[name][OURS]
        console.print(
            f"{name} interruptions: cost {one.usd / found[name][DCP].usd:.3f} of DCP's "
            f"(a plain policy: {cost}), utilisation {one.utilisation:.3f} ({utilisation})"
        )
    if given.json:
        given.json.write_text(json.dumps(as_json(found), indent=1) + "\n")


if __name__ == "__main__":
    main()
