import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import jsonschema
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from blocks.errors import JobFileError, Refusal
from blocks.job_file.metadata import metadata_id, metadata_text, parse_metadata
from blocks.job_file.model import JobFile, parse_job_file
from tasks.jobs.messages import JobMessage, messages

CONTRACT = json.loads(
    (Path(__file__).parents[3] / "docs" / "contract.schema.json").read_text(encoding="utf-8")
)
MESSAGE_SCHEMA = {**CONTRACT["$defs"]["job_message"], "$defs": CONTRACT["$defs"]}

BASE: dict[str, Any] = {
    "pipeline": "lab/pipelines/analysis.cppipe",
    "data_file": "lab/load_data.csv",
    "input": "lab/input/",
    "output": "lab/output/",
    "groups": [
        {"Metadata": "Metadata_Plate=P1,Metadata_Well=A01"},
        {"Metadata": "Metadata_Plate=P1,Metadata_Well=A02"},
    ],
}


def parse(where: str = "j.json", **changes: Any) -> JobFile:
    values = {k: v for k, v in {**BASE, **changes}.items() if v is not ...}
    return parse_job_file(json.dumps(values), where)


def jobs_of(job_file: JobFile, run_id: str = "r") -> Iterator[JobMessage]:
    """The messages of a job file that needs no CSV."""
    return messages(job_file.sets(), run_id, no_csvs)


def no_csvs(key: str) -> NoReturn:
    raise AssertionError(f"{key} was read")


def problems(**changes: Any) -> list[tuple[str, str]]:
    """Key and whole text of every problem; `...` leaves a key out."""
    with pytest.raises(JobFileError) as caught:
        parse(**changes)
    assert all(problem.where == "j.json" for problem in caught.value.problems)
    return [(problem.key, str(problem)) for problem in caught.value.problems]


def groups(*texts: str) -> list[dict[str, str]]:
    return [{"Metadata": text} for text in texts]


@pytest.mark.parametrize("example", CONTRACT["examples"], ids=lambda e: e["about"])
def test_messages_of_the_contract(example: dict[str, Any]) -> None:
    job = JobMessage.from_body(json.dumps(example["message"]))
    assert job.metadata == example["metadata_text"]
    assert job.metadata_id == example["metadata_id"]
    assert job.output_prefix == example["output_prefix"]
    assert job.job_id == example["job_id"]
    jsonschema.validate(json.loads(job.body), MESSAGE_SCHEMA)


@pytest.mark.parametrize("refused", CONTRACT["refused"], ids=lambda e: e["about"])
def test_messages_the_contract_refuses(refused: dict[str, Any]) -> None:
    with pytest.raises(JobFileError):
        JobMessage.from_body(json.dumps(refused["message"]))


def test_a_job_file_of_dcp() -> None:
    text = """{
      "_comment1": "Paths are relative to the bucket",
      "pipeline": "projects/analysis.cppipe",
      "data_file": "projects/list_of_images.csv",
      "input": "projects/input/",
      "output": "projects/output/",
      "_comment1": "The groups are jobs",
      "groups": [
        {"Metadata": "Metadata_Plate=P1,Metadata_Well=A01"},
        {"Metadata": "Metadata_Plate=P1,Metadata_Well=A02"}
      ]
    }"""
    first, second = jobs_of(parse_job_file(text, "j.json"), "run-1")
    assert first.output_prefix == "projects/output/P1-A01/"
    assert second.output_prefix == "projects/output/P1-A02/"
    assert json.loads(first.body) == {
        "Metadata": "Metadata_Plate=P1,Metadata_Well=A01",
        "pipeline": "projects/analysis.cppipe",
        "data_file": "projects/list_of_images.csv",
        "input": "projects/input/",
        "output": "projects/output/",
        "output_structure": "",
        "job_id": first.job_id,
        "run_id": "run-1",
    }


def test_groups_as_print_groups_writes_them() -> None:
    job_file = parse(
        groups=[
            {"Metadata_Well": "A01", "Metadata_Site": 1},
            {"Metadata": {"Metadata_Well": "A01", "Metadata_Site": "2"}},
        ],
        output_structure="Metadata_Well-Metadata_Site",
    )
    assert [job.metadata for job in jobs_of(job_file)] == [
        "Metadata_Well=A01,Metadata_Site=1",
        "Metadata_Well=A01,Metadata_Site=2",
    ]
    assert [job.metadata_id for job in jobs_of(job_file)] == ["A01-1", "A01-2"]


def test_yaml_values_stay_as_written() -> None:
    text = """
pipeline: p.cppipe
data_file: l.csv
output: out
output_structure: Metadata_Well/Metadata_Site
groups:
  - {Metadata_Well: A01, Metadata_Site: 001}
  - {Metadata_Well: NO, Metadata_Site: 010}
"""
    job_file = parse_job_file(text, "j.yaml")
    assert job_file.input == ""
    assert [job.metadata_id for job in jobs_of(job_file)] == ["A01/001", "NO/010"]


