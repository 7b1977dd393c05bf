"""A monitor names a metric that exists, with the direction in which it is best."""

import pytest
from helpers import SMALL

from ghostexp.config.build import build_parts
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError

ALL = "task/metrics=all"
BEST, STOP = "callbacks.best.monitor", "callbacks.early_stopping.monitor"


def build(*overrides):
    cfg = compose_config([*SMALL, *overrides])
    cfg.run_dir = "run"
    return build_parts(cfg)


@pytest.mark.parametrize(
    "overrides",
    [
        [ALL, f"{BEST}=val/f1_macro"],
        [ALL, f"{BEST}=val/recall_of_3"],
        [ALL, f"{BEST}=val/calibration", "callbacks.best.mode=min"],
        [ALL, "callbacks=early_stopping", f"{STOP}=val/auroc"],
        [f"{BEST}=val/loss", "callbacks.best.mode=min"],
        ["sched=plateau"],
        [ALL, "sched=plateau", "sched.monitor=val/acc_balanced", "sched.scheduler.mode=max"],
        ["sched=cosine", "+sched.monitor=val/acc"],
    ],
    ids=str,
)
def test_any_metric_may_be_monitored(overrides):
    build(*overrides)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ([f"{BEST}=val/f1_macro"], "best.monitor=val/f1_macro: the task logs no such metric"),
        ([ALL, f"{BEST}=val/f1_makro"], "did you mean val/f1_macro?"),
        ([f"{BEST}=val/acccc", "dataset.val_split=0"], "did you mean val/acc?"),
        ([ALL, "sched=plateau", "sched.monitor=val/rocau"], "sched.monitor=val/rocau: the task"),
        (["callbacks=early_stopping", f"{STOP}=val/f1_of_3"], "the task logs no such metric"),
        ([f"{BEST}=val/loss"], "callbacks.best.mode=max, but val/loss is best where it is low"),
        (
            [ALL, f"{BEST}=val/recall_of_3", "callbacks.best.mode=min"],
            "give callbacks.best.mode=max",
        ),
        ([ALL, f"{BEST}=val/calibration"], "give callbacks.best.mode=min"),
        (["sched=plateau", "sched.monitor=val/acc"], "give sched.scheduler.mode=max"),
        (["~callbacks.best.mode"], "callbacks.best.mode=min, but val/acc is best where it is high"),
        ([f"{BEST}=test/acc"], "measured after the training"),
    ],
    ids=str,
)
def test_other_monitors_are_refused(overrides, sentence):
    with pytest.raises(UserError, match=sentence.replace("?", r"\?")):
        build(*overrides)
