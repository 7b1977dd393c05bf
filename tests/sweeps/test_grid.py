"""What a command line spans, and what no sweep can have."""

import pytest

TINY = ("model=linear", "dataset.image_size=8", "debug=fast")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["hydra.sweep.subdir=x", "seed=0,1"], "2 jobs would share the folder"),
        (["seed=1,1"], "2 jobs would share the folder"),
        (["resume=a,b"], "resume=... goes on with one run"),
        (["resume=a", "seed=0,1"], "resume=... goes on with one run"),
        (["run_dir=x", "seed=0,1"], "run_dir=x: the program names a run's folder"),
        (["seed=0", "seed=1"], "seed is given 2 times"),
        (["seed=interval(0,3)"], "a grid needs single values"),
        (["seed=range(0,0)"], "seed=range(0,0) yields no value, so there is no job"),
        (["sched=glob(nothing*)"], "sched=glob(nothing*) yields no value"),
        (["optimizer=sgd,null"], "choose files of conf/optimizer; null is not one of them"),
        (["rerun=true,false"], "a sweep has one value of it, for all jobs"),
        (["on_error=stop,continue"], "a sweep has one value of it, for all jobs"),
        (["hydra.sweeper.max_batch_size=0", "seed=0,1"], "a number of jobs, or null for all"),
    ],
)
def test_what_no_sweep_can_have_is_refused_at_once(app, tmp_path, capfd, arguments, sentence):
    assert app("-m", *TINY, *arguments) == 1
    said = "".join(capfd.readouterr())
    assert sentence in said
    assert "Traceback" not in said
    assert not (tmp_path / "outputs").exists()


def test_a_glob_takes_all_choices_that_match(app, tmp_path):
    assert app("-m", *TINY, "optimizer=glob(*)", "sched=constant", "dataset.val_split=0.1") == 0
    names = {path.parent.name for path in tmp_path.glob("outputs/train/*/result.json")}
    assert {"optimizer=adamw", "optimizer=sgd"} <= names


def test_a_preset_narrowed_to_one_value_keeps_its_name(app, tmp_path):
    (tmp_path / "ext" / "experiment").mkdir(parents=True)
    (tmp_path / "ext" / "experiment" / "seeds.yaml").write_text(
        "# @package _global_\nname: seeds\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
        "      seed: 0,1,2\n"
    )
    searchpath = f"hydra.searchpath=[file://{tmp_path}/ext]"
    assert app(*TINY, "experiment=seeds", searchpath, "seed=2") == 0
    assert [p.parent.name for p in tmp_path.glob("outputs/seeds/*/result.json")] == ["seed=2"]
