"""A logger or a picture that fails is told of, and the training goes on to the same result."""

import errno
import logging
import resource
import threading

import pytest
from helpers import result
from pytorch_lightning.loggers import Logger

from ghostexp.data.datamodule import ClassificationData
from ghostexp.training.loggers import MetricsFile
from ghostexp.training.tensorboard import TensorBoard
from ghostexp.training.watching import going_on, never_failing


class Broken(Logger):
    name = version = "broken"

    def log_hyperparams(self, params):
        raise ConnectionError("no\nnetwork")

    def log_metrics(self, metrics, step=None):
        raise ConnectionError("no\nnetwork")


def test_a_broken_logger_is_told_of_once(caplog):
    logger = never_failing(Broken())
    assert isinstance(logger, Broken)
    for step in range(3):
        logger.log_metrics({"a": 1.0}, step=step)
    assert caplog.messages == ["Broken failed, and the run goes on: ConnectionError: no network"]


def test_only_errors_are_passed_over(caplog):
    with going_on("the picture"):
        raise ValueError("bad")
    assert caplog.messages == ["the picture failed, and the run goes on: ValueError: bad"]
    with pytest.raises(KeyboardInterrupt), going_on("the picture"):
        raise KeyboardInterrupt


def full_disk(self, *args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_run_with_a_full_disk_ends_like_another(small_run, monkeypatch):
    """Its loggers and pictures find no room, from the first event to the confusion matrix."""
    expected = result(small_run(drawn=True))["metrics"]
    with monkeypatch.context() as patch:
        patch.setattr("ghostexp.training.tensorboard.append", full_disk)
        patch.setattr("ghostexp.training.loggers.append", full_disk)
        patch.setattr("ghostexp.training.callbacks.pictures.write_confusion", full_disk)
        folder = small_run(drawn=True)
    assert result(folder)["status"] == "finished"
    times = {"train/images_per_s"}
    metrics = result(folder)["metrics"]
    assert {key: metrics[key] for key in metrics.keys() - times} == {
        key: expected[key] for key in expected.keys() - times
    }
    log = (folder / "train.log").read_text()
    pictures = ["the picture of training images", "the confusion matrix"]
    for what in ("TensorBoard", "TensorBoard's page of hyperparameters", "MetricsFile", *pictures):
        assert log.count(f"{what} failed, and the run goes on: OSError: [Errno 28] No space") == 1


def test_half_a_row_is_taken_back(tmp_path):
    path = tmp_path / "metrics.csv"
    logger = MetricsFile(str(path))
    logger.log_metrics({"a": 1.0}, 0)
    whole = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 2, hard))  # bytes of a file
    try:
        with pytest.raises(OSError, match="File too large"):
            logger.log_metrics({"a": 2.0}, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == whole
    logger.log_metrics({"a": 3.0}, 2)
    assert path.read_bytes() == whole + b"2,3.0\r\n"


def test_a_run_interrupted_while_it_logs_ends_at_once(tmp_path):
    """There is no thread that Lightning's end of a run could wait for."""
    before = threading.active_count()
    logger = TensorBoard(str(tmp_path / "tensorboard"))
    logger.log_metrics({"a": 1.0}, 0)
    assert threading.active_count() == before
    logger.finalize("interrupted")


@pytest.mark.parametrize("name", ["$x^$", "$5_$", "caf\udce9"])
def test_a_class_of_any_name_is_drawn(small_run, monkeypatch, name, caplog):
    monkeypatch.setattr(ClassificationData, "class_names", [name] * 10, raising=False)
    caplog.set_level(logging.WARNING)
    folder = small_run("trainer.max_epochs=1", drawn=True)
    assert not [message for message in caplog.messages if "failed" in message]
    assert (folder / "confusion.png").stat().st_size > 10_000
    escaped = name.encode("utf-8", "backslashreplace").decode()
    assert escaped in (folder / "confusion.csv").read_text(encoding="utf-8")
