"""When a training shows its detections, and what it refuses before."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ghostexp.training.callbacks.box_pictures import BoxPictures

TRUTH = {"boxes": torch.tensor([[10.0, 20, 50, 60]]), "labels": torch.tensor([2])}


class Finder(nn.Module):
    def forward(self, images):
        return [TRUTH | {"scores": torch.tensor([0.9])} for _ in images]


def test_pictures_come_every_few_epochs_and_at_the_end(tmp_path):
    batch = [torch.zeros(3, 80, 120)] * 3, [TRUTH] * 3
    data = SimpleNamespace(
        has_validation=False, test_dataloader=lambda: [batch], class_names=["cat", "$x^$"]
    )
    module = SimpleNamespace(net=Finder(), device="cpu")
    pictures = BoxPictures(str(tmp_path), every_n_epochs=2, num_images=2)
    drawn = []
    for epoch in range(5):
        trainer = SimpleNamespace(
            datamodule=data, current_epoch=epoch, max_epochs=5, is_global_zero=True, loggers=[]
        )
        pictures.on_fit_start(trainer, module)
        pictures.on_train_epoch_end(trainer, module)
        picture = tmp_path / "detections.png"
        drawn.append(picture.exists())
        picture.unlink(missing_ok=True)
    assert drawn == [False, True, False, True, True]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"every_n_epochs": 0}, "every_n_epochs must be a whole number of at least 1, not 0"),
        ({"num_images": 1.5}, "num_images must be a whole number of at least 1, not 1.5"),
        ({"min_score": 2}, "min_score is a share from 0 to 1, not 2"),
    ],
)
def test_bad_values_get_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        BoxPictures("run", **options)
