"""Faster R-CNN and RetinaNet over the maps C2 to C5 of a GhostNet, and torchvision's small peer.

Faster R-CNN: Ren et al., NeurIPS 2015, https://arxiv.org/abs/1506.01497, with the feature pyramid
of Lin et al., CVPR 2017, https://arxiv.org/abs/1612.03144: C2 to C5 -> P2 to P6. RetinaNet: Lin et
al., ICCV 2017, https://arxiv.org/abs/1708.02002: C3 to C5 -> P3 to P7. The GhostNet paper (section
4.3, Table 8) puts both on GhostNet 1.1x, on COCO: 26.9 and 26.6 mAP.

Detectors are torchvision's. Images are a list of [3, H, W] in [0, 1], of any sizes. In training
mode a detector also takes `targets` (boxes [n, 4] xyxy in pixels, labels 1 to `num_classes`) and
gives a dictionary of losses; in eval mode it gives a list of detections (boxes, labels, scores). It
normalises and resizes the images itself: the shorter side becomes `min_size`, or less, so that the
longer side is at most `max_size`. `anchor_sizes` are square roots of areas, in pixels of the
resized image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from ghostexp.models.pyramid import Pyramid, detection_body

ASPECT_RATIOS = (0.5, 1.0, 2.0)
OCTAVES = (1, 2 ** (1 / 3), 2 ** (2 / 3))  # of RetinaNet's anchors, at each level
DETECTIONS = 100  # per image: COCO's metric looks at no more
ROI_SIZE = 7  # pixels: the box head sees the maps of a proposal in this size
HEAD_CONVS = 4  # of torchvision's RetinaNet
NORM_GROUPS = 32  # Wu and He, ECCV 2018, https://arxiv.org/abs/1803.08494
PEER_SCORE = 0.05  # the smallest score of a proposal; torchvision's, for this detector only
OUTPUT_LAYERS = {"cls_logits", "cls_score", "bbox_pred", "bbox_reg"}  # torchvision's names


@dataclass(frozen=True)
class FasterHeads:
    """Size of the parts of a Faster R-CNN behind its backbone; the defaults are torchvision's.

    The pyramid's maps have `channels`, and each proposal has `features` in the box head. The best
    `proposals` of each level go into non-maximum suppression, and at most as many of an image come
    out of it; in evaluation both numbers are half as large. The box head's loss takes
    `rois_per_image` of the proposals.
    """

    channels: int = 256
    features: int = 1024
    proposals: int = 2000
    rois_per_image: int = 512

    def __post_init__(self) -> None:
        _check_least(self, {"channels": 1, "features": 1, "proposals": 2, "rois_per_image": 1})


@dataclass(frozen=True)
class RetinaHeads:
    """Size of the parts of a RetinaNet behind its backbone; the defaults are the paper's.

    The pyramid's maps have `channels`, and each of the two heads has `convs` convolutions before
    its output layer. `group_norm` normalises after each of these convolutions, as torchvision's
    second version does: without trained weights, heads without it learn slowly.
    """

    channels: int = 256
    convs: int = HEAD_CONVS
    group_norm: bool = False

    def __post_init__(self) -> None:
        _check_least(self, {"channels": 1, "convs": 1})
        if self.convs > HEAD_CONVS:
            raise ValueError(f"convs is at most {HEAD_CONVS}, not {self.convs}")
        if self.group_norm and self.channels % NORM_GROUPS:
            raise ValueError(
                f"channels is a multiple of {NORM_GROUPS} with group_norm, not {self.channels}"
            )


def _check_sizes(anchor_sizes: Sequence[int], levels: str, min_size: int, max_size: int) -> None:
    if len(anchor_sizes) != 5 or min(anchor_sizes) <= 0:
        raise ValueError(
            f"anchor_sizes are five sizes above 0, one for each of {levels}, not {anchor_sizes}"
        )
    if not 0 < min_size <= max_size:
        raise ValueError(
            f"min_size must be above 0 and at most max_size={max_size}, not {min_size}"
        )


def _check_least(heads: FasterHeads | RetinaHeads, least: dict[str, int]) -> None:
    for name, limit in least.items():
        value = getattr(heads, name)
        if not isinstance(value, int) or value < limit:
            raise ValueError(f"{name} is a whole number of at least {limit}, not {value}")


def _in_float32(detector: nn.Module) -> nn.Module:
    """Make maps, logits and box offsets leave their layers in float32, with or without autocast.

    torchvision gives anchors and decoded boxes the dtype of these tensors. In bfloat16 two
    coordinates between 256 and 512 are equal if they are less than 2 pixels apart.
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
    heads: FasterHeads = FasterHeads(),
    anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
    min_size: int = 800,
    max_size: int = 1333,
) -> FasterRCNN:
    """Faster R-CNN on the trunk of `backbone`, with one anchor size for each level, P2 to P6.

    Only the last `trainable_stages` of the backbone's stages train. `frozen_norm` keeps the
    statistics and weights of the backbone's batch norms: for trained weights and small batches.
    """
    _check_sizes(anchor_sizes, "P2 to P6", min_size, max_size)
    body = detection_body(backbone, trainable_stages, frozen_norm)
    pyramid = Pyramid(body, ["C2", "C3", "C4", "C5"], heads.channels, LastLevelMaxPool())
    anchors = _anchors([[size] for size in anchor_sizes])
    levels = ["P2", "P3", "P4", "P5"]
    return _faster_rcnn(pyramid, num_classes, heads, anchors, levels, (min_size, max_size))


