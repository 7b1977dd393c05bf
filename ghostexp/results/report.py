"""Files of a report: report.md, report.csv, report.html with the figures in it, PNG if asked."""

from pathlib import Path

from ghostexp.files.atomic import write_text
from ghostexp.results.collect import collect
from ghostexp.results.formats import to_csv, to_markdown
from ghostexp.results.html import to_html
from ghostexp.results.table import Report, build_report

TITLES = {
    "sweep": "Accuracy and MACs against the swept value",
    "pareto": "Accuracy against MACs",
    "latency": "Accuracy against latency",
    "curves": "Learning curves",
}


def report_on(root: Path) -> Report:
    """Report on all runs below `root`; a ValueError if there is none."""
    return build_report(collect(root))


def write_report(report: Report, out: Path, *, png: bool = False) -> list[Path]:
    """Write the files into the folder `out` and return their paths."""
    from ghostexp.results.plots import (
        draw,
    )  # matplotlib: it takes a second to import, and --diff needs no figure
    from ghostexp.results.style import render

    figures = draw(report.rows, report.metric, len(report.tree.not_started))
    out.mkdir(parents=True, exist_ok=True)
    written, pictures = [], {}
    if png:
        for name, figure in figures.items():
            path = out / f"{name}.png"
            path.write_bytes(render(figure, "png"))
            pictures[TITLES[name]] = path.name
            written.append(path)
    vectors = {TITLES[name]: render(figure, "svg") for name, figure in figures.items()}
    texts = {
        "report.md": to_markdown(report, pictures),
        "report.csv": to_csv(report),
        "report.html": to_html(report, vectors),
    }
    for name, text in texts.items():
        write_text(out / name, text)
        written.append(out / name)
    return written
