"""scripts/kept_filters.py: the rows of a small trained network, through the script's door."""

import sys

import pytest
import torch
from helpers import main_of

from ghostexp.models import resnet20

ARGUMENTS = [
    "model=resnet20",
    "dataset=digits",
    "dataset.image_size=8",
    "--test-images",
    "64",
    "dataset.batch_size=32",
]


@pytest.mark.slow
def test_rows_of_a_network(tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    torch.save(resnet20(in_channels=1).state_dict(), tmp_path / "weights.pth")
    arguments = [str(tmp_path / "weights.pth"), *ARGUMENTS, "--rates", "0.1", "--epochs", "4"]
    monkeypatch.setattr(sys, "argv", ["kept_filters.py", *arguments])
    assert main_of("kept_filters")() == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["dense"] + ["filters"] * 3 + ["fresh"] * 3
    assert all(" of 64 right" in row for row in rows)
    assert "tuned 4 epochs of 1" in rows[3]
    params = {row.split()[1] for row in rows[1:]}
    assert len(params) == 1  # both conversions are of one size
    shares = [float(row.partition("(")[2].partition("%")[0]) for row in rows]
    assert shares[3] > shares[1] + 5  # tuning teaches a network that knew nothing


def test_a_slip_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["kept_filters.py", "nowhere.pth", *ARGUMENTS])
    assert main_of("kept_filters")() == 1
    assert "nowhere.pth is neither a file" in capsys.readouterr().err
