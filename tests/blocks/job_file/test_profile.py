"""A profile becomes steps with their own job files and apps."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import ConfigError, JobFileError
from blocks.job_file.profile import Profile, may_continue, parse_profile

PROFILE: dict[str, Any] = {
    "job": {"identifier": "lab", "batch": "b1", "plates": ["001", "P2"]},
    "steps": [
        {"step": "illum", "settings": {"cluster_machines": 1}},
        {"step": "analysis", "job": {"pipeline": "v2.cppipe"}, "settings": {"memory": 7500}},
    ],
    "failed_share": 0.05,
}


def profile(**keys: Any) -> Profile:
    return parse_profile(yaml.safe_dump(PROFILE | keys), "profile.yaml")


def test_each_step_has_an_app_as_dcp_names_it_and_a_job_file() -> None:
    illum, analysis = profile().plan()
    assert (illum.app, analysis.app) == ("lab_Illum", "lab_Analysis")
    assert illum.settings["sqs_queue_name"] is None, "no queue of the config is shared"
    assert analysis.settings["memory"] == "7500"
    (first_set, _) = analysis.job.sets()
    assert first_set.pipeline == "projects/lab/workspace/pipelines/b1/v2.cppipe"
    assert first_set.plate == "001"


def test_plates_keep_their_zeros() -> None:
    text = "job: {identifier: lab, batch: b1, plates: [001]}\nsteps: [{step: illum}]\n"
    (step,) = parse_profile(text, "p.yaml").plan()
    assert step.job.plates == ["001"]


def test_an_app_name_of_the_step_counts() -> None:
    steps = [{"step": "illum", "settings": {"app_name": "Mine"}}]
    (step,) = profile(steps=steps).plan()
    assert step.app == step.settings["app_name"] == "Mine"


def test_all_mistakes_are_reported_with_their_step() -> None:
    steps = [
        {"step": "illum", "job": {"path_style": "other"}},
        {"step": "analysis", "job": {"colour": "red"}},
    ]
    with pytest.raises(JobFileError) as caught:
        profile(steps=steps).plan("profile.yaml")
    text = str(caught.value)
    for part in ("steps[1] (illum)", "path_style", "steps[2] (analysis)", "colour"):
        assert part in text


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"steps": []}, "steps"),
        ({"steps": [{"step": "analysys"}]}, "step"),
        ({"failed_share": 5}, "failed_share"),
        ({"job": {"batch": "b1"}}, "identifier"),
        ({"job": {"identifier": "lab", "step": "illum"}}, "step"),
        ({"stepps": []}, "stepps"),
    ],
)
def test_mistakes_in_a_profile_are_reported_by_key(keys: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        profile(**keys)
    assert "profile.yaml" in str(caught.value)
    assert named in str(caught.value)


@given(st.integers(1, 10_000), st.data())
def test_the_next_step_starts_only_when_few_enough_failed(submitted: int, data: Any) -> None:
    failed = data.draw(st.integers(0, submitted))
    share = data.draw(st.floats(0, 0.99))
    assert may_continue(submitted, failed, 0, share) == (failed / submitted <= share)
    assert not may_continue(submitted, failed, 1, share), "a lost job: the step is incomplete"


@given(st.integers(0, 99))
def test_as_many_as_the_share_may_fail(percent: int) -> None:
    assert may_continue(100, percent, 0, float(f"0.{percent:02}"))
    assert not may_continue(100, percent + 1, 0, float(f"0.{percent:02}"))
