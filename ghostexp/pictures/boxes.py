"""Pictures of boxes on images: predictions beside the truth, or alone."""

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from ghostexp.pictures.palette import OKABE_ITO
from ghostexp.pictures.text import plain

DASHES = ("-", "--", ":", "-.")  # once the colours are used up
WIDTH, LEGEND = 4.0, 0.5  # inches
DPI = 100
HALO = [withStroke(linewidth=3.5, foreground="white")]  # seen on dark and light ground

Target = dict[str, Tensor]


def compare(
    images: list[Tensor], targets: list[Target], detections: list[Target], class_names: list[str]
) -> Figure:
    """One row per image: the truth on the left, the detections with their scores on the right."""
    shapes = [image.shape[1:] for image in images]
    heights = [WIDTH * height / width for height, width in shapes]
    figure = Figure(figsize=(2 * WIDTH, sum(heights) + LEGEND), layout="constrained")
    FigureCanvasAgg(figure)
    cells = figure.subplots(len(images), 2, squeeze=False, height_ratios=heights)
    for row, image, target, detection in zip(cells, images, targets, detections, strict=True):
        draw_boxes(row[0], image, target)
        draw_boxes(row[1], image, detection)
    cells[0, 0].set_title("truth")
    cells[0, 1].set_title("predictions")
    _legend(figure, [*targets, *detections], class_names, "outside lower center")
    return figure


def annotate(image: Tensor, detection: Target, class_names: list[str]) -> Figure:
    """One image [3, H, W], pixel for pixel at `DPI`, with its detections and a legend below."""
    height, width = image.shape[1:]
    strip = int(LEGEND * DPI) if len(detection["labels"]) else 0
    figure = Figure(figsize=(width / DPI, (height + strip) / DPI))
    FigureCanvasAgg(figure)
    share = strip / (height + strip)
    draw_boxes(figure.add_axes((0, share, 1, 1 - share)), image, detection)
    _legend(figure, [detection], class_names, "lower center")
    return figure


def draw_boxes(axes: Axes, image: Tensor, boxes: Target) -> None:
    """An image [3, H, W] in [0, 1] with `boxes`, and the scores that they may have."""
    axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    scores = boxes["scores"].tolist() if "scores" in boxes else [None] * len(boxes["labels"])
    corners, labels = boxes["boxes"].tolist(), boxes["labels"].tolist()
    for (left, top, right, bottom), label, score in zip(corners, labels, scores, strict=True):
        color, dash = _look(label)
        corner, size = (left - 0.5, top - 0.5), (right - left, bottom - top)  # pixel centres
        box = Rectangle(corner, *size, fill=False, edgecolor=color, linestyle=dash, linewidth=1.8)
        box.set_path_effects(HALO)
        axes.add_patch(box)
        if score is not None:
            text = axes.text(left, top, f"{score:.2f}", color=color, fontsize=7, va="bottom")
            text.set(path_effects=HALO, clip_on=True)


def _legend(figure: Figure, drawn: list[Target], class_names: list[str], place: str) -> None:
    labels = sorted({label for boxes in drawn for label in boxes["labels"].tolist()})
    handles = [Line2D([], [], color=_look(k)[0], linestyle=_look(k)[1], lw=2) for k in labels]
    names = [plain(class_names[label - 1]) for label in labels]
    if handles:
        columns = max(1, int(figure.get_figwidth() / 1.6))
        figure.legend(handles, names, loc=place, ncols=columns, frameon=False, fontsize=8)


def _look(label: int) -> tuple[str, str]:
    """Colour and dashes of a class, the same in every picture."""
    index = label - 1
    return OKABE_ITO[index % len(OKABE_ITO)], DASHES[index // len(OKABE_ITO) % len(DASHES)]
