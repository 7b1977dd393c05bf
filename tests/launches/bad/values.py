"""Wrong values of the config's keys: types, ranges, null, lists, dictionaries, not finite, huge."""

from launches.judge import Launch
from launches.places import QUICK, merged

HUGE = "99999999999999999999999"
MAP = "{a: 1}"
LIST = "[1,2]"

# (key, its wrong values, further overrides, what the refusal names if it is not the key)
WRONG = (
    ("seed", ("null", "-1", "1.5", LIST, "abc", MAP, HUGE, "nan", "true"), ()),
    ("name", ("null", "../x", "a/b", ".", "..", "''", LIST, "/tmp/x", "true"), ()),
    ("rerun", ("no", "off", "abc", "2", "null", LIST), ()),
    ("on_error", ("abc", "null", "stopp", "1"), ()),
    ("allow_targets", ("abc", "null", "1", "[1]"), ()),
    ("optimizer.lr", ("-1", "abc", "null", LIST, MAP, "nan", "inf", "-inf", "true"), ()),
    ("optimizer.momentum", ("-1", "abc", "null", LIST, "nan"), ()),
    ("optimizer.weight_decay", ("-1", "abc", "null", LIST, "nan"), ()),
    ("optimizer.nesterov", ("abc", "null", "2"), ()),
    ("optimizer.nesterov", ("true",), ("optimizer.momentum=0",)),
    (
        "optimizer.betas",
        ("2", "[2,2]", "[0.9]", "abc", "null", "[-1,0.9]", "[a,b]"),
        ("optimizer=adamw",),
    ),
    ("optimizer.lr", ("-0.1", "abc", "null"), ("optimizer=adamw",)),
    ("optimizer.weight_decay", ("-0.1", "[]"), ("optimizer=adamw",)),
    ("trainer.max_epochs", ("0", "-1", "1.5", "abc", "null", LIST, MAP, "nan", "true"), ()),
    ("trainer.accelerator", ("abc", "gpu", "tpu", "null", "1", LIST), ()),
    ("trainer.devices", ("0", "-5", "abc", "null", "1.5", MAP), ()),
    ("trainer.precision", ("abc", "17", LIST), ()),
    ("trainer.log_every_n_steps", ("-1", "abc", "1.5", LIST), ()),
    ("trainer.limit_train_batches", ("0", "2.5", "-1", "abc", LIST), ()),
    ("trainer.limit_val_batches", ("2.5", "-1", "abc"), ()),
    ("trainer.limit_test_batches", ("2.5", "-1", "abc"), ()),
    ("trainer.gradient_clip_val", ("abc", LIST, MAP), ()),
    ("trainer.accumulate_grad_batches", ("0", "-1", "abc", "null", "1.5"), ()),
    ("trainer.num_sanity_val_steps", ("abc", "1.5"), ()),
    ("+trainer.check_val_every_n_epoch", ("0", "5", "abc", "1.5"), ()),
    ("+trainer.fast_dev_run", ("abc", "-1"), ()),
    ("+trainer.max_steps", ("0", "abc"), ()),
    ("+trainer.strategy", ("abc", "deepspeed"), ()),
    ("dataset.batch_size", ("0", "-1", "1.5", "abc", "null", LIST), ()),
    ("dataset.image_size", ("0", "-1", "1.5", "abc", "null", MAP), ()),
    ("dataset.num_classes", ("0", "-1", "2", "100", "abc", "1.5"), ()),
    ("dataset.in_channels", ("0", "3", "-1", "abc", "null"), ()),
    ("dataset.val_split", ("1", "-0.1", "1.5", "abc", LIST, "nan"), ()),
    ("dataset.seed", ("abc", "-1", "1.5"), ()),
    ("dataset.augment.crop_padding", ("-1", "abc", "1.5"), ()),
    ("dataset.augment.flip", ("abc", "2", "null"), ()),
    ("dataset.augment.cutout", ("-1", "abc", "null"), ()),
    ("dataset.augment.mean", ("abc", "[a]", "[1,2,3]", "null"), ()),
    ("dataset.augment.std", ("[0]", "abc", "[-1]", "[1,2]", "null"), ()),
    ("dataset.augment.mix", ("abc", "1", LIST), ()),
    (
        "dataset.augment.mix.alpha",
        ("-1", "abc", "0", "null"),
        (
            "dataset.augment.mix={_target_: torchvision.transforms.v2.MixUp, num_classes: 10,"
            " alpha: 0.2}",
        ),
    ),
    ("model.shortcut", ("C", "null", "1", LIST), ()),
    ("model.num_classes", ("3", "abc", "null", "0"), ()),
    ("model.in_channels", ("3", "abc", "0"), ()),
    ("model.ratio", ("0", "-1", "1.5", "abc", "null", LIST, "1000"), ("model=ghost_resnet56",)),
    ("model.width_mult", ("0", "-1", "abc", "null"), ("model=ghostnet_050",)),
    ("model.dropout", ("-1", "2", "abc"), ("model=ghostnet_050",)),
    ("model.small_input", ("abc", "null"), ("model=ghostnet_050",)),
    ("model.weights", ("missing.ckpt", "abc", "5"), ("model=ghostnet_050",)),
    ("task.loss.label_smoothing", ("2", "-1", "abc", "null", LIST), ()),
    ("task.loss._target_", ("torch.nn.Linear", "null", "5"), ()),
    ("task.compile", ("abc", "null", "2"), ()),
    ("task.channels_last", ("abc", "null"), ()),
    ("task.cosines", ("abc", "null"), ()),
    ("task.param_groups", ("abc", "null", "5"), ()),
    ("task.param_groups.decay_norm_and_bias", ("abc", "null"), ()),
    ("task.param_groups.layer_decay", ("2", "-1", "abc"), ("task=layerwise",)),
    (
        "task.loss.margin",
        ("-1", "abc", "null", "100"),
        ("task=arcface", "model=ghost_efficientnet_v2_050"),
    ),
    (
        "task.loss.scale",
        ("0", "-1", "abc"),
        ("task=circle", "model=ghost_efficientnet_v2_050"),
    ),
    ("sched.interval", ("abc", "null", "1"), ()),
    ("sched.frequency", ("0", "-1", "abc", "null"), ()),
    ("sched.scheduler.total_steps", ("0", "-1", "abc"), ()),
    ("sched.scheduler.milestones", ("5", "abc", "[a]", "null"), ("sched=multistep",)),
    ("sched.scheduler.gamma", ("abc", "null"), ("sched=multistep",)),
    ("sched.scheduler.pct_start", ("2", "-1", "abc"), ("sched=onecycle",)),
    ("sched.scheduler.warmup", ("2", "-1", "abc"), ("sched=warmup_cosine",)),
    ("sched.scheduler.mode", ("abc", "null"), ("sched=plateau",)),
    ("sched.scheduler.factor", ("2", "abc"), ("sched=plateau",)),
    ("sched.monitor", ("val/abc",), ("sched=plateau",)),
    ("callbacks.best.mode", ("abc", "null"), ()),
    ("callbacks.best.monitor", ("val/abc", "5"), ()),
    ("callbacks.last", ("abc", "5", LIST), ()),
    ("callbacks.early_stopping.patience", ("abc", "null"), ("callbacks=early_stopping",)),
    ("callbacks.early_stopping.monitor", ("val/abc",), ("callbacks=early_stopping",)),
    ("callbacks.ema.decay", ("2", "-1", "abc"), ("callbacks=ema",)),
    ("callbacks.freeze.blocks_by_epoch", ("5", "abc", "{a: b}"), ("callbacks=finetune",)),
    (
        "callbacks.features.layer",
        ("abc", "5"),
        ("callbacks=features", "model=ghost_resnet56"),
    ),
    (
        "callbacks.features.index",
        ("-1", "abc"),
        ("callbacks=features", "model=ghost_resnet56"),
    ),
    ("callbacks.progressive.stages", ("0", "abc", "50"), ("callbacks=progressive",)),
    ("callbacks.progressive.image_size", ("5", "[8]", "[0,8]"), ("callbacks=progressive",)),
    ("logger.tensorboard.directory", ("null", "5"), ()),
    ("logger.csv.path", ("null",), ()),
    ("logger.csv", ("abc", "5"), ()),
)

