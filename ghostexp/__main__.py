"""The command `ghostexp`, which is `python -m ghostexp` too."""

import importlib
import sys

from ghostexp import __version__

COMMANDS = {
    "train": "train one network: ghostexp train model=ghost_resnet56 sched=cosine",
    "sweep": "train all combinations of values: ghostexp sweep model.ratio=2,4 seed=0,1",
    "report": "table and figures of the runs below a folder, or two runs compared",
    "evaluate": "test a network again: a run, an exported file, or any weights",
    "predict": "classes, or boxes, of files",
    "export": "write a run's network as ONNX, OpenVINO or torch.export, also in int8",
    "complexity": "parameters, multiply-adds, memory and time of networks",
    "features": "pictures and numbers of feature maps and their ghosts",
    "embeddings": "what lies before the last layer, as vectors and as a picture",
    "lr_range": "find a learning rate: a few steps with a rate that rises, and their curve",
    "benchmark": "time training, data, layers and inference on this machine",
    "convert": "put Ghost modules where they are faster, measured in an engine",
    "download": "fetch published weights ahead of a training",
    "weights": "write the weights of a run as one small file, to pass on",
    "pack": "pack a folder of images into shards, for data too large for files",
    "models": "names of the networks",
    "new": "begin a project with a network, data, an experiment and a test of yours",
    "any_network": "convert, train, fuse and export hundreds of networks; a table",
    "kept_filters": "accuracy after a conversion that keeps trained filters",
}


def main() -> int:
    """Exit code: 2 for an unknown command, else the exit code of the command."""
    command, *words = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help"):
        print(usage())
        return 0
    if command == "--version":
        print(f"ghostexp {__version__}")
        return 0
    if command not in COMMANDS:
        from ghostexp.config.explain import did_you_mean

        hint = did_you_mean(command, list(COMMANDS))
        print(f"error: {command}: no such command{hint}; see ghostexp --help", file=sys.stderr)
        return 2
    sys.argv = [f"ghostexp {command}", *words]  # argparse shows it
    return importlib.import_module(f"ghostexp.commands.{command}").main()


def usage() -> str:
    """The commands, with a line on each."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {line}" for name, line in COMMANDS.items()]
    first = "usage: ghostexp COMMAND ...        ghostexp COMMAND --help tells more"
    return "\n".join([first, "", *lines])


if __name__ == "__main__":
    sys.exit(main())
