"""Single mistakes in a good project: each is reported, and nothing else is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from good_project import (
    BATCH,
    CSV,
    ILLUM,
    IMAGES,
    PIPELINE,
    PLATE,
    ROOT,
    RULES,
    Project,
    connect,
)

from deployments.local.emulator_client import Emulator
from tasks.aws.clients import Aws

pytestmark = pytest.mark.e2e

QUEUE = "arn:aws:sqs:us-east-1:123456789012:CellPaintingQueue"
CHECKED = (("A01", 1), ("A01", 2), ("A02", 1))


@pytest.fixture
def emulator(switched: Emulator) -> Emulator:
    """Tests of this module change settings of the whole account."""
    return switched


@pytest.fixture
def aws(emulator: Emulator) -> Aws:
    return connect(emulator.endpoint_url)


@dataclass(frozen=True)
class Mistake:
    """A mistake: how to plant it, and level, code and place of the finding that reports it."""

    name: str
    plant: Callable[[Project], object]
    finding: str
    where: str
    key: str


def column(old: str, new: str) -> Callable[[Project], None]:
    """Rename a column of the CSV."""

    def plant(project: Project) -> None:
        project.rows = [{(new if k == old else k): v for k, v in r.items()} for r in project.rows]

    return plant


def cell(name: str, value: str, row: int = 0) -> Callable[[Project], None]:
    """Change a cell of the CSV."""
    return lambda project: project.rows[row].update({name: value})


def text(change: Callable[[str], str | bytes]) -> Callable[[Project], None]:
    """Change the text of the CSV."""

    def plant(project: Project) -> None:
        project.csv = change

    return plant


def line(number: int, change: Callable[[str], str]) -> Callable[[Project], None]:
    """Change a line of the CSV, counted from 1."""

    def changed(csv: str) -> str:
        lines = csv.split("\n")
        lines[number - 1] = change(lines[number - 1])
        return "\n".join(lines)

    return text(changed)


def pipeline(old: str, new: str) -> Callable[[Project], None]:
    """Change the pipeline."""
    return lambda project: project.replace(old, new)


def group(**values: str) -> Callable[[Project], None]:
    """Change the first group of the job file."""
    return lambda project: project.job["groups"][0].update(values)


def job(**values: object) -> Callable[[Project], None]:
    """Change keys of the job file."""
    return lambda project: project.job.update(values)


def config(**values: object) -> Callable[[Project], None]:
    """Change keys of the run config."""
    return lambda project: project.config.update(values)


def account(**values: object) -> Callable[[Project], None]:
    """Change permissions, resources or quotas of the account."""
    return lambda project: project.account.update(values)


def both(*plants: Callable[[Project], object]) -> Callable[[Project], None]:
    """Several changes that together are one mistake."""

    def plant(project: Project) -> None:
        for change in plants:
            change(project)

    return plant


def without(key: str) -> Callable[[Project], None]:
    """Remove an object from the bucket."""
    return lambda project: project.objects.pop(key)


def objects(**contents: bytes) -> Callable[[Project], None]:
    """Put other content into objects; a key's / is written __."""
    return lambda project: project.objects.update(
        {key.replace("__", "/"): body for key, body in contents.items()}
    )


def add_module(name: str, settings: str = "") -> Callable[[Project], None]:
    """Add a module at the end of the pipeline."""

    def plant(project: Project) -> None:
        project.replace("ModuleCount:16", "ModuleCount:17")
        project.pipeline += (
            f"\n{name}:[module_num:17|svn_version:'Unknown'|variable_revision_number:1"
            "|show_window:False|notes:[]|batch_state:array([], dtype=uint8)|enabled:True"
            f"|wants_pause:False]\n{settings}"
        )

    return plant


FIRST = f"groups: Metadata_Plate={PLATE},Metadata_Well="
LOAD_DATA = "module 1 (LoadData)"
TIFF = f"{IMAGES}/A02_s1_ER.tiff"

