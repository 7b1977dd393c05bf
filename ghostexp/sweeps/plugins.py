"""Our plug-ins of Hydra, under the names that their YAML files give.

Hydra 1.3.8 instantiates only classes whose name starts with `hydra_plugins.`; a class that
`register` hands to it by hand needs no package of that name, which every other Hydra application of
the environment would load.
"""

import sys
from types import ModuleType

from hydra.core.plugins import Plugins

from ghostexp.sweeps.search import SearchSweeper
from ghostexp.sweeps.slurm import SlurmLauncher
from ghostexp.sweeps.sweeper import GridSweeper

PACKAGE = "hydra_plugins"
OURS = f"{PACKAGE}.ghostexp"


def register() -> None:
    """Make the plug-ins known to Hydra, before `hydra.main`."""
    plugins = Plugins.instance()  # imports the package hydra_plugins where any plug-in is installed
    sys.modules.setdefault(PACKAGE, ModuleType(PACKAGE))
    sys.modules[OURS] = sys.modules[__name__]
    for plugin in (GridSweeper, SearchSweeper, SlurmLauncher):
        plugin.__module__ = OURS
        plugins.register(plugin)
