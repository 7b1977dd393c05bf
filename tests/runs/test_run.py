"""A run's folder belongs to one process; what others wrote in it stays."""

import json
import shutil
import subprocess
import sys

import pytest
from helpers import ROOT, SMALL, lock_holder, result

from ghostexp.config.explain import UserError
from ghostexp.runs.run import Run


def test_a_run_is_read_from_python(small_run):
    folder = small_run()
    run = Run(folder)
    assert run.status == "finished"
    assert run.metrics["test/acc"] == result(folder)["metrics"]["test/acc"]
    assert run.config.model._target_.endswith("resnet20")
    assert sum(p.numel() for p in run.net.parameters()) == result(folder)["network"]["params"]
    with pytest.raises(UserError, match="is no run"):
        _ = Run(folder.parent).record


def test_starting_over_removes_only_what_the_run_wrote(small_run, app):
    folder = small_run()
    (folder / "notes.md").write_text("mine")
    (folder / "checkpoints" / "mine.ckpt").write_text("mine")
    before = (folder / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    assert app(f"resume={folder}", "rerun=true") == 0
    assert (folder / "checkpoints" / "last.ckpt").stat().st_mtime_ns > before
    assert (folder / "notes.md").read_text() == "mine"
    assert (folder / "checkpoints" / "mine.ckpt").read_text() == "mine"
    again = result(folder)
    assert app(f"resume={folder}") == 0  # rerun=true was said once, and not to this launch
    assert result(folder) == again


def test_a_run_that_another_process_trains_is_refused_meanwhile(small_run, app, capfd):
    folder = small_run()
    before = (folder / "result.json").read_bytes()
    with lock_holder(folder / ".lock") as holder:
        assert app(f"resume={folder}", "trainer.max_epochs=3") == 1
        assert app(f"resume={folder}", "rerun=true") == 1
        assert holder.poll() is None  # it was not waited for
    assert f"is being trained by process {holder.pid}" in "".join(capfd.readouterr())
    assert (folder / "result.json").read_bytes() == before
    assert app(f"resume={folder}", "trainer.max_epochs=3") == 0


def test_a_moved_and_copied_run_keeps_its_best_epoch(small_run, app, tmp_path):
    folder = small_run("trainer.max_epochs=3")
    state = Run(folder).record["best"]
    moved = tmp_path / "moved" / "run"
    moved.parent.mkdir()
    shutil.copytree(folder, moved)
    shutil.move(folder, tmp_path / "gone")
    best = (moved / "checkpoints" / "best.ckpt").read_bytes()
    assert app(f"resume={moved}", "trainer.max_epochs=4") == 0
    record = result(moved)
    assert record["best"]["val/acc"] >= state["val/acc"]
    if record["best"] == state:  # the new epoch was no better, so the best epoch's file stands
        assert (moved / "checkpoints" / "best.ckpt").read_bytes() == best
        assert record["selected"]["epoch"] <= 3
    assert not (tmp_path / "outputs" / "train" / folder.name).exists()


def test_a_run_of_another_host_goes_on(small_run, app):
    folder = small_run()
    record = result(folder) | {"status": "running", "host": "node7", "pid": 1}
    (folder / "result.json").write_text(json.dumps(record))
    assert Run(folder).status == "interrupted"
    assert app(f"resume={folder}", "trainer.max_epochs=3") == 0
    assert result(folder)["status"] == "finished"


def test_a_damaged_record_is_a_sentence_and_rerun_heals_it(small_run, app, capfd):
    folder = small_run()
    for text in ("{", "[]", '{"status": 3}', '{"status": "finished", "metrics": 3}'):
        (folder / "result.json").write_text(text)
        assert app(f"resume={folder}") == 1
        said = "".join(capfd.readouterr())
        assert "result.json is not a readable record" in said
        assert "rerun=true starts the run over" in said
        assert (folder / "result.json").read_text() == text
    assert app(f"resume={folder}", "rerun=true") == 0
    assert result(folder)["status"] == "finished"


def test_launches_are_kept_apart_and_add_up(small_run, app):
    folder = small_run()
    first = result(folder) | {"device": "another machine"}
    (folder / "result.json").write_text(json.dumps(first))
    assert app(f"resume={folder}", "trainer.max_epochs=4", "optimizer.lr=0.01") == 0
    record = result(folder)
    one, two = record["segments"]
    for key in ("device", "precision", "versions", "git"):
        assert one[key] == first[key]
        assert key not in two  # the record has it
    assert "another machine" not in record["device"]
    assert (one["epochs"], two["epochs"]) == ([1, 2], [3, 4])
    lr = first["config"]["optimizer"]["lr"]
    assert {f"optimizer.lr: {lr} -> 0.01", "trainer.max_epochs: 2 -> 4"} <= set(two["changed"])
    assert record["wall_s"] == pytest.approx(one["wall_s"] + two["wall_s"])
    assert one["wall_s"] == pytest.approx(first["wall_s"])
    assert record["training"]["images"] == 2 * first["training"]["images"]
    assert record["throughput"] == pytest.approx(
        record["training"]["images"] / record["training"]["seconds"]
    )
    assert record["started"] == first["started"]


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [[], ["callbacks=ema", "dataset.val_split=0"]], ids=str)
def test_a_kill_between_the_last_epoch_and_the_end_of_the_test_loses_nothing(
    overrides, small_run, app, tmp_path
):
    undisturbed = result(small_run(*overrides))
    words = [str(ROOT / "train.py"), *SMALL, "trainer.max_epochs=2", *overrides]
    code = (
        "import os, signal, sys\n"
        "from ghostexp.tasks import ClassificationTask\n"
        "def stop(self, batch, index): os.kill(os.getpid(), signal.SIGKILL)\n"
        "ClassificationTask.test_step = stop\n"
        f"import runpy; sys.argv = {words!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    (tmp_path / "killed").mkdir()
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "killed", capture_output=True)
    (folder,) = (tmp_path / "killed").glob("outputs/train/*")
    cut = Run(folder).record
    assert cut["status"] == "interrupted"
    assert cut["epochs"] == 2
    assert cut["metrics"]["train/loss"] == undisturbed["metrics"]["train/loss"]
    assert app(f"resume={folder}") == 0
    record = result(folder)
    pace = {"train/images_per_s"}
    assert {k: v for k, v in record["metrics"].items() if k not in pace} == {
        k: v for k, v in undisturbed["metrics"].items() if k not in pace
    }
    assert record["throughput"] == cut["throughput"]
    assert record["wall_s"] > cut["wall_s"]
    assert record["selected"] == undisturbed["selected"]


