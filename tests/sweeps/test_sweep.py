"""Sweeps: stable folders, frozen configs, and what the same command does the second time."""

import pytest
from helpers import SMALL, result

ONE_EPOCH = (*SMALL, "trainer.max_epochs=1")


def jobs(tmp_path, name="train"):
    folder = tmp_path / "outputs" / name
    return sorted(path.name for path in folder.iterdir() if (path / "result.json").exists())


def test_four_combinations_make_four_runs(app, tmp_path, capfd):
    grid = ("model=resnet20,resnet32", "sched=cosine,constant")
    assert app("-m", *ONE_EPOCH[1:], *grid) == 0
    assert jobs(tmp_path) == [
        "model=resnet20,sched=constant",
        "model=resnet20,sched=cosine",
        "model=resnet32,sched=constant",
        "model=resnet32,sched=cosine",
    ]
    record = result(tmp_path / "outputs" / "train" / "model=resnet32,sched=cosine")
    assert record["swept"] == {"model": "resnet32", "sched": "cosine"}
    said = "".join(capfd.readouterr())
    for number in range(1, 5):
        assert said.count(f"job {number} of 4: ") == 2  # a line at its start, a line at its end
    assert said.count("handwritten digits") == 1
    assert "4 runs: 4 finished" in said


def test_the_same_command_skips_what_is_finished(app, tmp_path, capfd):
    assert app("-m", *ONE_EPOCH, "seed=0,1") == 0
    before = {name: result(tmp_path / "outputs/train" / name) for name in jobs(tmp_path)}
    capfd.readouterr()
    assert app("-m", *ONE_EPOCH, "seed=0,1,2") == 0
    assert "".join(capfd.readouterr()).count("finished already: skipped") == 2
    assert jobs(tmp_path) == ["seed=0", "seed=1", "seed=2"]
    assert all(result(tmp_path / "outputs/train" / name) == before[name] for name in before)


def test_another_config_in_the_same_folder_is_refused_with_the_differing_keys(app, tmp_path, capfd):
    assert app("-m", *ONE_EPOCH, "seed=0,1") == 0
    before = result(tmp_path / "outputs/train/seed=0")
    assert app("-m", *ONE_EPOCH, "optimizer.momentum=0.5", "seed=0,1,2") == 1
    said = "".join(capfd.readouterr())
    assert "2 of 3 jobs cannot run, so none was started" in said
    assert "optimizer.momentum: 0.9 -> 0.5" in said
    assert result(tmp_path / "outputs/train/seed=0") == before
    assert jobs(tmp_path) == ["seed=0", "seed=1"]


def test_a_later_launch_adds_a_seed(app, tmp_path):
    assert app("-m", *ONE_EPOCH, "sched=cosine,constant") == 0
    assert app("-m", *ONE_EPOCH, "sched=cosine,constant", "seed=1") == 0
    assert jobs(tmp_path) == [
        "sched=constant",
        "sched=constant,seed=1",
        "sched=cosine",
        "sched=cosine,seed=1",
    ]


def test_a_job_that_another_sweep_has_finished_is_named_before_it_starts(app, capfd):
    assert app("-m", *ONE_EPOCH, "sched=cosine,constant") == 0
    assert "repeats" not in "".join(capfd.readouterr())
    assert app("-m", *ONE_EPOCH, "sched=cosine,constant", "seed=0,1", "--dry-run") == 0
    said = "".join(capfd.readouterr())
    for sched in ("cosine", "constant"):
        assert f"sched={sched},seed=0 repeats the finished run sched={sched}: all values" in said
    assert said.count("repeats") == 2


def test_a_dry_run_says_once_what_concerns_all_jobs(app, capfd):
    words = [word for word in ONE_EPOCH if "val" not in word]
    assert app("-m", *words, "dataset.val_split=0", "seed=0,1,2", "--dry-run") == 0
    assert "".join(capfd.readouterr()).count("nothing is validated") == 1


