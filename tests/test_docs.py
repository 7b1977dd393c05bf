"""What README and docs/ say exists: links, pictures, commands, choices; and README stays short.

Every command of a block or a code span is checked in a short form. Its words must compose, and the
program's own parser must accept its options. These are run: README's Python (below), the notebook
(test_notebook.py), the help and the completion (test_choices.py), and a report of published runs.
"""

import argparse
import ast
import json
import re
import shlex
import statistics
from functools import cache
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
import yaml
from helpers import ROOT, SMALL, main_of, result
from PIL import Image
from test_imports import MAY_IMPORT

import ghostexp
from ghostexp.__main__ import COMMANDS
from ghostexp.config import grants
from ghostexp.config.cli import compose_config

README = ROOT / "README.md"
PAGES = [README, *(ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING"))]
PAGES += sorted(
    path
    for path in (ROOT / "docs").rglob("*.md")
    if not {"templates", "_build"} & set(path.relative_to(ROOT / "docs").parts)
)
REPORTS = sorted((ROOT / "outputs" / "published").rglob("*.md"))
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
GROUPS = {
    str(path.relative_to(ROOT / "conf"))
    for path in (ROOT / "conf").glob("**/")
    if path != ROOT / "conf"
}
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = ("python", "ghostexp", "make", "pip", "tensorboard", "source", "eval")
PLACEHOLDERS = ("=NAME", "=...", "...")  # a word that ends so stands for many


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """What a link may name in a page, as forges make it of the headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def block_lines(page: Path) -> list[str]:
    """The lines of a page's blocks of commands; a block of anything else starts otherwise."""
    blocks = [block.replace("\\\n", " ").splitlines() for block in BLOCK.findall(page.read_text())]
    stripped = [[line.strip() for line in block] for block in blocks]
    return [line for block in stripped if block[0].startswith(PROGRAMS) for line in block]


def commands(page: Path) -> list[list[str]]:
    """The words of each `python ...` or `ghostexp ...` in a page's blocks and code spans."""
    lines = block_lines(page) + SPAN.findall(page.read_text())
    found = [line.strip() for line in lines if line.strip().startswith(("python ", "ghostexp "))]
    split = [shlex.split(line, comments=True) for line in found]
    return [words[1:] if words[0] == "python" else words for words in split]


class Parsed(BaseException):
    """A parser has taken the words of a command, which is not run."""


@pytest.fixture
def _parse_only(monkeypatch):
    take = argparse.ArgumentParser.parse_known_args

    def take_some(parser, *words):  # the others are overrides, which compose
        _, others = take(parser, *words)
        assert not [word for word in others if word.startswith("-")], others
        raise Parsed

    def take_all(parser, *words):
        _, others = take(parser, *words)
        assert not others
        raise Parsed

    for name in ("parse_known_args", "parse_known_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, take_some)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", take_all)


def overrides(words: list[str]) -> list[tuple[str, ...]]:
    """The config words of a command; of a sweep so many points that each value is in one."""
    values = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or word.endswith(PLACEHOLDERS) or key.startswith("hydra/"):
            continue
        one = value[:1] in ("[", "{", "'")
        values.append([word] if one else [f"{key}={each}" for each in value.split(",")])
    count = max(map(len, values), default=0)
    return [tuple(each[min(point, len(each) - 1)] for each in values) for point in range(count)]


@cache
def composes(words: tuple[str, ...]) -> None:
    """A `UserError` names the word that is wrong."""
    if words:
        compose_config(list(words))


@pytest.fixture
def _own_config(tmp_path, monkeypatch):
    """The config file that a page shows as an example of a user's, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "howto" / "own_network.md").read_text()
    name, content = re.search(r"`(my_conf/\S+\.yaml)`:\s+```yaml\n(.*?)```", page, re.S).groups()
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    yield
    grants.grant([])


@pytest.mark.parametrize("page", [*PAGES, *REPORTS], ids=name_of)
def test_links_lead_somewhere(page):
    for picture, target in LINK.findall(page.read_text()):
        if target.startswith("https://"):
            continue
        if workflow := re.match(
            r"\.\./\.\./actions/workflows/(\S+?\.yml)", target
        ):  # the forge's page
            assert (ROOT / ".github" / "workflows" / workflow[1]).is_file(), target
            continue
        place, _, anchor = target.partition("#")
        path = (page.parent / place).resolve() if place else page
        assert path.exists(), target
        assert path.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(path), target
        if picture and path.suffix == ".svg":
            ElementTree.parse(path)
        elif picture:
            with Image.open(path) as image:
                image.verify()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
@pytest.mark.usefixtures("_own_config", "_parse_only")
def test_commands_are_taken(page, monkeypatch):
    for program, *words in commands(page):
        if program == "-m" or {"COMMAND", "--shell-completion"} & {*words}:  # test_choices.py
            continue
        assert program == "ghostexp" or (ROOT / program).is_file(), program
        is_named = program == "ghostexp" and len(words) < 2  # in a table of commands
        name = words.pop(0) if program == "ghostexp" else Path(program).stem
        name = {"download_weights": "download"}.get(name, name)
        assert name in COMMANDS
        if name not in ("train", "sweep") and "..." not in words and not is_named:
            monkeypatch.setattr("sys.argv", [program, *words])
            with pytest.raises(Parsed):
                main_of(name)()
        of_a_run = ("dataset=image_folder",) if "RUN" in words else ()  # which has its own config
        for point in overrides(words):
            composes((*of_a_run, *point))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_lines_beside_commands_name_what_exists(page):
    extras = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    for line in block_lines(page):
        program, *words = shlex.split(line, comments=True)
        assert program in PROGRAMS, line
        if program == "make":
            (target,) = [word for word in words if "=" not in word]
            assert f"\n{target}: " in makefile, line
        for named in re.findall(r"\.\[([\w,]+)\]", line if program == "pip" else ""):
            assert set(named.split(",")) <= set(extras), line


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_of_the_pages_is_sound(page):
    for language, text in FENCE.findall(page.read_text()):
        if language == "yaml":
            assert yaml.safe_load(text)
        if language != "python":
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                home = import_module(node.module)
                assert all(hasattr(home, alias.name) for alias in node.names), node.module
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "ghostexp":
                assert node.attr in ghostexp.__all__


def test_the_network_of_the_pages_takes_images():
    page = ROOT / "docs" / "howto" / "own_network.md"
    config, code = (text for _, text in FENCE.findall(page.read_text()))
    names = {}
    exec(code, names)
    keys = yaml.safe_load(config).keys() - {"_target_"}
    net = names["MyNet"](**dict.fromkeys(keys, 3))
    assert net(torch.zeros(2, 3, 8, 8)).shape == (2, 3)


def test_a_report_of_published_runs_has_the_table_of_the_tutorial(tmp_path, capsys):
    page = (ROOT / "docs" / "tutorial" / "first_run.md").read_text()
    (words,) = re.findall(r"report.py (outputs/published/\w+) --out DIR", page)
    assert main_of("report")([str(ROOT / words), "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    written = (tmp_path / "report.md").read_text()
    for network in ("ghost_resnet56", "resnet32", "resnet56"):
        (row,) = re.findall(rf"^\| {network} \| (\S+ ± \S+ \(3\))", page, re.MULTILINE)
        assert row in written


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
    "| 99.67 %": ("fsdd_alone/seed0", "test/acc"),
    "| 96.25 % mAP50": ("detectors_shapes/model=faster_rcnn_ghostnet_small", "test/map_50"),
}


@pytest.mark.parametrize("figure", RESULTS)
def test_figures_of_the_readme_are_those_of_the_records(figure):
    folder, metric = RESULTS[figure]
    value = result(ROOT / "outputs" / "published" / folder)["metrics"][metric]
    assert f"{100 * value:.2f} %" in figure
    assert figure in README.read_text()


CIFAR = {  # a row of docs/results/cifar10.md's first table -> its accuracy
    "ghost_resnet56": "87.26 ± 0.10",
    "resnet56": "88.77 ± 0.29",
    "resnet32": "88.33 ± 0.21",
}


def accuracies(study, runs, metric="test/acc"):
    """A metric, in percent, of the runs of a published study whose folders match `runs`."""
    folders = sorted((ROOT / "outputs" / "published" / study).glob(runs))
    return [100 * result(folder)["metrics"][metric] for folder in folders]


def spread_of_three(values):
    assert len(values) == 3
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def test_the_accuracy_after_200_epochs_is_that_of_the_record():
    (accuracy,) = accuracies("cifar10_200_epochs", "ghost_resnet56-0")
    assert f"| {accuracy:.2f} % (paper: 92.7 %) |" in README.read_text()
    numbers = (ROOT / "outputs" / "published" / "transcribed" / "numbers.csv").read_text()
    right = int(re.search(r'cifar10_200_epochs,"([\d,]+)"', numbers)[1].replace(",", ""))
    assert f"dataset=cifar10  # {right / 100:.2f} % in float32" in README.read_text()


def test_accuracies_over_three_seeds_are_those_of_the_records():
    page = (ROOT / "docs" / "results" / "cifar10.md").read_text()
    for network, written in CIFAR.items():
        assert spread_of_three(accuracies("cifar10_20_epochs", f"{network}-[012]")) == written
        assert f" {written} (3) |" in page
    cells = accuracies("detectors_bccd", "model=faster_rcnn_ghostnet_small,*", "test/map_50")
    assert f"| {spread_of_three(cells)} % mAP50 |" in README.read_text()


def test_accuracies_after_30_epochs_are_those_of_the_records():
    study = "cifar10_30_epochs"
    networks = (
        "ghost_resnet56",
        "g_ghost_resnet56",
        "resnet56",
        "resnet44",
        "resnet32",
        "resnet20",
    )
    spreads = [
        spread_of_three(accuracies(study, f"model={net},recipe=short,*")) for net in networks
    ]
    assert f"| {'; '.join(spreads)} % |" in README.read_text()


def test_accuracies_of_the_ablations_are_those_of_the_records():
    study = "cosine_vs_multistep_short"
    cosine, steps = (
        accuracies(study, f"sched={each},*") for each in ("cosine", "multistep_shares")
    )
    assert len(cosine) == len(steps) == 3
    means = f"{statistics.mean(cosine):.2f} and {statistics.mean(steps):.2f} % (n = 3)"
    assert means in README.read_text()
    study, text = "ratio_ablation_short", README.read_text()
    ratios = [
        accuracies(study, f"model.ratio={s}") + accuracies(study, f"model.ratio={s},*")
        for s in (1, 2, 4, 10)
    ]
    assert all(len(seeds) == 3 for seeds in ratios)
    assert ", ".join(f"{statistics.mean(seeds):.2f}" for seeds in ratios) + " % (n = 3)" in text


def test_accuracies_of_the_vggs_are_those_of_the_records():
    dense, ghost = (
        [
            f"{value:.2f}"
            for split in ("0", "0.1")
            for value in accuracies(
                "vgg_val_split_short", f"dataset.val_split={split},model={net},*"
            )
        ]
        for net in ("vgg16", "ghost_vgg16")
    )
    words = f"VGG-16 {', with a split '.join(dense)} %; Ghost {', '.join(ghost)} % |"
    assert words in README.read_text()


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


def test_every_published_folder_is_named():
    texts = "".join(page.read_text() for page in PAGES)
    for folder in (ROOT / "outputs" / "published").iterdir():
        assert re.search(rf"\b{folder.name}\b", texts), folder.name


def test_the_table_of_imports_is_the_tests():
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE)
    assert {name: set(SPAN.findall(may)) for name, may in rows} == MAY_IMPORT


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == ghostexp.__version__
    assert f"\n## {ghostexp.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_hooks_have_the_locked_ruff():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (ruff,) = (repo["rev"] for repo in hooks if "ruff" in repo["repo"])
    assert f"\nruff=={ruff[1:]}\n" in (ROOT / "requirements.lock").read_text()


def test_the_workflow_runs_what_the_project_runs():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    lines = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert any(line.endswith(".ci/run") for line in lines)
    for target in (line.split()[-1] for line in lines if line.startswith("make")):
        assert f"\n{target}: " in (ROOT / "Makefile").read_text()
    steps = [step.get("with", {}) for job in jobs.values() for step in job["steps"]]
    pythons = sorted({step["python-version"] for step in steps if "python-version" in step})
    told = (ROOT / "docs" / "howto" / "install.md").read_text()
    assert f"The tests pass with {' and '.join(pythons)}." in told
