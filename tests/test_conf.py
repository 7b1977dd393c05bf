"""Every YAML of conf/ composes, every experiment runs a batch; sizes: tests/test_figures.py."""

import re

import pytest
from helpers import ROOT, long_ones
from omegaconf import OmegaConf

from ghostexp.config.audit import audit
from ghostexp.config.cli import compose_config

CONF = ROOT / "conf"
NOT_GROUPS = {"hydra", "search"}  # a search is Hydra's: tests/test_launchers.py
CHOICES = [
    (str(path.parent.relative_to(CONF)), path.stem)
    for path in sorted([*CONF.glob("*/*.yaml"), *CONF.glob("task/*/*.yaml")])
    if path.parent.name not in NOT_GROUPS
]
SMALL_GHOST = ["model.width_mult=0.25", "model.depth_mult=0.2"]
FLIPS = "dataset.augment.flip=true"  # digits are not mirrored
NARROWED = {  # seconds instead of minutes; shapes are rendered at the size asked for
    "ratio_ablation": ["model.ratio=1,10"],
    "ratio_ablation_short": ["model.ratio=1,10", FLIPS],
    "cosine_vs_multistep_short": ["seed=0"],
    "kernel_ablation": ["model.cheap_kernel_size=1,7"],
    "kernel_ablation_short": ["model.cheap_kernel_size=1,7", "seed=0", FLIPS],
    "norms_short": ["seed=0", FLIPS],
    "vgg_val_split_short": ["seed=0", "model=ghost_vgg16"],
    "audio_models": ["-m", "model=ghostnet,ghost_resnet56"],
    "audio_scaling": ["model=ghost_efficientnet_v2_050", *SMALL_GHOST],
    "detectors": ["-m", "model=faster_rcnn_ghostnet,retinanet_ghostnet"],
    "detectors_shapes": ["-m", "model=faster_rcnn_ghostnet_small,retinanet_ghostnet_small"],
    "detectors_bccd": [
        *("dataset.reading.max_size=null", "model=retinanet_ghostnet_small", "seed=0"),
    ],
    "audio_ghost_efficientnet_v2": SMALL_GHOST,
    "audio_ghost_efficientnet_v2_literal": SMALL_GHOST,
    "audio_losses": SMALL_GHOST,
    "emotions": ["dataset.folds=5", "dataset.fold=0,1", "model=linear"],
    "ghost_resnet56_short": [FLIPS],
    "resnet56_short": [FLIPS],
    "short_pair": ["seed=0", "recipe=short,shipped", "model=resnet20", FLIPS],
    "short_control": ["seed=0", "model=resnet20,g_ghost_resnet56", FLIPS],
    "short_recipe": ["recipe=shipped,average", "seed=0"],
    "audio_suspects": [
        *SMALL_GHOST,
        *("suspect=none,cross_entropy", "seed=0", "~dataset.seconds", "~dataset.held_out_speaker"),
    ],
}
LIKE_OTHERS = (  # their kind is that of another experiment here
    *(
        "audio_losses",
        "audio_scaling",
        "detectors",
        "detectors_shapes",
        "faster_rcnn_ghostnet_run2",
    ),
    *("ghost_resnet56_multistep_100_500", "ghostnet_widths", "kernel_ablation", "vgg_val_split"),
    *("audio_models", "cosine_vs_multistep", "detectors_bccd", "resnet56_short", "short_control"),
    *("cosine_vs_multistep_short", "ratio_ablation_short", "short_recipe"),
    *("kernel_ablation_short", "vgg_val_split_short"),
    *("audio_suspects", "faster_rcnn_ghostnet_run1", "ghost_resnet56_multistep", "vgg16"),
)
WIDER = re.compile(r"\w+_\d{3}|resnet\d{2,}")  # or deeper than another YAML
OF_A_KIND = [(group, name) for group, name in CHOICES if group == "model" and WIDER.fullmatch(name)]
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _run_dir(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def compose(*overrides):
    cfg = compose_config(list(overrides))
    OmegaConf.update(cfg, "run_dir", "run")
    return cfg


@pytest.mark.parametrize("chosen", long_ones(CHOICES, long=OF_A_KIND), ids="-".join)
def test_every_choice_composes_and_passes_the_audit(chosen):
    group, choice = chosen
    overrides = [f"{group}={choice}"]
    if choice in ("image_folder", "audio_folder"):
        overrides.append("dataset.root=somewhere")
    if group == "augment":
        overrides += ["dataset=image_folder", "dataset.root=somewhere"]
    if group == "suspect":  # each changes the form that experiment=audio_suspects looks into
        overrides.append("experiment=audio_ghost_efficientnet_v2_literal")
    if choice in ("arcface", "circle"):
        overrides.append("model=ghost_efficientnet_v2")
    if choice == "margin_warmup":
        overrides += ["model=ghost_efficientnet_v2", "task=arcface"]
    audit(compose(*overrides), [CONF])


def test_experiments_say_their_command():
    for name in EXPERIMENTS:
        text = (CONF / "experiment" / f"{name}.yaml").read_text()
        assert f"experiment={name}" in text, name


def test_the_learning_rate_follows_the_batch_size():
    assert compose("dataset=cifar10").optimizer.lr == pytest.approx(0.1)
    assert compose("dataset=digits").optimizer.lr == pytest.approx(0.025)
    assert compose("dataset=digits", "optimizer.lr=0.2").optimizer.lr == 0.2


@pytest.mark.parametrize("experiment", long_ones(EXPERIMENTS, long=LIKE_OTHERS))
def test_every_experiment_runs_a_batch(app, experiment):
    narrowed = NARROWED.get(experiment, [])
    one_batch = ["dataset=digits", "dataset.batch_size=4", "debug=fast"]
    if "dataset.folds=5" not in narrowed:
        one_batch.append("dataset.val_split=0.1")
    if "override /task: detection" in (CONF / "experiment" / f"{experiment}.yaml").read_text():
        one_batch = ["dataset=shapes", "dataset.batch_size=2", "debug=fast"]
        one_batch += ["dataset.image_size=[32,32]", "model.min_size=32", "model.max_size=32"]
    assert app(f"experiment={experiment}", *one_batch, *narrowed) == 0
