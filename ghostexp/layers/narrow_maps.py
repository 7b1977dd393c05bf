"""Right values from strided convolutions of very narrow maps in bfloat16 on a CPU.

If a map has fewer columns than the stride, such as one column with stride 2, oneDNN's bfloat16
convolution gives wrong outputs, or its gradients read memory that nobody wrote. This was seen with
torch 2.15.0 on a CPU with AVX512-BF16; it is issue 169688 of pytorch/pytorch. A network for 224
pixels meets such maps if its images have 8 or 16 pixels. float32 gives right values there, and maps
so small cost almost no time.
"""

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


def exact_on_narrow_maps(net: nn.Module) -> list[RemovableHandle]:
    """Let the strided `Conv2d` layers of `net` compute maps narrower than the stride in float32.

    The handles returned take the layers' hooks away again.
    """
    return [
        module.register_forward_hook(_in_float32)
        for module in net.modules()
        if isinstance(module, nn.Conv2d) and module.stride[-1] > 1
    ]


def _in_float32(conv: nn.Conv2d, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
    """What takes the place of `outputs`; nothing of the wrong outputs stays in autograd's graph."""
    images = inputs[0]
    wrong = outputs.dtype is torch.bfloat16 and outputs.device.type == "cpu"
    if not (wrong and images.shape[-1] < conv.stride[-1]):
        return outputs
    bias = None if conv.bias is None else conv.bias.float()
    with torch.autocast("cpu", enabled=False):
        exact = conv._conv_forward(images.float(), conv.weight.float(), bias)
    return exact.to(outputs.dtype)