def test_a_failed_run_with_a_checkpoint_is_not_wiped_by_another_config(app, tmp_path, capfd):
    folder = tmp_path / "outputs" / "train" / "seed=0"
    assert app("-m", *SMALL, "trainer.max_epochs=1", "seed=0,1") == 0
    (folder / "result.json").write_text(json.dumps(result(folder) | {"status": "failed"}))
    (folder / "notes.md").write_text("mine")
    before = (folder / "checkpoints" / "last.ckpt").read_bytes()
    assert app("-m", *SMALL, "trainer.max_epochs=1", "optimizer.momentum=0.5", "seed=0,1") == 1
    assert "was failed with another config" in "".join(capfd.readouterr())
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == before
    assert (folder / "notes.md").exists()


@pytest.mark.slow
def test_presentation_may_change_between_launches_of_a_sweep(app, tmp_path, capfd):
    small = [each for each in SMALL if not each.startswith("trainer.log_every")]
    sweep = ("-m", *small, "trainer.max_epochs=1", "seed=0,1")
    assert app(*sweep, "trainer.log_every_n_steps=1") == 0
    folder = tmp_path / "outputs" / "train"
    before = [result(folder / f"seed={seed}") for seed in (0, 1)]
    others = ("logger.tensorboard=null", "trainer.log_every_n_steps=2")
    assert app(*sweep, *others) == 0
    assert "".join(capfd.readouterr()).count("finished already") == 2
    assert [result(folder / f"seed={seed}") for seed in (0, 1)] == before


def test_a_refused_config_leaves_no_folder(app, tmp_path):
    assert app(*SMALL, "dataset.val_split=7") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_dir() and "train" in path.parts[-2]]
    assert app("resume=nowhere") == 1
    assert not (tmp_path / "nowhere").exists()


def test_resume_takes_any_folder_name_unquoted(small_run, app, tmp_path):
    folder = tmp_path / "optimizer.lr=0.1,it's a [1]{b}"
    shutil.move(small_run(), folder)
    assert app(f"resume={folder}", "trainer.max_epochs=3") == 0
    assert result(folder)["epochs"] == 3


@pytest.mark.slow
def test_null_keys_and_new_keys_can_be_set_on_a_resume(small_run, app, capfd):
    folder = small_run()
    gradient = "trainer.gradient_clip_val=1.0"
    assert app(f"resume={folder}", "trainer.max_epochs=3", gradient) == 0
    assert result(folder)["config"]["trainer"]["gradient_clip_val"] == 1.0
    assert app(f"resume={folder}", "trainer.gradient_clip=1") == 1
    assert "did you mean" in "".join(capfd.readouterr())
    assert app(f"resume={folder}", "+trainer.max_time=00:01:00:00", "trainer.max_epochs=4") == 0


def test_fewer_epochs_than_are_done_are_refused(small_run, app, capfd):
    folder = small_run()
    before = result(folder)
    assert app(f"resume={folder}", "trainer.max_epochs=1") == 1
    assert "has done 2 epochs" in "".join(capfd.readouterr())
    assert result(folder) == before


def test_a_full_disk_is_a_sentence_and_the_record_says_so(small_run, app, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    assert app(*SMALL, "trainer.max_epochs=1") == 1
    (folder,) = tmp_path.glob("outputs/train/*")
    assert result(folder)["status"] == "failed"
    assert "No space left on device" in result(folder)["error"]["message"]
    assert not (folder / ".reserve").exists()
