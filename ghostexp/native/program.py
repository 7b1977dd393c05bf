"""The library of a plan: one C++ struct of constants for each shape of layer, and its functions."""

import ctypes
from collections.abc import Callable
from ctypes import Structure
from dataclasses import dataclass, fields

from ghostexp.kernels import TRAINING
from ghostexp.kernels.binding import DOUBLE, INT, LONG, POINTER, load_library
from ghostexp.kernels.compiler import multiplies_bf16
from ghostexp.native.plan import Conv, Maps, Plan


class SizesC(Structure):
    """`Sizes` of kernels/grouped_maps.h."""

    _fields_ = (("channels", INT), ("height", INT), ("width", INT))


class TermC(Structure):
    """`Term` of kernels/grouped_maps.h."""

    _fields_ = (
        ("maps", POINTER),
        ("scale", POINTER),
        ("shift", POINTER),
        ("channels", INT),
        ("height", INT),
        ("width", INT),
        ("first", INT),
        ("step", INT),
    )


class SourceC(Structure):
    """`Source` of kernels/grouped_maps.h."""

    _fields_ = (("main", TermC), ("residual", TermC), ("kept", POINTER), ("relu", INT))


class ClosingC(Structure):
    """`Closing` of kernels/grouped_maps.h."""

    _fields_ = (
        ("more", TermC * 2),
        ("grads", POINTER),
        ("outputs", POINTER),
        ("mean", POINTER),
        ("sums", POINTER),
        ("relu", INT),
    )


class NormC(Structure):
    """`Norm` of kernels/norms.h."""

    _fields_ = (
        ("weight", POINTER),
        ("bias", POINTER),
        ("conv_bias", POINTER),
        ("running_mean", POINTER),
        ("running_var", POINTER),
        ("momentum", DOUBLE),
        ("eps", DOUBLE),
        ("mean", POINTER),
        ("inverse_std", POINTER),
        ("scale", POINTER),
        ("shift", POINTER),
    )


class NormGradientC(Structure):
    """`NormGradient` of kernels/norms.h."""

    _fields_ = tuple(
        (name, POINTER) for name in ("grads", "outputs", "mean", "by_grad", "by_output", "offset")
    )


FUNCTIONS = (
    ("use_large_pages", (POINTER, LONG)),
    ("multiply_adds", (LONG, INT, POINTER)),
    ("group_images", (POINTER, POINTER, SizesC, LONG, INT)),
    ("join_moments", (POINTER, POINTER, INT, LONG, LONG)),
    ("spread_sums", (POINTER, POINTER, INT, LONG, LONG, POINTER, POINTER, POINTER)),
    ("sum_gradients", (POINTER, POINTER, POINTER, SizesC, POINTER, LONG, INT)),
    ("mean_pool", (POINTER, SizesC, POINTER, LONG, INT)),
    ("mean_pool_backward", (POINTER, SizesC, POINTER, POINTER, LONG, INT)),
    ("max_pool", (POINTER, SizesC, INT, POINTER, LONG, INT)),
    ("max_pool_backward", (POINTER, SizesC, INT, POINTER, POINTER, LONG, INT)),
)
OF_LAYERS = (
    ("pack", (POINTER, *[LONG] * 4, POINTER, POINTER, INT)),
    ("forward", (POINTER, POINTER, POINTER, POINTER, POINTER, LONG, INT)),
    ("backward", (*[POINTER] * 8, LONG, INT)),
)


@dataclass(frozen=True)
class Shape:
    """The constants of a convolution or Ghost module, named as training.cpp reads them."""

    in_channels: int
    in_height: int
    in_width: int
    height: int
    width: int
    kernel_size: int
    stride: int
    intrinsic: int
    ghosts: int
    ghosts_each: int  # of an intrinsic map
    cheap_kernel_size: int

    @classmethod
    def of(cls, conv: Conv) -> "Shape":
        """The shape of a step of a plan."""
        inputs, outputs, cheap = conv.inputs.maps, conv.outputs, conv.cheap
        intrinsic = conv.primary.out_channels
        return cls(
            in_channels=inputs.channels,
            in_height=inputs.height,
            in_width=inputs.width,
            height=outputs.height,
            width=outputs.width,
            kernel_size=conv.primary.kernel_size[0],
            stride=conv.primary.stride[0],
            intrinsic=intrinsic,
            ghosts=outputs.channels - intrinsic,
            ghosts_each=1 if cheap is None else cheap.out_channels // intrinsic,
            cheap_kernel_size=1 if cheap is None else cheap.kernel_size[0],
        )

    def __str__(self) -> str:
        ghosts = f"+{self.ghosts}" if self.ghosts else ""
        kernel = f"{self.kernel_size}x{self.kernel_size}"
        return (
            f"{kernel}, {self.in_channels} -> {self.intrinsic}{ghosts}, {self.height}x{self.width}"
        )

    @property
    def macs(self) -> int:
        """Multiply-adds for an image, forward; the ghosts' multiply-adds are too few to count."""
        return self.weights * self.height * self.width

    @property
    def weights(self) -> int:
        """Weights of the primary convolution."""
        return self.intrinsic * self.in_channels * self.kernel_size**2

    @property
    def cheap_weights(self) -> int:
        """Weights of the ghosts that are not cut away."""
        return self.ghosts * self.cheap_kernel_size**2


class Program:
    """The compiled functions of a plan; layers of one shape share them.

    With `bf16`, maps are stored in bfloat16 and convolutions multiply it; all sums are float32.
    """

    def __init__(self, plan: Plan, bf16: bool) -> None:
        self.bf16 = bf16
        self.shapes = {conv: Shape.of(conv) for conv in plan.convs}
        self._indices = {shape: i for i, shape in enumerate(dict.fromkeys(self.shapes.values()))}
        functions = tuple(
            (f"{name}_{index}", arguments)
            for index in self._indices.values()
            for name, arguments in OF_LAYERS
        )
        code = "\n".join(_struct(shape, index) for shape, index in self._indices.items())
        self.library = load_library(TRAINING, (*FUNCTIONS, *functions), code, BF16=int(bf16))
        self.lanes = ctypes.c_int.in_dll(self.library, "lanes").value
        self.macs_at_once = self.lanes * ctypes.c_int.in_dll(self.library, "pair").value

    @staticmethod
    def precisions() -> list[bool]:
        """`bf16` of all programs that this CPU can run."""
        return [False, True] if multiplies_bf16() else [False]

    def function(self, name: str, conv: Conv) -> Callable[..., None]:
        """A function of a layer's shape."""
        return getattr(self.library, f"{name}_{self._indices[self.shapes[conv]]}")


def sizes(maps: Maps) -> SizesC:
    """The sizes of maps, as an argument."""
    return SizesC(maps.channels, maps.height, maps.width)


def _struct(shape: Shape, index: int) -> str:
    constants = ", ".join(f"{field.name} = {getattr(shape, field.name)}" for field in fields(shape))
    return (
        f"struct Layer{index} {{ static constexpr int {constants}; }};\n"
        f"LAYER({index}, Layer{index})"
    )
