"""Write a network as a file to deploy, and compare it with what was trained.

ghostexp export outputs/train/RUN --format onnx
ghostexp export outputs/train/RUN --format onnx --precision int8 --dynamic-batch
ghostexp export outputs/train/RUN dataset.root=FOLDER --format onnx    the data moved there
ghostexp export model=resnet56 model.shortcut=A model.weights=FILE dataset=cifar10 \\
    --format onnx --output resnet56.onnx        any weights, by overrides of train.py
ghostexp export outputs/train/DETECTOR --format onnx   boxes, labels, scores of an image

Batch norms are folded; the file carries class names, preprocessing and the run's digest as
metadata. It is loaded in ONNX Runtime, torch.export or OpenVINO and held against the trained
network: exit code 1 if it differs by more than it may, and the file stays for inspection.
An int8 file computes exactly on every CPU. With --instructions vnni its weights keep one bit more,
for CPUs that have VNNI. A detector's file takes images of one size, the size of its data set.
"""

import argparse
import logging
import sys
from pathlib import Path

from ghostexp.config import cli
from ghostexp.config.mistakes import users_mistakes
from ghostexp.deploy.export import INSTRUCTIONS, PRECISIONS, Form
from ghostexp.runs.export_detector import DetectorExport
from ghostexp.runs.export_run import Export, export_run


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with a sentence for what is no run, or a file that differs, else 0."""
    options = _parser().parse_args(arguments)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    with users_mistakes("--format"):
        form = Form(options.format, options.precision, options.dynamic_batch, options.instructions)
    export = export_run(options.subject, form, options.output, force=options.force)
    if isinstance(export, DetectorExport):
        report_detector(export)
    else:
        report(export)
    if export.mismatch:
        print(f"error: {export.path} is not what was trained: {export.mismatch}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "subject",
        nargs="+",
        metavar="RUN|key=value",
        help="folder of a run, or overrides with model.weights=FILE",
    )
    parser.add_argument("--format", choices=list(PRECISIONS), required=True)
    parser.add_argument("--precision", choices=["fp32", "fp16", "bf16", "int8"], default="fp32")
    parser.add_argument(
        "--instructions",
        choices=INSTRUCTIONS,
        default="any",
        help="CPUs that int8 is for (%(default)s)",
    )
    parser.add_argument("--dynamic-batch", action="store_true", help="any batch size, not only 1")
    parser.add_argument("--output", type=Path, help="file to write (default: RUN/export/...)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    cli.add_grant(parser)
    return parser


def report(e: Export) -> None:
    """Say what was written and how it compares."""
    print(f"wrote {e.path}, with {e.left} of {e.folded} batch norms left")
    if e.quantized:
        chosen = e.quantized.chosen
        print(
            f"int8 by {chosen.method}, {len(chosen.float_layers)} of {e.quantized.layers} layers in"
            f" float32: {', '.join(chosen.float_layers) or 'none'}"
        )
    for c in e.comparisons:
        print(
            f"{e.engine}, {c.examples} {c.split} examples: accuracy {c.deployed_accuracy:.4f}, of"
            f" the trained network {c.accuracy:.4f}; {c.other_class:.2%} other classes; outputs"
            f" differ by at most {c.difference:.2g}, the largest is {c.largest:.3g}"
        )


def report_detector(e: DetectorExport) -> None:
    """Say what was written of a detector and how it compares."""
    print(
        f"wrote {e.path}, with {e.left} of {e.folded} batch norms left, for images of"
        f" {e.size[0]}x{e.size[1]} pixels (height x width)\n"
        f"ONNX Runtime, {e.comparison.images} test images: {e.comparison.matched} of"
        f" {e.comparison.detections} detections are the same"
    )
