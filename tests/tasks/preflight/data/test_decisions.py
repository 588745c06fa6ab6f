"""The decisions of the checks before a run, for any images, folders, groups and pipelines."""

from collections.abc import Sequence

import pytest
from good_project import PIPELINE_TEXT
from hypothesis import given
from hypothesis import strategies as st

from blocks import RunConfig
from tasks.preflight.data import csv_structure, groups, images, outputs
from tasks.preflight.data.csv_index import ImageReference, new_index
from tasks.preflight.data.image_locations import ImageLocator, NotInS3
from tasks.preflight.data.images import ListedObject, Tally, compare, folder_batches
from tasks.preflight.data.outputs import FolderCounts, SkipRule, output_folders
from tasks.preflight.pipeline import cellprofiler_modules, channels, pipeline_checks
from tasks.preflight.pipeline.expected_outputs import files_of_a_job
from tasks.preflight.pipeline.parser import PipelineError, parse_pipeline

KEYS = ("Metadata_Plate", "Metadata_Well", "Metadata_Site")
NAMES = st.text(st.sampled_from("aAbé1_-/\U0001d7d9\uffee"), min_size=1, max_size=4)


def in_order(keys: Sequence[str]) -> list[str]:
    return sorted(set(keys), key=lambda key: key.encode())


class Bucket:
    """A listing like S3's, in pages of a few keys."""

    def __init__(self, sizes: dict[str, int], page: int) -> None:
        self.keys, self.sizes, self.page = in_order(list(sizes)), sizes, page
        self.requests = 0

    def __call__(self, after: str) -> tuple[list[ListedObject], bool]:
        self.requests += 1
        rest = [key for key in self.keys if key.encode() > after.encode()]
        objects = [ListedObject(key, self.sizes[key]) for key in rest[: self.page]]
        return objects, len(rest) > self.page


@given(st.dictionaries(NAMES, st.integers(0, 2)), st.lists(NAMES), st.integers(1, 4))
def test_missing_and_empty_images_are_counted(
    existing: dict[str, int], needed: list[str], page: int
) -> None:
    wanted = [ImageReference("b", key, line) for line, key in enumerate(in_order(needed))]
    bucket = Bucket(existing, page)
    tally = compare(wanted, bucket)
    missing = [image for image in wanted if image.key not in existing]
    empty = [image for image in wanted if existing.get(image.key) == 0]
    flaws = {"image_missing": missing, "image_empty": empty}
    assert tally.flaws == {
        code: (len(affected), affected[: images.NAMED])
        for code, affected in flaws.items()
        if affected
    }
    assert tally.size == sum(existing.get(image.key, 0) for image in wanted)
    assert bucket.requests <= len(existing) // page + len(wanted) + 1


def test_a_few_images_in_a_large_folder_need_few_requests() -> None:
    bucket = Bucket({f"p/{number:05}.tif": 1 for number in range(20_000)}, 1000)
    tally = compare(
        [ImageReference("b", f"p/{number:05}.tif", 2) for number in (3, 9_999, 19_999)], bucket
    )
    assert tally == Tally(checked=3, size=3)
    assert bucket.requests == 3


def test_a_plate_needs_one_request_per_thousand_images() -> None:
    keys = [f"p/{number:05}.tif" for number in range(17_280)]
    bucket = Bucket(dict.fromkeys(keys, 1), 1000)
    assert not compare([ImageReference("b", key, 2) for key in keys], bucket).flaws
    assert bucket.requests == 18


@given(st.lists(NAMES))
def test_folder_batches_have_one_folder_each_and_are_complete(keys: list[str]) -> None:
    wanted = [ImageReference("b", key, 1) for key in in_order(keys)]
    batches = list(folder_batches(wanted))
    assert sorted((image for batch in batches for image in batch), key=wanted.index) == wanted
    for batch in batches:
        assert len({image.key.rpartition("/")[0] for image in batch}) == 1


FOLDER = st.lists(st.sampled_from(["A01-1", "A01-10", "A1", "B", "B-2"]), min_size=1, max_size=2)


@given(st.lists(FOLDER), st.lists(st.tuples(FOLDER, st.sampled_from("xy"), st.integers(0, 3))))
def test_files_in_folders_are_counted(
    jobs: list[list[str]], files: list[tuple[list[str], str, int]]
) -> None:
    rule = SkipRule(files=1, size=1, text="x")
    prefixes = {f"out/{'/'.join(parts)}/" for parts in jobs}
    # No plate has a job's folder within another's, and skipping checks prefixes, too.
    prefixes = {
        prefix
        for prefix in prefixes
        if not any(o != prefix and prefix.startswith(o) for o in prefixes)
    }
    objects = {f"out/{'/'.join(parts)}/{name}": size for parts, name, size in files}
    with output_folders(rule) as folders:
        for prefix in prefixes:
            folders.add("out/", prefix)
        keys = in_order(list(objects))
        counts = folders.count_files(
            lambda top: ((k, objects[k]) for k in keys if k.startswith(top))
        )
    held = {p: [key for key in objects if key.startswith(p)] for p in prefixes}
    counted = [
        sum(rule.counts(key, objects[key]) for key in keys) for keys in held.values() if keys
    ]
    assert counts.started == len(counted)
    assert sorted(counts.held.elements()) == sorted(counted)
    assert counts.done(2) == sum(number >= 2 for number in counted)


