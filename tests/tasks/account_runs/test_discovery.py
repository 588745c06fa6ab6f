"""How runs stand and what is to be done about them: pure, from what was read."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.account_runs.discovery import SETTLING, Deed, RunState, State, draw, due, plan
from tasks.account_runs.overview import as_json, orphans_of, row_of, summary_of
from tasks.account_runs.tagged_resources import Kind, Resource
from tasks.jobs.queues import QueueCounts
from tasks.runs.heartbeat import MISSED, Beat, Watch
from tasks.runs.record import RunRecord

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KINDS: tuple[Kind, ...] = (
    "fleet", "machine", "volume", "launch template", "queue", "service", "alarm",
)  # fmt: skip


def resource(
    kind: Kind = "machine", run: str = "r1", bucket: str = "b", app: str = "A"
) -> Resource:
    return Resource(kind, f"{kind}-1", app, run, bucket, "us-east-1", "running")


def recorded(state: str = "active", hours: float = 1, **more: Any) -> RunRecord:
    ended = NOW - timedelta(hours=hours / 2) if state == "ended" else None
    begun = NOW - timedelta(hours=hours)
    return RunRecord.model_validate(
        {"app_name": "A", "run_id": "r1", "state": state, "started_at": begun, "ended_at": ended}
        | more
    )


def watched(age: float = 10) -> Watch:
    return Watch(Beat(at=NOW, every=60, by="flow-1"), timedelta(seconds=age))


def run(**more: Any) -> RunState:
    given: dict[str, Any] = {"app": "A", "run_id": "r1", "region": "us-east-1", "bucket": "b"}
    return RunState(**(given | more))


records = st.one_of(
    st.none(),
    st.builds(
        recorded,
        st.sampled_from(["active", "ended"]),
        st.floats(0, 400),
        jobs=st.one_of(st.none(), st.integers(1, 100)),
        fleet_id=st.sampled_from([None, "fleet-1"]),
    ),
)
states = st.builds(
    run,
    record=records,
    unread=st.sampled_from(["", "AccessDenied"]),
    watch=st.one_of(st.none(), st.builds(watched, st.floats(0, 1000))),
    resources=st.lists(st.builds(resource, st.sampled_from(KINDS)), max_size=3).map(tuple),
    queue=st.one_of(st.none(), st.builds(QueueCounts, st.integers(0, 3), st.integers(0, 3))),
)


@given(states)
def test_what_is_watched_or_cannot_be_read_is_left_alone(one: RunState) -> None:
    deed, why = due(one, NOW)
    assert why
    alive = one.watch is not None and one.watch.age <= timedelta(seconds=60 * MISSED)
    if one.unread or (one.record is not None and one.record.state == "active" and alive):
        assert deed is Deed.LEAVE


@given(states)
def test_no_machine_is_left_without_somebody_who_ends_it(one: RunState) -> None:
    if one.costly and one.state not in (State.WATCHED, State.UNKNOWN):
        assert due(one, NOW)[0] is not Deed.LEAVE


@given(states)
def test_jobs_that_wait_are_never_given_up(one: RunState) -> None:
    if one.record is not None and one.record.state == "active" and one.queue and one.queue.total:
        assert due(one, NOW)[0] is not Deed.END


@given(states)
def test_every_run_can_be_told(one: RunState) -> None:
    assert set(row_of(one, NOW)) == set(row_of(run(), NOW))
    told = as_json(one, NOW)
    assert bool(told["orphans"]) == (one.state is State.ORPHANED)
    assert len(orphans_of([one])) == len(told["orphans"])
    assert str(one.state) in summary_of([one])


@pytest.mark.parametrize(
    ("one", "deed"),
    [
        (run(record=recorded(), watch=watched(), resources=(resource(),)), Deed.LEAVE),
        (run(record=recorded(), watch=watched(400), resources=(resource(),)), Deed.TICK),
        (run(record=recorded(), resources=(resource("fleet"),)), Deed.TICK),
        (run(record=recorded(), resources=(resource("queue"),)), Deed.END),
        (run(record=recorded(hours=0.1), resources=(resource("service"),)), Deed.LEAVE),
        (run(record=recorded(), queue=QueueCounts(3, 0)), Deed.LEAVE),
        (run(record=recorded(jobs=3, fleet_id="f"), queue=QueueCounts(0, 0)), Deed.TICK),
        (run(record=recorded(), queue=QueueCounts(0, 0)), Deed.LEAVE),
        (run(record=recorded(hours=73), queue=QueueCounts(0, 0)), Deed.END),
        (
            run(record=recorded(hours=73, config={"max_hours": 100}), queue=QueueCounts(0, 0)),
            Deed.LEAVE,
        ),
        (run(record=recorded("ended")), Deed.LEAVE),
        (run(record=recorded("ended"), resources=(resource("alarm"),)), Deed.END),
        (run(record=recorded("ended", 0.1), resources=(resource("alarm"),)), Deed.LEAVE),
        (run(record=recorded("ended", 0.1), resources=(resource("volume"),)), Deed.END),
        (run(resources=(resource(),)), Deed.END),
        (run(resources=(resource(),), unread="AccessDenied"), Deed.LEAVE),
    ],
)
def test_what_is_due(one: RunState, deed: Deed) -> None:
    assert due(one, NOW)[0] is deed
    assert plan([one], NOW)[0][1] is deed


def test_a_run_is_not_ended_beside_another_of_its_app() -> None:
    left = run(record=recorded("ended"), resources=(resource(),))
    other = run(bucket="c", run_id="r2", record=recorded(), watch=watched())
    assert [deed for _, deed, _ in plan([left, other], NOW)] == [Deed.LEAVE, Deed.LEAVE]
    elsewhere = run(bucket="c", region="eu-west-1", record=recorded(), watch=watched())
    assert plan([left, elsewhere], NOW)[0][1] is Deed.END


def test_resources_belong_to_the_run_that_has_not_ended() -> None:
    old = run(record=recorded("ended"))
    new = run(run_id="r2", record=recorded())
    late, alarm = resource(run="r1"), resource("alarm", bucket="", run="r1")
    found = {one.run_id: one for one in draw([old, new], [late, alarm])}
    assert found["r2"].resources == (late, alarm)
    assert found["r1"].resources == ()


def test_what_names_no_known_run_is_a_run_of_its_own() -> None:
    known = run(record=recorded())
    strange = resource(app="B", bucket="b")
    unnamed = resource("alarm", app="C", bucket="")
    found = {one.app: one for one in draw([known], [strange, unnamed])}
    assert found["B"].state is State.ORPHANED
    assert found["C"].state is State.UNKNOWN, "nothing tells where its record is"
    assert found["A"].state is State.WAITING


def test_a_record_that_a_tag_named_and_that_is_gone_makes_an_orphan() -> None:
    machine = resource()
    (found,) = draw([run(region="")], [machine])
    assert (found.state, found.orphans, found.region) == (
        State.ORPHANED, (machine,), "us-east-1",
    )  # fmt: skip


def test_what_has_just_ended_may_still_be_listed() -> None:
    ended = recorded("ended").model_copy(update={"ended_at": NOW - SETTLING / 2})
    assert due(run(record=ended, resources=(resource("queue"),)), NOW)[0] is Deed.LEAVE