@pytest.mark.parametrize("key", ["pipeline", "data_file", "output", "groups"])
def test_missing_keys(key: str) -> None:
    [(found, text)] = problems(**{key: ...})
    assert found == key
    assert "is missing" in text


@pytest.mark.parametrize(
    ("changes", "key", "told"),
    [
        ({"piepline": "x"}, "piepline", "Did you mean pipeline?"),
        ({"Output": "x"}, "Output", "Write output"),
        ({"pipeline": ""}, "pipeline", "empty"),
        ({"output": ""}, "output", "empty"),
        ({"groups": []}, "groups", "empty"),
        ({"groups": "P1"}, "groups", "list"),
        ({"groups": ["Metadata_Plate=P1"]}, "groups[1]", '{"Metadata": "Metadata_Plate=P1"}'),
        ({"pipeline": "s3://bucket/p.cppipe"}, "pipeline", "key within the bucket"),
        ({"pipeline": "/home/ubuntu/bucket/p.cppipe"}, "pipeline", "/home/ubuntu/bucket/"),
        ({"input": "/lab"}, "input", "begins with /"),
        ({"output": "lab/../other"}, "output", "'..'"),
        ({"output": "./lab"}, "output", "'.'"),
        ({"output": "a\nb"}, "output", "line break"),
        ({"output": "lab "}, "output", "Write 'lab'"),
        ({"output_structure": "Metadata_Plate\tMetadata_Well"}, "output_structure", "control"),
        ({"data_file": "load_data.xlsx"}, "data_file", ".csv"),
        ({"data_file": "batch.h5"}, "pipeline", "batch file"),
        ({"pipeline": "a.h5", "data_file": "b.h5"}, "pipeline", "batch file"),
        ({"output_structure": "../Metadata_Plate-Metadata_Well"}, "output_structure", "'..'"),
        ({"output_structure": "analysis"}, "output_structure", "Metadata_Plate, Metadata_Well"),
        ({"output_structure": "Metadata_Plate/Metadata_Wel"}, "output_structure", "Metadata_Wel,"),
    ],
)
def test_wrong_values_name_the_key(changes: dict[str, Any], key: str, told: str) -> None:
    [(found, text)] = problems(**changes)
    assert found == key
    assert told in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Metadata_Plate=P1, Metadata_Well=A01", "'Metadata_Plate=P1,Metadata_Well=A01'"),
        ("Metadata_Plate=P1 ,Metadata_Well=A01", "space"),
        ("Metadata_Plate= P1,Metadata_Well=A01", "'P1'"),
        ("Metadata_Plate=,Metadata_Well=A01", "no value for Metadata_Plate"),
        ("Metadata_Plate,Metadata_Well=A01", "without ="),
        ("Metadata_Plate=P=1,Metadata_Well=A01", "'='"),
        ("Metadata_Plate=P1,Metadata_Plate=P2", "twice"),
        ("Metadata_Plate=P1,Metadata_Well=A01,", "empty part"),
        ("Metadata_Plate=P/1,Metadata_Well=A01", "'/'"),
        ("Metadata_Plate=..,Metadata_Well=A01", "'..'"),
        ("Metadata_Plate=P\u00001,Metadata_Well=A01", "in Metadata_Plate"),
        ("=P1,Metadata_Well=A01", "key ''"),
        ("-g=P1,Metadata_Well=A01", "'-g'"),
        ("", "is empty"),
        ("Metadata_Plate=P1", "different keys"),
        ("Metadata_Plate=P1,Metadata_well=A01", "different keys"),
        ("Metadata_Well=A01,Metadata_Plate=P1", "same group as groups[1]"),
    ],
)
def test_wrong_groups_name_their_number(text: str, told: str) -> None:
    [(key, message)] = problems(groups=groups("Metadata_Plate=P1,Metadata_Well=A01", text))
    assert key.removesuffix(".Metadata") == "groups[2]"
    assert told in message


@pytest.mark.parametrize("value", [None, True, ["A01"], {"a": "b"}])
def test_mapping_values_are_text(value: Any) -> None:
    [(key, text)] = problems(groups=[{"Well": value}], output_structure="Well")
    assert key == "groups[1]"
    assert "not text" in text


def test_mappings_need_an_output_structure() -> None:
    [(key, text)] = problems(groups=[{"Plate": "P1", "Well": "A01"}])
    assert key == "output_structure"
    assert "'Plate/Well'" in text


def test_metadata_beside_other_keys() -> None:
    [(key, _)] = problems(groups=[{"Metadata": "Metadata_Well=A01", "Site": "1"}])
    assert key == "groups[1].Site"


