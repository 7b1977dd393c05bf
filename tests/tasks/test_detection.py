"""The detection task against pycocotools' own evaluation of exported detections, and by hand."""

import contextlib
import io
import json
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from simple_task import trainer
from torch import nn
from torch.utils.data import DataLoader

from ghostexp.models.detection import retinanet_ghostnet
from ghostexp.models.ghostnet import ghostnet
from ghostexp.runs.detect import coco_results, write_results
from ghostexp.tasks import DetectionTask
from ghostexp.tasks.detection import COCO_METRICS
from ghostexp.training.optim import constant, parameter_groups

NAMES = ["cat", "traffic light", "dog", "never seen"]
CATEGORY_IDS = [3, 17, 20, 90]


class Known(nn.Module):
    """A detector that finds what it is told, image by image, whatever the image."""

    def __init__(self, detections):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.detections = iter(detections)

    def forward(self, images, targets=None):
        if self.training:
            return {"loss_box": self.weight + 1, "objectness": self.weight + 2}
        return [next(self.detections) for _ in images]


class Data(pl.LightningDataModule):
    class_names = NAMES

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def train_dataloader(self):
        return DataLoader(self.batches, batch_size=None, collate_fn=lambda batch: batch)

    val_dataloader = test_dataloader = train_dataloader


def make_task(net, *, lr=0.0):
    return DetectionTask(
        net,
        optimizer=partial(torch.optim.AdamW, lr=lr),
        sched={"scheduler": constant, "interval": "epoch", "frequency": 1},
        param_groups=parameter_groups,
    )


def make_trainer(tmp_path, **options):
    return trainer(tmp_path, **{"num_sanity_val_steps": 0, "log_every_n_steps": 1, **options})


def make_truth(generator):
    """Targets of ten images: crowds, objects of all sizes, and an image without any."""
    targets = []
    for image_id in range(10):
        count = 0 if image_id == 4 else int(torch.randint(1, 7, (), generator=generator))
        corners = torch.rand(count, 2, generator=generator) * 300
        sides = 10 + torch.rand(count, 2, generator=generator) * 120
        targets.append(
            {
                "boxes": torch.cat([corners, corners + sides], dim=1),
                "labels": torch.randint(1, 4, (count,), generator=generator),
                "image_id": torch.tensor(100 + image_id),
                "area": sides.prod(dim=1) * 0.7,  # of a mask
                "iscrowd": (torch.rand(count, generator=generator) < 0.15).long(),
            }
        )
    return targets


def make_detections(targets, generator):
    """The true boxes moved a little, some with another label, and boxes out of nowhere."""
    detections = []
    for target in targets:
        count = len(target["labels"])
        moved = target["boxes"] + torch.randn(count, 4, generator=generator) * 5
        wrong = torch.rand(count, generator=generator) < 0.2
        labels = torch.where(wrong, 2, target["labels"])
        corners = torch.rand(2, 2, generator=generator) * 300
        boxes = torch.cat([moved, torch.cat([corners, corners + 40], dim=1)])
        labels = torch.cat([labels, torch.tensor([1, 3])])
        scores = torch.rand(len(labels), generator=generator)
        detections.append({"boxes": boxes, "labels": labels, "scores": scores})
    return detections


