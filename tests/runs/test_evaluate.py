"""Evaluating and predicting from a run's folder alone."""

import csv
import io
import json

import numpy as np
import pytest
import torch
from helpers import main_of, result
from PIL import Image

from ghostexp.runs.evaluate import class_table, evaluate
from ghostexp.runs.load import load_checkpoint, load_network, load_run
from ghostexp.runs.predict import Predictor
from ghostexp.runs.subject import subject_of


@pytest.fixture
def digit_files(tmp_path):
    """Five digits of the test split as PNG files, and the images [5, 1, 8, 8] themselves."""

    def write(run):
        _, parts = load_run(run)
        parts.datamodule.setup("test")
        images = parts.datamodule.labelled_set.examples[parts.datamodule.labelled_set.test[:5]]
        folder = tmp_path / "photos"
        folder.mkdir()
        for index, image in enumerate(images):
            Image.fromarray(image[0].numpy()).save(folder / f"{index}.png")
        return folder, images

    return write


@pytest.mark.parametrize("split", ["test", "val"])
def test_evaluating_gives_what_the_record_says(small_run, capsys, split):
    run = small_run("trainer.limit_test_batches=null", "trainer.limit_val_batches=null")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    evaluation = evaluate(subject_of([str(run)]), split)
    record = result(run)
    assert evaluation.source == "best.ckpt"
    assert evaluation.epoch == record["selected"]["epoch"]
    reported = record["metrics" if split == "test" else "best"][f"{split}/acc"]
    assert evaluation.accuracy == evaluation.recorded_accuracy == reported
    images = {"test": 359, "val": int(evaluation.confusion.sum())}[split]
    assert evaluation.confusion.sum() == images
    correct = evaluation.confusion.diagonal().sum() / images
    assert correct.item() == pytest.approx(evaluation.accuracy)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert class_table(evaluation).row_count == 10
    assert main_of("evaluate")([str(run), "--split", split]) == 0
    said = capsys.readouterr().out
    assert f"{reported:.4f}: equal" in said
    assert f"{evaluation.correct} of {images} {split} examples are right" in said
    assert f"{split}/acc_top5" in said


def test_without_validation_the_last_checkpoint_is_evaluated(small_run, capsys):
    run = small_run("dataset.val_split=0", "callbacks=ema")
    evaluation = evaluate(subject_of([str(run)]), "test")
    assert (evaluation.source, evaluation.epoch) == ("last.ckpt", 2)
    assert evaluation.accuracy == result(run)["metrics"]["test/acc"]
    assert main_of("evaluate")([str(run), "--split", "val"]) == 1
    assert "no validation split" in capsys.readouterr().err


def test_a_record_that_says_something_else_is_found_out(small_run, capsys):
    run = small_run()
    record = result(run)
    record["metrics"]["test/acc"] += 0.25
    (run / "result.json").write_text(json.dumps(record))
    assert main_of("evaluate")([str(run)]) == 1
    assert "differs by -0.25" in capsys.readouterr().out


def test_what_is_no_run_gives_one_sentence(tmp_path, capsys):
    assert main_of("evaluate")([str(tmp_path)]) == 1
    assert main_of("predict")([str(tmp_path), "x.png"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all("is no run" in line for line in errors)


def test_a_checkpoint_in_the_place_of_its_run_names_the_run(small_run, capsys):
    run = small_run()
    path = run / "checkpoints" / "best.ckpt"
    assert main_of("evaluate")([str(path)]) == 1
    assert capsys.readouterr().err == (
        f"error: {path} is no run, but lies in one: give the folder {run}, or model=NAME"
        f" model.weights={path}\n"
    )


def test_the_network_comes_with_the_reported_weights(small_run):
    run = small_run()
    _, net = load_network(run)
    state = load_checkpoint(run / "checkpoints" / "best.ckpt")["state_dict"]
    assert all(torch.equal(value, state[f"net.{key}"]) for key, value in net.state_dict().items())


TINY_GHOST = ["model=ghost_efficientnet_v2", "model.width_mult=0.25", "model.depth_mult=0.2"]


@pytest.mark.parametrize(
    ("overrides", "scale"),
    [([], 1.0), (["task=arcface", *TINY_GHOST], 30.0)],
    ids=["", "arcface"],
)
def test_predictions_are_those_of_the_task(small_run, digit_files, capsys, overrides, scale):
    run = small_run(*overrides)
    folder, images = digit_files(run)
    _, parts = load_run(run)
    task = parts.task.eval()
    with torch.inference_mode():
        expected = (scale * task(parts.datamodule.augment.evaluate(images))).softmax(dim=1)
    capsys.readouterr()
    assert main_of("predict")([str(run), str(folder), "--batch-size", "2", "--top", "99"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["file"] for line in lines] == [str(folder / f"{i}.png") for i in range(5)]
    for line, shares in zip(lines, expected.tolist(), strict=True):
        assert line["class"] == str(int(np.argmax(shares)))
        assert line["probability"] == line["top"][0]["probability"]
        told = {int(entry["class"]): entry["probability"] for entry in line["top"]}
        assert [told[i] for i in range(10)] == pytest.approx(shares, abs=1e-5)


def test_csv_goes_on_past_what_cannot_be_read(small_run, digit_files, tmp_path, capsys):
    run = small_run()
    folder, images = digit_files(run)
    broken, missing = folder / "broken.png", tmp_path / "missing.png"
    broken.write_bytes(b"no image")
    files = [folder / "0.png", broken, missing, folder / "1.png"]
    capsys.readouterr()
    assert main_of("predict")([str(run), *map(str, files), "--csv", "--top", "3"]) == 1
    said = capsys.readouterr()
    errors = said.err.splitlines()
    assert len(errors) == 2
    assert str(broken) in errors[0]
    assert str(missing) in errors[1]
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert [row["file"] for row in rows] == [str(files[0]), str(files[3])]
    shares = [float(rows[0][key]) for key in ("probability", "probability_2", "probability_3")]
    assert shares == sorted(shares, reverse=True)


def test_images_of_other_sizes_and_modes_are_taken(small_run, tmp_path):
    run = small_run()
    noise = np.random.default_rng(0).integers(0, 256, (20, 33, 4), np.uint8)
    rgba = Image.fromarray(noise)
    for mode in ("RGBA", "RGB", "L", "P", "1", "LA", "CMYK"):
        suffix = "jpg" if mode == "CMYK" else "png"
        rgba.convert("RGB").convert(mode).save(tmp_path / f"{mode}.{suffix}")
    failures = []
    predictor = Predictor(run)
    files = [path for path in sorted(tmp_path.iterdir()) if path.is_file()]
    done = list(predictor.predict(files, top=1, batch_size=64, complain=failures.append))
    assert failures == []
    assert len(done) == 7


def test_folders_stand_for_the_images_below_them(small_run, tmp_path):
    predictor = Predictor(small_run())
    tmp_path = tmp_path / "given"
    tmp_path.mkdir()
    (tmp_path / "deep").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("b.jpg", "deep/a.PNG", "notes.txt"):
        (tmp_path / name).touch()
    found = predictor.find([tmp_path, tmp_path / "notes.txt", tmp_path / "empty"])
    names = [str(path.relative_to(tmp_path)) for path in found]
    assert names == ["b.jpg", "deep/a.PNG", "notes.txt", "empty"]
