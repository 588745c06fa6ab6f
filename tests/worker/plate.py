"""A plate that CellProfiler analyses in two seconds: images, LoadData CSV, pipeline."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image

PLATE = "P1"
WELLS = ("A01", "B02")
SITES = ("1", "2")
ROOT = "/home/ubuntu/bucket/"
PIPELINE_KEY = "project/pipelines/count.cppipe"
CSV_KEY = "project/load_data_csv/P1/load_data.csv"
IMAGES_KEY = "project/images/P1"
OUTPUT_KEY = "project/analysis"

LOAD_DATA = """\
LoadData:[module_num:1|svn_version:'Unknown'|variable_revision_number:6|show_window:False|notes:[]\
|batch_state:array([], dtype=uint8)|enabled:True|wants_pause:False]
    Input data file location:Elsewhere...|
    Name of the file:None
    Load images based on this data?:Yes
    Base image location:Default Input Folder|
    Process just a range of rows?:No
    Rows to process:1,100000
    Group images by metadata?:Yes
    Select metadata tags for grouping:{tags}
    Rescale intensities?:Yes
"""

IDENTIFY = """\
IdentifyPrimaryObjects:[module_num:2|svn_version:'Unknown'|variable_revision_number:15\
|show_window:False|notes:[]|batch_state:array([], dtype=uint8)|enabled:True|wants_pause:False]
    Select the input image:{image}
    Name the primary objects to be identified:Nuclei
    Typical diameter of objects, in pixel units (Min,Max):4,30
    Discard objects outside the diameter range?:No
    Discard objects touching the border of the image?:No
    Method to distinguish clumped objects:None
    Method to draw dividing lines between clumped objects:None
    Size of smoothing filter:10
    Suppress local maxima that are closer than this minimum allowed distance:7.0
    Speed up by using lower-resolution image to find local maxima?:Yes
    Fill holes in identified objects?:After both thresholding and declumping
    Automatically calculate size of smoothing filter for declumping?:Yes
    Automatically calculate minimum allowed distance between local maxima?:Yes
    Handling of objects if excessive number of objects identified:Continue
    Maximum number of objects:500
    Use advanced settings?:Yes
    Threshold setting version:12
    Threshold strategy:Global
    Thresholding method:Manual
    Threshold smoothing scale:0
    Threshold correction factor:1.0
    Lower and upper bounds on threshold:0.0,1.0
    Manual threshold:0.3
    Select the measurement to threshold with:None
    Two-class or three-class thresholding?:Two classes
    Log transform before thresholding?:No
    Assign pixels in the middle intensity class to the foreground or the background?:Foreground
    Size of adaptive window:50
    Lower outlier fraction:0.05
    Upper outlier fraction:0.05
    Averaging method:Mean
    Variance method:Standard deviation
    # of deviations:2.0
    Thresholding method:Manual
"""

MEASURE = """\
MeasureObjectSizeShape:[module_num:3|svn_version:'Unknown'|variable_revision_number:3\
|show_window:False|notes:[]|batch_state:array([], dtype=uint8)|enabled:True|wants_pause:False]
    Select object sets to measure:Nuclei
    Calculate the Zernike features?:No
    Calculate the advanced features?:No
"""

EXPORT = """\
ExportToSpreadsheet:[module_num:4|svn_version:'Unknown'|variable_revision_number:13\
|show_window:False|notes:[]|batch_state:array([], dtype=uint8)|enabled:True|wants_pause:False]
    Select the column delimiter:Comma (",")
    Add image metadata columns to your object data file?:Yes
    Add image file and folder names to your object data file?:No
    Select the measurements to export:No
    Calculate the per-image mean values for object measurements?:No
    Calculate the per-image median values for object measurements?:No
    Calculate the per-image standard deviation values for object measurements?:No
    Output file location:Default Output Folder|
    Create a GenePattern GCT file?:No
    Select source of sample row name:Metadata
    Select the image to use as the identifier:None
    Select the metadata to use as the identifier:None
    Export all measurement types?:Yes
    Press button to select measurements:
    Representation of Nan/Inf:NaN
    Add a prefix to file names?:No
    Filename prefix:MyExpt_
    Overwrite existing files without warning?:Yes
    Data to export:Do not use
    Combine these object measurements with those of the previous object?:No
    File name:DATA.csv
    Use the object name for the file name?:Yes
"""


def pipeline(tags: str = "Plate,Well", image: str = "DNA", unknown_module: bool = False) -> str:
    """The text of a pipeline that counts nuclei, grouped by `tags`."""
    head = (
        "CellProfiler Pipeline: http://www.cellprofiler.org\nVersion:5\nDateRevision:4281\n"
        "GitHash:\nModuleCount:4\nHasImagePlaneDetails:False\n"
    )
    measure = MEASURE
    if unknown_module:
        measure = MEASURE.replace("MeasureObjectSizeShape", "NoSuchModule")
    modules = (LOAD_DATA.format(tags=tags), IDENTIFY.format(image=image), measure, EXPORT)
    return "\n".join((head, *modules))


def nuclei(well: str, site: str) -> int:
    """The true number of nuclei in the image of a site."""
    return 3 + 2 * WELLS.index(well) + SITES.index(site)


def image(count: int) -> bytes:
    """A TIFF of 96 x 96 pixels with `count` bright discs on a dark ground."""
    rows, columns = np.mgrid[0:96, 0:96]
    pixels = np.full((96, 96), 10, dtype=np.uint8)
    for number in range(count):
        row, column = 12 + 24 * (number // 4), 12 + 24 * (number % 4)
        pixels[(rows - row) ** 2 + (columns - column) ** 2 <= 36] = 200
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="TIFF")
    return file.getvalue()


def image_key(well: str, site: str) -> str:
    """The S3 key of a site's image."""
    return f"{IMAGES_KEY}/{well}_s{site}.tif"


def load_data_rows(root: str = ROOT) -> list[dict[str, str]]:
    """The rows of the plate's LoadData CSV."""
    return [
        {
            "FileName_DNA": f"{well}_s{site}.tif",
            "PathName_DNA": f"{root}{IMAGES_KEY}",
            "Metadata_Plate": PLATE,
            "Metadata_Well": well,
            "Metadata_Site": site,
        }
        for well in WELLS
        for site in SITES
    ]


def load_data(rows: list[dict[str, str]]) -> str:
    """Rows as the text of a LoadData CSV."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def objects() -> dict[str, bytes]:
    """Key and content of everything the plate has in S3."""
    sites: list[tuple[str, str]] = [(well, site) for well in WELLS for site in SITES]
    return {
        PIPELINE_KEY: pipeline().encode(),
        CSV_KEY: load_data(load_data_rows()).encode(),
        **{image_key(well, site): image(nuclei(well, site)) for well, site in sites},
    }


def write_below(folder: Path) -> None:
    """Write the plate's objects as files, keys as paths."""
    for key, content in objects().items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
