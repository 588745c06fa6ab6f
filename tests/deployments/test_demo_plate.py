"""The demo: the plate matches its truth, and CellProfiler finds it."""

import csv
import io
import math
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from blocks.job_file.model import parse_job_file
from blocks.loading.load import load_config
from deployments.demo import EXAMPLE, DemoWell, compare, plate_map, read_counts
from deployments.examples.demo import make_plate as plate
from tasks.jobs.load_data_csv import Csvs, LoadData
from tasks.jobs.messages import messages

ROOT = Path(__file__).parents[2]
CELLPROFILER = ROOT / ".venv-worker/bin/cellprofiler"

# One process: the fixtures are created once.
pytestmark = pytest.mark.xdist_group("demo-plate")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bucket")
    plate.make_plate(folder)
    return folder


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_same_seed_same_plate(bucket, tmp_path):
    plate.make_plate(tmp_path)
    assert files(tmp_path) == files(bucket)


def test_another_seed_is_another_plate():
    assert plate.make_sites(1) != plate.make_sites(2)


def test_the_truth_matches_the_drawn_nuclei(bucket):
    sites = plate.make_sites(2006)
    truth = {
        (row["Metadata_Well"], row["Metadata_Site"]): int(row["Nuclei"])
        for row in rows(bucket / plate.TRUTH)
    }
    assert len(sites) == len(truth) == 16
    for site in sites:
        assert truth[site.well, str(site.site)] == len(site.nuclei)
        drawn = plate.light("DNA", site) - plate.light("DNA", replace(site, nuclei=()))
        # The total light of a soft ellipse: each nucleus occurs once, and completely.
        soft = 1 + (math.pi * 0.09) ** 2 / 3
        lights = [math.pi * n.long_radius * n.short_radius * n.brightness for n in site.nuclei]
        assert drawn.sum() == pytest.approx(sum(lights) * soft, rel=0.005)
        for nucleus in site.nuclei:
            assert drawn[round(nucleus.y), round(nucleus.x)] > 0.9 * nucleus.brightness


def test_nuclei_fall_with_the_dose():
    numbers = [plate.expected_nuclei(dose) for dose in sorted(plate.DOSES.values())]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] > 2 * numbers[-1]


@settings(deadline=None, max_examples=20)
@given(count=st.integers(0, 80), seed=st.integers(0, 2**32))
def test_nuclei_lie_apart_and_within_the_image(count, seed):
    nuclei = plate.place_nuclei(count, np.random.default_rng(seed))
    assert len(nuclei) == count
    for number, nucleus in enumerate(nuclei):
        for value in (nucleus.y, nucleus.x):
            assert nucleus.long_radius < value < plate.SIZE - nucleus.long_radius
        for other in nuclei[:number]:
            apart = math.hypot(nucleus.y - other.y, nucleus.x - other.x)
            assert apart >= plate.CLOSEST * (nucleus.long_radius + other.long_radius)


def test_more_nuclei_than_there_is_room_for():
    with pytest.raises(ValueError, match="do not fit"):
        plate.place_nuclei(2000, np.random.default_rng(0))


def test_load_data_names_every_image_where_the_worker_has_it(bucket):
    paths = set()
    for row in rows(bucket / plate.LOAD_DATA):
        for channel in plate.CHANNELS:
            path = f"{row[f'PathName_Orig{channel}']}/{row[f'FileName_Orig{channel}']}"
            paths.add(bucket / path.removeprefix("/home/ubuntu/bucket/"))
    assert paths == set((bucket / plate.IMAGES).iterdir())
    assert len(paths) == 32


def test_images_are_16_bit_and_unevenly_lit(bucket):
    image = np.asarray(Image.open(bucket / plate.IMAGES / "B04_s1_DNA.tif"))
    assert image.dtype == np.uint16
    assert image.shape == (plate.SIZE, plate.SIZE)
    assert 0 < image.min() < image.max() < 65535
    corner, middle = image[-20:, -20:], image[190:240, 190:240]
    assert np.median(corner) < 0.9 * np.median(middle)


