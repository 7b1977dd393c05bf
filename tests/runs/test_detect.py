"""A detector's run from its start to its predictions, through the app and the scripts."""

import json
import re
from types import SimpleNamespace

import pytest
import torch
from helpers import assert_same_weights, main_of, result, write_coco
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ghostexp.analysis.complexity import training_outputs
from ghostexp.analysis.estimate import step_cost
from ghostexp.analysis.memory import activation_bytes
from ghostexp.config.build import build_network
from ghostexp.config.cli import compose_config
from ghostexp.data import Reading
from ghostexp.deploy.detector_file import load_detector
from ghostexp.models.detection import retinanet_ghostnet
from ghostexp.models.ghostnet import ghostnet
from ghostexp.runs.detect import Detections, Detector, coco_results, picture_paths
from ghostexp.runs.load import load_run, saved_config

TINY = (  # a run of seconds
    "model=retinanet_ghostnet",
    "model.backbone.width_mult=0.5",
    "model.min_size=64",
    "model.max_size=64",
    "dataset=shapes",
    "dataset.image_size=[64,64]",
    "dataset.batch_size=2",
    "task=detection",
    "callbacks=detection",
    "optimizer=adamw",
    "sched=constant",
    "trainer.max_epochs=1",
    "trainer.precision=32-true",
    "trainer.log_every_n_steps=1",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=2",
    "trainer.limit_test_batches=2",
    "callbacks.progress=null",
    "callbacks.summary=null",
)


def tiny_detector():
    torch.manual_seed(0)
    backbone = ghostnet(width_mult=0.5)
    return retinanet_ghostnet(2, backbone=backbone, min_size=64, max_size=64)


@pytest.mark.slow
def test_a_run_from_start_to_predictions(app, tmp_path, capsys):
    assert app(*TINY) == 0
    (run,) = tmp_path.glob("outputs/train/*")
    record = result(run)
    assert record["selected"]["rule"] == "best val/map"
    assert record["dataset"]["category_ids"] == [1, 2, 3]
    assert record["network"]["macs"] > 1e6
    assert {"test/map", "test/map_50", "train/loss_bbox_regression"} <= record["metrics"].keys()
    assert (run / "detections.png").exists()
    assert "COCOeval" not in (run / "train.log").read_text()

    capsys.readouterr()
    assert main_of("evaluate")([str(run)]) == 0  # the record's mAP again
    said = capsys.readouterr().out
    assert said.count("average ") == 12
    assert "triangle" in said
    assert ": equal" in said

    assert pictures(run) == {"detections"}
    predict(run, tmp_path, capsys)
    export(run, capsys)


def export(run, capsys):
    """A file that finds what the run finds, and what scripts say of engines that know no boxes."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is an extra")
    capsys.readouterr()
    assert main_of("export")([str(run), "--format", "onnx"]) == 0
    said = capsys.readouterr().out
    assert "for images of 64x64 pixels (height x width)" in said
    matched, detections = re.search(r"(\d+) of (\d+) detections are the same", said).groups()
    assert int(matched) >= 0.99 * int(detections) > 0
    metadata, _ = load_detector(run / "export" / "onnx_fp32.onnx")
    assert json.loads(metadata["category_ids"]) == [1, 2, 3]
    assert metadata["inputs"] == "float32 [3, 64, 64]: one RGB image, pixels from 0 to 1"
    assert metadata["digest"] == result(run)["digest"]
    assert main_of("predict")([str(run / "export" / "onnx_fp32.onnx"), "x.png"]) == 1
    assert "holds a detector, which the scripts run from" in capsys.readouterr().err
    for name, words in {"evaluate": [], "predict": ["x.png"]}.items():
        assert main_of(name)([str(run), *words, "--engine", "openvino"]) == 1
        assert "--engine is for classifiers: a detector is" in capsys.readouterr().err
    assert main_of("embeddings")([str(run)]) == 1
    assert "embeddings are of classifiers" in capsys.readouterr().err


@pytest.mark.slow
def test_a_resumed_detector_ends_like_an_undisturbed_one(app, tmp_path):
    """Faster R-CNN draws the proposals that it trains on; here every second epoch is validated."""
    faster = ["model=faster_rcnn_ghostnet_small", *TINY[1:]]
    assert app(*faster) == 0
    (run,) = tmp_path.glob("outputs/train/*")
    assert app(f"resume={run}", "trainer.max_epochs=2") == 0
    every_second = ["trainer.max_epochs=2", "+trainer.check_val_every_n_epoch=2"]
    assert app(*faster, *every_second, "name=undisturbed") == 0
    (undisturbed,) = tmp_path.glob("outputs/undisturbed/*")
    assert_same_weights(run, undisturbed)
    assert result(undisturbed)["selected"] == {"rule": "best val/map", "epoch": 2}
    losses = {"classifier", "box_reg", "objectness", "rpn_box_reg"}
    assert {f"train/loss_{name}" for name in losses} <= result(run)["metrics"].keys()


def pictures(run):
    """Names of the pictures in TensorBoard's files."""
    events = EventAccumulator(str(next(run.rglob("events.out.tfevents*")).parent))
    return set(events.Reload().Tags()["images"])


