"""TensorBoard as a user starts it shows every epoch of every run once, and the right results."""

import csv
import time

import psutil
import pytest
from board import Server
from helpers import DRAWN, result
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from ghostexp.training.callbacks import SeedBatches
from ghostexp.training.tensorboard import EventFile, TensorBoard, event_files

CUT = 2  # the epoch, counted from 0, in whose second batch a run is interrupted


def press_ctrl_c(self, trainer, pl_module, batch, batch_idx):
    if trainer.current_epoch == CUT and batch_idx == 1:
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return {"folder": tmp_path_factory.mktemp("tensorboard")}


@pytest.fixture
def board(shared, app, monkeypatch):
    """A server over five runs, which are trained before the first test; their folders by name."""
    if "server" not in shared:
        folder = shared["folder"]
        monkeypatch.chdir(folder)

        def train(name, *overrides):
            return app(*DRAWN, f"hydra.run.dir={folder / name}", *overrides)

        assert train("finished", "trainer.max_epochs=4") == 0
        with monkeypatch.context() as patch:
            patch.setattr(SeedBatches, "on_train_batch_start", press_ctrl_c, raising=False)
            assert train("resumed", "trainer.max_epochs=4") == 130
            assert train("interrupted", "trainer.max_epochs=4") == 130
        assert app(f"resume={folder}/resumed") == 0
        assert train("extended", "trainer.max_epochs=2") == 0
        assert app(f"resume={folder}/extended", "trainer.max_epochs=4") == 0
        ghost = ["model=ghost_resnet56", "model.ratio=3", "optimizer.lr=0.0125"]
        assert train("ghost", *ghost, "trainer.max_epochs=1") == 0
        shared["server"] = Server(folder)
        runs = {f"{name}/tensorboard" for name in RUNS}
        tags = "plugin/scalars/tags"
        shared["server"].wait(
            lambda: shared["server"].get(tags),
            lambda known: all(
                "train/lr" in known.get(run, {})
                and ("test/acc" in known[run] or run.startswith("interrupted"))
                for run in runs
            ),
        )
    return shared["server"]


RUNS = ("finished", "resumed", "interrupted", "extended", "ghost")


@pytest.fixture(scope="module", autouse=True)
def _ended(shared):
    yield
    if "server" in shared:
        shared["server"].close()


def rows(folder):
    return list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))


def test_it_is_the_default_reader_that_answers(board):
    below = psutil.Process(board.process.pid).children(recursive=True)
    assert any("tensorboard_data_server" in " ".join(process.cmdline()) for process in below)


@pytest.mark.parametrize("run", RUNS)
def test_every_point_of_every_curve_is_shown_once(board, shared, run):
    """The curves are those of metrics.csv, which tests/training/test_loggers.py looks into."""
    written = rows(shared["folder"] / run)
    tags = {name for name in written[0] if name not in ("step", "epoch")}
    known = set(board.get("plugin/scalars/tags")[f"{run}/tensorboard"])
    assert known - {"val/acc_reported"} == tags
    for tag in tags:
        shown = board.scalars(f"{run}/tensorboard", tag)
        expected = [(int(row["step"]), float(row[tag])) for row in written if row[tag]]
        assert shown == [(step, pytest.approx(value)) for step, value in expected], tag
        steps = [step for step, _ in shown]
        assert steps == sorted(set(steps)), tag


@pytest.mark.parametrize("run", RUNS)
def test_the_files_hold_no_point_twice(board, shared, run):
    """So that the slower reader (`--load_fast=false`), which keeps all, shows one line too."""
    steps = {}
    for path in event_files(shared["folder"] / run / "tensorboard"):
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            for value in event.summary.value:
                steps.setdefault(value.tag, []).append(event.step)
    assert {"train/loss", "train/augmented_images"} <= steps.keys()
    for tag, seen in steps.items():
        assert seen == sorted(set(seen)), tag


