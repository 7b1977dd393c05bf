"""What README and docs/ say exists: links, pictures, commands, choices; and README stays short."""

import json
import re
import shlex
import statistics
from functools import cache
from itertools import product
from pathlib import Path

import pytest
import yaml
from helpers import ROOT, SMALL, main_of, result
from PIL import Image
from test_imports import MAY_IMPORT

import ghostexp
from ghostexp.config import grants
from ghostexp.config.cli import compose_config

README = ROOT / "README.md"
PAGES = [README, *(ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING"))]
PAGES += sorted((ROOT / "docs").glob("*.md"))
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
GROUPS = {
    str(path.relative_to(ROOT / "conf"))
    for path in (ROOT / "conf").glob("**/")
    if path != ROOT / "conf"
}
PLACEHOLDERS = ("=NAME", "=...", "...")  # a word that ends so stands for many


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """What a link may name in a page, as forges make it of the headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def commands(page: Path) -> list[list[str]]:
    """The words of each `python ...` command in a page's blocks and code spans."""
    text = page.read_text()
    lines = "".join(BLOCK.findall(text)).replace("\\\n", " ").splitlines() + SPAN.findall(text)
    found = [line.strip() for line in lines if line.strip().startswith("python ")]
    return [shlex.split(line, comments=True)[1:] for line in found]


def overrides(words: list[str]) -> list[tuple[str, ...]]:
    """The config words of a command: one list for each point of a sweep."""
    values = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or word.endswith(PLACEHOLDERS) or key.startswith("hydra/"):
            continue
        one = value[:1] in ("[", "{", "'")
        values.append([word] if one else [f"{key}={each}" for each in value.split(",")])
    return list(product(*values))


@cache
def composes(words: tuple[str, ...]) -> None:
    """A `UserError` names the word that is wrong."""
    if words:
        compose_config(list(words))


@pytest.fixture
def _own_config(tmp_path, monkeypatch):
    """The config file that README names as an example of a user's, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    name, *lines = re.search(
        r"`(my_conf/\S+\.yaml)`\s+\(`([^`]+)`, `([^`]+)`\)", README.read_text()
    ).groups()
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines))
    yield
    grants.grant([])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for picture, target in LINK.findall(page.read_text()):
        if target.startswith("https://"):
            continue
        place, _, anchor = target.partition("#")
        path = (page.parent / place).resolve() if place else page
        assert path.exists(), target
        assert path.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(path), target
        if picture:
            with Image.open(path) as image:
                image.verify()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
@pytest.mark.usefixtures("_own_config")
def test_commands_name_what_exists(page, capsys, monkeypatch):
    for program, *words in commands(page):
        if program == "-m":  # a module of Python
            continue
        assert (ROOT / program).is_file(), program
        options = [word for word in words if word.startswith("--")]
        if options and program.startswith("scripts/"):
            monkeypatch.setattr("sys.argv", [program, "--help"])
            with pytest.raises(SystemExit):
                main_of(Path(program).stem)()
            said = capsys.readouterr().out
            for option in options:
                assert re.search(rf"{option}\b", said), (program, option)
        for point in overrides(words):
            composes(point)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_choices_exist(page):
    text = page.read_text()
    pieces = SPAN.findall(text) + BLOCK.findall(text)
    for word in " ".join(pieces).split():
        group, equals, choices = word.strip("'").partition("=")
        if not equals or group not in GROUPS or word.endswith((*PLACEHOLDERS, "=null", "=mine")):
            continue
        for choice in re.split("[,|]", choices.strip("[]")):
            assert (ROOT / "conf" / group / f"{choice}.yaml").is_file(), word


@pytest.mark.usefixtures("_own_config")
def test_config_words_of_the_readme_compose():
    """Its tables and hints give words without the command in front of them."""
    spans = [span.split() for span in SPAN.findall(README.read_text())]
    worded = [words for words in spans if all(re.match(r"[a-z][\w./]*=", each) for each in words)]
    assert len(worded) > 10
    for words in worded:
        for point in overrides(words):
            composes(point)


def test_readme_is_short():
    content = README.read_bytes()
    assert content.count(b"\n") <= 150
    assert len(content) <= 10_240


RESULTS = {  # a figure of README's tables -> the record and its metric
    "100.00 %; ": ("fsdd_speakers/ghost_efficientnet_v2", "test/acc"),
    "; 98.00 %": ("fsdd_speakers/efficientnet_v2_s", "test/acc"),
    "| 89.00 %": ("fsdd_digits/held_out_speaker", "test/acc"),
    "| 99.67 %": ("fsdd_alone/seed0", "test/acc"),
    "| 83.50 % mAP50": ("detectors_bccd/model=faster_rcnn_ghostnet_small", "test/map_50"),
    "| 96.25 % mAP50": ("detectors_shapes/model=faster_rcnn_ghostnet_small", "test/map_50"),
}


@pytest.mark.parametrize("figure", RESULTS)
def test_figures_of_the_readme_are_those_of_the_records(figure):
    folder, metric = RESULTS[figure]
    value = result(ROOT / "outputs" / "published" / folder)["metrics"][metric]
    assert f"{100 * value:.2f} %" in figure
    assert figure in README.read_text()


CIFAR = {  # a row of docs/results.md's first table -> its accuracy, in README's order
    "ghost_resnet56": "87.26 ± 0.10",
    "resnet56": "88.77 ± 0.29",
    "resnet32": "88.33 ± 0.21",
}


def test_accuracies_over_three_seeds_are_those_of_the_records():
    folder = ROOT / "outputs" / "published" / "cifar10_20_epochs"
    for network, written in CIFAR.items():
        records = [result(folder / f"{network}-{seed}") for seed in range(3)]
        values = [100 * record["metrics"]["test/acc"] for record in records]
        assert f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}" == written
        assert written in (ROOT / "docs" / "results.md").read_text()
    assert "; ".join(CIFAR.values()) in README.read_text()


@pytest.mark.parametrize(("network", "dense"), [("ResNet-56", "resnet56"), ("VGG-16", "vgg16")])
def test_speeds_of_the_readme_are_the_measured_ones(network, dense):
    path = ROOT / "outputs" / "published" / f"inference_{dense}" / "inference.json"
    ratios = [
        row["speed_ratio"]
        for row in json.loads(path.read_text())["rows"]
        if row["network"] == f"ghost_{dense}" and row["form"] != "native"  # stock engines
    ]
    words = rf"Ghost-{network}\b[^.]* ran {min(ratios):.2f} to {max(ratios):.2f} times as fast"
    assert re.search(words, README.read_text()), (min(ratios), max(ratios))


def test_readme_names_the_two_commands():
    text, makefile = README.read_text(), (ROOT / "Makefile").read_text()
    for target in ("train", "test"):
        assert re.search(rf"^ {{4}}make {target} +# ", text, re.MULTILINE)
        assert f"\n{target}: " in makefile


def test_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    for word in ("trainer.max_epochs=2", "name=ratios"):  # a few small batches
        assert f'"{word}"' in code
        small = '", "'.join([word, *SMALL[1:], "trainer.max_epochs=1"])
        code = code.replace(f'"{word}"', f'"{small}"')
    names = {}
    exec(code, names)
    assert "outputs/train/" in capsys.readouterr().out
    assert [run.status for run in names["runs"]] == ["finished"] * 2
    assert any("GhostModule" in type(part).__name__ for part in names["net"].modules())


def test_every_experiment_data_set_and_network_has_its_row():
    pages = {"experiments": "experiment", "data": "dataset", "networks": "model"}
    for page, group in pages.items():
        told = set(SPAN.findall((ROOT / "docs" / f"{page}.md").read_text()))
        assert {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")} <= told


def test_every_published_folder_is_named():
    texts = "".join(page.read_text() for page in PAGES)
    for folder in (ROOT / "outputs" / "published").iterdir():
        assert re.search(rf"\b{folder.name}\b", texts), folder.name


def test_the_table_of_imports_is_the_tests():
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE)
    assert {name: set(SPAN.findall(may)) for name, may in rows} == MAY_IMPORT


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == ghostexp.__version__
    assert f"\n## {ghostexp.__version__}" in (ROOT / "CHANGELOG.md").read_text()