def predict(run, tmp_path, capsys):
    """Boxes of a test image, of a larger file of it, and a file that is no image."""
    _, parts = load_run(run)
    data, net = parts.datamodule, parts.task.net.eval()
    data.setup("test")
    images, _ = next(iter(data.test_dataloader()))
    picture = Image.fromarray((images[0] * 255).byte().permute(1, 2, 0).numpy())
    (tmp_path / "photos").mkdir()
    picture.save(tmp_path / "photos" / "a.png")
    broken = tmp_path / "photos" / "b.png"
    broken.write_bytes(b"no image")
    with torch.no_grad():
        (expected,) = net([images[0]])
    capsys.readouterr()
    folder = tmp_path / "found"
    arguments = [str(run), str(tmp_path / "photos"), "--output", str(folder), "--min-score", "0"]
    assert main_of("predict")(arguments) == 1
    said = capsys.readouterr()
    assert str(broken) in said.err
    (line,) = [json.loads(line) for line in said.out.splitlines()]
    assert [each["score"] for each in line["detections"]] == pytest.approx(
        expected["scores"].tolist(), abs=1e-5
    )
    entries = json.loads((folder / "results.json").read_text())
    assert len(entries) == len(line["detections"]) > 0
    assert {entry["image_id"] for entry in entries} == {1}
    left, top, right, bottom = line["detections"][0]["box"]
    assert entries[0]["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=1e-4)
    assert (folder / "a.png").exists()
    for words, told in {("--csv",): "classes: boxes", ("--top", "3"): "classifiers: --min"}.items():
        assert main_of("predict")([str(run), str(broken), *words]) == 1
        assert f"{words[0]} is for {told}" in capsys.readouterr().err


def test_a_picture_is_the_photo_itself_and_shrunk_where_it_is_large(tmp_path):
    detector = Detector.__new__(Detector)
    detector.class_names = ["cell"]
    detector.data = SimpleNamespace(reading=Reading())
    boxes = torch.tensor([[0.0, 0, 1000, 500]])
    found = {"boxes": boxes, "labels": torch.tensor([1]), "scores": torch.tensor([0.9])}
    for width, shown in ((400, 400), (2000, 1280)):
        Image.new("RGB", (width, width // 2)).save(tmp_path / "photo.png")
        scaled = found | {"boxes": boxes * width / 2000}
        detector.draw(Detections(tmp_path / "photo.png", scaled), 0.5, tmp_path / "out.png")
        with Image.open(tmp_path / "out.png") as picture:
            assert picture.size == (shown, shown // 2 + 50)  # a legend below
            row = [sum(picture.getpixel((x, shown // 8))[:3]) for x in range(20, shown)]
        assert abs(row.index(max(row)) + 20 - shown // 2) <= 4  # the box ends in the middle


@pytest.mark.parametrize("model", ["faster_rcnn_ghostnet", "retinanet_ghostnet"])
def test_a_composed_detector_trains_its_whole_backbone(model):
    sizes = ["model.min_size=64", "model.max_size=64", "model.backbone.width_mult=1.0"]
    cfg = compose_config(["dataset=shapes", "task=detection", f"model={model}", *sizes])
    net = build_network(cfg)
    taps = [block[0].in_channels for block in net.backbone.fpn.inner_blocks]
    assert taps == [24, 40, 112, 160][-len(taps) :]
    training_outputs(net, torch.rand(2, 3, 64, 64)).sum().backward()
    body = dict(net.backbone.body.named_parameters())
    assert [name for name, p in body.items() if p.grad is None or not p.grad.any()] == []


def test_a_loss_that_explodes_gives_one_sentence(app, capsys):
    capsys.readouterr()
    assert app(*TINY, "optimizer.lr=1e30", "trainer.limit_train_batches=4") == 1
    said = capsys.readouterr()
    assert "is not finite" in said.out + said.err
    assert "Traceback" not in said.out + said.err


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_file_that_breaks_in_training_gives_one_sentence(app, tmp_path, capsys, num_workers):
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [8, 8, 20, 20]}
        ],
        "categories": [{"id": 1, "name": "cell"}],
    }
    for split in ("train", "test"):
        write_coco(tmp_path / "annotations" / f"{split}.json", tmp_path / "images", content)
    (tmp_path / "images" / "a.png").write_bytes(b"no image")
    files = [f"dataset.root={tmp_path}", "dataset.num_classes=1", "dataset.files.val=null"]
    tiny = [each for each in TINY if each != "dataset=shapes"]
    workers = f"dataset.reading.num_workers={num_workers}"
    capsys.readouterr()
    assert app("dataset=coco_json", *tiny, *files, workers) == 1
    said = "".join(capsys.readouterr())
    assert f"dataset: {tmp_path}/images/a.png cannot be read as an image" in said
    assert "Traceback" not in said
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["model=linear"], "dataset and task of this config are for detection, but not model"),
        (
            ["dataset=digits", "dataset.image_size=64"],
            "model and task of this config are for detection, but not dataset",
        ),
        (["callbacks=default"], "callbacks.best.monitor=val/acc: the task logs no such metric"),
        (["model.anchor_sizes=[8]"], "model: anchor_sizes are five sizes above 0"),
        (
            ["trainer.max_epochs=2", "+trainer.check_val_every_n_epoch=3"],
            "trainer.check_val_every_n_epoch=3 is more than trainer.max_epochs=2: no epoch would",
        ),
        (["model.heads.convs=9"], "model.heads: convs is at most 4, not 9"),
        (["model.backbone.width_mult=0"], "model.backbone: width_mult must be above 0, not 0"),
    ],
)
def test_a_slip_gives_one_sentence(app, capfd, overrides, sentence):
    groups = {override.split("=")[0] for override in overrides}
    tiny = [each for each in TINY if each.split("=")[0] not in groups]
    if "model=linear" in overrides:
        tiny = [each for each in tiny if not each.startswith("model.")]
    assert app(*tiny, *overrides) == 1
    said = "".join(capfd.readouterr())
    assert sentence in said
    assert "Traceback" not in said


def test_a_run_needs_no_start_weights_any_more(tmp_path):
    (tmp_path / ".hydra").mkdir()
    cfg = compose_config([*TINY, "model.backbone.weights=gone.pth"])
    OmegaConf.save(cfg, tmp_path / ".hydra" / "config.yaml")
    assert saved_config(tmp_path).model.backbone.weights is None


def test_coco_results_have_corner_and_size_and_the_data_sets_ids():
    found = {
        "boxes": torch.tensor([[10.0, 20, 40, 60], [0.0, 0, 8, 9]]),
        "labels": torch.tensor([2, 1]),
        "scores": torch.tensor([0.75, 0.5]),
    }
    assert coco_results(7, found, [3, 90]) == [
        {"image_id": 7, "category_id": 90, "bbox": [10, 20, 30, 40], "score": 0.75},
        {"image_id": 7, "category_id": 3, "bbox": [0, 0, 8, 9], "score": 0.5},
    ]


def test_pictures_of_files_of_one_name_do_not_overwrite_each_other(tmp_path):
    files = [tmp_path / "x" / "a.jpg", tmp_path / "y" / "a.png", tmp_path / "b.jpg"]
    names = [path.name for path in picture_paths(tmp_path, files)]
    assert names == ["a.png", "a_2.png", "b.png"]


def test_a_detectors_training_step_is_costed():
    net = tiny_detector()
    assert training_outputs(net, torch.rand(2, 3, 64, 64)).shape == (2,)  # its two losses
    per_image = activation_bytes(net, (3, 64, 64))
    cost = step_cost(
        net, lambda x: training_outputs(net, x).sum(), (3, 64, 64), batch_size=2, bf16=False
    )
    assert per_image > 64 * 64 * 3 * 4
    assert cost.activation_bytes > 1.5 * per_image
