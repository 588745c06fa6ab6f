"""All checks of a run's data: buckets, pipelines, data files, inputs, outputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from botocore.exceptions import ClientError

from blocks.errors import Problem
from blocks.job_file.job_set import FromCsv, JobSet
from blocks.job_file.metadata import Pairs, joined, metadata_id
from blocks.job_file.rules import too_long
from tasks.jobs.load_data_csv import Csvs
from tasks.jobs.messages import pairs_of
from tasks.preflight.data import file_list, load_data_csv, outputs, s3_objects
from tasks.preflight.data.outputs import OutputFolders, SkipRule, output_folders
from tasks.preflight.finding import Finding
from tasks.preflight.pipeline import channels, input_folder, pipeline_checks
from tasks.preflight.pipeline.expected_outputs import files_of_a_job
from tasks.preflight.pipeline.parser import Pipeline, PipelineError, parse_pipeline
from tasks.runs.run import Run

_HDF5 = b"\x89HDF\r\n\x1a\n"
_BUCKETS = ("bucket_missing", "bucket_refused")


@dataclass
class DataReport:
    """The result of the checks of a run's data.

    Attributes:
        findings: The findings.
        jobs: Number of jobs; None if unknown.
        images: Number of images of the largest job; None if unknown.
        largest_job: Their size in bytes; None if unknown.
    """

    findings: list[Finding] = field(default_factory=list)
    jobs: int | None = None
    images: int | None = None
    largest_job: int | None = None


def check_data(run: Run, sets: Sequence[JobSet], where: str, csvs: Csvs) -> DataReport:
    """Check all data of a run.

    Args:
        run: The run.
        sets: Its jobs.
        where: The job file's name.
        csvs: The data files.
    """
    data = DataReport(list(s3_objects.check_buckets(run)))
    if data.findings:
        return data
    with output_folders(SkipRule.of(run.config)) as folders:
        _DataChecks(run, where, csvs, folders, data).all(sets)
    return data


class _DataChecks:
    """Checks each object once, however many sets name it."""

    def __init__(
        self, run: Run, where: str, csvs: Csvs, folders: OutputFolders, data: DataReport
    ) -> None:
        self._run, self._where, self._csvs = run, where, csvs
        self._folders, self._data = folders, data
        self._pipelines: dict[str, Pipeline | None] = {}
        self._checked: set[object] = set()
        self._expected: set[int | None] = set()

    def all(self, sets: Sequence[JobSet]) -> None:
        by_file: dict[tuple[str, tuple[str, ...]], list[JobSet]] = {}
        for jobs in sets:
            by_file.setdefault((jobs.data_file, jobs.keys), []).append(jobs)
        for (data_file, keys), sets_of_file in by_file.items():
            self._data_file(data_file, keys, sets_of_file)
        for jobs in sets:
            self._inputs(jobs)
        self._outputs()

    def _add(self, findings: Iterator[Finding] | Sequence[Finding]) -> bool:
        """Store findings; returns whether none of them is an error."""
        new = list(findings)
        self._data.findings += new
        return not any(finding.level == "error" for finding in new)

    def _once(self, *what: object) -> bool:
        first = what not in self._checked
        self._checked.add(what)
        return first

    def _data_file(self, key: str, keys: tuple[str, ...], sets: list[JobSet]) -> None:
        suffix = PurePosixPath(key).suffix
        readable = self._add(s3_objects.check_object(self._run, self._where, "data_file", key))
        pipelines = {jobs.pipeline: self._pipeline(jobs, keys, suffix) for jobs in sets}
        rows: tuple[int, int] | None = None
        columns: tuple[str, ...] = ()
        if readable and suffix == ".csv":
            rows, columns = self._csv(key, keys, sets)
        else:
            self._count(sets)
            if readable and suffix == ".txt":
                self._list(key)
        for name, parsed in pipelines.items():
            if not parsed:
                continue
            if columns and self._once("channels", name, frozenset(columns)):
                self._add(channels.findings(parsed, name, channels.channels_of(columns), key))
            same = rows is not None and rows[0] == rows[1] > 0
            self._expected.add(files_of_a_job(parsed, rows[0]) if rows and same else None)

    def _csv(
        self, key: str, keys: tuple[str, ...], sets: list[JobSet]
    ) -> tuple[tuple[int, int] | None, tuple[str, ...]]:
        options = load_data_csv.CsvTarget(
            self._where,
            key,
            keys,
            lambda: self._groups(sets),
            any(isinstance(jobs.groups, FromCsv) for jobs in sets),
            self._run.config.images_bucket,
            lambda bucket: s3_objects.client(self._run, bucket),
        )
        csv = load_data_csv.check_csv(options, self._csvs)
        self._add(csv.findings)
        if csv.images is not None and csv.largest_job is not None:
            self._data.images = max(self._data.images or 0, csv.images)
            self._data.largest_job = max(self._data.largest_job or 0, csv.largest_job)
        return csv.rows, csv.columns

    def _groups(self, sets: list[JobSet]) -> Iterator[Pairs]:
        """The groups of sets; counts them and stores their output folders."""
        for jobs in sets:
            top, alone = joined(jobs.output) + "/", jobs.names_all_keys
            for group in pairs_of(jobs, self._csvs):
                below = metadata_id(group, jobs.output_structure)
                folder = joined(jobs.output, below)
                if (refusal := too_long(folder)) and self._once("too long"):
                    problem = refusal.at(self._where, "output_structure", repr(folder))
                    self._add([Finding("error", "output_too_long", problem)])
                self._folders.add(top, f"{folder}/", alone)
                self._data.jobs = (self._data.jobs or 0) + 1
                yield group

    def _count(self, sets: list[JobSet]) -> None:
        listed = [jobs for jobs in sets if not isinstance(jobs.groups, FromCsv)]
        for _ in self._groups(listed):
            pass

    def _list(self, key: str) -> None:
        text = s3_objects.read_object(self._run, key)
        lines = text.decode("utf-8-sig", errors="replace").splitlines()
        bucket = self._run.config.images_bucket
        self._add(
            file_list.findings(lines, key, bucket, lambda name: s3_objects.client(self._run, name))
        )

    def _pipeline(self, jobs: JobSet, keys: tuple[str, ...], suffix: str) -> Pipeline | None:
        key = jobs.pipeline
        if key not in self._pipelines:
            self._pipelines[key] = self._read(key, suffix)
        parsed = self._pipelines[key]
        if parsed and self._once("pipeline", key, keys, suffix):
            plugins = self._run.config.use_plugins
            self._add(pipeline_checks.findings(parsed, key, keys, suffix, plugins))
            self._add(input_folder.elsewhere(parsed, key))
        return parsed

    def _read(self, key: str, suffix: str) -> Pipeline | None:
        if not self._add(s3_objects.check_object(self._run, self._where, "pipeline", key)):
            return None
        content = s3_objects.read_object(self._run, key)
        binary = content.startswith(_HDF5)
        if suffix == ".h5" or binary:
            self._add(_batch(key, suffix, binary))
            return None
        try:
            text = content.decode("utf-8", errors="replace")
            return parse_pipeline(text, PurePosixPath(key).suffix == ".json")
        except PipelineError as error:
            remedy = "Export it again from CellProfiler (Export > Pipeline) and upload it."
            problem = Problem(key, "", error.what, remedy=remedy)
            self._add([Finding("error", error.code, problem)])
            return None

    def _inputs(self, jobs: JobSet) -> None:
        parsed = self._pipelines.get(jobs.pipeline)
        if parsed and self._once("input", jobs.input, jobs.pipeline):
            try:
                folder = s3_objects.input_folder(self._run, jobs.input)
            except ClientError as error:
                self._add(
                    [s3_objects.denied_check(error, "s3:ListBucket", self._run.config.workspace)]
                )
                return
            self._add(input_folder.findings(folder, jobs.input, self._where, parsed, jobs.pipeline))

    def _outputs(self) -> None:
        bucket = self._run.config.outputs_bucket

        def listing(prefix: str) -> Iterator[tuple[str, int]]:
            return s3_objects.list_objects(self._run.aws.s3, bucket, prefix)

        expected = next(iter(self._expected)) if len(self._expected) == 1 else None
        try:
            folders = self._folders.count_files(listing)
        except ClientError as error:
            self._add([s3_objects.denied_check(error, "s3:ListBucket", bucket)])
            return
        self._add(outputs.findings(folders, self._run.config, self._where, expected))


def _batch(key: str, suffix: str, binary: bool) -> Iterator[Finding]:
    if suffix == ".h5" and not binary:
        yield Finding(
            "error",
            "batch_file_broken",
            Problem(
                key,
                "",
                "is not a batch file: it has no HDF5 signature",
                remedy="Name the .h5 file that CreateBatchFiles wrote, also as pipeline.",
            ),
        )
    elif suffix != ".h5":
        yield Finding(
            "warning",
            "pipeline_binary",
            Problem(
                key,
                "",
                "is a project or batch file, so its settings cannot be checked before the run",
                remedy="Export the pipeline as .cppipe.",
            ),
        )
