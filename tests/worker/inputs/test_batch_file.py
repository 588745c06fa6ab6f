"""Batch files: find the images of a group, and make CellProfiler read local files."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from dcp_worker.common.s3_transfer import Bucket
from dcp_worker.inputs import batch_file, job_inputs
from dcp_worker.inputs.cache import Cache
from dcp_worker.inputs.sources import Sources
from dcp_worker.jobs import message
from dcp_worker.load_data.group_match import CsvError
from dcp_worker.load_data.local_paths import PathMapping, S3Object

import plate
from cloud import RUN, Cloud, job_message

PLACES = PathMapping("images.bucket", "/slot/images")
B02 = (("Metadata_Plate", "P1"), ("Metadata_Well", "B02"))
# Instead of LoadData, which would read its CSV again from its original path.
INPUT_MODULES = """\
Images:[module_num:1|svn_version:'Unknown'|variable_revision_number:2|show_window:False|notes:[]\
|batch_state:array([], dtype=uint8)|enabled:True|wants_pause:False]
    :
    Filter images?:Images only
    Select the rule criteria:and (extension does isimage)

Metadata:[module_num:2|svn_version:'Unknown'|variable_revision_number:6|show_window:False|notes:[]\
|batch_state:array([], dtype=uint8)|enabled:True|wants_pause:False]
    Extract metadata?:Yes
    Metadata data type:Text
    Metadata types:{}
    Extraction method count:1
    Metadata extraction method:Extract from file/folder names
    Metadata source:File name
    Regular expression to extract from file name:^(?P<Well>[A-P][0-9]{2})_s(?P<Site>[0-9])
    Regular expression to extract from folder name:(?P<Date>[0-9]{4})$
    Extract metadata from:All images
    Select the filtering criteria:and (file does contain "")
    Metadata file location:Elsewhere...|
    Match file and image metadata:[]
    Use case insensitive matching?:No
    Metadata file name:None
    Does cached metadata exist?:No

NamesAndTypes:[module_num:3|svn_version:'Unknown'|variable_revision_number:8|show_window:False\
|notes:[]|batch_state:array([], dtype=uint8)|enabled:True|wants_pause:False]
    Assign a name to:All images
    Select the image type:Grayscale image
    Name to assign these images:DNA
    Match metadata:[]
    Image set matching method:Order
    Set intensity range from:Image metadata
    Assignments count:1
    Single images count:0
    Maximum intensity:255.0
    Process as 3D?:No
    Relative pixel spacing in X:1.0
    Relative pixel spacing in Y:1.0
    Relative pixel spacing in Z:1.0
    Select the rule criteria:and (file does contain "")
    Name to assign these images:DNA
    Name to assign these objects:Cell
    Select the image type:Grayscale image
    Set intensity range from:Image metadata
    Maximum intensity:255.0

Groups:[module_num:4|svn_version:'Unknown'|variable_revision_number:2|show_window:False|notes:[]\
|batch_state:array([], dtype=uint8)|enabled:True|wants_pause:False]
    Do you want to group your images?:Yes
    grouping metadata count:1
    Metadata category:Well
"""
CREATE_BATCH_FILES = """
CreateBatchFiles:[module_num:8|svn_version:'Unknown'|variable_revision_number:8\
|show_window:False|notes:[]|batch_state:array([], dtype=uint8)|enabled:True|wants_pause:False]
    Store batch files in default output folder?:Yes
    Output folder path:/
    Are the cluster computers running Windows?:No
    Hidden- in batch mode:No
    Hidden- in distributed mode:No
    Hidden- default input folder at time of save:/
    Hidden- revision number:0
    Hidden- from old matlab:No
    Local root path:LOCAL
    Cluster root path:/home/ubuntu/bucket
