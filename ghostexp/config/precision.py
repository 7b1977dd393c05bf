"""What `trainer.precision=auto` is: bfloat16 where the device computes in it and gains by it.

The rule is a table, not a measurement: a busy machine that measures wrong would change the numbers
of a run. A training step in bfloat16 is so many times as fast as in float32 (docs/howto/faster.md):

| device                         | auto       | measured                                    |
|--------------------------------|------------|---------------------------------------------|
| CPU with AVX512-BF16           | bf16-mixed | ResNet-56 1.4 to 1.6                        |
|                                |            | Ghost-ResNet-56 1.0 to 1.2, our kernels 1.5 |
| CPU with AMX                   | bf16-mixed | no; Intel made its tiles for bfloat16       |
| GPU with tensor cores for bf16 | bf16-mixed | no                                          |
| CPU with AVX2 or AVX-512 alone | 32-true    | emulated: 0.07 to 0.12 in inference         |
| any other                      | 32-true    | no                                          |
"""

import torch

AUTO, BFLOAT16, FLOAT32 = "auto", "bf16-mixed", "32-true"


def resolve_precision(precision: str, accelerator: str = "auto") -> str:
    """Lightning's name of a precision, for the device that `trainer.accelerator` chooses."""
    if precision != AUTO:
        return precision
    return BFLOAT16 if _gains_by_bfloat16(accelerator) else FLOAT32


def _gains_by_bfloat16(accelerator: str) -> bool:
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available()):
        return _cpu_computes_in_bfloat16()
    return False


def _cpu_computes_in_bfloat16() -> bool:
    """Whether oneDNN, which computes torch's convolutions, finds instructions for bfloat16.

    torch 2.6 to 2.15 tell it by these names alone.
    """
    return torch.backends.mkldnn.is_available() and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
