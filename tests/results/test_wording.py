"""Numbers with their nouns."""

import pytest

from ghostexp.results.wording import counted


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (11, "11 runs")]
)
def test_a_noun_follows_its_number(number, said):
    assert counted(number, "run") == said