CONFIG = RunConfig(
    dockerhub_tag="a/b:1", aws_bucket="lab-bucket", check_if_done_bool=True, expected_number_files=5
)


@pytest.mark.parametrize(
    ("held", "expected", "code"),
    [
        ([5, 5, 5], 5, ""),
        ([4, 4, 5], None, "skip_never"),
        ([6, 6], None, ""),
        ([4], None, ""),
        ([], 6, "skip_too_soon"),
        ([], 4, "skip_never"),
    ],
)
def test_the_right_number_of_files_is_proposed(
    held: list[int], expected: int | None, code: str
) -> None:
    folders = FolderCounts(jobs=9, started=len(held))
    folders.held.update(held)
    findings = outputs.findings(folders, CONFIG, "job.yaml", expected)
    codes = [finding.code for finding in findings if finding.code != "outputs_skipped"]
    assert codes == ([code] if code else [])


@given(st.sets(st.tuples(NAMES, NAMES)), st.sets(st.tuples(NAMES, NAMES)))
def test_jobs_without_rows_and_groups_without_jobs(
    jobs: set[tuple[str, str]], rows: set[tuple[str, str]]
) -> None:
    with new_index(["P", "W"]) as index:
        assert index.add_jobs((("P", p), ("W", w)) for p, w in jobs) == len(jobs)
        index.add_rows([*rows, *rows])
        count, some = index.jobs_without_rows(100)
        assert {(group[0][1], group[1][1]) for group in some} == jobs - rows
        assert count == len(jobs - rows)
        assert index.groups_without_job(1)[0] == len(rows - jobs)
        assert index.rows_of_jobs() == ((2, 2) if jobs & rows else (0, 0))


@pytest.mark.parametrize(
    ("value", "values", "near"),
    [
        ("A1", ["A01", "A02"], ["A01"]),
        ("a01", ["A01", "B01"], ["A01"]),
        ("04", ["4", "40"], ["4"]),
        ("4", ["04", "14"], ["04"]),
        ("00", ["0", "1"], ["0"]),
        ("A01", ["A01 "], ["A01 "]),
        ("BR0117035", ["BR00117035", "X"], ["BR00117035"]),
    ],
)
def test_the_nearest_value_is_reported(value: str, values: list[str], near: list[str]) -> None:
    assert groups.nearest(value, values)[:1] == near


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/home/ubuntu/bucket/a/b/", ("images", "a/b/x.tif")),
        ("a//b", ("images", "a/b/x.tif")),
        ("s3://other/a b", ("other", "a b/x.tif")),
        ("file:/home/ubuntu/bucket/a%20b", ("images", "a b/x.tif")),
        ("https://host/a", "https://host/a/x.tif"),
        ("/home/ubuntu/bucket/../x", None),
        ("/data/images", None),
        ("D:\\images", None),
        ("\\\\server\\images", None),
    ],
)
def test_the_location_of_an_image(path: str, place: tuple[str, str] | str | None) -> None:
    locator = ImageLocator(("PathName_DNA", "FileName_DNA"), "images")
    if place is None:
        with pytest.raises(NotInS3):
            list(locator.locate_row([path, "x.tif"]))
    else:
        assert list(locator.locate_row([path, "x.tif"])) == [place]


GOOD = parse_pipeline(PIPELINE_TEXT)
CHANNELS = {
    f"{kind}{channel}"
    for kind in ("Orig", "Illum")
    for channel in ("DNA", "ER", "RNA", "AGP", "Mito")
}


@pytest.mark.parametrize("sign", [";", "\t"])
def test_a_csv_without_commas_has_only_this_finding(sign: str) -> None:
    header = sign.join(["Metadata_Plate", "FileName_DNA", "PathName_DNA"])
    (finding,) = csv_structure.header_findings([header], [], "load_data.csv", KEYS)
    assert finding.code == "csv_unreadable"
    assert repr(sign) in finding.problem.got


def test_a_pipeline_may_have_any_line_ending() -> None:
    assert parse_pipeline(PIPELINE_TEXT.replace("\n", "\r\n")) == GOOD
    assert parse_pipeline(PIPELINE_TEXT.replace("\n\n", "\n  \n")) == GOOD


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{PIPELINE_TEXT}",
        PIPELINE_TEXT.replace("\n\n", "\n\n\n"),
        PIPELINE_TEXT.replace("variable_revision_number:", "revision:", 1),
    ],
    ids=["byte order mark", "blank line", "no revision"],
)
def test_a_pipeline_that_cellprofiler_cannot_load_is_rejected(text: str) -> None:
    with pytest.raises(PipelineError):
        parse_pipeline(text)