def evaluated_by_pycocotools(folder, targets, detections):
    """COCO's twelve numbers and the mAP of each category, from files of COCO's formats."""
    annotations = []
    for target in targets:
        whole = {**target, "scores": torch.zeros(len(target["labels"]))}
        entries = coco_results(int(target["image_id"]), whole, CATEGORY_IDS)
        facts = zip(entries, target["area"].tolist(), target["iscrowd"].tolist(), strict=True)
        for entry, area, iscrowd in facts:
            more = {"id": len(annotations) + 1, "area": area, "iscrowd": iscrowd}
            annotations.append(entry | more)
    truth = {
        "images": [{"id": int(target["image_id"])} for target in targets],
        "categories": [{"id": i, "name": n} for i, n in zip(CATEGORY_IDS, NAMES, strict=True)],
        "annotations": annotations,
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    pairs = zip(targets, detections, strict=True)
    results = [
        entry
        for target, found in pairs
        for entry in coco_results(int(target["image_id"]), found, CATEGORY_IDS)
    ]
    write_results(folder / "results.json", results)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "truth.json"))
        judge = COCOeval(coco, coco.loadRes(str(folder / "results.json")), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    precision = judge.eval["precision"][:, :, :, 0, 2]  # IoU, recall, category; all sizes, 100
    return judge.stats, [precision[:, :, k].mean() for k in range(len(NAMES))]


def test_metrics_are_those_of_pycocotools(tmp_path):
    generator = torch.Generator().manual_seed(1)
    targets = make_truth(generator)
    detections = make_detections(targets, generator)
    images = [torch.zeros(3, 8, 8)] * len(targets)
    batches = [(images[:6], targets[:6]), (images[6:], targets[6:])]
    task = make_task(Known(detections))
    trainer = make_trainer(tmp_path)
    (found,) = trainer.test(task, datamodule=Data(batches), verbose=False)
    stats, of_classes = evaluated_by_pycocotools(tmp_path, targets, detections)
    assert 0.1 < stats[0] < 0.9
    for name, expected in zip(COCO_METRICS, stats, strict=True):
        if expected < 0:
            assert f"test/{name}" not in found
        else:
            assert found[f"test/{name}"] == pytest.approx(expected, abs=1e-6), name
    for name, expected in zip(NAMES[:3], of_classes, strict=False):
        assert found[f"test/map_of_{name}"] == pytest.approx(expected, abs=1e-6)
    assert "test/map_of_never seen" not in found
    assert {key for key in found if "_of_" not in key} <= task.logged_metrics


def test_images_shrunk_for_reading_are_judged_at_their_annotated_size(tmp_path):
    """Small, medium and large are COCO's, which count pixels of the annotated image."""
    generator = torch.Generator().manual_seed(1)
    targets = make_truth(generator)
    detections = make_detections(targets, generator)
    for target in targets:  # exactly on the border between small and medium, which is in both
        target["area"][:1] = 32**2
    height, width = 450, 600
    images = [torch.zeros(3, height // 3, width // 4)] * len(targets)  # no share is the other's
    scale = torch.tensor([4.0, 3, 4, 3])
    shrunk = [
        target | {"boxes": target["boxes"] / scale, "size": torch.tensor([height, width])}
        for target in targets
    ]
    found = [each | {"boxes": each["boxes"] / scale} for each in detections]
    task = make_task(Known([*found, *found]))
    trainer = make_trainer(tmp_path)
    data = Data([(images, shrunk)])
    (test,) = trainer.test(task, datamodule=data, verbose=False)
    (val,) = trainer.validate(task, datamodule=data, verbose=False)
    stats, _ = evaluated_by_pycocotools(tmp_path, targets, detections)
    assert min(stats[3:6]) > 0.05  # there are objects of all three sizes
    for name, expected in zip(COCO_METRICS, stats, strict=True):
        assert test[f"test/{name}"] == pytest.approx(expected, abs=1e-6), name
        assert val[f"val/{name}"] == test[f"test/{name}"]
    unlike = [target | {"size": torch.tensor(images[0].shape[1:])} for target in shrunk]
    task = make_task(Known(found))
    (small,) = trainer.test(task, datamodule=Data([(images, unlike)]), verbose=False)
    assert small["test/map_small"] != pytest.approx(stats[3], abs=1e-3)


def test_a_detector_that_finds_nothing_has_map_zero(tmp_path):
    nothing = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "scores": torch.zeros(0),
    }
    targets = make_truth(torch.Generator().manual_seed(1))
    batch = [torch.zeros(3, 8, 8)] * len(targets), targets
    task = make_task(Known([nothing] * len(targets)))
    (found,) = make_trainer(tmp_path).test(task, datamodule=Data([batch]), verbose=False)
    assert found["test/map"] == found["test/map_of_cat"] == 0


def test_losses_are_logged_one_by_one_and_their_sum_is_trained(tmp_path):
    batch = [torch.zeros(3, 8, 8)], [{"boxes": torch.zeros(0, 4)}]
    net = Known([])
    trainer = make_trainer(tmp_path, limit_val_batches=0)
    trainer.fit(make_task(net), datamodule=Data([batch]))
    logged = trainer.callback_metrics
    assert logged["train/loss_box"] == 1
    assert logged["train/loss_objectness"] == 2
    assert logged["train/loss"] == 3
    assert net.weight.grad is None or net.weight.grad == 2


def test_a_loss_that_is_not_finite_stops_with_a_sentence(tmp_path):
    net = Known([])
    with torch.no_grad():
        net.weight.fill_(torch.nan)
    batch = [torch.zeros(3, 8, 8)], [{"boxes": torch.zeros(0, 4)}]
    sentence = r"epoch 1, batch 1 is not finite \(loss_box nan, objectness nan\)"
    with pytest.raises(FloatingPointError, match=sentence):
        make_trainer(tmp_path, limit_val_batches=0).fit(make_task(net), datamodule=Data([batch]))


@pytest.mark.slow
def test_two_images_are_learnt_by_heart(tmp_path):
    torch.manual_seed(0)
    net = retinanet_ghostnet(
        2,
        backbone=ghostnet(width_mult=0.5),
        anchor_sizes=(16, 32, 48, 64, 96),
        min_size=96,
        max_size=96,
    )
    images = [torch.full((3, 96, 96), 0.2), torch.full((3, 96, 96), 0.8)]
    images[0][:, 16:48, 16:48] = 1.0
    images[1][0, 32:80, 40:88] = 0.0
    targets = [
        {"boxes": torch.tensor([[16.0, 16, 48, 48]]), "labels": torch.tensor([1])},
        {"boxes": torch.tensor([[40.0, 32, 88, 80]]), "labels": torch.tensor([2])},
    ]
    task = make_task(net, lr=1e-3)
    first = sum(net(images, targets).values()).item()
    trainer = make_trainer(tmp_path, max_epochs=30, limit_val_batches=0)
    trainer.fit(task, datamodule=Data([(images, targets)]))
    assert trainer.callback_metrics["train/loss"].item() < first / 2