# what a whole config gets wrong; (overrides, what the refusal names)
TOGETHER = (
    (("callbacks=features",), "Ghost"),
    (("callbacks=margin_warmup",), "margin"),
    (("callbacks=progressive",), "stage"),
    (("callbacks=detection",), "map"),
    (("task=arcface",), "cosine"),
    (("task.cosines=true",), "cosine"),
    (("task=detection",), "detection"),
    (("dataset=shapes", "without dataset.val_split", "without dataset.image_size"), "detection"),
    (("model=retinanet_ghostnet_small",), "detection"),
    (("sched=plateau", "dataset.val_split=0"), "val"),
    (("callbacks=early_stopping", "dataset.val_split=0"), "val"),
    (("sched=onecycle", "task=layerwise"), "max_lr"),
    (("dataset.batch_size=1", "model=ghostnet_050"), "batch"),
    (("model=vgg16",), "8"),
    (("model.cosine_head=true", "model=ghost_efficientnet_v2_050"), "cosine"),
    (("trainer=ddp", "trainer.devices=abc"), "devices"),
    (("model=null",), "model"),
    (("dataset=null",), "dataset"),
    (("task=null",), "task"),
    (("optimizer=null",), "optimizer"),
    (("sched=null",), "sched"),
    (("trainer=null",), "trainer"),
    (("~model",), "model"),
    (("~dataset",), "dataset"),
    (("~trainer",), "trainer"),
    (("~seed",), "seed"),
    (("~trainer.max_epochs",), "max_epochs"),
    (("~sched.scheduler",), "scheduler"),
    (("~model._target_",), "model"),
    (("model.num_classes=${dataset.nothing}",), "nothing"),
    (("optimizer.lr=${oc.env:NO_SUCH_VARIABLE}",), "NO_SUCH_VARIABLE"),
    (("optimizer.lr=${optimizer.lr}",), "lr"),
    (("optimizer.lr=${nonsense:1}",), "nonsense"),
    (("seed=???",), "seed"),
    (("logger=wandb",), "wandb"),
    (("logger=mlflow",), "logger"),
    (("+trainer.profiler=abc",), "profiler"),
    (("hydra/launcher=nonsense",), "launcher"),
)


def _wrong() -> list[Launch]:
    return [
        Launch(
            "values",
            tuple(merged(*QUICK, *further, f"{key}={value}")),
            key.lstrip("+"),
            rf"error: {key.lstrip('+').partition('.')[0]}[\w.]*(: | \()",  # then what its part says
        )
        for key, values, further in WRONG
        for value in values
    ]


VALUES = (
    *_wrong(),
    *(Launch("together", tuple(merged(*QUICK, *given)), named) for given, named in TOGETHER),
)
