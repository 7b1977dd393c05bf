"""The config in a run's folder, as a file that may be broken."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from ghostexp.config.explain import UserError, explain_yaml

CONFIG_FILE = Path(".hydra") / "config.yaml"


def read_saved(directory: Path) -> DictConfig:
    """Config of a run, not yet audited; `UserError` where the file is no config."""
    saved = Path(directory) / CONFIG_FILE
    try:
        cfg = OmegaConf.load(saved)
    except YAMLError as error:
        raise UserError(explain_yaml(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{saved} cannot be read: {error}") from error
    if not isinstance(cfg, DictConfig):
        raise UserError(f"{saved} is no config: it holds no mapping of keys to values")
    return cfg
