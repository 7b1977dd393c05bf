"""A slip on the command line or in YAML gives the right sentence, and nothing is left behind."""

import sys

import pytest
import torch
from helpers import ROOT, SMALL
from omegaconf import OmegaConf

from ghostexp.config.audit import audit
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.config.values import describe, fits

CONF = ROOT / "conf"
MULTISTEP, ADAMW, PLATEAU = "sched=multistep", "optimizer=adamw", "sched=plateau"
SLIPS = [  # overrides of train.py -> what the sentence says
    # values: typed by the callable's own annotations, told by their full key
    ("rerun=no", "rerun must be true or false, not 'no'"),
    ("rerun=off", "rerun must be true or false, not 'off'"),
    ("on_error=abc", "on_error must be one of continue, stop, not 'abc'"),
    ("seed=null", "seed must be a whole number, not null"),
    ("seed=-1", "seed must be a whole number from 0 to 4294967295, not -1"),
    ("seed=1.5", "seed must be a whole number, not 1.5"),
    ("seed=[1,2]", "seed must be a whole number, not [1, 2]"),
    ("seed=true", "seed must be a whole number, not true"),
    ("seed=4294967296", "seed must be a whole number from 0 to 4294967295, not 4294967296"),
    ("task.compile=abc", "task.compile must be true or false, not 'abc'"),
    ("task.channels_last=no", "task.channels_last must be true or false, not 'no'"),
    ("task.loss=abc", "task.loss must be a node with a _target_ (Module), not 'abc'"),
    ("task.loss.label_smoothing=a", "task.loss.label_smoothing must be a number, not 'a'"),
    ("dataset.augment.flip=abc", "dataset.augment.flip must be true or false, not 'abc'"),
    ("dataset.augment.mean=0.5", "dataset.augment.mean must be a list of numbers"),
    ("dataset.batch_size=abc", "dataset.batch_size must be a whole number, not 'abc'"),
    ("dataset.batch_size=[1,2]", "dataset.batch_size must be a whole number, not [1, 2]"),
    ("dataset.batch_size=1.5", "dataset.batch_size must be a whole number, not 1.5"),
    ("dataset.image_size=[8,8]", "dataset.image_size must be a whole number, not [8, 8]"),
    ("dataset.val_split=true", "dataset.val_split must be a number, not true"),
    ("optimizer.lr=abc", "optimizer.lr must be a number, not 'abc'"),
    ("optimizer.lr=null", "optimizer.lr must be a number, not null"),
    ("optimizer.lr=[0.1]", "optimizer.lr must be a number, not [0.1]"),
    ("optimizer.nesterov=maybe", "optimizer.nesterov must be true or false, not 'maybe'"),
    (f"{ADAMW} optimizer.betas=0.9", "optimizer.betas must be a list of 2 values"),
    (f"{ADAMW} optimizer.betas=[0.9]", "optimizer.betas must be a list of 2 values"),
    (f"{MULTISTEP} sched.scheduler.milestones=5", "milestones must be a list of whole numbers"),
    (f"{MULTISTEP} sched.scheduler.milestones=[a]", "must be a list of whole numbers, not ["),
    (f"{PLATEAU} sched.scheduler.mode=abc", "scheduler.mode must be one of min, max, not 'abc'"),
    ("sched.interval=day", "sched.interval must be one of epoch, step, not 'day'"),
    ("trainer.max_epochs=1.5", "trainer.max_epochs must be a whole number or null, not 1.5"),
    ("trainer.max_epochs=null", "trainer.max_epochs must be a whole number of at least 1"),
    ("trainer.precision=8", "trainer.precision must be one of 64, 32, 16"),
    ("trainer.gradient_clip_val=abc", "trainer.gradient_clip_val must be a"),
    ("callbacks.best.filename=3", "callbacks.best.filename must be text or null, not 3"),
    ("logger.csv.path=3", "logger.csv.path must be text, not 3"),
    ("allow_targets=3", "allow_targets must be a list of texts, not 3"),
    ("model.skip=stem model=ghost_resnet56", "model.skip must be a list of texts, not 'stem'"),
    # counts
    ("dataset.batch_size=0", "dataset.batch_size must be a whole number of at least 1, not 0"),
    ("dataset.image_size=0", "dataset.image_size must be a whole number of at least 1, not 0"),
    ("trainer.log_every_n_steps=0", "trainer.log_every_n_steps must be a whole number of at least"),
    ("trainer.accumulate_grad_batches=0", "accumulate_grad_batches must be a whole number of at"),
    ("trainer.limit_train_batches=0", "trainer.limit_train_batches is 0: no batch would be"),
    ("+trainer.max_steps=0", "trainer.max_steps is 0: no batch would be trained on"),
    ("sched.frequency=0", "sched.frequency must be a whole number of at least 1, not 0"),
    ("sched.scheduler.total_steps=0", "total_steps must be a whole number of at least 1, not 0"),
    # names
    ("model._target_=torch.", "model._target_=torch. is no dotted name of a public class"),
    ("model._target_=3", "model._target_=3 is no dotted name"),
    ("model._target_=torch.hub.load", "of torch a config may name only torch.nn, torch.optim"),
    ("model._target_=torch.nn.Linearr", "torch.nn has no Linearr; did you mean Linear?"),
    ("model._target_=torch.tensor", "cannot stand there: model takes a Module"),
    ("model._target_=torchvision.models.list_models", "model takes a Module"),
    ("model._target_=numpy.zeros", "outside the allowed packages"),
    ("optimizer._target_=torch.nn.Linear", "optimizer takes an Optimizer"),
    ("callbacks.best._target_=torch.optim.SGD", "callbacks.best takes a Callback"),
    ("sched.scheduler._target_=ghostexp.training.optim.parameter_groups", "takes a LRScheduler"),
    ("dataset.augment._target_=torch.nn.ReLU", "dataset.augment takes an Augment"),
    ("task.num_classes={_target_:torch.nn.ReLU}", "task.num_classes takes a plain value"),
    ("model._target_=ghostexp.models.resnet20.x", "ghostexp.models.resnet20 has no x"),
    # keys
    ("lr=0.1", "Could not override 'lr'. No such key; did you mean optimizer.lr?"),
    ("optimizer={lrr:1}", "No such key as optimizer.lrr; did you mean optimizer.lr?"),
    ("optimizer.weight_decayy=1", "did you mean optimizer.weight_decay?"),
    ("optimizer.max_epochs=1", "did you mean trainer.max_epochs?"),
    ("modle=resnet20", "did you mean model?"),
    ("+model.shortcutt=B", "model.shortcutt: no such key; did you mean model.shortcut?"),
    ("callbacks.throughput=abc", "callbacks.throughput has no _target_"),
    ("+callbacks.x={a:1}", "callbacks.x has no _target_"),
    ("optimizer._partial_=false", "needs a value for optimizer.params"),
    ("dataset.seed=${sead}", "Interpolation key 'sead' not found"),
    # folders and groups
    # what Hydra's grammar does not take
    ("optimizer.lr==1", "optimizer.lr==1 cannot be read as key=value: a value with"),
    ("optimizer.lr=[1", "optimizer.lr=[1 cannot be read as key=value"),
    ("optimizer.lr", "optimizer.lr is no key=value: write optimizer.lr=VALUE, or KEY=optimizer.lr"),
    ("optimizer.lr=abc(1)", "optimizer.lr=abc(1): Unknown function 'abc' Available: bool,choice"),
    ("optimizer.lr=${optimizer.lr}", "optimizer.lr: Recursive interpolation detected"),
    ("optimizer.lr=${oc.env:NO_SUCH}", "optimizer.lr: \"Environment variable 'NO_SUCH' not found"),
    ("optimizer.lr=${abc:1}", "optimizer.lr: Unsupported interpolation type abc"),
    ("name=../x", "name is the name of one folder below outputs/, without a slash, not '../x'"),
    ("name=a/b", "without a slash, not 'a/b'"),
    ("name=..", "without a slash, not '..'"),
    ("name=null", "without a slash, not null"),
    ("name=[a]", "without a slash, not ['a']"),
    ("run_dir=foo", "run_dir=foo: the program names a run's folder"),
    ("model=null", "model=null: a run needs one, choose model=NAME from conf/model"),
    ("~model", "model is null: a run needs one, choose model=NAME from conf/model"),
    ("model=3", "model=3: no such choice; there is converted"),
    (
        "model=resnet18",
        "model=resnet18: no such choice; torchvision has it: model=converted"
        " model.net._target_=torchvision.models.resnet18, where model.ratio=1 keeps it dense",
    ),
    ("=3", "=3 has no key: write key=value, without spaces around ="),
    ("+=3", "+=3 has no key"),
    (
        "experiment=resnet56_short recipe=shipped",
        "recipe=shipped: experiment=resnet56_short trains with recipe=short, and the two recipes"
        " would be mixed: experiment=short_pair takes any recipe",
    ),
    ("~sched", "sched is null: choose one of conf/sched"),
    # what a component refuses: at its construction, or at the first step
    *[
        (word, f"trainer.accelerator={name}: torch finds no such device on this machine, and")
        for word, name, found in (
            ("trainer.accelerator=gpu", "gpu", torch.cuda.is_available()),
            ("trainer=gpu", "cuda", torch.cuda.is_available()),
            ("trainer=mps", "mps", torch.backends.mps.is_available()),
        )
        if not found
    ],
    ("trainer.accelerator=foo", "accelerator='foo'"),
    ("trainer.devices=0", "trainer (accelerator=auto, devices=0): "),
    ("trainer.devices=abc", "devices=abc"),
    ("trainer.limit_train_batches=2.5", "invalid value 2.5 for limit_train_batches"),
    ("callbacks.best.mode=abc", "callbacks.best: `mode` can be min, max but got abc"),
    (
        "callbacks=ema callbacks.ema.decay=5",
        "callbacks.ema: decay must be from 0 to below 1, not 5",
    ),
    (f"{PLATEAU} trainer.limit_val_batches=0", "sched.monitor=val/loss needs a validation split"),
    ("optimizer.lr=nan", "optimizer.lr must be a finite number, not nan"),
    ("dataset.augment.mean=[0.1,0.2]", "dataset.augment: mean and std need one value per channel"),
    ("model._target_=torchvision.models.get_model +model.name=abc", "model: Unknown model abc"),
    ("model._target_=torchvision.models.resnet18 +model.x=1", "keyword argument"),
    ("task.loss.label_smoothing=2", "task.loss.label_smoothing is a share in [0, 1], not 2"),
    ("task.loss.label_smoothing=-1", "task.loss.label_smoothing is a share in [0, 1], not -1"),
    ("model=ghostnet dataset.batch_size=1", "a training step on one example, the last batch of"),
    ("model=vgg16", "VGG's poolings need images of at least 32x32 pixels, not 8x8"),
]


