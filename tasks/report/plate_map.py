"""Pictures of a plate: what became of each well, and how long each took. PNG, drawn in memory."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

from matplotlib import colormaps
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image

from blocks.job_file.plate_layout import FORMATS, row_name
from tasks.jobs.wells import Position, plate_format
from tasks.report.statistics import Plate

DPI = 144
CELL = {96: 0.58, 384: 0.36, 1536: 0.22}  # inches from well to well, by plate
LABEL = {96: 11.5, 384: 9.5, 1536: 6.5}  # points
LEFT, RIGHT, TOP, BOTTOM = 0.55, 0.3, 1.12, 0.85  # inches around the wells
SIDE = 0.9  # of a cell
LONGEST_NAME = 60
CLIPPED = 0.98  # wells above this quantile share a colour, so that one slow well hides no other


class Style(NamedTuple):
    """How a status is drawn: a colour and, for eyes or prints without colours, a mark."""

    colour: str
    mark: str
    mark_colour: str = "white"


# Colours of Okabe and Ito, told apart with any form of colour blindness
# (jfly.uni-koeln.de/color, "Color Universal Design").
STYLES = {
    "succeeded": Style("#009E73", ""),
    "skipped": Style("#56B4E9", "_", "black"),
    "failed": Style("#D55E00", "x"),
    "lost": Style("#F0E442", "$?$", "black"),
}
NO_JOB, NO_TIME = Style("#FFFFFF", ""), Style("#EEEEEE", ".", "#767676")
OUTLINE = "#C8C8C8"
# Even in brightness, and the same in order with any colour blindness; in so many steps, since a
# picture has 256 colours.
COLOURS = colormaps["viridis"].resampled(160)


@dataclass(frozen=True)
class Geometry:
    """Where things are on the picture of a plate of so many wells; lengths in inches."""

    size: int

    @property
    def rows(self) -> int:
        """Rows of wells."""
        return FORMATS[self.size][0]

    @property
    def columns(self) -> int:
        """Columns of wells."""
        return FORMATS[self.size][1]

    @property
    def width(self) -> float:
        """Of the picture."""
        return LEFT + self.columns * CELL[self.size] + RIGHT

    @property
    def height(self) -> float:
        """Of the picture."""
        return TOP + self.rows * CELL[self.size] + BOTTOM

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The wells' rectangle, as matplotlib takes it: left, bottom, width, height in shares."""
        wide, high = self.columns * CELL[self.size], self.rows * CELL[self.size]
        return LEFT / self.width, BOTTOM / self.height, wide / self.width, high / self.height

    def pixel(self, at: Position) -> tuple[int, int]:
        """The centre of a well, in pixels from the left and from the top."""
        cell = CELL[self.size]
        across, down = LEFT + (at[1] + 0.5) * cell, TOP + (at[0] + 0.5) * cell
        return round(across * DPI), round(down * DPI)


def status_map(name: str, plate: Plate, size: int = 0) -> bytes:
    """The status of each well; of a well with several jobs, the worst.

    Args:
        name: The plate's name.
        plate: Its wells, at least one.
        size: Number of wells of the plate; 0 for the smallest that has all of them.
    """
    counts = Counter(well.status for well in plate.values())
    drawn = _Drawing(Geometry(size or plate_format(plate)), _title(name, "status"))
    drawn.say(f"{_jobs(plate)}; {_several(plate, 'the worst status of a well is shown')}")
    styles = {at: STYLES[well.status] for at, well in plate.items()}
    drawn.wells(styles)
    drawn.legend(
        {f"{status}: {counts[status]}": style for status, style in STYLES.items() if counts[status]}
        | drawn.without_job(plate)
    )
    return drawn.png()


def seconds_map(name: str, plate: Plate, size: int = 0) -> bytes:
    """The seconds that a job of each well took, the mean of its succeeded jobs.

    Args:
        name: The plate's name.
        plate: Its wells, at least one.
        size: Number of wells of the plate; 0 for the smallest that has all of them.
    """
    drawn = _Drawing(Geometry(size or plate_format(plate)), _title(name, "seconds a job"))
    drawn.say(
        f"download, CellProfiler and upload; {_several(plate, 'the mean of a well is shown')}"
    )
    timed = {at: well.seconds / well.succeeded for at, well in plate.items() if well.succeeded}
    untimed = {at: NO_TIME for at in plate if at not in timed}
    drawn.wells(untimed)
    if timed:
        drawn.heat(timed)
    words = {f"none succeeded: {len(untimed)}": NO_TIME} if untimed else {}
    drawn.legend(words | drawn.without_job(plate), left=0.55)
    return drawn.png()


def _title(name: str, what: str) -> str:
    short = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    return f"Plate {short}: {what}" if short else f"Plate without a name: {what}"


def _jobs(plate: Plate) -> str:
    return f"{sum(well.jobs for well in plate.values())} jobs in {len(plate)} wells"


def _several(plate: Plate, rule: str) -> str:
    most = max(well.jobs for well in plate.values())
    return f"up to {most} jobs a well: {rule}" if most > 1 else "one job a well"


