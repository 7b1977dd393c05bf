"""Files and terminal output of a report, and the script that makes them."""

import csv
import io
import os
import re
import shlex
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers import main_of
from rich.console import Console

from ghostexp.results.collect import read_run
from ghostexp.results.diff import diff_runs, differing
from ghostexp.results.formats import to_csv, to_markdown
from ghostexp.results.report import report_on, write_report
from ghostexp.results.terminal import to_terminal

SCRIPT = Path(__file__).parents[2] / "scripts" / "report.py"
HOSTILE = "<script>alert('x')</script> | [red]boom[/nope] `*_ <img src=http://x.test/y>"


@pytest.fixture
def main():
    return main_of("report")


@pytest.fixture
def sweep(make_run, tmp_path):
    """Two finished runs, one failed with a hostile message, one record that is cut off."""
    make_run("ratio=10", ratio=10, acc=0.88)
    make_run("ratio=2", ratio=2, acc=0.92, max_epochs=200)
    error = {"type": "ValueError", "message": HOSTILE, "traceback": f"Traceback\n{HOSTILE}"}
    make_run("ratio=3", ratio=3, acc=None, status="failed", error=error)
    (make_run("cut") / "result.json").write_text('{"sch')
    return tmp_path / "runs"


def terminal(renderable) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(renderable)
    return console.file.getvalue()


