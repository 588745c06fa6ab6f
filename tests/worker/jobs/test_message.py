"""Messages of every kind: each is a job or is rejected with a reason."""

from __future__ import annotations

import json

import pytest
from dcp_worker.jobs import message
from hypothesis import given
from hypothesis import strategies as st

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
keys = ("Metadata", "pipeline", "data_file", "input", "output", "output_structure", "job_id")
words = st.text(alphabet="aA1_-. /=,µ{", max_size=8)
metadata = (
    words
    | st.dictionaries(words, words, max_size=3)
    | st.lists(st.tuples(words, words), max_size=3).map(
        lambda pairs: ",".join(f"{key}={value}" for key, value in pairs)
    )
)


def read(body: str) -> message.Job | None:
    try:
        return message.parse(body, "run")
    except message.BadMessageError as error:
        str(error).encode("utf-8")  # the reason must be sendable
        return None


@given(st.text())
def test_no_text_breaks_the_worker(body: str) -> None:
    read(body)


@given(st.dictionaries(st.sampled_from(keys), anything))
def test_no_json_breaks_the_worker(content: dict) -> None:
    read(json.dumps(content))


@given(metadata, words, words)
def test_no_job_leaves_its_output_folder(group: object, output: str, structure: str) -> None:
    job = read(
        json.dumps(
            {
                "Metadata": group,
                "pipeline": "p.cppipe",
                "data_file": "d.csv",
                "output": output,
                "output_structure": structure,
            }
        )
    )
    if job is not None:
        parts = job.output.split("/")
        assert parts.pop() == ""
        assert not {"", ".", ".."} & set(parts)
        assert parts[: len(parts) - len(job.metadata_id.split("/"))] == [
            part for part in output.split("/") if part
        ]
        assert dict(job.group) == dict(pair.split("=") for pair in job.metadata.split(","))


def test_the_error_names_the_invalid_value() -> None:
    with pytest.raises(message.BadMessageError, match="' Metadata_Well'='A01'"):
        message.parse(
            json.dumps(
                {
                    "Metadata": "Metadata_Plate=P1, Metadata_Well=A01",
                    "pipeline": "p",
                    "data_file": "d.csv",
                    "output": "o",
                }
            ),
            "run",
        )


def test_a_refused_message_keeps_its_ids_for_the_account() -> None:
    job_id = "0" * 32
    with pytest.raises(message.BadMessageError) as refused:
        message.parse(json.dumps({"job_id": job_id, "run_id": "run-7"}), "run")
    assert (refused.value.job_id, refused.value.run_id) == (job_id, "run-7")


def test_deeply_nested_json_is_refused() -> None:
    with pytest.raises(message.BadMessageError):
        message.parse("[" * 100_000, "run")
