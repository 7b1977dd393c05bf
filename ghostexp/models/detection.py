"""Faster R-CNN and RetinaNet over the maps C2 to C5 of a GhostNet, and torchvision's small peer.

Faster R-CNN: Ren et al., NeurIPS 2015, https://arxiv.org/abs/1506.01497, with the feature pyramid
of Lin et al., CVPR 2017, https://arxiv.org/abs/1612.03144: C2 to C5 -> P2 to P6. RetinaNet: Lin et
al., ICCV 2017, https://arxiv.org/abs/1708.02002: C3 to C5 -> P3 to P7. The GhostNet paper (section
4.3, Table 8) puts both on GhostNet 1.1x, on COCO: 26.9 and 26.6 mAP.

Detectors are torchvision's: images are a list of [3, H, W] in [0, 1], of any sizes; with `targets`
(boxes [n, 4] xyxy in pixels, labels 1 to `num_classes`) a detector in training mode gives a
dictionary of losses, in eval mode a list of detections (boxes, labels, scores). It normalises the
images and resizes them itself: the shorter side to `min_size`, but the longer one to at most
`max_size`. `anchor_sizes` are square roots of areas, in pixels of the resized image.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

PYRAMID_CHANNELS = 256
ASPECT_RATIOS = (0.5, 1.0, 2.0)
OCTAVES = (1, 2 ** (1 / 3), 2 ** (2 / 3))  # of RetinaNet's anchors, at each level
DETECTIONS = 100  # an image: what COCO's metric looks at
OUTPUT_LAYERS = {"cls_logits", "cls_score", "bbox_pred", "bbox_reg"}  # torchvision's names


class Pyramid(nn.Module):
    """Backbone `body` and its feature pyramid: [N, 3, H, W] -> maps of 256 channels from P2 or P3.

    `taps` names those of the body's maps that the pyramid stands on; `extra_blocks` makes the
    levels above the last.
    """

    def __init__(self, body: nn.Module, taps: Sequence[str], extra_blocks: nn.Module) -> None:
        super().__init__()
        self.body = body
        channels = [body.feature_channels[name] for name in taps]
        self.fpn = FeaturePyramidNetwork(channels, PYRAMID_CHANNELS, extra_blocks)
        self.taps = tuple(taps)
        self.out_channels = PYRAMID_CHANNELS

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        maps = self.body(images)
        levels = self.fpn(OrderedDict((name, maps[name]) for name in self.taps)).values()
        first = int(self.taps[0].removeprefix("C"))
        return OrderedDict((f"P{level}", each) for level, each in enumerate(levels, first))


def freeze_norms(module: nn.Module) -> None:
    """Put in place of each batch norm inside `module` one that keeps its statistics and weights."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, child.eps).to(child.weight)
            frozen.load_state_dict(child.state_dict())
            setattr(module, name, frozen)
        else:
            freeze_norms(child)


def _body(backbone: nn.Module, trainable_stages: int, frozen_norm: bool) -> nn.Module:
    """Trunk of `backbone`, all but its last `trainable_stages` stages frozen with their norms."""
    if not hasattr(backbone, "trunk"):
        raise ValueError(
            f"backbone must be a network with a trunk() that gives the maps C2 to C5, as ghostnet"
            f" and ghostnet_v2 have, not {type(backbone).__name__}"
        )
    body = backbone.trunk()
    stages = body.stages()
    if not 0 <= trainable_stages <= len(stages):
        raise ValueError(
            f"trainable_stages is 0 to {len(stages)}, counted from the last, not {trainable_stages}"
        )
    for stage in stages[: len(stages) - trainable_stages]:
        stage.requires_grad_(False)
        freeze_norms(stage)
    if frozen_norm:
        freeze_norms(body)
    return body


def _check_sizes(anchor_sizes: Sequence[int], levels: str, min_size: int, max_size: int) -> None:
    if len(anchor_sizes) != 5 or min(anchor_sizes) <= 0:
        raise ValueError(
            f"anchor_sizes are five sizes above 0, one for each of {levels}, not {anchor_sizes}"
        )
    if not 0 < min_size <= max_size:
        raise ValueError(
            f"min_size must be above 0 and at most max_size={max_size}, not {min_size}"
        )