class _Drawing:
    """A picture in the making."""

    def __init__(self, geometry: Geometry, title: str) -> None:
        self._at = geometry
        self._figure = Figure(figsize=(geometry.width, geometry.height), dpi=DPI, facecolor="white")
        self._axes = self._figure.add_axes(geometry.box)
        axes, cell = self._axes, CELL[geometry.size]
        axes.set_xlim(-0.5, geometry.columns - 0.5)
        axes.set_ylim(geometry.rows - 0.5, -0.5)
        axes.xaxis.tick_top()
        small = LABEL[geometry.size]
        columns, rows = range(geometry.columns), range(geometry.rows)
        axes.set_xticks(columns, [str(column + 1) for column in columns], fontsize=small)
        axes.set_yticks(rows, [row_name(row) for row in rows], fontsize=small)
        axes.tick_params(length=0, pad=2)
        axes.spines[:].set_visible(False)
        self._mark_size = cell * 72 * 0.42
        # Every well of the plate, those too that have no job.
        self.wells({(row, column): NO_JOB for row in rows for column in columns})
        self._write(title, geometry.height - 0.34, 15, "bold")

    def _write(self, text: str, up: float, points: float, weight: str = "normal") -> None:
        left = LEFT / self._at.width - 0.012
        # A name may hold a $, which would begin a formula.
        written = self._figure.text(
            left,
            up / self._at.height,
            text,
            fontsize=points,
            fontweight=weight,
            parse_math=False,
        )
        room = self._figure.bbox.width * (1 - 1.5 * left)
        wide = written.get_window_extent().width
        written.set_fontsize(points * min(1, room / wide))

    def say(self, text: str) -> None:
        """Write a line below the title."""
        self._write(text, self._at.height - 0.64, 10)

    def wells(self, styles: Mapping[Position, Style]) -> None:
        """Fill wells, and set the mark of their status into each."""
        self._axes.add_collection(
            PatchCollection(
                [_square(at) for at in styles],
                facecolors=[style.colour for style in styles.values()],
                edgecolors=OUTLINE,
                linewidths=0.6,
            )
        )
        for style in dict.fromkeys(styles.values()):
            if style.mark:
                places = [at for at, own in styles.items() if own == style]
                self._axes.add_line(
                    _mark(style, self._mark_size, [c for _, c in places], [r for r, _ in places])
                )

    def heat(self, values: Mapping[Position, float]) -> None:
        """Fill wells by their value, and explain the colours in a bar."""
        ordered = sorted(values.values())
        top = ordered[int(CLIPPED * (len(ordered) - 1))]
        squares = PatchCollection(
            [_square(at) for at in values],
            cmap=COLOURS,
            norm=Normalize(ordered[0], top if top > ordered[0] else ordered[0] + 1),
            edgecolors=OUTLINE,
            linewidths=0.6,
        )
        squares.set_array(list(values.values()))
        self._axes.add_collection(squares)
        place = (LEFT / self._at.width, 0.42 / self._at.height, 0.42, 0.16 / self._at.height)
        bar = self._figure.colorbar(
            squares,
            cax=self._figure.add_axes(place),
            orientation="horizontal",
            extend="max" if ordered[-1] > top else "neither",
        )
        bar.ax.tick_params(labelsize=9)
        bar.set_label("seconds", fontsize=9)

    def without_job(self, plate: Plate) -> dict[str, Style]:
        """The legend's entry for wells that the run has no job for."""
        empty = self._at.rows * self._at.columns - len(plate)
        return {f"no job: {empty}": NO_JOB} if empty else {}

    def legend(self, entries: Mapping[str, Style], left: float | None = None) -> None:
        """Explain the styles below the wells."""
        if not entries:
            return
        self._figure.legend(
            handles=[(_swatch(style), _mark(style, 6, [], [])) for style in entries.values()],
            labels=list(entries),
            loc="lower left",
            bbox_to_anchor=(left or (LEFT / self._at.width - 0.012), 0.16 / self._at.height),
            ncols=len(entries),
            frameon=False,
            fontsize=10,
            borderpad=0,
            handletextpad=0.3,
            columnspacing=1.6,
        )

    def png(self) -> bytes:
        """The finished picture."""
        drawn, file = BytesIO(), BytesIO()
        self._figure.savefig(drawn, format="png")
        # A palette is half the size, and reports hold their pictures.
        Image.open(drawn).convert("RGB").quantize(256).save(file, "PNG", optimize=True)
        return file.getvalue()


def _square(at: Position) -> Rectangle:
    return Rectangle((at[1] - SIDE / 2, at[0] - SIDE / 2), SIDE, SIDE)


def _swatch(style: Style) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="",
        marker="s",
        markersize=12,
        markerfacecolor=style.colour,
        markeredgecolor=OUTLINE,
    )


def _mark(style: Style, size: float, across: list[int], down: list[int]) -> Line2D:
    return Line2D(
        across,
        down,
        linestyle="",
        marker=style.mark or "None",
        markersize=size,
        markeredgewidth=size / 6 if style.mark != "$?$" else 0.3,
        color=style.mark_colour,
    )
