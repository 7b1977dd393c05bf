"""Kernels are compiled once per source, compiler and constants; what is missing is said."""

import pytest

from ghostexp.layers.compiled import compile_library, load_library

SOURCE = 'extern "C" int number() { return NUMBER; }\n'


def test_missing_or_broken_compiler_is_named(monkeypatch, tmp_path):
    source = tmp_path / "number.cpp"
    source.write_text(SOURCE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for compiler, message in (("no-such-g++", "need a C"), ("false", "did not compile")):
        monkeypatch.setenv("CXX", compiler)
        with pytest.raises(ValueError, match=f"own kernels {message}"):
            compile_library(source, {})
    assert not (tmp_path / "cache").exists()


def test_constants_make_libraries_of_their_own(monkeypatch, tmp_path):
    source = tmp_path / "number.cpp"
    source.write_text(SOURCE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert [load_library(source, NUMBER=n).number() for n in (1, 2)] == [1, 2]
    built = sorted((tmp_path / "cache").rglob("*.so"))
    assert len(built) == 2
    assert compile_library(source, {"NUMBER": 1}) in built


def test_generated_code_follows_the_source(monkeypatch, tmp_path):
    source = tmp_path / "number.cpp"
    source.write_text(SOURCE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for factor in (2, 3):
        code = f'extern "C" int product() {{ return {factor} * number(); }}'
        assert load_library(source, code, NUMBER=7).product() == 7 * factor


def test_missing_compiler_is_one_sentence_at_the_command_line(app, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-g++")
    load_library.cache_clear()
    from ghostexp.layers import fast_norm

    fast_norm._kernels.cache_clear()
    assert app("callbacks=fast", "dataset=digits") == 1
    said = capsys.readouterr()
    assert "own kernels need a C++ compiler" in said.out
    assert "Traceback" not in said.out + said.err
