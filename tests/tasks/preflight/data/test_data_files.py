"""Jobs from a list of files, a batch file, a pipeline in JSON; images in other places."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from good_project import BATCH, CSV, IMAGES, PIPELINE, PIPELINE_TEXT, ROOT, WELLS, Project, connect

from deployments.local.emulator_client import Emulator
from tasks.preflight.data import images
from tasks.preflight.data.csv_index import ImageReference
from tasks.preflight.pipeline.parser import Pipeline, parse_pipeline

LIST = f"{BATCH}/files.txt"
BATCH_FILE = f"{BATCH}/batchfiles/Batch_data.h5"
INPUT_MODULES = Path(__file__).parents[3] / "support" / "file_list.cppipe"


@pytest.fixture
def emulator(switched: Emulator) -> Emulator:
    """Tests of this module change settings of the whole account."""
    return switched


@pytest.fixture
def find(emulator: Emulator, tmp_path: Path) -> Callable[[Project], list[tuple[str, str, str]]]:
    aws = connect(emulator.endpoint_url)

    def check(project: Project) -> list[tuple[str, str, str]]:
        emulator.set_account(**project.account)
        bucket = f"lab-{uuid4().hex[:12]}"
        return [
            (finding.code, finding.problem.where.replace(bucket, "lab"), finding.problem.key)
            for finding in project.find(aws, bucket, tmp_path)
            if finding.code != "cost"
        ]

    return check


def of_list(*lines: str) -> Project:
    """Jobs of a list of files: the wells of the DNA images, and these lines."""
    project = Project(pipeline=INPUT_MODULES.read_text(encoding="utf-8"))
    paths = [f"{ROOT}/{key}" for key in project.objects if key.endswith("_DNA.tiff")]
    project.objects[LIST] = "\n".join([*paths, *lines]).encode()
    project.job |= {
        "data_file": LIST,
        "input": "",
        "output_structure": "",
        "groups": [{"Metadata": f"Metadata_Well={well}"} for well in WELLS],
    }
    project.config["expected_number_files"] = 3
    return project


@pytest.mark.parametrize(
    ("line", "findings"),
    [
        ("", []),
        ("https://example.org/a.tif", []),
        (f"s3://no-such-bucket-of-the-lab/{IMAGES}/a.tif", [("bucket_missing", LIST, "line 9")]),
        (f"{IMAGES}/A01_s1_ER.tiff", [("list_relative", LIST, "line 9")]),
        ("/Users/me/images/A01_s1_DNA.tiff", [("list_path", LIST, "line 9")]),
        (f"{ROOT}/{IMAGES}/A01_s3_DNA.tiff", [("image_missing", LIST, "line 9")]),
    ],
)
def test_a_list_of_files(
    find: Callable[[Project], Any], line: str, findings: list[tuple[str, str, str]]
) -> None:
    assert find(of_list(line)) == findings


def test_a_list_of_files_needs_the_input_modules(find: Callable[[Project], Any]) -> None:
    project = of_list()
    project.pipeline = PIPELINE_TEXT
    project.job["input"] = f"{BATCH}/rules"
    assert find(project) == [("input_modules_missing", PIPELINE, "")]


def test_a_list_of_files_is_grouped_by_the_jobs_keys(find: Callable[[Project], Any]) -> None:
    project = of_list()
    project.replace("Metadata category:Well", "Metadata category:Site")
    assert find(project) == [("grouping_keys", PIPELINE, "module 4 (Groups)")]


@pytest.mark.parametrize(
    ("content", "codes"), [(b"\x89HDF\r\n\x1a\n", []), (b"x", ["batch_file_broken"])]
)
def test_a_batch_file(find: Callable[[Project], Any], content: bytes, codes: list[str]) -> None:
    project = Project()
    project.objects[BATCH_FILE] = content
    project.job |= {"pipeline": BATCH_FILE, "data_file": BATCH_FILE}
    assert [code for code, *_ in find(project)] == codes


def test_images_in_a_missing_bucket(find: Callable[[Project], Any]) -> None:
    project = Project()
    project.rows[0]["PathName_OrigDNA"] = f"s3://no-such-bucket-of-the-lab/{IMAGES}"
    assert find(project) == [("bucket_missing", CSV, "line 2")]


def test_images_without_permission_to_list(emulator: Emulator) -> None:
    emulator.set_account(refused=["s3:ListBucket"])
    s3 = connect(emulator.endpoint_url).s3
    tally = images.check_images([ImageReference("lab", "images/a.tif", 2)], lambda _: s3)
    (finding,) = images.findings(tally, CSV)
    assert (finding.level, finding.code, finding.problem.key) == (
        "warning",
        "not_checked",
        "line 2",
    )


def as_json(pipeline: Pipeline) -> str:
    """A pipeline as CellProfiler writes it in JSON."""
    modules = [
        {
            "attributes": {
                "module_name": module.name,
                "enabled": module.enabled,
                "variable_revision_number": module.revision,
            },
            "settings": [
                {"name": "x.Setting", "text": setting.label, "value": setting.value}
                for setting in module.settings
            ],
        }
        for module in pipeline.modules
    ]
    return json.dumps({"module_count": len(modules), "modules": modules, "version": "v6"})


def test_a_pipeline_in_json_is_the_same() -> None:
    text = parse_pipeline(PIPELINE_TEXT)
    assert parse_pipeline(as_json(text), is_json=True) == text
