"""A run that goes on with other values or more epochs trains at the rates that its config says."""

from math import cos, pi

import pytest
import torch
from helpers import SMALL, assert_same_weights, long_ones, result
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.optimizer import register_optimizer_step_pre_hook

LR = "optimizer.lr=0.1"
EPOCHS = 4
STEPS = 2 * EPOCHS  # SMALL trains two batches per epoch


@pytest.fixture
def used():
    """The hyperparameters of every parameter group at each step of a run's optimizer."""
    steps = []

    def note(optimizer, args, kwargs):
        if len(optimizer.param_groups[0]["params"]) > 1:  # else the trial step of a check
            steps.append([{**group, "params": None} for group in optimizer.param_groups])

    handle = register_optimizer_step_pre_hook(note)
    yield steps
    handle.remove()


def rates(steps):
    return [groups[0]["lr"] for groups in steps]


def one_cycle(key):
    """torch's own cycle over all steps, without an interruption."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    scheduler, found = OneCycleLR(optimizer, 0.1, total_steps=STEPS), []
    for _ in range(STEPS):
        found.append(optimizer.param_groups[0][key])
        optimizer.step()
        scheduler.step()
    return found


def half_cosine(share):
    return 0.1 * 0.5 * (1 + cos(pi * share))


CLOSED_FORMS = {  # of each step, counted from 0, in a training of four epochs of two steps
    "sched=constant": lambda step: 0.1,
    "sched=cosine": lambda step: half_cosine(step // 2 / EPOCHS),
    "sched=multistep": lambda step: 0.1 * 0.1 ** sum(step // 2 >= m for m in (1, 3)),
    "sched=multistep_shares": lambda step: 0.1 * 0.1 ** sum(step // 2 >= m for m in (2, 3)),
    "sched=onecycle": lambda step: one_cycle("lr")[step],
    "sched=warmup_cosine": lambda step: (
        0.1 * (step + 1) / 4 if step < 3 else half_cosine((step - 3) / (STEPS - 3))
    ),
}
OPTIONS = {
    "sched=multistep": ["sched.scheduler.milestones=[1,3]"],
    "sched=warmup_cosine": ["sched.scheduler.warmup=0.4"],  # round(0.4 * 8) = 3 steps
}
LIKE_OTHERS = ("sched=constant", "sched=multistep", "sched=onecycle")


@pytest.mark.parametrize("sched", long_ones(CLOSED_FORMS, long=LIKE_OTHERS))
def test_each_rate_after_an_extension_is_the_longer_schedules(small_run, app, used, sched):
    folder = small_run(LR, sched, *OPTIONS.get(sched, []))
    before = len(used)
    assert before == STEPS // 2
    assert app(f"resume={folder}", f"trainer.max_epochs={EPOCHS}") == 0
    expected = [CLOSED_FORMS[sched](step) for step in range(before, STEPS)]
    assert rates(used[before:]) == pytest.approx(expected, rel=1e-9)
    if sched == "sched=onecycle":
        momenta = [groups[0]["momentum"] for groups in used[before:]]
        assert momenta == pytest.approx(one_cycle("momentum")[before:])


def test_four_epochs_extended_to_twelve(small_run, app, used):
    folder = small_run(LR, "trainer.max_epochs=4", "dataset.val_split=0")
    assert app(f"resume={folder}", "trainer.max_epochs=12") == 0
    expected = [half_cosine(epoch / 12) for epoch in range(4, 12)]
    assert rates(used[8::2]) == pytest.approx(expected, rel=1e-9)
    assert result(folder)["epochs"] == 12


NEVER_BETTER = (  # no epoch is a thousand times as good as an earlier one
    *("sched=plateau", "sched.monitor=val/acc", "sched.scheduler.mode=max"),
    *("sched.scheduler.patience=0", "+sched.scheduler.threshold=1000"),
)


def test_a_plateau_goes_on_from_what_it_has_seen(small_run, app, used):
    overrides = (LR, *NEVER_BETTER)
    whole = small_run(*overrides, f"trainer.max_epochs={EPOCHS}")
    undisturbed = rates(used)
    assert undisturbed[::2] == pytest.approx([0.1, 0.1, 0.01, 0.001])
    used.clear()
    folder = small_run(*overrides)
    assert app(f"resume={folder}", f"trainer.max_epochs={EPOCHS}") == 0
    assert rates(used) == undisturbed
    assert_same_weights(whole, folder)


def test_a_plateaus_reductions_apply_to_a_new_rate(small_run, app, used):
    folder = small_run(LR, *NEVER_BETTER)
    used.clear()
    new = ("optimizer.lr=0.02", "++sched.scheduler.factor=0.5", f"trainer.max_epochs={EPOCHS}")
    assert app(f"resume={folder}", *new) == 0
    assert rates(used)[::2] == pytest.approx([0.02 * 0.5, 0.02 * 0.25])


def test_values_of_a_resumed_run_are_used(small_run, app, used):
    folder = small_run(LR)
    used.clear()
    new = ("optimizer.lr=0.001", "optimizer.weight_decay=0.5", "optimizer.momentum=0.8")
    more = ("optimizer.nesterov=true", f"trainer.max_epochs={EPOCHS}")
    assert app(f"resume={folder}", *new, *more) == 0
    assert rates(used) == pytest.approx(
        [0.01 * half_cosine(share) for share in (0.5, 0.5, 0.75, 0.75)]
    )
    for (group,) in used:
        assert (group["weight_decay"], group["momentum"], group["nesterov"]) == (0.5, 0.8, True)


def test_layers_keep_their_share_of_a_new_rate(small_run, app, used):
    folder = small_run(
        *("optimizer=adamw", "task=layerwise", "task.param_groups.decay_norm_and_bias=false"),
        *("task.param_groups.layer_decay=0.5", "sched=warmup_cosine"),
    )
    used.clear()
    new = ("optimizer.lr=0.4", "optimizer.weight_decay=0.5", "++optimizer.betas=[0.8,0.9]")
    assert app(f"resume={folder}", *new, f"trainer.max_epochs={EPOCHS}") == 0
    for step, groups in enumerate(used, STEPS // 2):
        head = 4 * half_cosine(step / STEPS)
        shares = [group["lr"] / head for group in groups]
        assert shares[0] == pytest.approx(1)
        distances = sorted(set(shares), reverse=True)
        assert distances == pytest.approx([0.5**k for k in range(11)])  # stem, 9 blocks, head
        assert {group["weight_decay"] for group in groups} == {0, 0.5}
        assert all(tuple(group["betas"]) == (0.8, 0.9) for group in groups)


def test_another_batch_size_keeps_the_epoch_of_a_schedule_of_steps(small_run, app, used):
    folder = small_run(LR, "sched=warmup_cosine", "sched.scheduler.warmup=0")
    used.clear()
    more = ("trainer.limit_train_batches=4", f"trainer.max_epochs={EPOCHS}")
    assert app(f"resume={folder}", *more) == 0
    assert rates(used) == pytest.approx([half_cosine(step / 16) for step in range(8, 16)])


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["optimizer._target_=torch.optim.Adam"], "optimizer._target_: the run was trained with"),
        (["task.param_groups.decay_norm_and_bias=false"], "task.param_groups: the run was trained"),
        (["++optimizer.amsgrad=true"], "need 'max_exp_avg_sq' for each parameter"),
    ],
    ids=["class", "groups", "state"],
)
def test_what_cannot_be_applied_is_refused(small_run, app, capfd, overrides, sentence):
    folder = small_run("optimizer=adamw", "+optimizer.amsgrad=false")
    before = result(folder)
    assert app(f"resume={folder}", "trainer.max_epochs=4", *overrides) == 1
    assert sentence in "".join(capfd.readouterr())
    assert result(folder) == before


def test_a_lost_loss_ends_a_run_with_one_sentence(app, tmp_path, capfd):
    assert app(*SMALL, "optimizer.lr=1e30", "trainer.max_epochs=2") == 1
    said = "".join(capfd.readouterr())
    assert (
        "error: the loss of epoch 1, batch 2 is not finite (loss nan): a smaller optimizer.lr"
        in said
    )
    assert "Traceback" not in said
    (folder,) = tmp_path.glob("outputs/train/*")
    assert result(folder)["status"] == "failed"
    assert not list(folder.glob("checkpoints/last.ckpt"))
