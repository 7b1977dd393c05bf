"""A point that is composed as a copy is the one that Hydra would have composed."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf, open_dict

from ghostexp.config.choices import CONFIG_FOLDER
from ghostexp.config.cli import prepare_process
from ghostexp.sweeps.compose import Composer


@pytest.fixture
def hydra():
    """The config of a sweep, and Hydra's loader; calls of the loader are counted."""
    prepare_process()
    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        config = compose("train", ["model=resnet20"], return_hydra_config=True)
        with open_dict(config):
            config.hydra.job.config_name = "train"
        yield config, GlobalHydra.instance().config_loader()


class Counting:
    """Hydra's loader, and how often it composed."""

    def __init__(self, loader):
        self.loader = loader
        self.count = 0

    def load_sweep_config(self, *arguments):
        self.count += 1
        return self.loader.load_sweep_config(*arguments)

    def get_group_options(self, *arguments):
        return self.loader.get_group_options(*arguments)


@pytest.mark.parametrize(
    ("points", "composed"),
    [
        ([["optimizer.lr=0.1", "seed=0"], ["optimizer.lr=0.2", "seed=1"]], 1),
        ([["name=a b", "seed=0"], ["name=c", "seed=null"]], 1),
        ([["model=resnet20", "seed=0"], ["model=resnet32", "seed=0"]], 2),
        ([["+tags_of=1", "seed=0"], ["+tags_of=2", "seed=0"]], 2),
        ([["~callbacks.lr", "seed=0"], ["~callbacks.lr", "seed=1"]], 1),
        ([["optimizer={lr:1}"], ["optimizer={momentum:2}"]], 2),  # each leaves the other's keys
        ([["optimizer.lr=1", "optimizer={lr:2}"], ["optimizer.lr=3", "optimizer={lr:2}"]], 2),
        ([["hydra.sweep.subdir=a", "seed=0"], ["hydra.sweep.subdir=b", "seed=1"]], 2),
        ([["tags=[a]", "seed=0"], ["tags=[b,c]", "seed=0"]], 2),
    ],
)
def test_a_copy_equals_what_hydra_composes(hydra, points, composed):
    config, loader = hydra
    counting = Counting(loader)
    composer = Composer(config, counting)
    for overrides in points:
        mine, theirs = composer(overrides), loader.load_sweep_config(config, list(overrides))
        for each in (mine, theirs):
            with open_dict(each):
                del each.hydra.job.override_dirname  # which the sweep sets
        plain = [OmegaConf.to_container(each, resolve=False) for each in (mine, theirs)]
        assert plain[0] == plain[1]
    assert counting.count == composed


def test_a_copy_shares_nothing_with_the_first(hydra):
    composer = Composer(*hydra)
    first = composer(["seed=0"])
    first.optimizer.lr = 7
    assert composer(["seed=1"]).optimizer.lr != 7
    assert composer(["seed=0"]).optimizer.lr != 7
