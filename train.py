"""Train one network, or a sweep of them: python train.py --help."""

import sys

import hydra
from omegaconf import DictConfig

from ghostexp.config import cli
from ghostexp.sweeps import sweeper

sweeper.register()


@hydra.main(version_base="1.3", config_path=str(cli.CONFIG_FOLDER), config_name="train")
def main(cfg: DictConfig) -> float | None:
    from ghostexp.runs.experiment import run  # torch and Lightning load when a run starts

    return run(cfg)


if __name__ == "__main__":
    sys.exit(cli.call(main))