@pytest.mark.parametrize(("overrides", "sentence"), SLIPS, ids=[slip for slip, _ in SLIPS])
def test_a_slip_gives_the_right_sentence(app, tmp_path, capfd, overrides, sentence):
    assert app(*SMALL, *overrides.split(" ")) == 1
    said = "".join(capfd.readouterr())
    assert sentence in said
    assert "Traceback" not in said
    assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {"result.json", "train.log"}


def test_what_lightning_refuses_in_the_fit_is_one_sentence(app, capfd):
    assert app(*SMALL, "+trainer.val_check_interval=5") == 1
    said = "".join(capfd.readouterr())
    assert "error: trainer: `val_check_interval` (5) must be less than" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "overrides",
    ["logger=null", "~logger", "callbacks=null", "~callbacks", "callbacks=null logger=null"],
)
def test_groups_that_a_run_can_do_without(app, tmp_path, overrides):
    without = [each for each in SMALL if "callbacks" not in overrides or "callbacks" not in each]
    assert app(*without, "trainer.max_epochs=1", *overrides.split()) == 0


@pytest.mark.parametrize("override", ["trainer.limit_val_batches=0", "+trainer.fast_dev_run=true"])
def test_a_split_that_is_not_validated(app, override):
    small = [each for each in SMALL if "limit_val_batches" not in each]
    assert app(*small, "trainer.max_epochs=1", override) == 0


