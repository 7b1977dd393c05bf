"""Write the pages of docs/ that are made of records and configs.

python docs/write_pages.py      docs/templates/PATH.md becomes docs/PATH.md

A template is a page with Jinja's braces. What may stand in them is in docs/facts.py, and `choices`:
group -> choice -> the line that --help shows of it. A number in braces comes from a record.
"""

import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

DOCS = Path(__file__).resolve().parent
TEMPLATES = DOCS / "templates"


def render(template: Path) -> str:
    """The page that a template makes."""
    if str(DOCS) not in sys.path:
        sys.path.insert(0, str(DOCS))
    import facts

    from ghostexp.config.choices import described
    from ghostexp.config.cli import CONFIG_FOLDER

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    name = str(template.relative_to(TEMPLATES))
    names = {key: value for key, value in vars(facts).items() if not key.startswith("_")}
    page = environment.get_template(name).render(names, choices=described(CONFIG_FOLDER))
    return f"{page}\n<!-- Made by `make results` from docs/templates/{name}: change that file. -->\n"


def main() -> None:
    """Write every page anew."""
    for template in sorted(TEMPLATES.rglob("*.md")):
        page = DOCS / template.relative_to(TEMPLATES)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(render(template))
        print(f"wrote {page.relative_to(DOCS.parent)}")


if __name__ == "__main__":
    main()
