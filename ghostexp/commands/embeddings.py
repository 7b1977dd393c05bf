"""How a network arranges its classes: neighbours, pairs, pictures of its embeddings.

ghostexp embeddings RUN                    accuracy by the 5 nearest training examples,
                                           equal error rate of all test pairs, PCA, t-SNE
ghostexp embeddings RUN --neighbours 1     accuracy by the nearest training example
ghostexp embeddings RUN --engine openvino  computed by an engine
ghostexp embeddings FILE.onnx --out DIR    by an exported file; dataset.root=FOLDER as well
ghostexp embeddings model=NAME model.weights=FILE dataset=NAME --out DIR   any weights
tensorboard --logdir RUN/embeddings        then PROJECTOR, to turn them around
"""

import argparse
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor

from ghostexp.analysis.embeddings import (
    Embeddings,
    collect,
    embed,
    equal_error_rate,
    knn_accuracy,
    verification_pairs,
)
from ghostexp.config import cli
from ghostexp.config.build import Parts
from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.options import number
from ghostexp.deploy.embedder import embedding_net, file_embedder
from ghostexp.deploy.in_engine import ENGINES, in_engine
from ghostexp.pictures.embeddings import draw_embeddings, write_projector
from ghostexp.runs.subject import Subject, subject_of
from ghostexp.tasks import ClassificationTask

DPI = 150

EmbedAll = Callable[[Iterable[tuple[Tensor, Tensor]]], Embeddings]


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with one sentence for a user's slip, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_subject(parser)
    parser.add_argument("--engine", choices=ENGINES, help="what computes (default: torch)")
    parser.add_argument("--neighbours", type=number, default=5, help="default: %(default)s")
    parser.add_argument(
        "--examples", type=int, default=2000, help="of each split, 0: all; default: %(default)s"
    )
    parser.add_argument("--out", type=Path, help="folder for the files (default: RUN/embeddings)")
    cli.add_grant(parser)
    options = parser.parse_args(arguments)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    directory = Path(options.subject[0])
    if options.out is None and not directory.is_dir():
        raise UserError("--out=FOLDER must say where the files go: there is no run's folder")
    subject = subject_of(options.subject)
    if not isinstance(subject.parts.task, ClassificationTask):
        raise UserError("embeddings are of classifiers: a detector has none for a whole image")
    with users_mistakes("embeddings"):
        embed_all = embedder_of(subject, options)
        report(subject.parts, embed_all, options, options.out or directory / "embeddings")
    return 0


def embedder_of(subject: Subject, options: argparse.Namespace) -> EmbedAll:
    """What makes embeddings of batches: torch, the engine of a file, or a named engine."""
    path, net = Path(options.subject[0]), subject.parts.task.net
    if path.is_file():
        if options.engine is not None:
            raise UserError(f"--engine is for runs and weights: {path} has an engine already")
        return partial(collect, file_embedder(path))
    if options.engine is None:
        return partial(embed, net)
    shape = subject.parts.datamodule.input_shape
    cut = embedding_net(net, torch.zeros(2, *shape))
    return partial(collect, in_engine(cut, shape, options.engine))


def report(parts: Parts, embed_all: EmbedAll, options: argparse.Namespace, out: Path) -> None:
    """Print the numbers; write them, the picture and the projector's files into `out`."""
    data = parts.datamodule
    data.setup("test")
    train = embed_all(_batches(parts, data.train, options.examples))
    test = embed_all(_batches(parts, data.labelled_set.test, options.examples))
    cosines, same = verification_pairs(test)
    numbers = {
        "knn_accuracy": knn_accuracy(train, test, options.neighbours),
        "neighbours": options.neighbours,
        "equal_error_rate": equal_error_rate(cosines, same),
        "pairs": len(same),
        "pairs_of_one_class": int(same.sum()),
        "train_examples": len(train.labels),
        "test_examples": len(test.labels),
        "features": test.vectors.shape[1],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "embeddings.json").write_text(json.dumps(numbers, indent=2) + "\n")
    draw_embeddings(test, data.class_names).savefig(out / "embeddings.png", dpi=DPI)
    write_projector(out, test, data.class_names)
    print(
        f"{numbers['knn_accuracy']:.4f} accuracy by the {options.neighbours} nearest of"
        f" {len(train.labels)} training examples, {len(test.labels)} test examples\n"
        f"{numbers['equal_error_rate']:.4f} equal error rate of {len(same)} test pairs,"
        f" {numbers['pairs_of_one_class']} of them of one class\n"
        f"wrote embeddings.png, embeddings.json and the projector's files to {out}"
    )


def _batches(parts: Parts, indices: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """`count` examples as evaluation sees them, spread evenly over `indices`, with their labels."""
    if count < 0:
        raise UserError(f"--examples is a number of examples, 0 for all, not {count}")
    data = parts.datamodule
    count = min(count or len(indices), len(indices))
    chosen = indices[torch.linspace(0, len(indices) - 1, count).round().long()]
    for batch in track(chosen.split(data.batch_size), "looking at examples", transient=True):
        inputs = data.augment.evaluate(data.labelled_set.examples[batch])
        yield inputs, data.labelled_set.labels[batch]