def test_a_dry_run_of_no_grid_is_refused(app, tmp_path, capfd):
    assert app("dataset=digits", "--dry-run") == 1
    assert "--dry-run shows what a sweep would start: add -m" in "".join(capfd.readouterr())
    assert app("-m", "search=optuna", "--dry-run") == 1
    assert "--dry-run is for grids: a search draws its trials" in "".join(capfd.readouterr())
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_downloads_nothing_and_says_which_jobs_it_could_not_try(app, tmp_path, capfd):
    words = ["-m", "model=ghost_resnet56", "experiment=ratio_ablation_short", "model.ratio=2,4"]
    assert app(*words, "--dry-run") == 0
    said = "".join(capfd.readouterr())
    assert "model.ratio=2, model.ratio=4: no training step was tried" in said
    assert "CIFAR10 is not in data/cifar10, and this command downloads nothing: put" in said
    assert said.count("train.py") == 2, "the commands of both jobs"
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_names_a_mistake_beside_missing_data(app, tmp_path, capfd):
    assert app("-m", "dataset=cifar10,digits", "model.ratio=0", "--dry-run") == 1
    said = "".join(capfd.readouterr())
    assert "2 of 2 jobs cannot run" in said
    assert "ratio must be a whole number of at least 1, not 0" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_rerun_starts_over(app, tmp_path, capfd):
    assert app("-m", *ONE_EPOCH, "seed=0,1") == 0
    before = result(tmp_path / "outputs/train/seed=0")
    capfd.readouterr()
    assert app("-m", *ONE_EPOCH, "optimizer.momentum=0.5", "rerun=true", "seed=0,1") == 0
    assert "2 of 2 jobs to do" in "".join(capfd.readouterr())
    after = result(tmp_path / "outputs/train/seed=0")
    assert after["digest"] != before["digest"]
    assert after["config"]["optimizer"]["momentum"] == 0.5


def test_one_failed_job_does_not_stop_the_others_and_is_retried(app, tmp_path, monkeypatch, capfd):
    from ghostexp.training.callbacks import SeedBatches

    def fails_for_seed_1(self, trainer, pl_module):
        if self.seed == 1:
            raise ValueError("job 1 is made to fail")

    with monkeypatch.context() as patch:
        patch.setattr(SeedBatches, "on_train_epoch_start", fails_for_seed_1)
        assert app("-m", *ONE_EPOCH, "seed=0,1,2") == 1
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    assert "job 2 of 3: seed=1 failed: ValueError: job 1 is made to fail" in said
    assert "1 of 3 jobs failed" in said
    assert "next: ghostexp report outputs/train" in said
    folder = tmp_path / "outputs/train"
    assert [result(folder / f"seed={s}")["status"] for s in (0, 1, 2)] == [
        "finished",
        "failed",
        "finished",
    ]
    assert "made to fail" in (folder / "seed=1" / "train.log").read_text()
    assert "made to fail" in result(folder / "seed=1")["error"]["traceback"]
    assert app("-m", *ONE_EPOCH, "seed=0,1,2") == 0
    assert result(folder / "seed=1")["status"] == "finished"


def test_on_error_stop_stops_at_the_first(app, tmp_path, monkeypatch):
    from ghostexp.training.callbacks import SeedBatches

    def fails(self, trainer, pl_module):
        raise ValueError("every job fails")

    monkeypatch.setattr(SeedBatches, "on_train_epoch_start", fails)
    assert app("-m", *ONE_EPOCH, "on_error=stop", "seed=0,1,2") == 1
    assert jobs(tmp_path) == ["seed=0"]


def test_a_preset_sweeps_without_m_and_is_narrowed_on_the_command_line(app, tmp_path):
    (tmp_path / "ext" / "experiment").mkdir(parents=True)
    (tmp_path / "ext" / "experiment" / "seeds.yaml").write_text(
        "# @package _global_\nname: seeds\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
        "      seed: 0,1,2\n"
    )
    searchpath = f"hydra.searchpath=[file://{tmp_path}/ext]"
    assert app(*ONE_EPOCH, "experiment=seeds", searchpath, "seed=1,2") == 0
    assert jobs(tmp_path, "seeds") == ["seed=1", "seed=2"]


@pytest.mark.parametrize(
    "edited", ["_target_: torch.optim.SGD\nmomentum: 0.6\n", "momentum: [unparsable\n", None]
)
def test_configs_are_frozen_at_the_launch(app, tmp_path, monkeypatch, edited):
    from ghostexp.runs import experiment

    ext = tmp_path / "ext" / "optimizer"
    ext.mkdir(parents=True)
    mine = ext / "mine.yaml"
    mine.write_text("_target_: torch.optim.SGD\n_partial_: true\nlr: 0.1\nmomentum: 0.5\n")
    real = experiment.run_job

    def edits_the_yaml(job):
        if edited is None:
            mine.unlink(missing_ok=True)
        else:
            mine.write_text(edited)
        return real(job)

    monkeypatch.setattr(experiment, "run_job", edits_the_yaml)
    searchpath = f"hydra.searchpath=[file://{tmp_path}/ext]"
    assert app("-m", *ONE_EPOCH, "optimizer=mine", searchpath, "seed=0,1") == 0
    second = result(tmp_path / "outputs/train/seed=1")
    assert second["config"]["optimizer"]["momentum"] == 0.5
