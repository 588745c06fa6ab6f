"""The JSON Schemas and examples in docs/ are current and agree with the models."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from blocks.errors import JobFileError
from blocks.job_file.model import parse_job_file
from blocks.loading.load import parse_config
from blocks.rendering.reference_docs import DOCS, schema_texts

EXAMPLES = DOCS.parent / "deployments" / "examples"
JOBS = [*sorted((EXAMPLES / "jobs").iterdir()), EXAMPLES / "demo" / "job.json"]
IN_DOCS = re.findall(r"```(yaml|json)\n(.*?)```", (DOCS / "jobs.md").read_text(), re.DOTALL)
PRINTED = '[[{"Metadata_Plate": "P1", "Metadata_Well": "A01"}, [1, 2]]]'


def schema(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((DOCS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return content


def check(name: str, text: str) -> None:
    jsonschema.validate(yaml.safe_load(text), schema(name), jsonschema.Draft7Validator)


@pytest.mark.parametrize("name", schema_texts())
def test_schemas_are_current_and_sound(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    assert text == schema_texts()[name], "run python -m blocks.rendering.reference_docs"
    jsonschema.Draft7Validator.check_schema(json.loads(text))


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_examples_of_job_files(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    check("job", text)
    assert parse_job_file(text, path.name).sets()


@pytest.mark.parametrize(("kind", "text"), IN_DOCS)
def test_job_files_in_the_docs(kind: str, text: str) -> None:
    check("job", text)
    assert parse_job_file(text, f"j.{kind}", lambda _: PRINTED).sets()


def test_configs() -> None:
    text = (EXAMPLES / "demo" / "config.yaml").read_text(encoding="utf-8")
    check("config", text)
    sections = "run: {app_name: A, dockerhub_tag: x}\nbuckets: {aws_bucket: my-bucket}\n"
    check("config", sections)
    parse_config(sections, "c.yaml")


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: path.name)
def test_examples_name_an_existing_schema(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.partition("=")[2]).resolve().parent == DOCS


WRONG = [
    "{}",
    "pipeline: p\ndata_file: l.csv\noutput: o\n",
    "step: analyses\nidentifier: I\nbatch: B\n",
    "step: analysis\nidentifier: I\n",
    "pipeline: p\ndata_file: l.csv\noutput: o\ngroups: []\n",
    "pipeline: p\ndata_file: l.csv\noutput: o\ngroups: {format: 12}\n",
    "pipeline: p\ndata_file: l.csv\noutput: o\ngroups: {bye: [W]}\n",
    "piepline: p\ndata_file: l.csv\noutput: o\ngroups: {by: [W]}\n",
    "pipeline: p\ndata_file: l.csv\noutput: o\ngroups: {by: [W], first: 0}\n",
]


@pytest.mark.parametrize("text", WRONG)
def test_mistakes_marked_by_an_editor_are_refused(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check("job", text)
    with pytest.raises(JobFileError):
        parse_job_file(text, "j.yaml")
