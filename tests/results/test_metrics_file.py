"""Learning curves: epochs from 1, the last value of each, over several files and cut lines."""

from ghostexp.results.metrics_file import read_curves


def test_curves_take_the_last_value_of_an_epoch(make_run):
    folder = make_run("a", losses=(2.0, 1.5, 1.0))
    curves = read_curves(folder)
    assert curves["train/loss"] == {1: 2.0, 2: 1.5, 3: 1.0}
    assert curves["val/acc"] == {1: 0.0, 2: 0.25, 3: 0.5}


def test_curves_of_lightnings_logger_across_versions_and_a_cut_line(tmp_path):
    for version, text in {
        "version_2": "epoch,step,train/loss_epoch\n0,1,3.0\n1,2,2.0\n",
        "version_10": "epoch,step,train/loss_epoch\n1.0,2,1.0\n2,3,0.5\n3",
    }.items():
        folder = tmp_path / "logs" / version
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text(text)
    assert read_curves(tmp_path)["train/loss"] == {1: 3.0, 2: 1.0, 3: 0.5}


def test_values_that_are_no_finite_numbers_are_left_out(tmp_path):
    text = "epoch,train/loss,val/acc\n0,nan,0.5\n1e400,1.0,0.5\n1,inf,x,surplus\n"
    (tmp_path / "metrics.csv").write_text(text)
    assert read_curves(tmp_path) == {"epoch": {1: 0.0, 2: 1.0}, "val/acc": {1: 0.5}}
