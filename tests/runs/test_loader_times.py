"""`ghostexp benchmark loader` on a few made photos: all loaders read all of them."""

import json

import numpy as np
import pytest
from helpers import main_of

from ghostexp.runs.loader_times import OURS, PACKED, TIMM, TORCHVISION
from ghostexp.runs.made_photos import made_photo, make_photos


@pytest.mark.slow
def test_every_loader_reads_every_photo(tmp_path, capsys):
    make_photos(tmp_path / "photos", 60, 10)
    out = tmp_path / "out"
    words = ["--photos", str(tmp_path / "photos"), "--out", str(out), "--rounds", "2"]
    assert main_of("benchmark")(["loader", *words, "--threads", "1", "--batch", "30"]) == 0
    rows = json.loads((out / "loader.json").read_text())["rows"]
    assert [row["loader"] for row in rows] == [TORCHVISION, TIMM, OURS, PACKED]
    for row in rows:
        assert row["images"] == 60
        assert len(row["seconds"]) == len(row["cpu_seconds"]) == len(row["rss_bytes"]) == 2
        assert min(row["seconds"]) > 0 < min(row["cpu_seconds"])
    assert (out / "loader.md").read_text().strip() in capsys.readouterr().out


def test_made_photos_are_as_large_as_imagenets_and_each_another_one(tmp_path):
    make_photos(tmp_path, 20, 10)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*.jpg")]
    assert len(sizes) == 30
    assert np.mean(sizes) == pytest.approx(110_000, rel=0.1)
    first, second = (made_photo(50, 40, np.random.default_rng(seed)) for seed in range(2))
    assert np.abs(np.asarray(first, float) - np.asarray(second, float)).mean() > 10
