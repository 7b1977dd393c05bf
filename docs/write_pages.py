"""Write the pages of docs/ that are made of records and configs.

python docs/write_pages.py      docs/templates/PATH.md becomes docs/PATH.md

A template is a page with Jinja's braces. What may stand in them is in docs/facts.py (records),
docs/studies.py (seeds) and docs/speeds.py (times). `choices` are the config groups: group -> choice
-> the line that --help shows. `commands` are those of `ghostexp`. A number in braces comes from a
record.
"""

import importlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ghostexp.__main__ import COMMANDS
from ghostexp.config.choices import CONFIG_FOLDER, described

DOCS = Path(__file__).resolve().parent
TEMPLATES = DOCS / "templates"


@cache
def facts() -> dict[str, Any]:
    """The functions of these three files, which are no part of a package."""
    sys.path.insert(0, str(DOCS))
    modules = [importlib.import_module(name) for name in ("facts", "speeds", "studies")]
    return {key: value for module in modules for key, value in vars(module).items()}


@cache
def environment() -> Environment:
    """What templates may use."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals |= {key: value for key, value in facts().items() if key[0] != "_"}
    made.globals |= {"choices": described(CONFIG_FOLDER), "commands": COMMANDS}
    return made


def render(template: Path) -> str:
    """The page that a template makes."""
    name = str(template.relative_to(TEMPLATES))
    page = environment().get_template(name).render()
    return (
        f"{page}\n<!-- Made by `make results` from docs/templates/{name}: change that file. -->\n"
    )


def main() -> None:
    """Write every page anew."""
    for template in sorted(TEMPLATES.rglob("*.md")):
        page = DOCS / template.relative_to(TEMPLATES)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(render(template))
        print(f"wrote {page.relative_to(DOCS.parent)}")


if __name__ == "__main__":
    main()
