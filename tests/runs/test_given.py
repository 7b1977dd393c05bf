"""`Run.predict` of a path, a PIL image, an array and a tensor gives one answer."""

import json

import numpy as np
import pytest
import torch
from helpers import main_of
from PIL import Image

from ghostexp.runs.given import as_files
from ghostexp.runs.run import Run

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
RED = np.zeros((4, 4, 3), np.uint8) + np.array([255, 0, 0], np.uint8)


def test_all_kinds_of_an_image_get_the_commands_answer(trained, tmp_path, capsys):
    path = tmp_path / "photo.png"
    Image.fromarray(PIXELS).save(path)
    run = Run(trained)
    answer = run.predict(path)
    capsys.readouterr()
    assert main_of("predict")([str(trained), str(path)]) == 0
    assert answer == json.loads(capsys.readouterr().out)
    tensor = torch.from_numpy(PIXELS).permute(2, 0, 1)
    kinds = [str(path), Image.fromarray(PIXELS), PIXELS, PIXELS / 255, tensor, tensor / 255]
    answers = run.predict(kinds)
    assert [each["file"] for each in answers] == [str(path), *[None] * 5]
    assert {each["class"] for each in answers} == {answer["class"]}
    for each in answers:  # a batch of six rounds otherwise than a batch of one
        assert each["probability"] == pytest.approx(answer["probability"])
    assert all(each["top"] == answers[0]["top"] for each in answers)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("missing.png", "missing.png cannot be read as an image"),
        (3, "the type int is no input"),
        (torch.zeros(2, 3, 8, 8), "a batch is a list of images"),
        (torch.randn(3, 8, 8), "before any normalisation"),
        (np.full((8, 8), 256), "the pixels go from 256 to 256"),
        (np.full((8, 8), np.nan), "the pixels go from nan to nan"),
    ],
)
def test_what_is_no_image_is_refused(trained, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        Run(trained).predict(given)


def test_a_network_that_sees_grey_says_that_it_takes_no_colours(trained, caplog):
    caplog.set_level("WARNING")
    run = Run(trained)
    run.predict([RED[:, :, 0], Image.fromarray(RED[:, :, 0])])
    assert not caplog.messages
    run.predict([RED[:, :, 0], RED])
    run.predict(Image.fromarray(RED))
    said = "the network sees grey: it is given the images without their colours"
    assert caplog.messages == [said, said]


def test_the_colours_and_the_directions_stay():
    (given,) = [torch.from_numpy(RED).permute(2, 0, 1)]
    with as_files([given, RED, RED[:, :, :1], torch.eye(4)], None) as paths:
        first, second, grey, diagonal = (np.array(Image.open(path)) for path in paths)
    assert (first == RED).all()
    assert (second == RED).all()
    assert grey.shape == (4, 4)
    assert (diagonal == np.eye(4) * 255).all()


def test_a_sound_is_written_with_its_rate(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    wave = np.sin(np.arange(800) / 5).astype(np.float32)
    with as_files([wave, torch.from_numpy((wave * 2**14).astype(np.int16))], 8000) as paths:
        for path, subtype in zip(paths, ["FLOAT", "PCM_16"], strict=True):
            samples, rate = soundfile.read(path)
            assert (rate, soundfile.info(path).subtype) == (8000, subtype)
            assert np.corrcoef(samples, wave)[0, 1] > 0.999
    with pytest.raises(ValueError, match="one value per sample"), as_files([wave[None]], 8000):
        pass