def retinanet_ghostnet(
    num_classes: int,
    *,
    backbone: nn.Module,
    trainable_stages: int = 5,
    frozen_norm: bool = False,
    heads: RetinaHeads = RetinaHeads(),
    anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
    min_size: int = 800,
    max_size: int = 1333,
) -> RetinaNet:
    """RetinaNet on the trunk of `backbone`, with three anchor sizes for each level, P3 to P7.

    They are the level's entry of `anchor_sizes`, and this times 2 ** (1 / 3) and 2 ** (2 / 3). The
    other arguments are explained at `faster_rcnn_ghostnet`.
    """
    _check_sizes(anchor_sizes, "P3 to P7", min_size, max_size)
    body = detection_body(backbone, trainable_stages, frozen_norm)
    above = LastLevelP6P7(body.feature_channels["C5"], heads.channels)
    anchors = _anchors([[int(size * part) for part in OCTAVES] for size in anchor_sizes])
    detector = RetinaNet(
        Pyramid(body, ["C3", "C4", "C5"], heads.channels, above),
        num_classes + 1,
        min_size=min_size,
        max_size=max_size,
        anchor_generator=anchors,
        head=_retina_head(heads, anchors.num_anchors_per_location()[0], num_classes + 1),
        detections_per_img=DETECTIONS,
    )
    return _in_float32(detector)


def faster_rcnn_mobilenet_v3(
    num_classes: int,
    *,
    weights: str | None = None,
    trainable_stages: int = 6,
    frozen_norm: bool = False,
    heads: FasterHeads = FasterHeads(),
    anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
    min_size: int = 800,
    max_size: int = 1333,
) -> FasterRCNN:
    """torchvision's fasterrcnn_mobilenet_v3_large_fpn, with all anchor sizes at each level.

    The levels have strides 16, 32 and 64. `weights` names torchvision's ImageNet weights for the
    backbone, such as IMAGENET1K_V1. The pyramid always has 256 channels. The other arguments are
    those of `faster_rcnn_ghostnet`.
    """
    _check_sizes(anchor_sizes, "the pyramid's levels", min_size, max_size)
    backbone = mobilenet_backbone(
        backbone_name="mobilenet_v3_large",
        weights=weights,
        fpn=True,
        norm_layer=FrozenBatchNorm2d if frozen_norm else nn.BatchNorm2d,
        trainable_layers=trainable_stages,
    )
    if heads.channels != backbone.out_channels:
        raise ValueError(f"heads.channels is 256 for torchvision's pyramid, not {heads.channels}")
    anchors = _anchors([list(anchor_sizes)] * 3)
    levels = ["0", "1"]
    detector = _faster_rcnn(backbone, num_classes, heads, anchors, levels, (min_size, max_size))
    detector.rpn.score_thresh = PEER_SCORE
    return detector


def _faster_rcnn(
    backbone: nn.Module,
    num_classes: int,
    heads: FasterHeads,
    anchors: AnchorGenerator,
    levels: list[str],
    sizes: tuple[int, int],
) -> FasterRCNN:
    """Faster R-CNN on a pyramid; the box head reads the maps that `levels` names."""
    detector = FasterRCNN(
        backbone,
        min_size=sizes[0],
        max_size=sizes[1],
        rpn_anchor_generator=anchors,
        rpn_pre_nms_top_n_train=heads.proposals,
        rpn_post_nms_top_n_train=heads.proposals,
        rpn_pre_nms_top_n_test=heads.proposals // 2,
        rpn_post_nms_top_n_test=heads.proposals // 2,
        box_roi_pool=MultiScaleRoIAlign(levels, output_size=ROI_SIZE, sampling_ratio=2),
        box_head=TwoMLPHead(heads.channels * ROI_SIZE**2, heads.features),
        box_predictor=FastRCNNPredictor(heads.features, num_classes + 1),  # 0 is the background
        box_detections_per_img=DETECTIONS,
        box_batch_size_per_image=heads.rois_per_image,
    )
    return _in_float32(detector)


def _retina_head(heads: RetinaHeads, num_anchors: int, num_classes: int) -> RetinaNetHead:
    norm = partial(nn.GroupNorm, NORM_GROUPS) if heads.group_norm else None
    head = RetinaNetHead(heads.channels, num_anchors, num_classes, norm_layer=norm)
    for part in (head.classification_head, head.regression_head):
        part.conv = part.conv[: heads.convs]
    return head


def _anchors(sizes: list[list[int]]) -> AnchorGenerator:
    """Anchors of three aspect ratios, of the given sizes for each level."""
    return AnchorGenerator(tuple(map(tuple, sizes)), (ASPECT_RATIOS,) * len(sizes))