def test_group_null_takes_back_nothing_else():
    cfg = compose_config(["experiment=null", "debug=null", "search=null", "suspect=null"])
    assert cfg == compose_config([])


def test_a_broken_yaml_file_is_named_with_its_line(app, tmp_path, capfd):
    (tmp_path / "ext" / "model").mkdir(parents=True)
    broken = tmp_path / "ext" / "model" / "broken.yaml"
    broken.write_text("_target_: torch.nn.Identity\nx: 1\n  y: 2\n")
    assert app(*SMALL, "model=broken", f"hydra.searchpath=[file://{tmp_path}/ext]") == 1
    said = "".join(capfd.readouterr())
    assert f"error: {broken}, line 3: this is no YAML (" in said
    assert "Traceback" not in said


def test_what_stands_in_a_missing_package_says_how_to_install_it(app, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert app(*SMALL, "model._target_=timm.create_model", "+model.model_name=resnet18") == 1
    said = "".join(capfd.readouterr())
    assert "needs the package timm, which is not installed: pip install 'ghostexp[timm]'" in said


def test_a_callable_of_c_stands_where_a_tensor_does(app, tmp_path):
    weight = (
        "+task.loss.weight={_target_: torch.tensor, data: [1., 1., 1., 1., 1., 1., 1., 1., 1., 2.]}"
    )
    torchs = ("~task.loss", "+task.loss._target_=torch.nn.CrossEntropyLoss")
    assert app(*SMALL, "trainer.max_epochs=1", *torchs, weight) == 0


def test_a_long_list_of_names_is_cut():
    with pytest.raises(UserError, match=r"torch\.nn has no zzzz; there is .*, \.\.\.$") as told:
        audit(composed("model._target_=torch.nn.zzzz"), [CONF])
    assert len(str(told.value)) < 400


def composed(*overrides):
    cfg = compose_config(list(overrides))
    OmegaConf.update(cfg, "run_dir", "run")
    return cfg


@pytest.mark.parametrize(
    ("value", "wanted", "does"),
    [
        (True, int, False), (1, bool, False), (1, float, True), (True, float, False),
        (1.0, int, False), ("a", list[str], False), (["a"], list[str], True),
        ([1, 2], tuple[int, int], True), ([1, 2, 3], tuple[int, int], False),
        ([1, 2, 3], tuple[int, ...], True), ({"a": 1}, dict[str, int], True),
        ([], dict, False), (None, int | None, True), (None, int, False), ("${x}", int, True),
        ({"_target_": "a.b"}, int, True), ("a", object, True),
    ],
)  # fmt: skip
def test_what_fits_an_annotation(value, wanted, does):
    assert fits(value, wanted) == does


def test_annotations_in_words():
    assert describe(int | None) == "a whole number or null"
    assert describe(list[float]) == "a list of numbers"
    assert describe(tuple[int, int]) == "a list of 2 values (a whole number, a whole number)"


def test_classes_that_are_counted_later_are_taken():
    cfg = composed("dataset=image_folder", "dataset.root=x", "dataset.num_classes=7")
    cfg.dataset.num_classes = None
    audit(cfg, [CONF])
    assert cfg.dataset.num_classes is None


FILES = {  # content of a person's own model/my.yaml -> what the sentence says
    "5": "Invalid loaded object type: int",
    b"\xff\xfe\x00": "a YAML file of the config is no text in UTF-8",
    "defaults: [my]": "the defaults list of a YAML file of the config leads back to that file",
    "defaults: 5": "Invalid defaults list in 'model/my'",
    "a: ${": "a: no viable alternative at input '${'",
    "_target_: torch.nn.Identity": "model has no parameters to train",
}


@pytest.mark.parametrize("content", FILES, ids=str)
def test_a_file_that_hydra_cannot_read_is_one_sentence(app, tmp_path, capfd, content):
    path = tmp_path / "mine" / "model" / "my.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    overrides = [each for each in SMALL if not each.startswith("model=")]
    assert app(*overrides, "model=my", f"--config-dir={tmp_path}/mine") == 1
    said = "".join(capfd.readouterr())
    assert FILES[content] in said
    assert "Traceback" not in said
    assert not (tmp_path / "outputs" / "train").exists() or not any(
        (tmp_path / "outputs" / "train").iterdir()
    )


def test_a_folder_that_cannot_be_made_is_one_sentence(app, tmp_path, capfd):
    (tmp_path / "file").write_text("a file")
    assert app(*SMALL, f"hydra.run.dir={tmp_path}/file/x") == 1
    said = capfd.readouterr().err
    assert f"error: [Errno 20] Not a directory: '{tmp_path}/file/x' (full trace: " in said
    assert "Traceback" not in said