def _in_float32(detector: nn.Module) -> nn.Module:
    """Make maps, logits and box offsets leave their layers in float32, autocast or not.

    torchvision gives anchors and decoded boxes the type of these, and bfloat16 tells no two
    coordinates between 256 and 512 apart that are less than 2 pixels from each other.
    """
    for name, module in detector.named_modules():
        is_level = isinstance(module, FeaturePyramidNetwork)
        layers = module.layer_blocks if is_level else [module]
        if is_level or name.rpartition(".")[2] in OUTPUT_LAYERS:
            for layer in layers:
                layer.register_forward_hook(_to_float32)
    return detector


def _to_float32(layer: nn.Module, inputs: tuple, outputs: Tensor) -> Tensor:
    return outputs.float()


def faster_rcnn_ghostnet(
    num_classes: int,
    *,
    backbone: nn.Module,
    trainable_stages: int = 5,
    frozen_norm: bool = False,
    anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
    rois_per_image: int = 512,
    min_size: int = 800,
    max_size: int = 1333,
) -> FasterRCNN:
    """Faster R-CNN on the trunk of `backbone`, with an anchor size for each of P2 to P6.

    `frozen_norm` keeps the backbone's batch norms as they come: for trained weights and batches of
    few images. `rois_per_image` proposals are sampled for the box head's loss.
    """
    _check_sizes(anchor_sizes, "P2 to P6", min_size, max_size)
    body = _body(backbone, trainable_stages, frozen_norm)
    detector = FasterRCNN(
        Pyramid(body, ["C2", "C3", "C4", "C5"], LastLevelMaxPool()),
        num_classes + 1,  # label 0 is the background
        min_size=min_size,
        max_size=max_size,
        rpn_anchor_generator=_anchors([[size] for size in anchor_sizes]),
        box_roi_pool=MultiScaleRoIAlign(["P2", "P3", "P4", "P5"], output_size=7, sampling_ratio=2),
        box_detections_per_img=DETECTIONS,
        box_batch_size_per_image=rois_per_image,
    )
    return _in_float32(detector)


def retinanet_ghostnet(
    num_classes: int,
    *,
    backbone: nn.Module,
    trainable_stages: int = 5,
    frozen_norm: bool = False,
    anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
    min_size: int = 800,
    max_size: int = 1333,
) -> RetinaNet:
    """RetinaNet on the trunk of `backbone`, with an anchor size, in thirds of an octave, a level.

    `frozen_norm` as in `faster_rcnn_ghostnet`.
    """
    _check_sizes(anchor_sizes, "P3 to P7", min_size, max_size)
    body = _body(backbone, trainable_stages, frozen_norm)
    above = LastLevelP6P7(body.feature_channels["C5"], PYRAMID_CHANNELS)
    detector = RetinaNet(
        Pyramid(body, ["C3", "C4", "C5"], above),
        num_classes + 1,
        min_size=min_size,
        max_size=max_size,
        anchor_generator=_anchors(
            [[int(size * part) for part in OCTAVES] for size in anchor_sizes]
        ),
        detections_per_img=DETECTIONS,
    )
    return _in_float32(detector)


def faster_rcnn_mobilenet_v3(
    num_classes: int,
    *,
    weights: str | None = None,
    trainable_stages: int = 6,
    frozen_norm: bool = False,
    anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
    rois_per_image: int = 512,
    min_size: int = 800,
    max_size: int = 1333,
) -> FasterRCNN:
    """torchvision's fasterrcnn_mobilenet_v3_large_fpn: strides 16, 32 and 64, all sizes at each.

    `weights` names torchvision's of ImageNet for the backbone, such as IMAGENET1K_V1.
    """
    _check_sizes(anchor_sizes, "the pyramid's levels", min_size, max_size)
    detector = FasterRCNN(
        mobilenet_backbone(
            backbone_name="mobilenet_v3_large",
            weights=weights,
            fpn=True,
            norm_layer=FrozenBatchNorm2d if frozen_norm else nn.BatchNorm2d,
            trainable_layers=trainable_stages,
        ),
        num_classes + 1,
        min_size=min_size,
        max_size=max_size,
        rpn_anchor_generator=_anchors([list(anchor_sizes)] * 3),
        box_detections_per_img=DETECTIONS,
        box_batch_size_per_image=rois_per_image,
    )
    return _in_float32(detector)


def _anchors(sizes: list[list[int]]) -> AnchorGenerator:
    """Anchors of three aspect ratios, of the given sizes for each level."""
    return AnchorGenerator(tuple(map(tuple, sizes)), (ASPECT_RATIOS,) * len(sizes))
