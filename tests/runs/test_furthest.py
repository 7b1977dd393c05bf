"""Which checkpoint an interrupted run goes on from."""

import pytest
import torch

from ghostexp.config.explain import UserError
from ghostexp.runs.furthest import furthest_checkpoint


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ({}, None),
        ({"last": 10}, "last"),
        ({"partial": 3}, "partial"),
        ({"last": 10, "partial": 12}, "partial"),
        ({"last": 10, "partial": 10}, "last"),
        ({"last": 20, "partial": 12}, "last"),
    ],
)
def test_the_checkpoint_after_most_steps_is_taken(tmp_path, steps, name):
    for each, count in steps.items():
        torch.save({"global_step": count, "state_dict": {}}, tmp_path / f"{each}.ckpt")
    assert furthest_checkpoint(tmp_path) == (name and tmp_path / f"{name}.ckpt")


def test_a_broken_one_of_two_is_named(tmp_path):
    torch.save({"global_step": 10, "state_dict": {}}, tmp_path / "last.ckpt")
    (tmp_path / "partial.ckpt").write_bytes(b"cut")
    with pytest.raises(UserError, match="partial.ckpt is refused"):
        furthest_checkpoint(tmp_path)
