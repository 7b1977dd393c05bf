"""Begin a project: a package with a network and data, configs, an experiment and a test.

ghostexp new my_project        writes the folder my_project, whose README says how to go on

The last name of the folder becomes the name of the Python package.
"""

import argparse
import keyword
import sys
from importlib.util import find_spec
from pathlib import Path

from ghostexp.config import cli
from ghostexp.config.choices import PACKAGE
from ghostexp.config.explain import UserError
from ghostexp.files.folders import is_free

TEMPLATE = PACKAGE / "template"
NAME = "PACKAGE"  # stands in the template for the package's name


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with one sentence for a folder that cannot be made, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="must not exist, or be empty")
    folder = parser.parse_args(arguments).folder
    name = folder.resolve().name
    if not is_free(folder):
        raise UserError(f"{folder} exists already: name a new folder")
    check_name(name)
    for path in written(folder, name):
        print(f"wrote {path}")
    print(f"next: cd {folder}; README.md has the commands")
    return 0


def check_name(name: str) -> None:
    """`UserError` unless `name` can be a package of Python that hides no other one."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UserError(
            f"{name} becomes the name of a Python package: use letters, digits and _ only, such as"
            " my_project"
        )
    spec = find_spec(name)  # an empty folder of this name is a package too, without a loader
    if name in sys.stdlib_module_names or (spec is not None and spec.loader is not None):
        raise UserError(f"{name} is the name of an installed package: name the folder otherwise")


def written(folder: Path, name: str) -> list[Path]:
    """Write the template's files with the package's name in them; their paths."""
    paths = []
    for source in sorted(TEMPLATE.rglob("*")):
        if source.is_dir() or "__pycache__" in source.parts:
            continue
        place = source.relative_to(TEMPLATE).as_posix().replace("package", name)
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.read_text().replace(NAME, name))
        paths.append(path)
    return paths
