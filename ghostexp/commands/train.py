"""Train one network, or a sweep of them: ghostexp train --help."""

import os
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from ghostexp.config import cli
from ghostexp.sweeps import sweeper

sweeper.register()


@hydra.main(version_base="1.3", config_path=str(cli.CONFIG_FOLDER), config_name="train")
def start(cfg: DictConfig) -> float | None:
    """Do the job that Hydra composed."""
    from ghostexp.runs.experiment import run  # torch and Lightning load when a run starts

    return run(cfg)


def main() -> int:
    """Exit code: 1 with one sentence for what cannot run, 130 or 143 if it was stopped, else 0."""
    if not Path(sys.argv[0]).is_file():  # further devices' processes repeat a file, by Lightning
        sys.argv[0] = __file__
        sys.modules["__main__"].__spec__ = None
    return cli.call(start)


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # the names of this folder would hide a user's modules
    sys.exit(main())