def test_equal_folders_by_accident_are_refused() -> None:
    texts = groups("Metadata_Plate=P1-A,Metadata_Well=1", "Metadata_Plate=P1,Metadata_Well=A-1")
    [(key, text)] = problems(groups=texts)
    assert key == "groups[2]"
    assert "groups[1]" in text
    assert "'lab/output/P1-A-1'" in text
    parse(groups=texts, output_structure="Metadata_Plate/Metadata_Well")


def test_folders_shared_on_purpose_are_counted() -> None:
    """DCP's projection step writes all sites of a plate into the plate's folder."""
    job_file = parse(output_structure="Metadata_Plate")
    assert [job.output_prefix for job in jobs_of(job_file)] == ["lab/output/P1/"] * 2
    assert not job_file.sets()[0].names_all_keys
    assert parse().sets()[0].names_all_keys


def test_a_folder_too_long_for_s3() -> None:
    [(key, text)] = problems(groups=groups("Metadata_Plate=" + "x" * 1000))
    assert key == "groups[1]"
    assert "too long" in text


def test_all_mistakes_are_told_but_not_thousands() -> None:
    texts = groups(*(f"Metadata_Plate={number}, " for number in range(1000)))
    found = problems(groups=texts)
    assert [key for key, _ in found[:2]] == ["groups[1].Metadata", "groups[2].Metadata"]
    assert len(found) < 50
    assert "980" in found[-1][1]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"pipeline": "p",\n "groups": [{},]}', "j.json:2:"),
        ('{"groups": [\n', "j.json:2:"),
        ("[]", "j.json: contains no keys"),
        ('{"pipeline": "a", "pipeline": "b"}', "j.json: pipeline: occurs twice"),
    ],
)
def test_texts_that_cannot_be_read(text: str, place: str) -> None:
    with pytest.raises(JobFileError) as caught:
        parse_job_file(text, "j.json")
    assert str(caught.value).startswith(place)


def test_messages_are_made_one_at_a_time() -> None:
    job_file = parse()
    stream = jobs_of(job_file)
    assert next(stream).metadata == "Metadata_Plate=P1,Metadata_Well=A01"
    assert next(stream).metadata == "Metadata_Plate=P1,Metadata_Well=A02"
    assert next(stream, None) is None


# What people write as keys and values, and what tries to break out of a folder.
keys = st.sampled_from(
    ["Metadata_Site", "Metadata_SiteName", "Metadata_Plate", "Metadata_Well", "Site", "Well", "a.b"]
)
values = st.one_of(
    st.sampled_from(["A01", "1", "..", ".", "a/b", "../x", "-g", "Metadata_Site", "", " a", "a b"]),
    st.text(max_size=8),
)
pairs = st.dictionaries(keys, values, min_size=1, max_size=4)
structures = st.lists(
    st.one_of(keys, st.sampled_from(["/", "-", "_", "..", ".", "x", "//", "Name"])), max_size=8
).map("".join)


@given(pairs, structures)
def test_an_output_folder_never_escapes(group: dict[str, str], structure: str) -> None:
    try:
        folder = metadata_id(parse_metadata(group), structure)
    except Refusal:
        return
    parts = folder.split("/")
    assert folder
    assert not {"", ".", ".."} & set(parts)
    assert folder.isprintable()


@given(pairs)
def test_metadata_survives_as_text(group: dict[str, str]) -> None:
    try:
        found = parse_metadata(group)
    except Refusal:
        return
    assert parse_metadata(metadata_text(found)) == found == tuple(group.items())


good = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "Pd", "Zs"]), min_size=1, max_size=6
).filter(lambda text: text == text.strip() and text.isprintable())


@given(st.dictionaries(keys, good, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_every_key_of_a_structure_becomes_its_value(group: dict[str, str], random: Any) -> None:
    order = list(group)
    random.shuffle(order)
    assert metadata_id(tuple(group.items()), "/".join(order)) == "/".join(group[k] for k in order)


@given(st.dictionaries(keys, good, min_size=1, max_size=4), good)
def test_messages_survive_sqs(group: dict[str, str], folder: str) -> None:
    job = JobMessage(
        metadata_text(tuple(group.items())), f"{folder}/p.cppipe", "l.csv", "", folder, "", "run-1"
    )
    body = job.body.encode().decode()
    jsonschema.validate(json.loads(body), MESSAGE_SCHEMA)
    assert JobMessage.from_body(body) == job
    assert json.loads(body)["job_id"] == job.job_id


@given(st.dictionaries(keys, good, min_size=1, max_size=3), st.integers(0, 5), good)
def test_job_ids_tell_jobs_apart_and_runs_alike(
    group: dict[str, str], place: int, other: str
) -> None:
    what = [metadata_text(tuple(group.items())), "p", "d.csv", "i", "o", "s"]
    changed = [*what]
    changed[place] = f"x={other}" if place == 0 else other
    assume(changed != what)
    job = JobMessage(*what, run_id="r1")
    assert job.job_id == JobMessage(*what, run_id="r2").job_id
    assert job.job_id != JobMessage(*changed, run_id="r1").job_id