"""


def write_feature(image: h5py.Group, name: str, values: list[object]) -> None:
    """Write a feature as CellProfiler does, preceded by outdated values."""
    group = image.create_group(name)
    texts = all(isinstance(value, str) for value in values)
    kind = h5py.special_dtype(vlen=bytes) if texts else None
    stale: list[object] = ["old"] * len(values) if texts else [0] * len(values)
    everything = [
        value.encode() if isinstance(value, str) else value for value in [*stale, *values]
    ]
    group.create_dataset("data", data=np.array(everything, dtype=kind or None), dtype=kind)
    count = len(values)
    rows = [(number + 1, count + number, count + number + 1) for number in range(count)]
    group.create_dataset("index", data=np.array(rows))


def write_batch(path: Path, root: str = "file:/home/ubuntu/bucket") -> Path:
    """A batch file of the plate."""
    rows = plate.load_data_rows()
    names = [row["FileName_DNA"] for row in rows]
    with h5py.File(path, "w") as file:
        image = file.create_group("Measurements/2026-01-02-03-04-05/Image")
        write_feature(image, "ImageNumber", list(range(1, len(rows) + 1)))
        write_feature(image, "URL_DNA", [f"{root}/{plate.IMAGES_KEY}/{name}" for name in names])
        folder = f"{plate.ROOT}{plate.IMAGES_KEY}"
        write_feature(image, "PathName_DNA", [folder] * len(rows))
        write_feature(image, "FileName_DNA", list(names))
        write_feature(image, "ObjectsURL_Rings", ["https://example.org/rings.tif"] * len(rows))
        for key in ("Metadata_Plate", "Metadata_Well"):
            write_feature(image, key, [row[key] for row in rows])
        write_feature(image, "Metadata_Site", [int(row["Metadata_Site"]) for row in rows])
    return path


def values(path: Path, feature: str) -> list[str]:
    with h5py.File(path) as file:
        (run,) = file["Measurements"].values()
        group = run["Image"][feature]
        return [group["data"][first].decode() for _, first, _ in group["index"]]


def test_the_groups_images_are_read_from_local_files(tmp_path: Path) -> None:
    path = write_batch(tmp_path / "Batch_data.h5")
    images = batch_file.localize(path, B02, PLACES)
    folder = f"/slot/images/images.bucket/{plate.IMAGES_KEY}"
    assert images == {
        f"{folder}/B02_s{site}.tif": S3Object("images.bucket", plate.image_key("B02", site))
        for site in plate.SITES
    }
    assert values(path, "URL_DNA")[2:] == [f"file:{local}" for local in images]
    assert values(path, "PathName_DNA")[2:] == [folder, folder]
    # The rows of other groups are not read.
    assert all("/home/ubuntu" in url for url in values(path, "URL_DNA")[:2])
    assert set(values(path, "ObjectsURL_Rings")) == {"https://example.org/rings.tif"}


def test_a_number_is_compared_as_its_text(tmp_path: Path) -> None:
    path = write_batch(tmp_path / "Batch_data.h5")
    assert len(batch_file.localize(path, (("Metadata_Site", "2"),), PLACES)) == len(plate.WELLS)
    with pytest.raises(CsvError, match="Metadata_Site has the values 1, 2") as error:
        batch_file.localize(path, (("Metadata_Site", "02"),), PLACES)
    assert error.value.code == "group_not_found"


def test_an_unknown_key_lists_the_existing_ones(tmp_path: Path) -> None:
    path = write_batch(tmp_path / "Batch_data.h5")
    with pytest.raises(CsvError, match=r"Metadata_Dose.*Metadata_Plate, Metadata_Site") as error:
        batch_file.localize(path, (("Metadata_Dose", "1"),), PLACES)
    assert error.value.code == "group_not_found"


def test_an_image_on_the_makers_computer_is_not_in_s3(tmp_path: Path) -> None:
    path = write_batch(tmp_path / "Batch_data.h5", root="file:/Users/me/plates")
    with pytest.raises(CsvError, match="/Users/me/plates") as error:
        batch_file.localize(path, B02, PLACES)
    assert error.value.code == "image_missing"


@pytest.mark.parametrize("content", [b"", b"CellProfiler Pipeline: http://", b"half"])
def test_what_is_no_whole_batch_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "Batch_data.h5"
    if content == b"half":
        whole = write_batch(path).read_bytes()
        content = whole[: len(whole) // 2]
    path.write_bytes(content)
    with pytest.raises(CsvError) as error:
        batch_file.localize(path, B02, PLACES)
    assert error.value.code == "pipeline_unreadable"


def test_a_measurement_file_without_images_is_no_batch_file(tmp_path: Path) -> None:
    path = tmp_path / "Batch_data.h5"
    with h5py.File(path, "w") as file:
        file.create_group("Measurements")
    with pytest.raises(CsvError) as error:
        batch_file.localize(path, B02, PLACES)
    assert error.value.code == "pipeline_unreadable"


def test_a_job_with_a_batch_file(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put_plate()
    cloud.put({"b.h5": write_batch(tmp_path / "b.h5").read_bytes()})
    bucket = Bucket(cloud.bucket, cloud.s3)
    sources = Sources(bucket, bucket, False, Cache(tmp_path / "cache"))
    body = job_message(pipeline="b.h5", data_file="b.h5")
    job = message.parse(body, RUN)
    for number in "12":  # the second from the cache, which the first job must not change
        folder = tmp_path / f"job{number}"
        folder.mkdir()
        versions = job_inputs.current_versions(job, sources)
        fetched = job_inputs.fetch(job, sources, versions, folder, lambda: None, print)
        assert (fetched.data_file, fetched.numbering) == (None, None)
        images = [Path(url[len("file:") :]) for url in values(fetched.pipeline, "URL_DNA")[:2]]
        assert [path.read_bytes() for path in images] == [
            plate.image(plate.nuclei("A01", site)) for site in plate.SITES
        ]
        assert all(folder in path.parents for path in images)


def run_cellprofiler(*arguments: str) -> int:
    program = str(Path(sys.executable).with_name("cellprofiler"))
    return subprocess.run([program, "-c", "-r", *arguments], check=False).returncode


def print_groups(batch_file: Path) -> str:
    """CellProfiler's output; it then fails, because it has no pipeline."""
    program = str(Path(sys.executable).with_name("cellprofiler"))
    command = [program, "--print-groups", str(batch_file)]
    return subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout


def batch_pipeline(bucket: Path) -> str:
    """The plate's pipeline with different input modules; it writes a batch file."""
    text = plate.pipeline().replace("ModuleCount:4", "ModuleCount:8")
    first, second = text.index("LoadData:["), text.index("IdentifyPrimaryObjects:[")
    text = f"{text[:first]}{INPUT_MODULES}\n{text[second:]}"
    for number, module in enumerate(("IdentifyP", "MeasureObj", "ExportToS"), start=5):
        start = text.index(module)
        text = text[:start] + re.sub(r"num:\d", f"num:{number}", text[start:], count=1)
    return text + CREATE_BATCH_FILES.replace("LOCAL", str(bucket))


@pytest.mark.e2e
def test_cellprofiler_reads_the_local_images_of_its_own_batch_file(tmp_path: Path) -> None:
    bucket, batch_folder, outputs = (
        tmp_path / name for name in ("bucket", "batch_folder", "outputs")
    )
    plate.write_below(bucket)
    (tmp_path / "p.cppipe").write_text(batch_pipeline(bucket))
    (tmp_path / "list.txt").write_text("\n".join(map(str, sorted(bucket.rglob("*.tif")))))
    for folder in (batch_folder, outputs):
        folder.mkdir()
    pipeline, files = str(tmp_path / "p.cppipe"), str(tmp_path / "list.txt")
    # CreateBatchFiles ends this run.
    run_cellprofiler("-p", pipeline, "--file-list", files, "-o", str(batch_folder))

    # tests/blocks/job_file/test_job_file.py reads the same as groups of a job file.
    printed = json.loads((Path(__file__).parents[2] / "support" / "print_groups.json").read_text())
    assert json.loads(print_groups(batch_folder / "Batch_data.h5")) == printed

    well = (("Metadata_Well", "B02"),)
    images = batch_file.localize(
        batch_folder / "Batch_data.h5", well, PathMapping("b", str(tmp_path / "images"))
    )
    for local, s3_object in images.items():
        Path(local).parent.mkdir(parents=True, exist_ok=True)
        (bucket / s3_object.key).rename(local)
    file = str(batch_folder / "Batch_data.h5")
    assert run_cellprofiler("-p", file, "-g", "Metadata_Well=B02", "-o", str(outputs)) == 0
    with (outputs / "Image.csv").open() as table:
        rows = list(csv.DictReader(table))
    counts = {row["ImageNumber"]: float(row["Count_Nuclei"]) for row in rows}
    assert counts == {number: plate.nuclei("B02", site) for number, site in zip("34", plate.SITES)}
    assert {row["PathName_DNA"] for row in rows} == {
        str(tmp_path / "images" / "b" / plate.IMAGES_KEY)
    }
