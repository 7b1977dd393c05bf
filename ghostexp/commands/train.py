"""Train one network, or a sweep of them: ghostexp train --help."""

import os
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from ghostexp.config import cli, grants
from ghostexp.config.choices import CONFIG_FOLDER
from ghostexp.config.explain import UserError
from ghostexp.sweeps import dry_run, plugins, resumed
from ghostexp.sweeps.command import OPTION

plugins.register()


@hydra.main(version_base="1.3", config_path=str(CONFIG_FOLDER), config_name="train")
def start(cfg: DictConfig) -> float | None:
    """Do the job that Hydra composed."""
    from ghostexp.runs.experiment import run  # torch and Lightning load when a run starts

    return run(cfg)


def launch() -> None:
    """Let Hydra compose what the command line asks for, and do it."""
    dry_run.take_from(sys.argv)
    resumed.check_folder(sys.argv[1:])
    cli.take_command_line()
    start()


def do_job() -> None:
    """Do the job that a sweep froze: --job FILE [allow_targets=[PACKAGE]]."""
    cli.prepare_process()
    words = [word for word in sys.argv[1:] if not word.startswith(f"{grants.KEY}=")]
    if len(words) != 2 or words[0] != OPTION:
        raise UserError(
            f"{OPTION} FILE does one job of a sweep as the sweep froze it, so that nothing but"
            f" {grants.KEY}=[PACKAGE] goes with it, not {' '.join(words)}"
        )
    from ghostexp.runs.experiment import run_frozen  # torch and Lightning load when a run starts

    run_frozen(Path(words[1]))


def main() -> int:
    """Exit code: 1 with one sentence for what cannot run, 130 or 143 if it was stopped, else 0."""
    if not Path(sys.argv[0]).is_file():  # further devices' processes repeat a file, by Lightning
        sys.argv[0] = __file__
        sys.modules["__main__"].__spec__ = None
    return cli.call(do_job if OPTION in sys.argv[1:] else launch)


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # the names of this folder would hide a user's modules
    sys.exit(main())