def test_job_file_is_one_job_for_each_site(bucket):
    job_file = parse_job_file((EXAMPLE / "job.json").read_text(), "job.json")
    with Csvs(None) as csvs:  # its groups are listed: no CSV is downloaded
        jobs = list(messages(job_file.sets(), "", csvs))
    assert [message.metadata for message in jobs] == [
        ",".join(
            f"{key}={row[key]}" for key in ("Metadata_Plate", "Metadata_Well", "Metadata_Site")
        )
        for row in rows(bucket / plate.LOAD_DATA)
    ]
    assert (bucket / job_file.pipeline).is_file()
    assert (bucket / job_file.data_file).is_file()
    assert len({job.output_prefix for job in jobs}) == len(jobs)


@pytest.mark.parametrize("example", ["from_csv.yaml", "layout.yaml"])
def test_other_forms_of_job_file_result_in_the_same_jobs(bucket, example):
    def jobs(path):
        sets = parse_job_file(path.read_text(), path.name).sets()
        found = messages(sets, "", lambda key: LoadData.open(key, bucket / key))
        return {message.job_id for message in found}

    assert jobs(EXAMPLE.parent / "jobs" / example) == jobs(EXAMPLE / "job.json")


def test_config_is_sound():
    config = load_config(str(EXAMPLE / "config.yaml"))
    assert config.containers == 2
    assert config.download_files


def image_csv(folder, well, site, nuclei):
    folder.mkdir(parents=True)
    (folder / "Image.csv").write_text(
        f"Count_Nuclei,Metadata_Site,Metadata_Well\n{nuclei},{site},{well}\n"
    )


def test_counts_are_read_wherever_they_lie(tmp_path):
    image_csv(tmp_path / "a", "A01", 1, 71.0)
    image_csv(tmp_path / "b" / "c", "A01", 2, 70.0)
    assert read_counts(tmp_path) == {("A01", 1): 71, ("A01", 2): 70}
    assert read_counts(tmp_path / "none") == {}


def test_a_site_counted_twice_is_an_error(tmp_path):
    image_csv(tmp_path / "a", "A01", 1, 71.0)
    image_csv(tmp_path / "b", "A01", 1, 71.0)
    with pytest.raises(ValueError, match="A01, site 1 occurs twice"):
        read_counts(tmp_path)


def test_wells_are_right_only_when_every_site_was_counted():
    sites = plate.make_sites(2006)
    counts = {(site.well, site.site): len(site.nuclei) for site in sites}
    assert all(well.deviation == 0 and well.right for well in compare(sites, counts))
    del counts["A02", 2]
    counts["B04", 1] = 0
    assert [well.name for well in compare(sites, counts) if not well.right] == ["A02", "B04"]
    assert not any(well.right for well in compare(sites, {}))


@given(truth=st.integers(1, 1000), counted=st.integers(0, 2000))
def test_five_per_cent_are_tolerated(truth, counted):
    well = DemoWell("A01", 0.0, truth, counted)
    assert well.right == (20 * abs(counted - truth) <= truth)


def test_the_plate_map_marks_deviations_in_words():
    wells = [
        DemoWell("A01", 0.0, 100, 96),
        DemoWell("A02", 1.0, 100, 94),
        DemoWell("B01", 3.0, 50, None),
        DemoWell("B02", 10.0, 40, 40),
    ]
    text = io.StringIO()
    Console(file=text, width=100).print(plate_map(wells))
    assert "\x1b" not in text.getvalue()
    for shown in ("96 / 100 ", "94 / 100 OFF", "none / 50 OFF", "40 / 40 "):
        assert shown in text.getvalue()
    assert text.getvalue().count("OFF") == 2


@pytest.mark.e2e
def test_cellprofiler_finds_the_nuclei_of_two_wells(bucket, tmp_path):
    chosen = ("A02", "B04")
    load_data = [row for row in rows(bucket / plate.LOAD_DATA) if row["Metadata_Well"] in chosen]
    for row in load_data:
        for channel in plate.CHANNELS:
            row[f"PathName_Orig{channel}"] = str(bucket / plate.IMAGES)
    plate.write_csv(tmp_path / "load_data.csv", load_data)
    command = [CELLPROFILER, "-c", "-r", "-p", bucket / plate.PIPELINE, "-i", tmp_path]
    command += ["-o", tmp_path / "out", "-t", tmp_path, "--data-file", tmp_path / "load_data.csv"]
    subprocess.run(command, check=True)
    sites = [site for site in plate.make_sites(2006) if site.well in chosen]
    wells = compare(sites, read_counts(tmp_path / "out"))
    assert len(wells) == 2
    assert all(well.right for well in wells), wells
