"""EfficientNetV2 S, M and L: torchvision's networks for one or three channels and either head.

"EfficientNetV2: Smaller Models and Faster Training", Tan and Le, ICML 2021,
https://arxiv.org/abs/2104.00298. With 1000 classes S, M and L have 21,458,488, 54,139,356 and
118,515,272 params; S for one channel, with a cosine head of 6 classes, 20,184,736.

Weights for RGB fit a single channel by the sum of the stem's three kernels: a grey image gives then
what it gives in RGB. Their mean gives a third of that, which the stem's batch norm, made for the
whole, does not make up for.
"""

from torch import Tensor, nn
from torchvision import models

from ghostexp.layers.cosine import make_head
from ghostexp.models.weights import State, load_state, read_weights

STEM = "features.0.0.weight"
BIAS = "classifier.1.bias"


class EfficientNetV2(nn.Module):
    """torchvision's `net` with another stem and head; [N, C, H, W] -> [N, classes].

    The names of torchvision's state dict stay.
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
        """Parts from input to output, the head last; what freezing counts."""
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
    """`state` for RGB or grey, with either head -> for `net`; its own classes are checked later.

    A stem for RGB becomes one for grey by the sum of its kernels, with `mean_stem` by their mean. A
    bias that `net` has no place for goes.
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
    """New convolution for one channel, started as torchvision starts its own."""
    grey = nn.Conv2d(1, stem.out_channels, stem.kernel_size, stem.stride, stem.padding, bias=False)
    nn.init.kaiming_normal_(grey.weight, mode="fan_out")
    return grey
