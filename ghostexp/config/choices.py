"""The config groups and their choices with one line each, for --help and for the pages in docs/."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

PACKAGE_LINE = "# @package"  # Hydra's, above the comment that says what a file is

PACKAGE = Path(__file__).resolve().parents[1]
# installed, the configs lie in the package; in the repository, beside it
CONFIG_FOLDER = next(filter(Path.is_dir, (PACKAGE / "conf", PACKAGE.parent / "conf")))


def described(folder: Path) -> dict[str, dict[str, str]]:
    """Group -> choice -> the first line of the comment in its file; Hydra's groups stay out."""
    groups: dict[str, dict[str, str]] = {}
    for path in sorted(folder.glob("*/**/*.yaml")):
        group = path.parent.relative_to(folder).as_posix()
        if group.split("/")[0] != "hydra":
            groups.setdefault(group, {})[path.stem] = _first_line(path)
    return groups


def for_help(folders: Sequence[Path]) -> str:
    """All groups of the folders as lines of a template of Hydra's, where `$$` stands for `$`."""
    groups: dict[str, dict[str, str]] = {}
    for folder in folders:
        for group, choices in described(folder).items():
            groups[group] = groups.get(group, {}) | choices
    lines = []
    for group, choices in sorted(groups.items()):
        width = max(map(len, choices))
        lines += ["", f"{group}="]
        lines += [f"  {choice:{width}}  {line}".rstrip() for choice, line in choices.items()]
    return "\n".join(lines).replace("$", "$$")


def search_folders(places: Sequence[str]) -> list[Path]:
    """The folders that `hydra.searchpath` names, as `file://DIR`, `pkg://package` or a path."""
    folders = []
    for place in places:
        scheme, _, rest = place.rpartition("://")
        folders.append(Path(str(files(rest))) if scheme == "pkg" else Path(rest))
    return folders


def _first_line(path: Path) -> str:
    """Empty where the file does not begin with a comment."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith(PACKAGE_LINE):
            return line.removeprefix("# ") if line.startswith("# ") else ""
    return ""
