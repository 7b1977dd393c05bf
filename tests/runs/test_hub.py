"""A network in the hub's folder layout, there and back, and folders that somebody else made."""

import json

import pytest
import torch
from safetensors.torch import load_file

import ghostexp
from ghostexp.runs.run import Run


@pytest.fixture
def folder(trained, tmp_path):
    Run(trained).save_pretrained(tmp_path / "net")
    return tmp_path / "net"


def test_a_network_comes_back_with_equal_outputs(trained, folder):
    net, expected = ghostexp.from_pretrained(folder), Run(trained).net.eval()
    images = torch.randn(3, 1, 8, 8)
    assert torch.equal(net(images), expected(images))
    assert not net.training
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "config.json", "model.safetensors")
    ]
    content = json.loads((folder / "config.json").read_text())
    assert content["class_names"] == [str(digit) for digit in range(10)]
    assert content["metrics"] == Run(trained).metrics
    assert load_file(folder / "model.safetensors").keys() == expected.state_dict().keys()
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: ghostexp\n")
    assert f"{content['metrics']['test/acc']:.4f}" in card


def test_the_weights_are_weights_to_start_from(folder):
    net = ghostexp.create_model(
        "ghost_resnet56", num_classes=10, in_channels=1, weights=str(folder / "model.safetensors")
    )
    assert torch.equal(next(net.parameters()), next(ghostexp.from_pretrained(folder).parameters()))


def test_a_full_folder_is_left_alone(trained, tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ValueError, match="exists already"):
        Run(trained).save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda content: content["model"].update(_target_="os.system"), "os.system"),
        (lambda content: content["model"].update(ratio=4), "does not fit its config"),
        (lambda content: content.pop("model"), "was not written by ghostexp"),
        (lambda content: content["model"].update(weights="resnet56.pth"), None),
    ],
)
def test_a_changed_folder_is_refused_and_runs_nothing(folder, change, sentence):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    if sentence is None:  # weights to start from are never loaded for a saved config
        ghostexp.from_pretrained(folder)
        return
    with pytest.raises(ValueError, match=sentence):
        ghostexp.from_pretrained(folder)


def test_what_is_nowhere_is_one_sentence(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    with pytest.raises(ValueError, match="is neither a folder nor the USER/NAME of a network"):
        ghostexp.from_pretrained(tmp_path / "missing")

    def fetch(name, **_):
        raise hub.errors.LocalEntryNotFoundError(f"no network for {name}")

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    with pytest.raises(ValueError, match="me/net cannot be fetched from the hub: no network"):
        ghostexp.from_pretrained("me/net")


def test_a_repository_of_the_hub_is_a_folder(folder, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **_: str(folder))
    assert isinstance(ghostexp.from_pretrained("me/net"), torch.nn.Module)
