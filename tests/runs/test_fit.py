"""What a training leaves in the record of its run."""

from helpers import result


def test_the_last_epoch_is_reported_where_no_epoch_was_chosen(small_run):
    folder = small_run("callbacks.best.every_n_epochs=5")
    assert result(folder)["status"] == "finished"
    assert result(folder)["selected"] == {"rule": "last epoch", "epoch": 2}
    assert not (folder / "checkpoints" / "best.ckpt").exists()
