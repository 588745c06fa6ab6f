import re

from hypothesis import given
from hypothesis import strategies as st

from blocks import RunConfig
from blocks.resource_names import Names

apps = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")


@given(apps)
def test_every_name_is_valid_where_it_is_used(app: str) -> None:
    names = RunConfig(app_name=app, aws_bucket="my-bucket", dockerhub_tag="x").names
    for queue in (names.queue, names.dead_letter_queue):
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", queue)
    for ecs in (names.service, names.task_family):
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,255}", ecs)
    assert re.fullmatch(r"[a-zA-Z0-9().\-/_]{3,128}", names.launch_template)
    assert re.fullmatch(r"[.\-_/#A-Za-z0-9]{1,512}", names.instance_log_group)
    assert len(names.alarm("i-0123456789abcdef0")) <= 255
    assert len(app) <= 128, "the value of an ECS attribute"


@given(apps, apps)
def test_no_app_finds_the_alarms_or_records_of_another(app: str, other: str) -> None:
    mine, theirs = Names.of(app), Names.of(other)
    alarm = theirs.alarm("i-0123456789abcdef0")
    if app != other and not other.startswith(f"{app}_i-"):
        assert not alarm.startswith(mine.alarm_prefix)
        assert not theirs.run_prefix("r1").startswith(mine.record_prefix)


def test_an_app_whose_name_begins_with_anothers() -> None:
    lab, lab_2 = Names.of("Lab"), Names.of("Lab_2")
    assert not lab_2.alarm("i-0abc").startswith(lab.alarm_prefix)
    assert lab.alarm("i-0abc").startswith(lab.alarm_prefix)


def test_given_names_replace_derived_ones() -> None:
    names = Names.of("App", "MyQueue", "MyDead", "MyLogs")
    assert (names.queue, names.dead_letter_queue) == ("MyQueue", "MyDead")
    assert (names.log_group, names.instance_log_group) == ("MyLogs", "MyLogs_perInstance")
    assert names.service == "AppService"


def test_record_and_tags() -> None:
    names = Names.of("App")
    assert names.run_prefix("r1") == "dcp/App/r1/"
    assert names.latest_key == "dcp/App/latest.json"
    assert names.tags("r1") == {"dcp:app": "App", "dcp:run": "r1"}
