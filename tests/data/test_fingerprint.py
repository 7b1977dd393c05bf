"""Fingerprints of classification data: they follow content, labels and split, and nothing else."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from ghostexp.config.build import build
from ghostexp.config.cli import compose_config
from ghostexp.data import folder
from ghostexp.data.fingerprint import fingerprint


def write_photos(root: Path) -> Path:
    for label, name in enumerate(("cat", "dog")):
        for number in range(10):
            path = root / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (6, 6), (100 * label + number,) * 3).save(path)
    return root


def of(choice: str, *overrides: str) -> str:
    data = build(compose_config([f"dataset={choice}", *overrides]).dataset, "dataset")
    data.prepare_data()
    data.setup("fit")
    return data.fingerprint


def of_photos(root: Path, *overrides: str) -> str:
    return of("image_folder", f"dataset.root={root}", "dataset.image_size=6", *overrides)


@pytest.mark.parametrize("in_memory", [True, False])
def test_an_image_folder(tmp_path, monkeypatch, in_memory):
    if not in_memory:
        monkeypatch.setattr(folder, "MAX_BYTES_IN_MEMORY", 0)
    root = write_photos(tmp_path / "photos")
    first = of_photos(root)
    assert len(first) == 16
    assert int(first, 16) >= 0
    copy = shutil.copytree(root, tmp_path / "elsewhere" / "copy")
    os.utime(copy / "cat" / "0.png", ns=(1, 1))
    assert of_photos(copy) == first
    assert of_photos(root, "seed=3") == first
    split = of_photos(root, "dataset.val_split=0.2")
    assert split != first
    assert of_photos(root, "dataset.val_split=0.2", "seed=3") != split
    pixels = np.random.default_rng(0).integers(256, size=(6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(copy / "cat" / "0.png")
    assert of_photos(copy) != first
    shutil.rmtree(copy)
    shutil.copytree(root, copy)
    (copy / "cat" / "9.png").rename(copy / "dog" / "99.png")  # another label
    assert of_photos(copy) != first


def test_recordings(tmp_path):
    for name, pitch in (("low", 300), ("high", 900)):
        for number in range(5):
            wave = 0.5 * np.sin(np.arange(8000) * (pitch + number) / 2000)
            (tmp_path / name).mkdir(exist_ok=True)
            soundfile.write(tmp_path / name / f"{number}.wav", wave, 16000)
    first = of("audio_folder", f"dataset.root={tmp_path}")
    assert of("audio_folder", f"dataset.root={tmp_path}", "seed=1") == first
    soundfile.write(tmp_path / "low" / "0.wav", wave, 16000)
    assert of("audio_folder", f"dataset.root={tmp_path}") != first


def test_data_without_files():
    assert of("digits") == of("digits", "seed=2") != of("digits", "dataset.image_size=16")
    assert of("tones") != of("digits")


def test_what_is_put_together_differs_from_its_parts():
    one = torch.arange(4, dtype=torch.uint8)
    seen = [
        [one],
        [one[:2], one[2:]],
        [one.long()],
        [one.view(2, 2)],
        ["\0\1\2\3"],
        ["a", "b"],
        ["ab"],
    ]
    assert len({fingerprint(parts) for parts in seen}) == len(seen)
    assert fingerprint([one.flip(0)]) == fingerprint(
        [torch.tensor([3, 2, 1, 0], dtype=torch.uint8)]
    )