@pytest.mark.parametrize(
    ("run", "epochs", "tests"),
    [
        ("finished", [1, 3, 5, 7], [8]),
        ("resumed", [1, 3, 5, 7], [8]),
        ("extended", [1, 3, 5, 7], [4, 8]),
        ("interrupted", [1, 3], []),
    ],
)
def test_every_epoch_has_its_point(board, run, epochs, tests):
    for tag in ("train/loss", "train/acc", "val/loss", "val/acc"):
        assert [step for step, _ in board.scalars(f"{run}/tensorboard", tag)] == epochs, tag
    if tests:
        shown = board.scalars(f"{run}/tensorboard", "test/acc")
        assert [step for step, _ in shown] == tests


def test_a_resumed_run_shows_an_undisturbed_ones_curves(board):
    for tag in ("train/loss", "train/loss_step", "val/acc", "train/lr", "test/acc"):
        resumed, finished = (
            board.scalars(f"{r}/tensorboard", tag) for r in ("resumed", "finished")
        )
        assert resumed == finished, tag


def test_pictures_stand_at_the_steps_of_their_epochs(board):
    for run, tests in (("resumed", [8]), ("extended", [4, 8])):
        images = "plugin/images/images"
        shown = board.get(images, run=f"{run}/tensorboard", tag="test/confusion", sample=0)
        assert [picture["step"] for picture in shown] == tests
    first = board.get(images, run="finished/tensorboard", tag="train/augmented_images", sample=0)
    assert [picture["step"] for picture in first] == [0]


def test_the_page_of_hyperparameters_has_what_matters(board, shared):
    body = {"experimentName": "", "includeMetrics": True}
    experiment = board.post("plugin/hparams/experiment", body)
    columns = [info["name"] for info in experiment["hparamInfos"]]
    assert columns[:5] == ["batch_size", "epochs", "lr", "ratio", "weight_decay"]  # are ticked
    assert {"seed", "model", "dataset", "optimizer", "sched"} < set(columns)
    titles = [(info["name"]["tag"], info["displayName"]) for info in experiment["metricInfos"]]
    assert titles == [("test/acc", "test/acc"), ("val/acc_reported", "val/acc")]
    asked = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN"],
        "colParams": [{"metric": info["name"]} for info in experiment["metricInfos"]],
        "startIndex": 0,
        "sliceSize": 100,
    }
    groups = board.post("plugin/hparams/session_groups", asked)["sessionGroups"]
    found = {group["sessions"][0]["name"].split("/")[0]: group for group in groups}
    assert found.keys() == set(RUNS) - {"interrupted"}
    for run, group in found.items():
        record = result(shared["folder"] / run)
        assert group["hparams"]["epochs"] == record["max_epochs"]
        assert group["hparams"]["model"] == record["choices"]["model"]
        values = {entry["name"]["tag"]: entry["value"] for entry in group["metricValues"]}
        assert values["test/acc"] == pytest.approx(record["metrics"]["test/acc"])
        assert values["val/acc_reported"] == pytest.approx(record["best"]["val/acc"])
    assert found["ghost"]["hparams"]["ratio"] == 3
    assert found["ghost"]["hparams"]["lr"] == 0.0125
    assert "ratio" not in found["finished"]["hparams"]


def test_a_clock_that_is_set_back_keeps_the_order_of_files(tmp_path, monkeypatch):
    written = []
    for now in (2e9, 1e9):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        file = EventFile(tmp_path)
        file.add_event(Event(step=1))
        written.append(file.path)
    assert event_files(tmp_path) == written


def test_a_tag_that_is_no_utf8_is_escaped(tmp_path):
    logger = TensorBoard(str(tmp_path / "tensorboard"))
    logger.log_metrics({"val/map_of_\udce9t\u00e9": 0.5}, 1)
    (file,) = event_files(tmp_path / "tensorboard")
    assert b"val/map_of_\\udce9t\xc3\xa9" in file.read_bytes()
