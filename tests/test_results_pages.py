"""The pages that are made of records and configs are fresh, and nobody typed a result into them."""

import importlib.util
import re
from functools import cache

import pytest
from helpers import ROOT

TEMPLATES = sorted((ROOT / "docs" / "templates").rglob("*.md"))
MADE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
CODE = re.compile(r"`[^`]*`|(?:^ {4}.*\n)+", re.MULTILINE)
RESULT = re.compile(r"[\d.,]*\d ?(?:%|points|ms\b|M\b|images/s|times as)")
CLAIM = re.compile(r"^\|[^|]*\|", re.MULTILINE)  # the first column of claims.md, which quotes
NOT_OURS = {  # what the templates say besides our results
    "4.5 points",  # a claim of the unpublished report
    *("0.43 M", "63 M"),  # printed in the GhostNet paper
    *("1.05 times as", "30 %", "95 %"),  # a rule of the code, the noise, an interval
    *("20 %", "98 %"),
}


@cache
def writer():
    spec = importlib.util.spec_from_file_location("write_pages", ROOT / "docs" / "write_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name_of(template):
    return str(template.relative_to(ROOT / "docs" / "templates"))


@pytest.mark.parametrize("template", TEMPLATES, ids=name_of)
def test_the_page_says_what_the_records_say(template):
    page = ROOT / "docs" / name_of(template)
    assert page.read_text() == writer().render(template), "make results"


@pytest.mark.parametrize("template", TEMPLATES, ids=name_of)
def test_no_result_is_typed_by_hand(template):
    text = template.read_text()
    if template.name == "claims.md":
        text = CLAIM.sub("", text)
    prose = CODE.sub("", MADE.sub("", text))
    assert set(RESULT.findall(prose)) <= NOT_OURS


def test_every_page_of_results_is_made():
    made = {ROOT / "docs" / name_of(template) for template in TEMPLATES}
    assert set((ROOT / "docs" / "results").glob("*.md")) <= made


def test_the_shares_and_differences_are_right():
    """Independent of the report code: from the text of the records."""
    facts = writer().facts()
    text = (ROOT / "outputs/published/fsdd_digits/held_out_speaker/result.json").read_text()
    (accuracy,) = re.findall(r'"test/acc": ([\d.]+)', text)
    assert facts["share"]("fsdd_digits/held_out_speaker") == f"{100 * float(accuracy):.2f}"
    assert facts["loss_of"]("fsdd_digits/held_out_speaker", "fsdd_digits/official_split") == "10.7"
    assert facts["native_gain"]("inference_resnet56", 2) == f"{104.60 / 44.21:.2f}"
    points, interval = facts["difference"]("cifar10_20_epochs", "resnet32-0", "resnet56-0")
    assert points == "−0.44"  # 88.33 - 88.77
    assert interval == "−1.03 to +0.15"
