"""How images were prepared for published weights: a network that starts from them needs the same.

torchvision and timm say it for their weights.
"""

from dataclasses import dataclass

from torchvision import models

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))  # of the training images


@dataclass(frozen=True)
class Preprocessing:
    """Mean and standard deviation of each channel, of pixels in [0, 1], and the interpolation."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str

    def for_channels(self, count: int) -> "Preprocessing":
        """The same for `count` channels; if that is another number, each gets the mean."""
        if count == len(self.mean):
            return self
        mean, std = (round(sum(values) / len(values), 4) for values in (self.mean, self.std))
        return Preprocessing((mean,) * count, (std,) * count, self.interpolation)


def of_torchvision(network: str, weights: str) -> Preprocessing | None:
    """What torchvision says about weights, such as IMAGENET1K_V1, of one of its networks."""
    choices = models.get_model_weights(network)
    name = weights.rpartition(".")[2]
    if name not in [*choices.__members__, "DEFAULT"]:
        return None  # torchvision names the mistake when it builds the network
    transforms = getattr(choices, name).transforms()
    if not hasattr(transforms, "mean"):
        return None  # a detector normalises by itself
    interpolation = transforms.interpolation.value
    return Preprocessing(tuple(transforms.mean), tuple(transforms.std), interpolation)


def of_timm(network: str) -> Preprocessing | None:
    """What timm says about the pretrained weights of one of its networks."""
    import timm  # not needed for other networks

    known = timm.get_pretrained_cfg(network, allow_unregistered=True)
    return known and Preprocessing(tuple(known.mean), tuple(known.std), known.interpolation)