class Page(HTMLParser):
    """Tags of a page, its text, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.sources, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_terminal(sweep):
    text = terminal(to_terminal(report_on(sweep), 200))
    assert text.index("92.00") < text.index("│ failed") < text.index("88.00")  # 2, 3, 10
    assert HOSTILE in text  # not read as markup
    assert "unreadable" in text
    assert "3 runs: 2 finished, 1 failed; 1 file unreadable" in text


def test_markdown(sweep):
    lines = to_markdown(report_on(sweep), {"Curves": "curves.png"}).splitlines()
    start = lines.index(next(line for line in lines if line.startswith("| model")))
    table = lines[start : start + 5]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert [line.split(" | ")[0] for line in table[2:]] == ["| 2", "| 3", "| 10"]
    assert "![Curves](curves.png)" in lines
    text = "\n".join(lines)
    assert "<script" not in text
    assert "\\|" in text


def test_csv_has_a_line_for_every_run(sweep):
    rows = list(csv.DictReader(io.StringIO(to_csv(report_on(sweep)))))
    assert [row["model.ratio"] for row in rows] == ["2", "3", "10"]
    assert [row["status"] for row in rows] == ["finished", "failed", "finished"]
    assert rows[0]["test/acc"] == "0.92"
    assert (rows[0]["paper_percent"], rows[0]["paper_epochs"]) == ("92.7", "200")
    assert float(rows[0]["difference_points"]) == pytest.approx(-0.7)
    assert rows[2]["difference_points"] == ""
    assert rows[1]["error"] == f"ValueError: {HOSTILE}"
    assert rows[1]["test/acc"] == ""


def test_csv_takes_metrics_of_any_name(make_run, tmp_path):
    make_run("a", metrics={"test/acc": 0.5, "lr-SGD": 0.1, "epochs": 7.0})
    make_run("b", ratio=3, acc=None, status="failed")
    first, second = csv.DictReader(io.StringIO(to_csv(report_on(tmp_path))))
    assert (first["lr-SGD"], first["epochs"], second["lr-SGD"]) == ("0.1", "2", "")


def test_page_holds_everything_and_loads_nothing(sweep, tmp_path):
    out = tmp_path / "elsewhere"
    names = {path.name for path in write_report(report_on(sweep), out, png=True)}
    assert names == {path.name for path in out.iterdir()}
    assert {"report.md", "report.csv", "report.html", "sweep.png", "curves.png"} <= names
    page = Page((out / "report.html").read_text())
    assert page.tags.count("img") == 3
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert "script" not in page.tags
    assert HOSTILE in page.text
    assert "92.00" in page.text
    assert "torch 2.15.0" in page.text


def test_a_second_report_is_the_same(sweep, tmp_path):
    for name in ("one", "two"):
        write_report(report_on(sweep), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_script(sweep, main, capsys):
    assert main([str(sweep), "--out", str(sweep / "new" / "out")]) == 0
    assert "report.html" in capsys.readouterr().out
    assert (sweep / "new" / "out" / "report.html").exists()
    assert not (sweep / "report.html").exists()


def test_names_in_the_page_are_never_broken_inside_a_word(sweep, tmp_path):
    """Cells do not wrap, but for texts of errors and recipes, which wrap between words."""
    write_report(report_on(sweep), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    cell = re.search(r"^td \{(.*)\}$", page, re.MULTILINE)[1]
    assert "white-space: nowrap" in cell
    assert "anywhere" not in cell
    assert "anywhere" not in re.search(r"^td.text \{(.*)\}$", page, re.MULTILINE)[1]


def test_epochs_count_from_one(make_run, main, capsys):
    for name, epoch in (("a", 1), ("b", 8)):
        make_run(name, selected={"rule": "best val/acc", "epoch": epoch})
    root = make_run("c", acc=None, status="interrupted", epochs=None, max_epochs=9).parent
    assert main(["--diff", str(root / "a"), str(root / "b")]) == 0
    assert re.search(r"│ epoch +│ 1 +│ 8 +│", capsys.readouterr().out)
    assert main([str(root)]) == 0
    assert "interrupted, 2 of 9 epochs" in capsys.readouterr().out


def test_script_cannot_write(sweep, main, capsys):
    assert main([str(sweep), "--out", str(sweep / "cut" / "result.json")]) == 1
    assert capsys.readouterr().err.startswith("error: the report cannot be written")


def test_script_diff_names_the_versions_of_all_launches(make_run, main, capsys):
    before = {"versions": {"torch": "2.11.0"}, "git": {"revision": "e" * 40}}
    moved = make_run("moved", segments=[{"epochs": [1, 1]} | before, {"epochs": [2, 2]}])
    assert main(["--diff", str(moved), str(make_run("stayed"))]) == 0
    said = capsys.readouterr().out
    assert "2.11.0, then 2.15.0" in said
    assert f"{'e' * 40}, then" in " ".join(said.split())


def test_script_diff(make_run, main, capsys):
    runs = [str(make_run("a", acc=0.9)), str(make_run("b", ratio=3, acc=0.95))]
    assert main(["--diff", *runs]) == 0
    assert "model.ratio" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        *(["{}"], ["{}/absent"], ["{}/result.json"], ["{}/" + "long" * 1000]),
        *(
            ["--diff", "{}", "{}"],
            ["--diff", "{}/absent", "{}"],
            ["--diff", "{}/result.json", "{}"],
        ),
    ],
)
def test_script_says_in_one_sentence_what_it_cannot_read(tmp_path, main, capsys, arguments):
    (tmp_path / "result.json").write_text("{")
    assert main([argument.format(tmp_path) for argument in arguments]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1


def test_script_needs_a_folder_or_two_runs(main):
    with pytest.raises(SystemExit):
        main([])
    with pytest.raises(SystemExit):
        main(["somewhere", "--diff", "a", "b"])


def through_a_shell(command: str, **variables: str) -> subprocess.CompletedProcess:
    """Run a command line in which $REPORT is the script, as its user does."""
    report = shlex.join([sys.executable, "-W", "error", str(SCRIPT)])
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])} | variables
    line = command.replace("$REPORT", report)
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, env=environment
    )


@pytest.mark.parametrize("what", ["{sweep}", "--diff {sweep}/ratio=2 {sweep}/ratio=3"])
def test_the_script_ends_quietly_when_its_reader_has_gone(sweep, what):
    done = through_a_shell(f"$REPORT {what.format(sweep=sweep)} | true")
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
    done = through_a_shell(f"$REPORT {what.format(sweep=sweep)} | head -1")
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


def test_the_script_writes_its_files_whatever_becomes_of_its_output(sweep):
    done = through_a_shell(f"$REPORT {sweep} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the report cannot be printed")
    assert done.stderr.count("\n") == 1
    assert (sweep / "report.html").exists()
    done = through_a_shell(f"$REPORT {sweep} >&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_script_knows_the_width_and_an_ascii_terminal(sweep):
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = through_a_shell(f"$REPORT {sweep}", COLUMNS="80", **ascii_only)
    assert done.returncode == 0
    table = [line for line in done.stdout.splitlines() if line.startswith(("|", "+"))]
    assert table
    assert max(map(len, table)) <= 80
    assert "No room here for:" in done.stdout


def test_the_script_imports_no_torch():
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, str(SCRIPT)]).returncode == 0


def test_diff_keeps_numbers_whole_in_a_narrow_terminal(make_run):
    left = read_run(make_run("a_run_of_a_long_name_that_takes_room", acc=0.9))
    right = read_run(make_run("another_run_of_a_long_name_that_takes_room", ratio=3, acc=0.95))
    console = Console(file=io.StringIO(), width=60)
    console.print(diff_runs(left, right))
    assert re.search(r"test/acc +│ +0.9000 │ +0.9500 │ +\+0.0500", console.file.getvalue())


def test_diff_names_files_that_it_could_not_read_by_paths_that_can_be_copied(
    make_run, main, capsys
):
    left, right = make_run("a"), make_run("b" * 100)
    (right / "latency.json").write_text("{")
    assert main(["--diff", str(left), str(right)]) == 0
    assert f"{right / 'latency.json'} holds no latency" in capsys.readouterr().out


def test_diff_shows_what_differs(make_run):
    left = read_run(make_run("a", acc=0.9))
    right = read_run(make_run("b", ratio=3, acc=0.95, versions={"torch": "2.16.0"}))
    text = terminal(diff_runs(left, right))
    for word in ("model.ratio", "2.15.0", "2.16.0", "+0.0500", "0.9500"):
        assert word in text
    assert "cheap_kernel_size" not in text


def test_differing_tells_absent_from_none():
    left, right = {"a": 1, "b": None, "c": 3}, {"a": 1, "c": 4}
    assert differing(left, right) == {"b": (None, None), "c": (3, 4)}
