"""The average of a parameter against its formula."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ghostexp.training.callbacks import moving_average


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_average_follows_its_formula(decay):
    torch.manual_seed(0)
    layer = nn.BatchNorm1d(3).double()
    averaged = AveragedModel(layer, use_buffers=True, **moving_average(decay)._kwargs)
    expected = None
    for updates in range(40):
        for tensor in (layer.weight, layer.running_mean):
            tensor.data.normal_()
        now = torch.stack([layer.weight.detach(), layer.running_mean])
        kept = min(decay, (1 + updates) / (10 + updates)) if updates else 0  # the first is a copy
        expected = now if expected is None else kept * expected + (1 - kept) * now
        averaged.update_parameters(layer)
        found = torch.stack([averaged.module.weight, averaged.module.running_mean])
        torch.testing.assert_close(found.detach(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match="decay must be from 0 to below 1, not"):
        moving_average(decay)
