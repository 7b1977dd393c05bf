"""Kernels are compiled once per source, constants and target; what is missing is said."""

import os

import pytest

from ghostexp.kernels import compiler
from ghostexp.kernels.binding import load_library
from ghostexp.kernels.compiler import compile_library, machine_macros

SOURCE = 'extern "C" int number() { return NUMBER; }\n'
LANES = '#include "vectors.h"\nextern "C" int lanes() { return kVector; }\n'


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache folder, which is not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GHOSTEXP_MARCH", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "number.cpp"
    path.write_text(SOURCE)
    return path


def test_missing_or_broken_compiler_is_named(monkeypatch, cache, source):
    for name, message in (("no-such-g++", "need a C"), ("false", "did not compile")):
        monkeypatch.setenv("CXX", name)
        with pytest.raises(ValueError, match=f"our kernels {message}"):
            compile_library(source, {})
    assert not cache.exists()


def test_constants_make_libraries_of_their_own(cache, source):
    assert [load_library(source, (), NUMBER=n).number() for n in (1, 2)] == [1, 2]
    built = sorted(cache.rglob("*.so"))
    assert len(built) == 2
    assert compile_library(source, {"NUMBER": 1}) in built


def test_generated_code_follows_the_source(cache, source):
    for factor in (2, 3):
        code = f'extern "C" int product() {{ return {factor} * number(); }}'
        assert load_library(source, (), code, NUMBER=7).product() == 7 * factor


def test_a_changed_header_makes_another_library(cache, source):
    before = compile_library(source, {"NUMBER": 1})
    source.with_name("more.h").write_text("// nothing\n")
    assert compile_library(source, {"NUMBER": 1}) != before


@pytest.mark.parametrize(
    ("march", "macro", "lanes"),
    [("x86-64-v4", "__AVX512F__", 16), ("x86-64-v3", "__AVX2__", 8), ("x86-64", "__SSE2__", 4)],
)
def test_vectors_are_as_wide_as_the_targets(cache, tmp_path, monkeypatch, march, macro, lanes):
    if macro not in machine_macros():
        pytest.skip(f"this CPU has no {macro}")
    source = tmp_path / "lanes.cpp"
    source.write_text(LANES)
    (tmp_path / "vectors.h").write_text(
        (compiler.Path(compiler.__file__).with_name("vectors.h")).read_text()
    )
    monkeypatch.setenv("GHOSTEXP_MARCH", march)
    assert load_library(source, ()).lanes() == lanes
    (library,) = cache.rglob("*.so")
    monkeypatch.delenv("GHOSTEXP_MARCH")
    assert compile_library(source, {}) != library


def test_a_target_that_this_machine_lacks_is_refused(cache, source, monkeypatch):
    there = {
        "native": "#define __AVX2__ 1",
        "x86-64-v4": "#define __AVX2__ 1\n#define __AVX512F__ 1",
    }
    monkeypatch.setattr(compiler, "_macros", there.get)
    monkeypatch.setenv("GHOSTEXP_MARCH", "x86-64-v4")
    with pytest.raises(ValueError, match="GHOSTEXP_MARCH=x86-64-v4 needs a CPU with AVX512F"):
        compile_library(source, {})


def test_a_target_that_the_compiler_does_not_know_is_named(cache, source, monkeypatch):
    monkeypatch.setenv("GHOSTEXP_MARCH", "abacus")
    with pytest.raises(ValueError, match=r"for GHOSTEXP_MARCH=abacus: .*abacus.*-march"):
        compile_library(source, {})


def test_a_cache_that_cannot_be_made_is_one_sentence(source, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"cannot be made \(Not a directory\): the variable XDG_"):
        compile_library(source, {"NUMBER": 1})


def test_missing_compiler_is_one_sentence_at_the_command_line(app, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-g++")
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    from ghostexp.kernels import binding

    binding._load.cache_clear()
    assert app("callbacks=fast", "dataset=digits") == 1
    said = capsys.readouterr()
    assert "our kernels need a C++ compiler" in said.out
    assert "Traceback" not in said.out + said.err
