"""The notebook of the tutorial, cell by cell in this process: a kernel would take a dozen seconds.

`make notebook` runs it in Jupyter's own kernel.
"""

import contextlib
import io
import json

import pytest
from helpers import ROOT

NOTEBOOK = ROOT / "docs" / "tutorial" / "notebook.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


class Cell(io.StringIO):
    """The standard output of a notebook, which has no descriptor and no terminal."""

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


@pytest.fixture
def _own_place(tmp_path, monkeypatch):
    """The notebook writes into its working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_own_place")
@pytest.mark.slow
def test_the_notebook_runs_and_prints_what_it_shows():
    names = {}
    for cell in CELLS:
        output = Cell()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(Cell()):
            exec("".join(cell["source"]).replace("tempfile.mkdtemp()", '"."'), names)
        if "list_models" in "".join(cell["source"]):
            (shown,) = (each for each in cell["outputs"] if each["output_type"] == "stream")
            assert output.getvalue() == "".join(shown["text"])
    assert names["run"].status == "finished"
    assert [each.status for each in names["runs"]] == ["finished"] * 2
    assert names["answer"]["class"] in map(str, range(10))
    assert 0.1 <= names["answer"]["probability"] <= 1  # the most probable of ten classes


def test_the_notebook_is_kept_with_its_output():
    assert all(cell["outputs"] for cell in CELLS[1:]), "make notebook"
    kinds = [output["output_type"] for cell in CELLS for output in cell["outputs"]]
    assert "error" not in kinds
    text = NOTEBOOK.read_text()
    assert len(text) < 40_000
    assert "/tmp/" not in text
    assert "Warning" not in text
