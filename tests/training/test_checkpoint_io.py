"""Checkpoints that another machine wrote."""

import torch

from ghostexp.training.checkpoint_io import AtomicCheckpointIO


def test_a_checkpoint_of_a_gpu_is_read_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    io = AtomicCheckpointIO()
    io.save_checkpoint({"state_dict": {"weight": torch.arange(3.0)}}, tmp_path / "last.ckpt")
    weight = io.load_checkpoint(tmp_path / "last.ckpt")["state_dict"]["weight"]
    assert weight.device.type == "cpu"
    assert weight.tolist() == [0, 1, 2]
