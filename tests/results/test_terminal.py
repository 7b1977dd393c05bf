"""The table in a terminal: whole numbers, whole names, columns left out by rank."""

import io
import re

import pytest
from rich.console import Console

from ghostexp.results.report import report_on
from ghostexp.results.terminal import to_terminal

NUMBER = re.compile(r"\d[\d.:,]*")


def lines_of(folder, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(to_terminal(report_on(folder), width))
    return console.file.getvalue().splitlines()


def cells_of(lines: list[str]) -> list[list[str]]:
    """Cells of the table's body, a list per printed line."""
    body = [line for line in lines if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in body]


@pytest.fixture
def folder(make_run, tmp_path):
    for ratio in (2, 10):
        for seed in (0, 1):
            name = f"ratio={ratio},{seed}"
            make_run(name, ratio=ratio, seed=seed, acc=0.9 + seed / 100, max_epochs=200)
    return tmp_path / "runs"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_numbers_stay_whole_at_every_width(folder, width):
    lines = lines_of(folder, width)
    assert all(len(line) <= width for line in lines)
    rows = cells_of(lines)
    assert len([row for row in rows if row[0] in ("2", "10")]) == 2
    assert all("90.50 ± 0.71 (2)" in row for row in rows if row[0])
    known = {"60.00", "12.00", "0.500", "0.100", "1:01:01", "1,000", "92.7", "2.20"}
    known |= {"2", "10", "90.50", "0.71", "1"}
    text = " ".join(" ".join(row) for row in rows)
    assert set(NUMBER.findall(text)) <= known | {"1", "2", "3"}  # marks of footnotes


def test_columns_go_by_rank_and_are_named(folder):
    wide, narrow = lines_of(folder, 200), lines_of(folder, 80)
    assert not any("No room here" in line for line in wide)
    text = " ".join(narrow)
    missing = re.search("No room here for: (.*?). report.html has all columns", text)[1].split("; ")
    assert "images/s (training)" in missing
    assert not {"model.ratio", "test accuracy, %, last epoch", "status"} & set(missing)
    assert len(missing) < len(report_on(folder).columns) - 3


def test_names_are_not_broken_and_long_ones_are_cut_where_they_agree(make_run, tmp_path):
    for end in ("_of_speakers", "_of_digits"):
        long = f"a_network_with_a_name_of_remarkable_length_for_recognition{end}"
        make_run(end, swept={"model": long}, choices={"model": long})
    for width in (40, 80, 120, 200):
        names = [row[0] for row in cells_of(lines_of(tmp_path, width)) if row[0]]
        assert len(names) == 2
        assert names[0].endswith("digits")
        assert names[1].endswith("speakers")


def test_names_of_several_columns_become_one_where_there_is_no_room(make_run, tmp_path):
    for model, task, suspect in (
        ("ghost_efficientnet_v2", "classification", "layer_scale_at_residuals"),
        ("ghost_efficientnet_v2_050", "classification_cosine", "layer_scale_everywhere"),
    ):
        swept = {"model": model, "task": task, "suspect": suspect}
        make_run(model, swept=swept, choices={"model": model})
    assert cells_of(lines_of(tmp_path, 200))[0][:2] == [
        "ghost_efficientnet_v2",
        "classification",
    ]
    first = cells_of(lines_of(tmp_path, 80))[0]
    assert "…" in first[0]
    assert "90.00" in first


def test_mixed_recipes_are_told_below(make_run, tmp_path):
    for number in range(6):
        config = {f"optimizer.key{bit}": number >> bit & 1 for bit in range(3)}
        make_run(f"{number}", ratio=number + 1, config=config, swept={})
    text = " ".join(lines_of(tmp_path, 100))
    assert "ratio=6: model.ratio=6, optimizer.key0=1" in text
    for number in range(6, 30):
        config = {f"optimizer.key{bit}": number >> bit & 1 for bit in range(3)}
        make_run(f"{number}", ratio=number + 1, config=config, swept={})
    text = " ".join(lines_of(tmp_path, 100))
    assert "ratio=6: " not in text
    assert "report.html names these 30 rows in full, in this order" in text