def codes_in(text: str, use_plugins: bool = False) -> list[str]:
    parsed = parse_pipeline(text)
    return [
        finding.code for finding in pipeline_checks.findings(parsed, "p", KEYS, ".csv", use_plugins)
    ]


@pytest.mark.parametrize(
    ("now", "then"),
    [
        # CellProfiler's own example has thresholds of version 11, and a leftover behind the folder.
        (
            "    Threshold setting version:12\n    Threshold strategy:Global\n",
            "    Threshold setting version:11\n",
        ),
        ("Default Output Folder|", "Default Output Folder|None"),
        ("Base image location:None|", "Base image location:Default Input Folder|C:\\images"),
        ("Group images by metadata?", "Group image sets?"),
        ("Select metadata tags for grouping", "Select metadata fields for grouping"),
        (":Yes\n", ":\\xff\\xfeY\\x00e\\x00s\\x00\n"),
        (":OrigDNA\n", ":\\xff\\xfeO\\x00r\\x00i\\x00g\\x00D\\x00N\\x00A\\x00\n"),
    ],
    ids=["threshold", "output", "base", "question", "tags", "utf-16 yes", "utf-16 image"],
)
def test_pipelines_of_older_versions_have_no_findings(now: str, then: str) -> None:
    text = PIPELINE_TEXT.replace(now, then)
    assert text != PIPELINE_TEXT
    assert not codes_in(text)
    assert not channels.missing(parse_pipeline(text), CHANNELS)


def test_load_data_before_its_fourth_revision() -> None:
    head, _, rest = PIPELINE_TEXT.partition("LoadData:")
    module, _, rest = rest.partition("\n\n")
    first, *lines = module.split("\n")
    values = [line.strip().partition(":")[2] for line in lines]
    csv, name, images, base, *others = values
    old = [csv, ".", name, images, base.strip("|"), ".", *others[:4]]
    settings = "".join(f"\n    Question {number}:{value}" for number, value in enumerate(old))
    first = first.replace("revision_number:6", "revision_number:3")
    assert not codes_in(f"{head}LoadData:{first}{settings}\n\n{rest}")


@pytest.mark.parametrize(
    ("name", "code"), [("NoSuchModule", "unknown_module"), ("RunCellpose", "plugin_module")]
)
def test_a_disabled_module_must_also_be_known(name: str, code: str) -> None:
    # CellProfiler stops loading the pipeline existing.
    module = PIPELINE_TEXT[PIPELINE_TEXT.index("GrayToColor:[") :].partition("\n\n")[0]
    off = module.replace("GrayToColor:[", f"{name}:[").replace("enabled:True", "enabled:False")
    assert code in codes_in(PIPELINE_TEXT.replace(module, off))


@given(st.text() | st.integers(1, len(PIPELINE_TEXT)).map(lambda left: PIPELINE_TEXT[:-left]))
def test_truncated_pipelines_and_other_texts_are_rejected(text: str) -> None:
    try:
        parsed = parse_pipeline(text)
    except PipelineError:
        return
    findings = list(pipeline_checks.findings(parsed, "p", KEYS, ".csv", False))
    # The end of the last value is unknown.
    assert findings or len(parsed.modules[-1].settings) == len(GOOD.modules[-1].settings)


def test_images_of_hidden_settings_are_not_needed() -> None:
    text = PIPELINE_TEXT.replace(
        "Select the image to be colored cyan:Leave this black",
        "Select the image to be colored cyan:Gone",
    )
    assert text != PIPELINE_TEXT
    parsed = parse_pipeline(text)
    assert not channels.missing(parsed, CHANNELS)
    cmyk = parse_pipeline(text.replace("color scheme:RGB", "color scheme:CMYK"))
    assert list(channels.missing(cmyk, CHANNELS)) == ["Gone"]


def test_the_number_of_files_that_a_job_writes() -> None:
    assert files_of_a_job(GOOD, rows=1) == 7
    assert files_of_a_job(GOOD, rows=9) == 15
    plugin = parse_pipeline(PIPELINE_TEXT.replace("MeasureTexture:[", "RunCellpose:["))
    assert files_of_a_job(plugin, rows=1) is None


def test_a_plugin_may_create_any_image() -> None:
    text = PIPELINE_TEXT.replace("GrayToColor:[", "RunCellpose:[", 1)
    parsed = parse_pipeline(text)
    assert not channels.missing(parsed, CHANNELS)
    assert [cellprofiler_modules.kind(module) for module in parsed.active()].count("plugin") == 1
    assert [
        finding.code for finding in pipeline_checks.findings(parsed, "p", KEYS, ".csv", True)
    ] == []
