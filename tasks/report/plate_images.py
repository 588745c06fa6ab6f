"""The plate maps of a run: drawn, and kept in its record below `plates/`."""

import hashlib
import logging
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from tasks import interrupt
from tasks.jobs.wells import plate_format
from tasks.report.statistics import Plate
from tasks.runs.run import Run

logger = logging.getLogger("prefect.dcp")

MOST_PLATES = 200  # that are drawn: a third of a second each
KINDS = ("status", "seconds")
LONGEST_NAME = 100  # characters of a plate's name in a file's


@dataclass(frozen=True)
class Picture:
    """A picture of a plate.

    Attributes:
        plate: Name of the plate; may be empty.
        kind: `status` or `seconds`.
        png: The picture.
        address: Where it lies in S3.
    """

    plate: str
    kind: str
    png: bytes
    address: str

    @property
    def uri(self) -> str:
        """The picture itself as an address, which no time and no refused right can break."""
        return f"data:image/png;base64,{b64encode(self.png).decode()}"


def draw(run: Run, plates: Mapping[str, Plate]) -> list[Picture]:
    """Draw two maps for each plate and keep them; what cannot be drawn is logged and left out.

    The plates of a run are drawn as plates of one size, since a plate whose jobs are few does not
    show its own. Those with the most wells that did not succeed come first.
    """
    if not plates:
        return []
    size = plate_format(at for plate in plates.values() for at in plate)
    worst_first = sorted(plates.items(), key=lambda plate: (-_bad(plate[1]), plate[0]))
    if len(worst_first) > MOST_PLATES:
        logger.warning("%d of %d plates are drawn", MOST_PLATES, len(worst_first))
    made = (
        _drawn(run, name, wells, kind, size)
        for name, wells in worst_first[:MOST_PLATES]
        for kind in KINDS
    )
    return [picture for picture in made if picture is not None]


def _bad(plate: Plate) -> int:
    return sum(well.status in ("failed", "lost") for well in plate.values())


def file_name(plate: str, kind: str) -> str:
    """The name of a plate's picture: its own where any file system and S3 take it as it is.

    Else what they would not take is replaced, and a digest keeps plates apart that would then be
    of one name.
    """
    safe = re.sub(r"[^A-Za-z0-9 ._+-]", "_", plate)[:LONGEST_NAME]
    if safe != plate or not plate.strip(" ."):
        safe = f"{safe or 'no-name'}-{hashlib.sha256(plate.encode()).hexdigest()[:8]}"
    return f"{safe}-{kind}.png"


def _drawn(run: Run, name: str, wells: Plate, kind: str, size: int) -> Picture | None:
    key = run.key(f"plates/{file_name(name, kind)}")
    try:
        png = picture(name, wells, kind, size)
        run.aws.s3.put_object(
            Bucket=run.config.aws_bucket, Key=key, Body=png, ContentType="image/png"
        )
    except Exception:  # the report stands, whatever a drawing runs into
        logger.warning("The map of plate %s could not be drawn", name, exc_info=True)
        return None
    return Picture(name, kind, png, f"s3://{run.config.aws_bucket}/{key}")


def picture(name: str, wells: Plate, kind: str, size: int) -> bytes:
    """A map of a plate, `status` or `seconds`."""
    # Here, since matplotlib takes 50 MB and every process that runs a flow would have it. Held,
    # since numpy cannot be imported again after a Ctrl-C has interrupted its import.
    with interrupt.held():
        from tasks.report.plate_map import seconds_map, status_map

    draw_map = {"status": status_map, "seconds": seconds_map}[kind]
    return draw_map(name, wells, size)
