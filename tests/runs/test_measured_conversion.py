"""Choice by time, the check of the whole network, and the files of `ghostexp convert`."""

import json
from dataclasses import dataclass

import pytest
import torch
from helpers import main_of
from PIL import Image
from torch import nn

from ghostexp.analysis.benchmark import Timing
from ghostexp.analysis.complexity import count_macs
from ghostexp.config.build import build_network
from ghostexp.config.cli import compose_config
from ghostexp.layers.ghost import GhostModule
from ghostexp.models import resnet20
from ghostexp.results.conversion_report import to_markdown
from ghostexp.runs.measured_conversion import (
    Setting,
    convert_by_measurement,
    converted,
    is_clearly_faster,
)

IMAGE = (3, 16, 16)


@dataclass(frozen=True)
class ByMacs(Setting):
    """A nanosecond for each multiply-add, and a fixed time for each layer."""

    per_layer: float = 0.0

    def call(self, net, input_shape):
        layers = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in net.modules())
        seconds = 1e-9 * count_macs(net, input_shape) + self.per_layer * layers
        return lambda: torch.tensor(seconds)

    def time(self, calls):
        return {name: Timing(name, [float(call())] * self.rounds) for name, call in calls.items()}


def test_where_time_follows_macs_the_sum_of_the_layers_is_the_truth():
    net = resnet20().eval()
    found = convert_by_measurement(net, IMAGE, ByMacs("eager", 1, 1, 2), ratios=[2, 4])
    assert len(found.ratios) == 21  # the network's convolutions
    assert {*found.ratios.values()} == {4}
    assert found.predicted == pytest.approx(found.converted.median)
    assert found.dense.seconds == found.again.seconds
    assert found.tried == 1
    ghost = converted(net, found.ratios)
    assert found.converted.median == pytest.approx(1e-9 * count_macs(ghost, IMAGE))
    assert found.speedup == pytest.approx(count_macs(net, IMAGE) / count_macs(ghost, IMAGE))
    assert not any(isinstance(module, GhostModule) for module in net.modules())


def test_only_layers_that_gain_are_converted():
    """A Ghost module is one layer more: with 0.2 ms for a layer, small convolutions stay."""
    net = resnet20().eval()
    found = convert_by_measurement(net, IMAGE, ByMacs("eager", 1, 1, 2, per_layer=2e-4))
    macs = {kind.names[0]: kind.macs(1, 3) for kind in (choice.kind for choice in found.choices)}
    assert {macs[c.kind.names[0]] for c in found.choices if c.ratio == 2} == {589_824}
    assert max(macs[c.kind.names[0]] for c in found.choices if c.ratio == 1) == 294_912
    assert found.predicted == pytest.approx(found.converted.median)


@dataclass(frozen=True)
class Misled(ByMacs):
    """Single layers gain, but the whole network becomes slower with each Ghost module."""

    def call(self, net, input_shape):
        ghosts = sum(isinstance(module, GhostModule) for module in net.modules())
        is_whole = isinstance(net, type(resnet20()))
        call = super().call(net, input_shape)
        return (lambda: torch.tensor(1.0 + ghosts)) if is_whole else call


def test_a_network_that_gets_slower_is_given_back():
    found = convert_by_measurement(resnet20().eval(), IMAGE, Misled("eager", 1, 1, 2))
    assert found.ratios == {}
    assert found.tried == 4  # of eleven kinds five, two and one are left
    assert found.converted.seconds == found.dense.seconds
    assert {choice.note for choice in found.choices} == {
        "given back, because the whole network was not clearly faster"
    }


def test_clearly_faster_loses_one_round_of_eight():
    dense = Timing("dense", [2.0] * 8)
    assert is_clearly_faster(Timing("one", [1.0] * 7 + [3.0]), dense)
    assert not is_clearly_faster(Timing("two", [1.0] * 6 + [3.0] * 2), dense)
    assert not is_clearly_faster(Timing("few", [1.0] * 2 + [3.0]), Timing("dense", [2.0] * 3))


