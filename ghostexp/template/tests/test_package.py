"""The network gives logits of the right shape, and the experiment trains."""

import torch
from PACKAGE.network import SmallNet

import ghostexp

WORDS = ["hydra.searchpath=[file://conf]", "allow_targets=[PACKAGE]"]


def test_every_image_gets_a_logit_for_each_class():
    net = SmallNet(num_classes=3, in_channels=1)
    assert net(torch.zeros(2, 1, 16, 16)).shape == (2, 3)


def test_the_experiment_trains():
    run = ghostexp.train(["experiment=stripes", "trainer.max_epochs=1", "name=test", *WORDS])
    assert run.status == "finished"
    assert run.metrics["test/acc"] > 0.4
