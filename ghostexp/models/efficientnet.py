"""EfficientNetV2 S, M and L of torchvision, for one or three channels and with either head.

"EfficientNetV2: Smaller Models and Faster Training", Tan and Le, ICML 2021,
https://arxiv.org/abs/2104.00298. With 1000 classes S, M and L have 21,458,488, 54,139,356 and
118,515,272 params; S for one channel, with a cosine head of 6 classes, 20,184,736.

Weights for RGB are adapted to a single channel by the sum of the stem's three kernels: a grey image
then gives what it gives as an RGB image. The mean of the kernels would give a third of that, and
the stem's batch norm, which was trained for the whole, does not make up for it.
"""

from torch import Tensor, nn
from torchvision import models

from ghostexp.layers.cosine import make_head
from ghostexp.models.weights import State, load_state, read_weights

STEM = "features.0.0.weight"
BIAS = "classifier.1.bias"


class EfficientNetV2(nn.Module):
    """torchvision's `net` with another stem and head; [N, C, H, W] -> [N, classes].

    The state dict has the same names as torchvision's.
    """

    def __init__(
        self, net: models.EfficientNet, num_classes: int, in_channels: int, *, cosine_head: bool
    ) -> None:
        if in_channels not in (1, 3):
            raise ValueError(f"in_channels is 1 or 3, as weights for RGB allow, not {in_channels}")
        super().__init__()
        self.features = net.features
        if in_channels == 1:
            self.features[0][0] = _grey_stem(net.features[0][0])
        self.pool = net.avgpool
        dropout, linear = net.classifier
        self.classifier = nn.Sequential(
            nn.Dropout(dropout.p), make_head(linear.in_features, num_classes, cosine=cosine_head)
        )

    def embed(self, images: Tensor) -> Tensor:
        """Means of the last maps, [N, C, H, W] -> [N, 1280]."""
        return self.pool(self.features(images)).flatten(1)

    def stages(self) -> list[nn.Module]:
        """Parts from input to output, the head last. Freezing counts them as blocks."""
        return [*self.features, self.classifier[-1]]

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.embed(images))


def efficientnet_v2_s(
    num_classes: int,
    in_channels: int = 3,
    *,
    cosine_head: bool = False,
    dropout: float = 0.2,
    mean_stem: bool = False,
    weights: str | None = None,
) -> EfficientNetV2:
    """EfficientNetV2-S; `weights` and `mean_stem` as in `fit_weights`."""
    net = models.efficientnet_v2_s(dropout=dropout)
    return _adapt(net, num_classes, in_channels, cosine_head, mean_stem, weights)


def efficientnet_v2_m(
    num_classes: int,
    in_channels: int = 3,
    *,
    cosine_head: bool = False,
    dropout: float = 0.3,
    mean_stem: bool = False,
    weights: str | None = None,
) -> EfficientNetV2:
    """EfficientNetV2-M; `weights` and `mean_stem` as in `fit_weights`."""
    net = models.efficientnet_v2_m(dropout=dropout)
    return _adapt(net, num_classes, in_channels, cosine_head, mean_stem, weights)


def efficientnet_v2_l(
    num_classes: int,
    in_channels: int = 3,
    *,
    cosine_head: bool = False,
    dropout: float = 0.4,
    mean_stem: bool = False,
    weights: str | None = None,
) -> EfficientNetV2:
    """EfficientNetV2-L; `weights` and `mean_stem` as in `fit_weights`."""
    net = models.efficientnet_v2_l(dropout=dropout)
    return _adapt(net, num_classes, in_channels, cosine_head, mean_stem, weights)


def fit_weights(state: State, net: EfficientNetV2, *, mean_stem: bool) -> State:
    """A state dict for RGB or grey images and either head, adapted to `net`.

    If `net` takes grey images, the three kernels of a stem for RGB are added, or with `mean_stem`
    averaged. A bias is dropped if the head of `net` has none. The number of classes is checked
    later.
    """
    own = net.state_dict()
    fitted = {name: value for name, value in state.items() if name != BIAS or BIAS in own}
    if STEM in state and state[STEM].shape[1] == 3 and own[STEM].shape[1] == 1:
        stem = state[STEM]
        fitted[STEM] = stem.mean(1, keepdim=True) if mean_stem else stem.sum(1, keepdim=True)
    return fitted


def _adapt(
    net: models.EfficientNet,
    num_classes: int,
    in_channels: int,
    cosine_head: bool,
    mean_stem: bool,
    weights: str | None,
) -> EfficientNetV2:
    adapted = EfficientNetV2(net, num_classes, in_channels, cosine_head=cosine_head)
    if weights is not None:
        state = fit_weights(read_weights(adapted, weights), adapted, mean_stem=mean_stem)
        load_state(adapted, state, weights)
    return adapted


def _grey_stem(stem: nn.Conv2d) -> nn.Conv2d:
    """A new convolution for one channel, initialised as torchvision initialises its own."""
    grey = nn.Conv2d(1, stem.out_channels, stem.kernel_size, stem.stride, stem.padding, bias=False)
    nn.init.kaiming_normal_(grey.weight, mode="fan_out")
    return grey
