"""Weights as people bring them: which part of a file is taken, what is dropped, what is said."""

import argparse
import logging
from pathlib import Path

import pytest
import torch

from ghostexp.models.ghostnet_v2 import ghostnet_v2
from ghostexp.models.weight_files import read_state
from ghostexp.models.weights import load_weights

STATE = {"stem.weight": torch.arange(4.0).view(1, 1, 2, 2), "fc.weight": torch.ones(2, 3)}
OTHER = {name: value + 1 for name, value in STATE.items()}
TRAINING = {"epoch": 3, "arch": "ghostnet_100", "args": argparse.Namespace(lr=0.1, opt="sgd")}
LIGHTNING = {"pytorch-lightning_version": "2.1.0", "global_step": 5}


def prefixed(prefix: str, state=STATE) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in state.items()}


FORMS = {
    "timm's training": (
        TRAINING | {"state_dict": OTHER, "state_dict_ema": STATE},
        "state_dict_ema is taken",
    ),
    "parallel and averaged": (
        {"state_dict": prefixed("module.", OTHER), "state_dict_ema": prefixed("module.")},
        "state_dict_ema is taken, module. is taken off the names",
    ),
    "torchvision's references": ({"model": STATE, "epoch": 3}, "model is taken"),
    "another Lightning project": (
        LIGHTNING | {"state_dict": prefixed("model.") | {"criterion.weight": torch.ones(2)}},
        "state_dict is taken, model. is taken off the names, entries of other parts are dropped:"
        " 1, such as criterion.weight",
    ),
    "compiled": (prefixed("_orig_mod."), "_orig_mod. is taken off the names"),
    "compiled inside of a task": (
        LIGHTNING | {"state_dict": prefixed("net._orig_mod.")},
        "state_dict is taken, _orig_mod. is taken off the names, net. is taken off the names",
    ),
    "compiled in parallel": (
        prefixed("module._orig_mod."),
        "_orig_mod. is taken off the names, module. is taken off the names",
    ),
    "counted by thop": (
        STATE | {f"{name}total_{what}": torch.zeros(1) for name in ("", "stem.", "fc.")
                 for what in ("ops", "params")},
        "6 counters of thop or of averaging are dropped",
    ),
    "averaged by torch": (
        prefixed("module.") | {"n_averaged": torch.tensor(7)},
        "1 counters of thop or of averaging are dropped, module. is taken off the names",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_the_state_dict_is_found_and_what_was_chosen_is_said(tmp_path, caplog, form):
    content, sentence = FORMS[form]
    path = tmp_path / "net.pth"
    torch.save(content, path)
    with caplog.at_level(logging.INFO):
        state = read_state(path)
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[name], STATE[name]) for name in STATE)
    assert caplog.messages == [f"{path}: {sentence}"]


def test_of_a_bare_state_dict_nothing_is_said(tmp_path, caplog):
    torch.save(STATE, tmp_path / "net.pth")
    with caplog.at_level(logging.INFO):
        assert read_state(tmp_path / "net.pth").keys() == STATE.keys()
    assert caplog.messages == []


def test_a_prefix_that_the_network_has_itself_stays(tmp_path):
    torch.save(prefixed("model."), tmp_path / "net.pth")
    own = {"model.stem.weight", "model.fc.weight"}
    assert read_state(tmp_path / "net.pth", own=own).keys() == own


def test_ghostnet_v2_with_thops_counters_is_loaded(tmp_path):
    """As the authors' release files are: two counters in each module."""
    net = ghostnet_v2(width_mult=0.1, num_classes=5)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    counted = ghostnet_v2(width_mult=0.1, num_classes=5)
    counted.load_state_dict(net.state_dict())
    for module in counted.modules():
        module.register_buffer("total_ops", torch.zeros(1, dtype=torch.float64))
        module.register_buffer("total_params", torch.zeros(1, dtype=torch.float64))
    torch.save(counted.state_dict(), tmp_path / "ck_ghostnetv2_10.pth.tar")
    fresh = ghostnet_v2(width_mult=0.1, num_classes=5)
    report = load_weights(fresh, str(tmp_path / "ck_ghostnetv2_10.pth.tar"))
    assert report.by_order == 0
    state = net.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in fresh.state_dict().items())


class Hostile:
    """Makes a file where it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("hostile"),)


def test_a_namespace_does_not_let_other_objects_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = argparse.Namespace(lr=0.1, callback=Hostile())
    torch.save({"state_dict": STATE, "args": args}, "net.pth")
    with pytest.raises(ValueError, match=r"net\.pth is refused"):
        read_state(Path("net.pth"))
    assert not Path("hostile").exists()
    assert argparse.Namespace not in torch.serialization.get_safe_globals()
