"""A small network with Ghost modules. Put yours in its place."""

from torch import Tensor, nn

from ghostexp.layers import GhostModule


class SmallNet(nn.Module):
    """Images [N, in_channels, H, W] -> logits [N, num_classes]."""

    def __init__(self, num_classes: int, in_channels: int, width: int = 16, ratio: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            GhostModule(width, 2 * width, 3, stride=2, ratio=ratio),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
        )
        self.head = nn.Linear(2 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.layers(images).mean(dim=(2, 3)))
