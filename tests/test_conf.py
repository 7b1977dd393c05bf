"""Every YAML of conf/ composes, every model has its integers, every experiment runs a batch."""

import pytest
from helpers import ROOT
from omegaconf import OmegaConf

from ghostexp.analysis.complexity import count_macs, count_params
from ghostexp.audit import audit
from ghostexp.build import build_network
from ghostexp.cli import compose_config

CONF = ROOT / "conf"
NOT_GROUPS = {"hydra", "search"}  # a search is Hydra's: tests/test_launchers.py
CHOICES = [
    (path.parent.name, path.stem)
    for path in sorted(CONF.glob("*/*.yaml"))
    if path.parent.name not in NOT_GROUPS
]
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))

# FIGURES.md: params, macs at 3x32x32, 10 classes
CIFAR_NETS = {
    "model=resnet56": (855_770, 125_747_840),
    "model=resnet56 model.shortcut=A": (853_018, 125_485_696),
    "model=resnet20 model.shortcut=A": (269_722, 40_551_040),
    "model=resnet32 model.shortcut=A": (464_154, 68_862_592),
    "model=resnet44 model.shortcut=A": (658_586, 97_174_144),
    "model=resnet110 model.shortcut=A": (1_727_962, 252_887_680),
    "model=vgg16": (14_990_922, 313_463_808),
    "model=ghost_vgg16": (7_650_474, 158_109_696),
    "model=ghost_vgg16 model.ratio=3": (5_218_440, 107_240_040),
    "model=ghost_vgg16 model.ratio=4": (3_982_362, 80_432_640),
    "model=ghost_vgg16 model.ratio=5": (3_269_625, 65_665_296),
    "model=ghost_vgg16 model.ratio=10": (1_805_397, 34_742_448),
    "model=ghost_vgg16 model.cheap_kernel_size=1": (7_633_578, 157_003_776),
    "model=ghost_vgg16 model.cheap_kernel_size=5": (7_684_266, 160_321_536),
    "model=ghost_vgg16 model.cheap_kernel_size=7": (7_734_954, 163_639_296),
    "model=ghost_resnet56 model.cheap_kernel_size=1": (431_402, 63_146_624),
    "model=ghost_resnet56 model.cheap_kernel_size=5": (456_938, 69_683_840),
    "model=ghost_resnet56 model.cheap_kernel_size=7": (482_474, 76_221_056),
}
# ratio: params bare, params with the norm inside, macs
RATIOS = {
    2: (439_914, 439_914, 65_325_696),
    3: (312_038, 312_228, 48_113_024),
    4: (231_986, 231_986, 35_114_624),
    5: (198_646, 198_950, 32_798_080),
    6: (171_431, 171_735, 27_472_832),
    7: (157_631, 158_163, 26_111_360),
    8: (128_022, 128_022, 20_009_088),
    9: (130_416, 130_948, 20_621_952),
    10: (121_159, 121_843, 20_489_152),
}


@pytest.fixture(autouse=True)
def _run_dir(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def compose(*overrides):
    cfg = compose_config(list(overrides))
    OmegaConf.update(cfg, "run_dir", "run")
    return cfg


@pytest.mark.parametrize(("group", "choice"), CHOICES, ids=lambda value: str(value))
def test_every_choice_composes_and_passes_the_audit(group, choice):
    overrides = [f"{group}={choice}"]
    if (group, choice) == ("dataset", "image_folder"):
        overrides.append("dataset.root=somewhere")
    audit(compose(*overrides), [CONF])


def test_experiments_say_their_command():
    for name in EXPERIMENTS:
        text = (CONF / "experiment" / f"{name}.yaml").read_text()
        assert f"experiment={name}" in text, name


@pytest.mark.parametrize("overrides", CIFAR_NETS)
def test_figures_of_the_cifar_networks(overrides):
    net = build_network(compose("dataset=cifar10", *overrides.split()))
    assert (count_params(net), count_macs(net, (3, 32, 32))) == CIFAR_NETS[overrides]


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("inner_norm", [False, True])
def test_figures_of_the_ratio_ablation(ratio, inner_norm):
    net = build_network(
        compose(
            "dataset=cifar10",
            "model=ghost_resnet56",
            f"model.ratio={ratio}",
            f"model.inner_norm={inner_norm}",
        )
    )
    bare, inside, macs = RATIOS[ratio]
    assert count_params(net) == (inside if inner_norm else bare)
    assert count_macs(net, (3, 32, 32)) == macs


def test_ratio_one_is_the_dense_baseline():
    net = build_network(compose("dataset=cifar10", "model=ghost_resnet56", "model.ratio=1"))
    assert count_params(net) == CIFAR_NETS["model=resnet56"][0]
    assert count_macs(net, (3, 32, 32)) == CIFAR_NETS["model=resnet56"][1]


def test_the_learning_rate_follows_the_batch_size():
    assert compose("dataset=cifar10").optimizer.lr == pytest.approx(0.1)
    assert compose("dataset=digits").optimizer.lr == pytest.approx(0.025)
    assert compose("dataset=digits", "optimizer.lr=0.2").optimizer.lr == 0.2


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs_a_batch(app, experiment):
    one_batch = ["dataset=digits", "dataset.batch_size=4", "dataset.val_split=0.1", "debug=fast"]
    if "override /task: detection" in (CONF / "experiment" / f"{experiment}.yaml").read_text():
        one_batch = ["dataset=shapes", "dataset.batch_size=2", "debug=fast"]
        one_batch += ["model.min_size=64", "model.max_size=64"]
    assert app(f"experiment={experiment}", *one_batch) == 0
