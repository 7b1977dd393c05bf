"""The check of a whole sweep before its first job."""

from helpers import SMALL


def test_one_bad_grid_point_stops_all_before_the_first_job(app, tmp_path, capfd):
    grid = ("model=ghost_resnet56", "model.ratio=2,17,30")
    assert app("-m", *SMALL[1:], *grid) == 1
    said = "".join(capfd.readouterr())
    assert "2 of 3 jobs cannot run, so none was started" in said
    assert "model.ratio=17: model: " in said
    assert "model.ratio=30: model: " in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("result.json"))


def test_every_job_is_shown_with_its_size_and_cost(app, capfd):
    assert app("-m", *SMALL[1:], "trainer.max_epochs=1", "model=linear,resnet20") == 0
    said = "".join(capfd.readouterr())
    assert "2 of 2 jobs to do" in said
    assert "272,186" in said  # parameters of ResNet-20 with one input channel
    assert app("-m", *SMALL[1:], "trainer.max_epochs=1", "model=linear,resnet20") == 0
    assert "0 of 2 jobs to do" in "".join(capfd.readouterr())


def test_processes_that_would_repeat_the_sweep_are_refused(app, tmp_path, capfd):
    assert app("-m", *SMALL, "+trainer.strategy=ddp", "seed=0,1") == 1
    assert "would start the whole sweep in each" in "".join(capfd.readouterr())
    assert not list(tmp_path.rglob("result.json"))