MISTAKES = [
    # The buckets and objects.
    Mistake(
        "the images' bucket has another name",
        config(source_bucket="no-such-bucket-anywhere", workspace_bucket=None),
        "error bucket_missing",
        "run config",
        "source_bucket",
    ),
    Mistake(
        "the pipeline is not where the job file says",
        job(pipeline=f"{BATCH}/pipelines/analyis.cppipe"),
        "error object_missing",
        "job.yaml",
        "pipeline",
    ),
    Mistake(
        "the CSV is not where the job file says",
        job(data_file=f"{BATCH}/load_data_csv/load_data.csv"),
        "error object_missing",
        "job.yaml",
        "data_file",
    ),
    Mistake("the CSV is empty", text(lambda _: ""), "error object_empty", "job.yaml", "data_file"),
    Mistake(
        "the pipeline was truncated to nothing during the upload",
        objects(**{PIPELINE.replace("/", "__"): b""}),
        "error object_empty",
        "job.yaml",
        "pipeline",
    ),
    # The CSV.
    Mistake(
        "the CSV has only a header",
        text(lambda csv: csv.split("\n")[0]),
        "error csv_no_rows",
        CSV,
        "",
    ),
    Mistake(
        "the CSV was written by pandas with its index",
        text(
            lambda csv: "".join(
                f"{n - 1 if n else ''},{row}\n" for n, row in enumerate(csv.split("\n")[:-1])
            )
        ),
        "error csv_unnamed_column",
        CSV,
        "column 1",
    ),
    Mistake(
        "the header ends with a comma",
        text(lambda csv: csv.replace("\n", ",\n")),
        "error csv_unnamed_column",
        CSV,
        "column 25",
    ),
    Mistake(
        "a stray comma within a row",
        line(4, lambda row: row.replace(".tiff,", ".tiff,,", 1)),
        "error csv_long_row",
        CSV,
        "line 4",
    ),
    Mistake(
        "a stray comma at the end of a row",
        line(3, lambda row: row + ","),
        "warning csv_end_comma",
        CSV,
        "line 3",
    ),
    Mistake(
        "a row is truncated",
        line(9, lambda row: row[: len(row) // 2]),
        "error csv_short_row",
        CSV,
        "line 9",
    ),
    Mistake(
        "a column occurs twice",
        line(1, lambda header: header.replace("Metadata_Dose", "Metadata_Well")),
        "error csv_duplicate_column",
        CSV,
        "Metadata_Well",
    ),
    Mistake(
        "a space at the end of a column's name",
        column("Metadata_Dose", "Metadata_Dose "),
        "error csv_column_space",
        CSV,
        "Metadata_Dose",
    ),
    Mistake(
        "FileName_ is spelled Filename_",
        column("FileName_OrigER", "Filename_OrigER"),
        "error csv_pair_missing",
        CSV,
        "FileName_OrigER",
    ),
    Mistake(
        "the folder of a channel is missing",
        column("PathName_OrigER", "Folder_OrigER"),
        "error csv_pair_missing",
        CSV,
        "PathName_OrigER",
    ),
    Mistake(
        "the metadata column has another case",
        column("Metadata_Site", "Metadata_site"),
        "error csv_metadata_missing",
        CSV,
        "Metadata_Site",
    ),
    Mistake(
        "the CSV is in UTF-16, as some spreadsheets save it",
        text(lambda csv: csv.encode("utf-16")),
        "error csv_unreadable",
        CSV,
        "line 1",
    ),
    Mistake(
        "the path of an image is on another computer",
        cell("PathName_OrigER", "/Users/me/Desktop/images"),
        "error csv_path",
        CSV,
        "line 2",
    ),
    Mistake(
        "the path of an image is on a Windows computer",
        cell("PathName_OrigER", "C:\\images", 2),
        "error csv_path",
        CSV,
        "line 4",
    ),
    Mistake(
        "a cell that names an image is empty",
        cell("FileName_OrigMito", "", 1),
        "error csv_image_empty",
        CSV,
        "line 3",
    ),
    # The groups.
    Mistake(
        "the well is not padded: A1 for A01",
        group(Metadata_Well="A1"),
        "error group_not_found",
        "job.yaml",
        f"{FIRST}A1,Metadata_Site=1",
    ),
    Mistake(
        "the well has another case: a01 for A01",
        group(Metadata_Well="a01"),
        "error group_not_found",
        "job.yaml",
        f"{FIRST}a01,Metadata_Site=1",
    ),
    Mistake(
        "the site is padded: 01 where CellProfiler reads 1",
        both(
            *(cell("Metadata_Site", f"0{1 + n % 2}", n) for n in range(8)),
            group(Metadata_Site="01"),
        ),
        "error group_not_found",
        "job.yaml",
        f"{FIRST}A01,Metadata_Site=01",
    ),
    Mistake(
        "the values are in the CSV, but not in one row",
        lambda project: project.rows.pop(0),
        "error group_not_found",
        "job.yaml",
        f"{FIRST}A01,Metadata_Site=1",
    ),
    Mistake(
        "a space at the end of the wells in the CSV",
        both(cell("Metadata_Well", "A01 ", 0)),
        "error group_not_found",
        "job.yaml",
        f"{FIRST}A01,Metadata_Site=1",
    ),
    Mistake(
        "a well of the CSV has no jobs",
        lambda project: project.job.update(groups=project.job["groups"][:-2]),
        "note groups_without_job",
        CSV,
        f"Metadata_Plate={PLATE},Metadata_Well=B02,Metadata_Site=1",
    ),
    # The pipeline.
    Mistake(
        "the file is not a pipeline",
        lambda project: setattr(project, "pipeline", "<html>Access denied</html>"),
        "error pipeline_format",
        PIPELINE,
        "",
    ),
    Mistake(
        "the pipeline is truncated",
        lambda project: setattr(
            project, "pipeline", project.pipeline.partition("\nExportToSpreadsheet")[0]
        ),
        "error pipeline_cut_off",
        PIPELINE,
        "ModuleCount",
    ),
    Mistake(
        "the pipeline is truncated in its last module",
        lambda project: setattr(
            project, "pipeline", project.pipeline.partition("\n    Filename prefix")[0]
        ),
        "error pipeline_cut_off",
        PIPELINE,
        "module 16 (ExportToSpreadsheet)",
    ),
    Mistake(
        "the pipeline was saved by CellProfiler 5",
        pipeline("Version:5", "Version:7"),
        "error pipeline_version",
        PIPELINE,
        "",
    ),
    Mistake(
        "CellProfiler does not know a module",
        pipeline("MeasureTexture:[", "MeasureTextures:["),
        "error unknown_module",
        PIPELINE,
        "module 10 (MeasureTextures)",
    ),
    Mistake(
        "a plugin, and use_plugins is false",
        add_module("RunCellpose"),
        "error plugin_module",
        PIPELINE,
        "module 17 (RunCellpose)",
    ),
    Mistake(
        "LoadData is disabled",
        pipeline("|enabled:True", "|enabled:False"),
        "error load_data_missing",
        PIPELINE,
        "",
    ),
    Mistake(
        "CreateBatchFiles is enabled",
        add_module("CreateBatchFiles"),
        "error create_batch_files",
        PIPELINE,
        "module 17 (CreateBatchFiles)",
    ),
    Mistake(
        "LoadData reads a range of rows",
        pipeline("Process just a range of rows?:No", "Process just a range of rows?:Yes"),
        "error load_data_rows",
        PIPELINE,
        LOAD_DATA,
    ),
    Mistake(
        "LoadData loads no images",
        pipeline("Load images based on this data?:Yes", "Load images based on this data?:No"),
        "error load_data_no_images",
        PIPELINE,
        LOAD_DATA,
    ),
    Mistake(
        "the base image location is a folder on another computer",
        pipeline("Base image location:None|", "Base image location:Elsewhere...|/Users/me/images"),
        "warning load_data_base",
        PIPELINE,
        LOAD_DATA,
    ),
    Mistake(
        "the pipeline groups by well, the jobs by site",
        pipeline("for grouping:Plate,Well,Site", "for grouping:Plate,Well"),
        "error grouping_keys",
        PIPELINE,
        LOAD_DATA,
    ),
    Mistake(
        "the pipeline groups by nothing",
        pipeline("Group images by metadata?:Yes", "Group images by metadata?:No"),
        "error grouping_off",
        PIPELINE,
        LOAD_DATA,
    ),
    Mistake(
        "a module needs a channel that is not loaded",
        pipeline("Select the input image:DNA", "Select the input image:Hoechst"),
        "error channel_missing",
        PIPELINE,
        "module 3 (IdentifyPrimaryObjects)",
    ),
    Mistake(
        "an image is used before it is created",
        pipeline("Select the input image:RNA", "Select the input image:Overlay"),
        "error channel_missing",
        PIPELINE,
        "module 5 (IdentifySecondaryObjects)",
    ),
    Mistake(
        "a channel of the CSV is not used",
        lambda project: [
            row.update(
                FileName_OrigBrightfield="A02_s1_ER.tiff",
                PathName_OrigBrightfield=f"{ROOT}/{IMAGES}",
            )
            for row in project.rows
        ],
        "note channel_unused",
        CSV,
        "FileName_OrigBrightfield",
    ),
    Mistake(
        "tables are written into a sub-folder",
        pipeline(
            "Output file location:Default Output Folder|\n    Create a GenePattern",
            "Output file location:Default Output Folder sub-folder|csv\n    Create a GenePattern",
        ),
        "warning output_sub_folder",
        PIPELINE,
        "module 16 (ExportToSpreadsheet)",
    ),
    Mistake(
        "tables are written into a folder on another computer",
        pipeline(
            "Output file location:Default Output Folder|\n    Create a GenePattern",
            "Output file location:Elsewhere...|/Users/me/out\n    Create a GenePattern",
        ),
        "warning output_elsewhere",
        PIPELINE,
        "module 16 (ExportToSpreadsheet)",
    ),
    # The default input folder.
    Mistake(
        "the pipeline reads rules, and input is empty",
        job(input=""),
        "error input_needed",
        "job.yaml",
        "input",
    ),
    Mistake(
        "the rules are not below input",
        both(
            without(f"{RULES}/rules.txt"),
            lambda project: project.objects.update({f"{RULES}/Rules.txt": b"IF"}),
        ),
        "error input_file_missing",
        PIPELINE,
        "module 4 (FilterObjects)",
    ),
    Mistake(
        "no files exist below input",
        job(input=f"{BATCH}/no_rules"),
        "warning input_empty",
        "job.yaml",
        "input",
    ),
    Mistake(
        "the rules are in a folder on another computer",
        pipeline(
            "rules or classifier file:Default Input Folder|",
            "rules or classifier file:Elsewhere...|/Users/me",
        ),
        "error file_elsewhere",
        PIPELINE,
        "module 4 (FilterObjects)",
    ),
    Mistake(
        "input is the folder of the images",
        lambda project: project.objects.update({f"{RULES}/{n}.tiff": b"II" for n in range(1001)}),
        "error input_large",
        "job.yaml",
        "input",
    ),
    # The images.
    Mistake(
        "an image is not in the bucket",
        without(TIFF),
        "error image_missing",
        CSV,
        "line 4",
    ),
    Mistake(
        "the images are .tif files, the CSV names .tiff",
        lambda project: project.objects.update(
            {f"{ILLUM}/x.npy": b"1", TIFF[:-1]: project.objects.pop(TIFF)}
        ),
        "error image_missing",
        CSV,
        "line 4",
    ),
    Mistake(
        "an image is empty",
        lambda project: project.objects.update({TIFF: b""}),
        "error image_empty",
        CSV,
        "line 4",
    ),
    # The outputs.
    Mistake(
        "more files are expected than a job writes: no job is skipped",
        config(expected_number_files=8),
        "warning skip_never",
        "run config",
        "expected_number_files",
    ),
    Mistake(
        "fewer files are expected than a job writes: incomplete jobs are skipped",
        config(expected_number_files=5),
        "warning skip_too_soon",
        "run config",
        "expected_number_files",
    ),
    Mistake(
        "jobs are already done",
        lambda project: project.write_outputs(7, *CHECKED),
        "note outputs_skipped",
        "job.yaml",
        "groups",
    ),
    Mistake(
        "outputs exist, and nothing is skipped",
        both(config(check_if_done_bool=False), lambda project: project.write_outputs(2, *CHECKED)),
        "note outputs_exist",
        "job.yaml",
        "output",
    ),
    Mistake(
        "all sites of a plate write into one folder",
        job(output_structure="Metadata_Plate"),
        "note output_shared",
        "job.yaml",
        "output_structure",
    ),
    # Machines and account.
    Mistake(
        "MEMORY is more than the machine has",
        config(memory=16_500),
        "error container_too_large",
        "run config",
        "memory",
    ),
    Mistake(
        "more CPU units than the machine has",
        config(cpu_shares=8192),
        "error container_too_large",
        "run config",
        "cpu_shares",
    ),
    Mistake(
        "a typo in the machine type",
        config(machine_type=["m5.xlarg"]),
        "error machine_type_unknown",
        "run config",
        "machine_type",
    ),
    Mistake(
        "the machines have another processor than the image",
        config(machine_type=["m6g.xlarge"]),
        "error machine_architecture",
        "run config",
        "machine_type",
    ),
    Mistake(
        "more machines than jobs can use",
        config(cluster_machines=50),
        "note more_slots_than_jobs",
        "run config",
        "cluster_machines",
    ),
    Mistake(
        "the quota allows fewer spot machines",
        account(quotas={"L-34B43A08": 2}),
        "error above_quota",
        "run config",
        "cluster_machines",
    ),
    Mistake(
        "jobs take longer than job_timeout",
        config(seconds_per_job=4000, job_timeout=3600),
        "error job_timeout_short",
        "run config",
        "job_timeout",
    ),
    Mistake(
        "the credentials are not allowed to create queues",
        account(refused=[f"sqs:CreateQueue {QUEUE}"]),
        "error permission",
        "AWS credentials",
        f"sqs:CreateQueue on {QUEUE}",
    ),
    Mistake(
        "the account has no role for the machines",
        account(missing=["ecsInstanceRole"]),
        "error role",
        "fleet template",
        "instance_profile",
    ),
]


def check(project: Project, emulator: Emulator, aws: Aws, at: Path) -> list[tuple[str, str, str]]:
    """Level, code and place of all findings but the cost estimate."""
    emulator.set_account(**project.account)
    findings = project.find(aws, f"lab-{uuid4().hex[:12]}", at)
    return [
        (f"{finding.level} {finding.code}", finding.problem.where, finding.problem.key)
        for finding in findings
        if finding.code != "cost"
    ]


def test_a_good_project_has_no_findings(emulator: Emulator, aws: Aws, tmp_path: Path) -> None:
    assert check(Project(), emulator, aws, tmp_path) == []


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_reported_and_nothing_else(
    mistake: Mistake, emulator: Emulator, aws: Aws, tmp_path: Path
) -> None:
    project = Project()
    mistake.plant(project)
    assert check(project, emulator, aws, tmp_path) == [
        (mistake.finding, mistake.where, mistake.key)
    ]


def test_every_code_is_on_the_page() -> None:
    page = Path(__file__).parents[3].joinpath("docs", "checks.md").read_text(encoding="utf-8")
    codes = {mistake.finding.split()[1] for mistake in MISTAKES}
    assert {code for code in codes if f"`{code}`" not in page} == set()
