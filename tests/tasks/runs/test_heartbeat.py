"""Whether a run is watched is read off its record, by S3's clock alone."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_for

from tasks.runs import heartbeat, record
from tasks.runs.heartbeat import MISSED, Beat, Watch
from tasks.runs.run import Run

FAST = 0.2


def beat(every: float, at: datetime | None = None) -> Beat:
    return Beat(at=at or datetime.now(UTC), every=every, by="test")


@given(every=st.floats(0.1, 3600), beats=st.floats(0, 2 * MISSED))
def test_who_misses_too_many_beats_is_gone(every: float, beats: float) -> None:
    found = Watch(beat(every), timedelta(seconds=every * beats))
    late = found.age - timedelta(seconds=every * MISSED)
    assert found.alive == (late <= timedelta())


def test_nobody_watches_a_run_that_was_only_begun(run: Run) -> None:
    assert not heartbeat.watched(run)


def test_a_run_is_watched_as_long_as_its_flow_beats(run: Run) -> None:
    every = 1.0
    with heartbeat.kept(run, every):
        first = heartbeat.newest(run)
        assert first is not None
        assert first.alive
        silent = first.beat.at + timedelta(seconds=MISSED * every)

        def later() -> Watch | None:
            found = heartbeat.newest(run)
            return found if found and found.beat.at > silent else None

        assert wait_for(later, "a beat after the first alone would be too old").alive
        with heartbeat.kept(run, every):
            assert heartbeat.watched(run)
        assert heartbeat.watched(run), "a block within does not end it"
    assert heartbeat.newest(run) is None


def test_a_flow_that_was_killed_falls_silent(run: Run) -> None:
    record.put(run, heartbeat.NAME, beat(FAST).model_dump_json())
    assert heartbeat.watched(run)
    wait_for(lambda: not heartbeat.watched(run), "silence")


def test_who_ends_leaves_the_beat_of_another(run: Run) -> None:
    with heartbeat.kept(run):
        record.put(run, heartbeat.NAME, beat(60).model_dump_json())
    assert heartbeat.watched(run)


def test_the_clock_of_who_writes_does_not_count(run: Run) -> None:
    for wrong in (timedelta(days=-400), timedelta(days=400)):
        said = beat(60, datetime.now(UTC) + wrong)
        record.put(run, heartbeat.NAME, said.model_dump_json())
        assert heartbeat.watched(run)


def test_what_a_stranger_wrote_is_no_beat(run: Run) -> None:
    for text in ("{}", "no json", '{"at": "2026-03-01T12:00:00Z", "every": 0, "by": ""}'):
        record.put(run, heartbeat.NAME, text)
        assert not heartbeat.watched(run)


def test_a_beat_that_cannot_be_written_breaks_nothing_off(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    gone = run.config.model_copy(update={"aws_bucket": "there-is-no-such-bucket"})
    with heartbeat.kept(Run(gone, run.run_id, run.aws), FAST):
        wait_for(lambda: "could not write the heartbeat" in caplog.text, "the warning")


def test_watching_ends_with_an_error_of_the_block(run: Run) -> None:
    with pytest.raises(KeyboardInterrupt), heartbeat.kept(run, FAST):
        raise KeyboardInterrupt
    assert not heartbeat.watched(run)


@pytest.mark.parametrize(("look", "every"), [(1, 5), (10, 50), (60, 60), (600, 60)])
def test_who_looks_often_says_so_often(run: Run, look: int, every: float) -> None:
    often = Run(run.config.model_copy(update={"monitor_seconds": look}), run.run_id, run.aws)
    with heartbeat.kept(often):
        found = heartbeat.newest(often)
    assert found is not None
    assert found.beat.every == every
