"""Audio data sets from their shipped configs, over small trees of the official form."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers import ROOT, main_of
from omegaconf import OmegaConf

from ghostexp.config.audit import audit
from ghostexp.config.build import build
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.data.draws import Place
from ghostexp.data.tones import CLASS_NAMES

SPEAKERS = ["anna", "bert", "carl", "dora", "emil", "fred"]


def write(path: Path, pitch: float = 440.0, rate: int = 8000, seconds: float = 0.1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, samples, rate)


def make(choice: str, *overrides: str):
    """Datamodule of a shipped config, checked as by the command line, not yet loaded."""
    cfg = compose_config([f"dataset={choice}", *overrides])
    OmegaConf.update(cfg, "run_dir", "run")
    audit(cfg, [ROOT / "conf"])
    return build(cfg.dataset, "dataset")


def ready(choice: str, *overrides: str):
    data = make(choice, *overrides)
    data.prepare_data()
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def fsdd_root(tmp_path_factory):
    """Ten digits by six speakers, recordings 0, 4, 5 and 6."""
    root = tmp_path_factory.mktemp("fsdd")
    for digit in range(10):
        for number, speaker in enumerate(SPEAKERS):
            for index in (0, 4, 5, 6):
                name = f"{digit}_{speaker}_{index}.wav"
                write(root / "recordings" / name, 200 + 100 * number + 20 * digit)
    return root


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def names_of(data, indices) -> list[list[str]]:
    """Parts of the file names of an FSDD tree, in the order of the files."""
    files = sorted((Path(data) / "recordings").glob("*.wav"))
    return [files[index].stem.split("_") for index in indices.tolist()]


def test_fsdd_is_split_by_index(fsdd_root):
    data = ready("fsdd", f"dataset.root={fsdd_root}")
    assert data.class_names == SPEAKERS
    assert data.input_shape == (1, 64, 101)
    assert {part[2] for part in names_of(fsdd_root, data.labelled_set.test)} == {"0", "4"}
    assert {part[2] for part in names_of(fsdd_root, data.train)} == {"5", "6"}
    speakers = [SPEAKERS.index(part[1]) for part in names_of(fsdd_root, torch.arange(240))]
    assert data.labelled_set.labels.tolist() == speakers
    examples, labels = next(iter(data.train_dataloader()))
    assert examples.shape == (32, 8000)
    inputs, _ = data.augment.train(examples, labels, Place(0))
    assert inputs.shape == (32, *data.input_shape)


def test_a_speaker_is_held_out_of_the_digits(fsdd_root, caplog):
    root = f"dataset.root={fsdd_root}"
    official = ready("fsdd_digits", root)
    assert official.class_names == list("0123456789")
    assert "120 of 120 test examples belong to a group" in caplog.text
    caplog.clear()
    data = ready("fsdd_digits", root, "dataset.held_out_speaker=carl")
    assert {part[1] for part in names_of(fsdd_root, data.labelled_set.test)} == {"carl"}
    assert {part[1] for part in names_of(fsdd_root, data.train)} == set(SPEAKERS) - {"carl"}
    assert (data.num_train, len(data.labelled_set.test)) == (200, 40)
    assert caplog.text == ""


def test_validation_speakers_are_held_out_or_warned_of(fsdd_root, caplog):
    overrides = [
        f"dataset.root={fsdd_root}",
        "dataset.held_out_speaker=carl",
        "dataset.val_split=0.1",
    ]
    leaky = ready("fsdd_digits", *overrides)
    assert len(leaky.val) == 20
    assert "20 of 20 val examples belong to a group" in caplog.text
    caplog.clear()
    data = ready("fsdd_digits", *overrides, "dataset.keep_groups=true")
    val, train = (
        {part[1] for part in names_of(fsdd_root, part)} for part in (data.val, data.train)
    )
    assert len(val) == 1
    assert val | train == set(SPEAKERS) - {"carl"}
    assert not val & train
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["dataset.target=word"], "target is speaker or digit, not word"),
        (["dataset.target=digit"], "num_classes of FSDD with target digit is 10, not 6"),
        (["dataset.held_out_speaker=carl"], "are for target=digit: a speaker is a class"),
        (["dataset.in_channels=3"], "in_channels of audio is 1, a spectrogram, not 3"),
        (["dataset.on_bad_file=ignore"], "on_bad_file is error or skip, not ignore"),
        (["dataset.seconds=0.01"], "seconds=0.01 is shorter than a window: 80 samples at 8000 Hz"),
        (["dataset.augment.log_mel.f_max=4400"], "sample_rate=8000 is below twice f_max=4400 Hz"),
    ],
)
def test_wrong_values_are_named_before_data_are_looked_for(overrides, sentence):
    with pytest.raises(UserError, match=sentence):
        make("fsdd", *overrides)


def test_fsdd_names_what_it_does_not_know(fsdd_root, tmp_path):
    with pytest.raises(ValueError, match=r"held_out_speaker=gerd is none of the speakers \(anna,"):
        ready("fsdd_digits", f"dataset.root={fsdd_root}", "dataset.held_out_speaker=gerd")
    write(tmp_path / "recordings" / "hello.wav")
    with pytest.raises(ValueError, match="hello.wav is not named <digit>_<speaker>_<index>.wav"):
        ready("fsdd", f"dataset.root={tmp_path}")


def test_audio_folder_keeps_groups_on_one_side(tmp_path):
    for label, name in enumerate(("high", "low")):
        for number in range(20):
            write(tmp_path / name / f"{number // 2}_{number}.wav", 300 + 900 * label, rate=16000)
    overrides = [f"dataset.root={tmp_path}", "dataset.num_classes=2"]
    loose = ready("audio_folder", *overrides)
    assert loose.labelled_set.labels[loose.labelled_set.test].bincount().tolist() == [4, 4]
    pattern = "dataset.group_pattern='^([0-9]+)_'"
    kept = ready("audio_folder", *overrides, pattern, "dataset.val_split=0.2")
    groups = kept.labelled_set.groups
    parts = [set(groups[part].tolist()) for part in (kept.train, kept.val, kept.labelled_set.test)]
    assert parts[0] | parts[1] | parts[2] == set(range(10))
    assert sum(map(len, parts)) == 10
    assert len(parts[2]) == 2
    with pytest.raises(
        UserError, match=r"group_pattern=\^x has no bracket \(\?P<group>...\) around the group"
    ):
        ready("audio_folder", *overrides, "dataset.group_pattern='^x'")


def test_audio_folder_with_split_folders(tmp_path):
    for split, count in {"train": 3, "val": 2, "test": 1}.items():
        for name in ("cat", "dog"):
            for number in range(count):
                write(tmp_path / split / name / f"{number}.flac", rate=16000)
    overrides = [f"dataset.root={tmp_path}", "dataset.num_classes=2"]
    data = ready("audio_folder", *overrides)
    assert (data.num_train, len(data.val), len(data.labelled_set.test)) == (6, 4, 2)
    with pytest.raises(UserError, match="has a validation part, so val_split must be 0, not 0.1"):
        make("audio_folder", *overrides, "dataset.val_split=0.1")
    with pytest.raises(UserError, match="give dataset.root=FOLDER"):
        make("audio_folder")
    with pytest.raises(ValueError, match="root=nowhere is no folder"):
        ready("audio_folder", "dataset.root=nowhere")


def write_esc50(root: Path) -> None:
    fields = ["filename", "fold", "target", "category", "esc10", "src_file", "take"]
    (root / "meta").mkdir()
    with (root / "meta" / "esc50.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(fields)
        for fold in range(1, 6):
            for target in range(50):
                name = f"{fold}-{100 * fold + target}-A-{target}.wav"
                write(root / "audio" / name, 100 + 50 * target, seconds=0.05)
                is_esc10 = target % 5 == 0
                rows.writerow(
                    [name, fold, target, f"sound {target}", is_esc10, 100 * fold + target, "A"]
                )


def test_esc50_folds_and_esc10(tmp_path, caplog):
    write_esc50(tmp_path)
    shorter = ["dataset.seconds=0.1", "dataset.augment.log_mel.sample_rate=8000"]
    shorter += ["dataset.augment.log_mel.n_fft=256", "dataset.augment.log_mel.n_mels=32"]
    root = f"dataset.root={tmp_path}"
    data = ready("esc50", root, "dataset.fold=3", *shorter)
    assert (data.num_train, len(data.labelled_set.test)) == (200, 50)
    assert data.class_names == [f"sound {target}" for target in range(50)]
    assert data.labelled_set.test.tolist() == list(range(100, 150))
    assert caplog.text == ""  # no source is on both sides
    ten = ready("esc10", root, *shorter)
    assert ten.class_names == [f"sound {target}" for target in range(0, 50, 5)]
    assert (ten.num_train, len(ten.labelled_set.test)) == (40, 10)
    with pytest.raises(UserError, match="num_classes of ESC-10 is 10, not 50"):
        make("esc50", "dataset.esc10=true")
    with pytest.raises(UserError, match="fold of ESC-50 is 1 to 5, as published, not 6"):
        make("esc50", "dataset.fold=6")


def test_speech_commands_follow_their_lists(tmp_path):
    lists = {
        "validation": ["no/b_nohash_0.wav", "yes/b_nohash_0.wav"],
        "testing": ["yes/c_nohash_0.wav"],
    }
    for word in ("no", "yes"):
        for speaker in "abcd":
            write(tmp_path / word / f"{speaker}_nohash_0.wav", rate=16000)
    write(tmp_path / "_background_noise_" / "hum.wav", rate=16000)
    for name, files in lists.items():
        (tmp_path / f"{name}_list.txt").write_text("\n".join(files) + "\n")
    overrides = [f"dataset.root={tmp_path}", "dataset.num_classes=2"]
    data = ready("speech_commands", *overrides)
    assert data.class_names == ["no", "yes"]
    assert data.has_validation
    assert data.train.tolist() == [0, 2, 3, 4, 7]
    assert (data.val.tolist(), data.labelled_set.test.tolist()) == ([1, 5], [6])
    (tmp_path / "no" / "b_nohash_0.wav").unlink()
    with pytest.raises(ValueError, match="lacks 1 of the listed files, such as no/b_nohash_0.wav"):
        ready("speech_commands", *overrides)
    with pytest.raises(UserError, match="has a validation list, so val_split must be 0, not 0.1"):
        make("speech_commands", "dataset.val_split=0.1")


def test_tones_are_the_same_each_time_and_normalised():
    data, again = ready("tones"), ready("tones", "seed=5")
    everything = torch.arange(600)
    sounds = data.labelled_set.examples[everything]
    assert torch.equal(sounds, again.labelled_set.examples[everything])
    assert data.class_names == CLASS_NAMES
    assert data.labelled_set.labels[data.train].bincount().tolist() == [80] * 6
    assert data.labelled_set.labels[data.labelled_set.test].bincount().tolist() == [20] * 6
    inputs = data.augment.evaluate(sounds[data.train])
    assert inputs.shape[1:] == data.input_shape
    assert float(inputs.mean()) == pytest.approx(0, abs=0.01)
    assert float(inputs.std()) == pytest.approx(1, abs=0.01)


def test_chirps_go_up_and_down():
    data = ready("tones")
    sounds = data.labelled_set.examples[torch.arange(200)]
    log_mel = data.augment.log_mel(sounds.float() / 2**15)[:, 0]
    loudest = log_mel.argmax(1).float()  # [200, frames]
    moves = loudest[:, -15:-5].mean(1) - loudest[:, 5:15].mean(1)
    assert (moves[:100] < 0).all()
    assert (moves[100:] > 0).all()


def test_a_run_is_trained_evaluated_and_predicts_other_recordings(app, tmp_path, capsys):
    overrides = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "model=resnet20"]
    quiet = ["callbacks.progress=null", "callbacks.summary=null", "trainer.log_every_n_steps=1"]
    assert app("dataset=tones", "task.channels_last=false", *overrides, *quiet) == 0
    (run,) = tmp_path.glob("outputs/train/*")
    assert main_of("evaluate")([str(run)]) == 0
    folder = tmp_path / "sounds"
    write(folder / "same.wav", seconds=0.5)
    write(folder / "longer.flac", rate=44100, seconds=1.7)
    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (3000, 2))
    soundfile.write(folder / "stereo.ogg", stereo, 16000)
    (folder / "text.wav").write_text("no sound")
    (folder / "notes.txt").write_text("not looked at")
    capsys.readouterr()
    assert main_of("predict")([str(run), str(folder)]) == 1
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [Path(line["file"]).name for line in lines] == ["longer.flac", "same.wav", "stereo.ogg"]
    for line in lines:
        assert sum(entry["probability"] for entry in line["top"]) <= 1 + 1e-5
        assert line["class"] in CLASS_NAMES
    assert "text.wav cannot be read as audio" in said.err


def test_any_network_runs_a_batch(app):
    assert app("dataset=tones", "model=ghost_resnet56", "dataset.batch_size=4", "debug=fast") == 0


def test_complexity_is_of_the_spectrogram(capsys):
    assert main_of("complexity")(["model=resnet20", "dataset=fsdd", "--json"]) == 0
    assert '"macs"' in capsys.readouterr().out