def test_real_times_of_a_network_in_torch():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 300, 3, padding=1))
    net.append(nn.ReLU()).append(nn.Conv2d(300, 8, 1)).append(nn.AdaptiveAvgPool2d(1))
    net.append(nn.Flatten())
    before = torch.get_num_threads()
    found = convert_by_measurement(net.eval(), (3, 24, 24), Setting("fused", 2, 1, 2), ratios=[2])
    assert torch.get_num_threads() == before
    assert all(len(choice.timings[1].seconds) == 2 for choice in found.choices)
    assert all(timing.median > 0 for timing in (found.dense, found.again, found.converted))


def test_an_engine_without_a_layer_keeps_the_convolution():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 8, 5, 1, 2), nn.ReLU())
    net += nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    setting = Setting("native", 2, 1, 1)
    with pytest.raises(ValueError, match="no kernel for a 5x5 convolution"):
        convert_by_measurement(net.eval(), (3, 8, 8), setting)


@pytest.fixture
def convert(monkeypatch, tmp_path, capsys):
    """Call `ghostexp convert`; the exit code and both outputs. Time follows MACs."""
    monkeypatch.setattr(Setting, "call", ByMacs.call)
    monkeypatch.setattr(Setting, "time", ByMacs.time)
    monkeypatch.setattr(Setting, "per_layer", 0.0, raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["convert.py", *words])
        return main_of("convert")(), *capsys.readouterr()

    return call


def test_the_plan_is_a_config_that_trains(convert, tmp_path):
    code, out, _ = convert("resnet20", "dataset=digits", "--ratios", "2,4", "--skip", "stem.*")
    assert code == 0
    folder = tmp_path / "outputs" / "convert" / "resnet20_torch"
    document = json.loads((folder / "conversion.json").read_text())
    assert len(document["layers"]) == 10
    assert len(document["layers"][0]["seconds"]["4"]) == 9  # the rounds
    assert (folder / "conversion.md").read_text() == to_markdown(document)
    assert "times as fast**" in out
    with Image.open(folder / "conversion.png") as picture:
        picture.verify()
    (word,) = [word for word in out.split() if word.startswith("model=")]
    search = f"hydra.searchpath=[file://{folder / 'conf'}]"
    assert word == "model=resnet20_torch"
    cfg = compose_config([word, search, "dataset=digits"])
    net = build_network(cfg)
    ghosts = [module for module in net.modules() if isinstance(module, GhostModule)]
    names = [name for layer in document["layers"] for name in layer["names"]]
    assert len(ghosts) == len(names) == 20
    assert next(net.parameters()).shape[1] == 1  # of digits, by the interpolation


def test_several_ratios_are_nested_and_one_is_a_line_of_words(convert, tmp_path):
    pytest.importorskip("timm", reason="timm is an extra")
    code, out, _ = convert("timm.test_resnet", "--image-size", "64")
    assert code == 0
    assert "model.ratio=2 'model.only=[conv1.0,conv1.3," in out
    net = converted(resnet20(), {"blocks.0.conv1": 2, "blocks.8.conv2": 4}).eval()
    assert (net.blocks[0].conv1.ratio, net.blocks[8].conv2.ratio) == (2, 4)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["resnet21"], "resnet21"),
        (["keras.resnet50"], "keras.resnet50: a network is timm.NAME, torchvision.NAME, or ours"),
        (["linear"], "convert: ratio 2 would convert no convolution of Sequential"),
        (["resnet20", "dataset=tones"], "convert measures on square images, not on 64x63"),
    ],
)
def test_slips_are_sentences(convert, words, sentence):
    code, _, err = convert(*words)
    assert code == 1
    assert err.startswith("error: ")
    assert sentence in err


@pytest.mark.parametrize("words", [["convert", "vgg16"], ["benchmark", "engines"]], ids=" ".join)
def test_a_file_in_the_place_of_the_folder_is_refused_before_anything_is_timed(
    words, tmp_path, capsys
):
    file = tmp_path / "file"
    file.touch()
    assert main_of(words[0])([*words[1:], "--out", str(file)]) == 1
    assert capsys.readouterr().err == f"error: --out {file} is a file: a folder is needed\n"
