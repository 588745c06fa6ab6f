"""Samples of the machine and their warnings."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import psutil
import pytest
from dcp_worker.machine import metrics
from dcp_worker.machine.metrics import THRESHOLDS, Meter, Sample, memory, new_warnings
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_for

CALM = replace(
    Sample(**{field.name: 0.0 for field in fields(Sample)}),
    memory_limit_mb=100,
    disk_mb=100,
    disk_free_mb=100,
)
MB = 1024 * 1024


def sample(memory: float = 0, disk: float = 0, steal: float = 0) -> Sample:
    """A sample with these percentages."""
    return replace(CALM, memory_mb=memory, disk_free_mb=100 - disk, steal_percent=steal)


def test_each_figure_is_warned_of_once_until_it_recovers() -> None:
    warned: frozenset[str] = frozenset()
    counts = []
    for memory_percent in (50, 95, 99, 85, 95, 70, 85, 92):
        texts, warned = new_warnings(sample(memory=memory_percent), warned)
        counts.append(len(texts))
    assert counts == [0, 1, 0, 0, 0, 0, 0, 1]


def test_a_warning_has_the_value_and_its_consequence() -> None:
    texts, _ = new_warnings(sample(memory=91, disk=97, steal=30), frozenset())
    assert len(texts) == 3
    assert all(figure in " ".join(texts) for figure in ("91", "97", "30"))


percent = st.floats(0, 100)


@given(st.lists(st.builds(sample, percent, percent, percent), max_size=20))
def test_between_two_warnings_a_figure_has_recovered(samples: list[Sample]) -> None:
    warned: frozenset[str] = frozenset()
    for threshold in THRESHOLDS:
        warned, silent = frozenset(), False
        for taken in samples:
            value = getattr(taken, threshold.figure)
            texts, warned = new_warnings(taken, warned)
            new = any(threshold.text in text for text in texts)
            assert new is (value >= threshold.warn_percent and not silent)
            silent = (silent or new) and value >= threshold.recovered_percent


def test_a_sample_of_this_machine(tmp_path: Path) -> None:
    taken = Meter(tmp_path).sample()
    assert 0 <= taken.cpu_percent <= 100
    assert 0 < taken.memory_mb < taken.memory_limit_mb
    assert 0 < taken.disk_free_mb <= taken.disk_mb
    assert min(asdict(taken).values()) >= 0


def test_work_is_seen_in_the_cpu_figure(tmp_path: Path) -> None:
    meter = Meter(tmp_path)

    def busy() -> bool:
        sum(range(300_000))
        return meter.sample().cpu_percent > 10

    wait_for(busy, "the sample to show a busy CPU")


@pytest.mark.parametrize(
    ("names", "inactive"),
    [
        (("memory.max", "memory.current"), "inactive_file"),
        (
            ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
            "total_inactive_file",
        ),
    ],
)
def test_the_containers_limit_counts_where_it_has_one(
    tmp_path: Path, names: tuple[str, str], inactive: str
) -> None:
    limit, used = (tmp_path / name for name in names)
    limit.parent.mkdir(exist_ok=True)
    limit.write_text(f"{100 * MB}\n")
    used.write_text(f"{70 * MB}\n")
    (limit.parent / "memory.stat").write_text(f"anon 1\n{inactive} {20 * MB}\n")
    assert memory(tmp_path) == (50 * MB, 100 * MB)


@pytest.mark.parametrize("limit", ["max", str(2**63 - 4096), ""])
def test_without_a_limit_it_is_the_machines_memory(tmp_path: Path, limit: str) -> None:
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text("1")
    (tmp_path / "memory.stat").write_text("inactive_file 0\n")
    assert memory(tmp_path)[1] == psutil.virtual_memory().total


def test_each_sample_is_one_line_of_json(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "dcp_worker.machine")
    over = metrics.watch(tmp_path, seconds=0.01)
    wait_for(lambda: len(caplog.messages) > 2, "three samples")
    over.set()
    figures = json.loads(caplog.messages[0])["machine"]
    assert figures.keys() == {field.name for field in fields(Sample)}


def test_failing_measurements_log_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = tmp_path / "gone"
    caplog.set_level("INFO", "dcp_worker")

    def logged(text: str) -> int:
        return sum(text in message for message in caplog.messages)

    over = metrics.watch(gone, seconds=0.01)
    wait_for(lambda: logged(str(gone)), "the warning")
    assert logged('"machine"') == 0
    gone.mkdir()
    wait_for(lambda: logged('"machine"') > 2, "it to be measured again")
    over.set()
    assert logged(str(gone)) == 1
