"""A run's folder is data: whatever its config says, no script executes or fetches it."""

import os
import shutil
import sys
from itertools import cycle, islice
from pathlib import Path

import pytest
import torch
from helpers import main_of
from omegaconf import OmegaConf
from PIL import Image

from ghostexp.config import grants
from ghostexp.config.audit import audit_saved
from ghostexp.config.explain import UserError
from ghostexp.config.saved import CONFIG_FILE
from ghostexp.runs.load import load_run, saved_config

CANARY = "canary"
SHELL = f"touch {CANARY}"
SCRIPTS = {  # script -> its arguments after the run's folder
    "evaluate": (),
    "predict": ("photo.png",),
    "features": ("--index", "0"),
    "embeddings": (),
    "export": ("--format", "torch_export"),
}
EXECUTING = [  # name, arguments: what ran a command, read a pickle or fetched a file when named
    ("os.system", {"command": SHELL}),
    ("posix.system", {"command": SHELL}),
    ("subprocess.call", {"args": SHELL, "shell": True}),
    ("builtins.eval", {"_args_": [f"open('{CANARY}', 'w')"]}),
    ("builtins.exec", {"_args_": [f"open('{CANARY}', 'w')"]}),
    ("builtins.open", {"_args_": [CANARY, "w"]}),
    ("functools.partial", {"_args_": [{"_target_": "os.system", "_partial_": True}, SHELL]}),
    ("hydra.utils.call", {"config": {"_target_": "os.system", "command": SHELL}}),
    ("hydra.utils.instantiate", {"config": {"_target_": "os.system", "command": SHELL}}),
    ("hydra.utils.get_method", {"path": "os.system"}),
    ("torch.os.system", {"command": SHELL}),
    ("torch.hub.load", {"repo_or_dir": ".", "model": "net", "source": "local"}),
    ("torch.hub.download_url_to_file", {"url": "file:photo.png", "dst": CANARY}),
    ("torch.load", {"f": "hostile.pt", "weights_only": False}),
    ("torch.serialization.load", {"f": "hostile.pt", "weights_only": False}),
    ("torch.jit.load", {"f": "hostile.pt"}),
    ("torch.save", {"obj": 1, "f": CANARY}),
    ("torch.package.PackageImporter", {"file_or_buffer": "hostile.pt"}),
    ("torch.utils.collect_env.run", {"command": SHELL}),
    ("torch.utils.cpp_extension.load_inline", {"name": "x", "cpp_sources": ""}),
    ("torch.utils.cpp_extension.subprocess.call", {"args": SHELL, "shell": True}),
    ("torch._C._jit_get_operation", {"op_name": "x"}),
    ("torch._dynamo.utils.os.system", {"command": SHELL}),
    ("torch.nn.modules.module.torch.os.system", {"command": SHELL}),
    ("torch.nn.Module.__init__.__globals__", {}),
    ("torch.nn.parallel.distributed.os.system", {"command": SHELL}),
    ("torch.fx.GraphModule", {"root": {}, "graph": None, "class_name": SHELL}),
    ("torchvision.datasets.utils.download_url", {"url": "file:photo.png", "root": "."}),
    ("torchvision.io.write_file", {"filename": CANARY, "data": None}),
    ("torchvision.models._api.inspect.os.system", {"command": SHELL}),
    ("torchvision.os.system", {"command": SHELL}),
    ("timm.models.load_checkpoint", {"model": None, "checkpoint_path": "hostile.pt"}),
    ("timm.models.hub.os.system", {"command": SHELL}),
    ("pytorch_lightning.LightningModule.load_from_checkpoint", {"checkpoint_path": "hostile.pt"}),
    ("pytorch_lightning.core.saving.load_hparams_from_yaml", {"config_yaml": "hostile.pt"}),
    ("pytorch_lightning.utilities.cloud_io.get_filesystem", {"path": "."}),
    ("ghostexp.files.atomic.write_text", {"path": CANARY, "text": "x"}),
    ("ghostexp.download.fetch", {"url": "file:photo.png", "path": CANARY}),
    ("ghostexp.sweeps.sweep.clear", {"directory": "."}),
    ("ghostexp.config.build.build_network", {"cfg": {}}),
    ("ghostexp.runs.load.torch.load", {"f": "hostile.pt", "weights_only": False}),
    ("theirs.net", {}),
]
PLACES = ("model", "dataset", "optimizer", "sched.scheduler", "task", "trainer")
NESTED = (  # places within a node that is itself as it should be
    *("dataset.augment", "dataset.augment.mix", "task.loss", "task.metrics.f1"),
    *("task.param_groups", "trainer.profiler", "trainer.strategy", "dataset.seed"),
)


class Hostile:
    """Makes the canary when it is unpickled."""

    def __reduce__(self):
        return os.system, (SHELL,)


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A run's folder in an empty folder, beside a hostile pickle and module."""
    monkeypatch.chdir(tmp_path)
    torch.save(Hostile(), tmp_path / "hostile.pt")
    (tmp_path / "hubconf.py").write_text(f"open('{CANARY}', 'w')\ndef net(): pass\n")
    (tmp_path / "theirs.py").write_text(f"open('{CANARY}', 'w')\ndef net(): pass\n")
    Image.new("L", (8, 8)).save(tmp_path / "photo.png")
    grants.grant([])
    return shutil.copytree(trained, tmp_path / "run")


def poison(run, key, value):
    """Put `value` at `key` of a run's saved config."""
    path = run / ".hydra" / "config.yaml"
    cfg = OmegaConf.load(path)
    OmegaConf.update(cfg, key, value, merge=False, force_add=True)
    path.write_text(OmegaConf.to_yaml(cfg))


def assert_refused(capsys, code, name):
    said = capsys.readouterr()
    assert code == 1, name
    assert said.err.startswith("error: "), name
    assert said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err + said.out
    assert not Path(CANARY).exists(), name


def restored(run):
    """Function that puts back the run's config as it is now."""
    path = run / ".hydra" / "config.yaml"
    saved = path.read_text()
    return lambda: path.write_text(saved)


def test_no_name_executes_at_any_place(run):
    saved = OmegaConf.load(run / ".hydra" / "config.yaml")
    audit_saved(saved.copy(), run, run / CONFIG_FILE)  # it is taken as it is
    places = cycle((*PLACES, *NESTED))
    for target, arguments in EXECUTING:
        for place, partial in zip(
            ("model", *islice(places, 4)), cycle((False, True)), strict=False
        ):
            cfg = saved.copy()
            node = {"_target_": target, "_partial_": partial, **arguments}
            OmegaConf.update(cfg, place, node, merge=place in PLACES, force_add=True)
            with pytest.raises(UserError, match=f"{place}(._target_=| takes a plain)"):
                audit_saved(cfg, run, run / CONFIG_FILE)
    assert not Path(CANARY).exists()


HOSTILE_NODE = "{_target_: os.system, command: 'touch canary'}"
HOSTILE_CONFIGS = {  # key -> value, as written in YAML, for each way to hide a name
    "plain": {"model._target_": "torch.os.system", "model.command": SHELL},
    "created": {"model": f"${{oc.create:{HOSTILE_NODE}}}"},
    "decoded": {"text": HOSTILE_NODE, "model": "${oc.decode:${text}}"},
    "nested": {"model.inner_norm": f"${{oc.create:{HOSTILE_NODE}}}"},
    "name by reference": {"model._target_": "${evil}", "evil": "os.system"},
    "name escaped": {"model._target_": "\\${evil}", "evil": "os.system"},
    "node escaped": {"task.loss": f"\\${{oc.create:{HOSTILE_NODE}}}"},
    "grants itself": {"allow_targets": ["os", "posix"], "model._target_": "os.system"},
    "grants itself a module": {"allow_targets": ["theirs"], "model._target_": "theirs.net"},
    "wrong role": {"model._target_": "torch.optim.SGD"},
    "callable for an activation": {
        "dataset.augment.mix": {"_target_": "torch.hub.load", "_partial_": True}
    },
    "environment": {"dataset.seed": "${oc.env:HOME}"},
    "environment, decoded": {"x": "$", "y": "{oc.env:HOME}", "name": "${oc.decode:${x}${y}}"},
    "folder": {"name": "${new_run_dir:../canary,null}"},
    "hub": {"model": {"_target_": "timm.create_model", "model_name": "hf-hub:a/b"}},
    "hub folder": {"model": {"_target_": "timm.create_model", "model_name": "local-dir:."}},
    "no node": {"model": "torch.nn.Identity"},
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_refuses_every_hostile_config_with_a_sentence(run, capsys, script):
    restore, main = restored(run), main_of(script)
    for name, values in HOSTILE_CONFIGS.items():
        for key, value in values.items():
            poison(run, key, value)
        assert_refused(capsys, main([str(run), *SCRIPTS[script]]), name)
        restore()
    assert not list(Path.cwd().parent.glob(CANARY))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_refuses_a_hostile_file(run, capsys, script):
    config, main = run / ".hydra" / "config.yaml", main_of(script)
    saved = config.read_text()
    for tag in ("apply", "new"):
        config.write_text(f"{saved}x: !!python/object/{tag}:os.system ['{SHELL}']\n")
        assert_refused(capsys, main([str(run), *SCRIPTS[script]]), tag)
    config.write_text(saved)
    for checkpoint in (run / "checkpoints").iterdir():
        shutil.copy("hostile.pt", checkpoint)
    assert_refused(capsys, main([str(run), *SCRIPTS[script]]), "checkpoint")


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_an_evaluation_does_not_need_is_neither_built_nor_loaded(run, capsys, script):
    poison(run, "callbacks.x", {"_target_": "os.system", "command": SHELL})
    poison(run, "logger.x", {"_target_": "os.system", "command": SHELL})
    poison(run, "model.weights", "hostile.pt")
    cfg = OmegaConf.load(run / ".hydra" / "config.yaml")
    cfg.model._target_ = "ghostexp.models.efficientnet.efficientnet_v2_s"  # it takes weights
    for key in cfg.model.keys() - {"_target_", "num_classes", "in_channels", "weights"}:
        cfg.model.pop(key)
    (run / ".hydra" / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
    assert saved_config(run).model.weights is None
    assert_refused(capsys, main_of(script)([str(run), *SCRIPTS[script]]), "weights do not fit")


def test_callbacks_and_loggers_of_a_run_are_not_built(run, capsys):
    for place in ("callbacks.x", "logger.x"):
        poison(run, place, {"_target_": "os.system", "command": SHELL})
    assert main_of("evaluate")([str(run)]) == 0
    assert not Path(CANARY).exists()


def test_pretrained_weights_are_neither_fetched_nor_read(run):
    pytest.importorskip("timm")
    node = {"_target_": "timm.create_model", "model_name": "resnet18", "pretrained": True}
    poison(run, "model", {**node, "checkpoint_path": "hostile.pt"})
    assert saved_config(run).model == {**node, "pretrained": False, "checkpoint_path": ""}
    detector = "torchvision.models.detection.fasterrcnn_resnet50_fpn"
    poison(run, "model", {"_target_": detector, "weights": "DEFAULT"})
    assert saved_config(run).model == {  # the backbone's weights are fetched where nothing is said
        "_target_": detector, "weights": None, "weights_backbone": None,
    }  # fmt: skip
    named = {"_target_": "torchvision.models.get_model", "name": "FasterRCNN_ResNet50_FPN"}
    poison(run, "model", named)
    assert saved_config(run).model == {**named, "weights_backbone": None}
    poison(run, "model", {**named, "name": "nosuch"})
    with pytest.raises(UserError, match="Unknown model nosuch"):
        saved_config(run)


@pytest.mark.parametrize("root", ["elsewhere", "."])
def test_nothing_is_downloaded_for_a_run(run, monkeypatch, root):
    def connect(*arguments, **keywords):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr("urllib.request.OpenerDirector.open", connect)
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", connect)
    poison(run, "dataset._target_", "ghostexp.data.cifar10")
    poison(run, "dataset.root", root)
    for key, value in {"in_channels": 3, "image_size": 32}.items():
        poison(run, f"dataset.{key}", value)
    poison(run, "dataset.augment.mean", [0.5] * 3)
    poison(run, "dataset.augment.std", [0.5] * 3)
    before = sorted(Path.cwd().rglob("*"))
    with pytest.raises(UserError, match="these weights do not fit the config of the run"):
        load_run(run)  # 3 channels
    state = run / "checkpoints" / "best.ckpt"
    content = torch.load(state, weights_only=True)
    first = next(key for key, value in content["state_dict"].items() if value.ndim == 4)
    content["state_dict"][first] = content["state_dict"][first].repeat(1, 3, 1, 1)
    torch.save(content, state)
    with pytest.raises(UserError, match=f"CIFAR10 is not in {root}, and this command downloads"):
        load_run(run)
    assert sorted(Path.cwd().rglob("*")) == before


def test_the_place_of_the_data_may_come_from_the_environment(run, monkeypatch):
    poison(run, "dataset.root", "${oc.env:DATA_OF_A_TEST}")
    monkeypatch.setenv("DATA_OF_A_TEST", "somewhere")
    with pytest.raises(UserError, match="dataset.root: no such key"):  # digits have none
        saved_config(run)
    poison(run, "dataset._target_", "ghostexp.data.cifar10")
    assert saved_config(run).dataset.root == "somewhere"
    assert OmegaConf.create({"x": "${oc.env:DATA_OF_A_TEST}"}).x == "somewhere"  # as before


@pytest.mark.parametrize("script", ["evaluate", "predict"])
def test_the_command_line_trusts_a_package(run, capsys, monkeypatch, script):
    Path("trusted.py").write_text(
        "import ghostexp.models\n"
        "def net(**arguments): return ghostexp.models.ghost_resnet56(**arguments)\n"
    )
    monkeypatch.syspath_prepend(Path.cwd())
    poison(run, "model._target_", "trusted.net")
    arguments = [str(run), *SCRIPTS[script]]
    assert main_of(script)(arguments) == 1
    assert "--allow-target trusted" in capsys.readouterr().err
    assert main_of(script)([*arguments, "--allow-target", "trusted"]) == 0
    poison(run, "model._target_", "trusted.ghostexp.models.ghost_resnet56")  # not trusted, but ours
    assert main_of(script)([*arguments, "--allow-target", "trusted"]) == 0
    poison(run, "model", {"_target_": "trusted.ghostexp.models.convert.logging.os.system"})
    capsys.readouterr()
    assert_refused(capsys, main_of(script)([*arguments, "--allow-target", "trusted"]), "trusted")
    sys.modules.pop("trusted")


def test_going_on_with_a_hostile_run_executes_nothing(run, app, capsys):
    for place in ("model", "callbacks.x", "logger.x", "task.loss"):
        restore = restored(run)
        poison(run, place, {"_target_": "torch.os.system", "command": SHELL})
        poison(run, "allow_targets", ["torch", "os", "posix"])
        assert app(f"resume={run}", "trainer.max_epochs=2") == 1
        assert "_target_=torch.os.system" in "".join(capsys.readouterr())
        assert not Path(CANARY).exists()
        restore()


def test_a_yaml_file_cannot_grant_itself_a_package(app, run, capsys, monkeypatch):
    folder = Path("ext") / "experiment"
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text(
        "# @package _global_\nallow_targets: [theirs]\nmodel:\n  _target_: theirs.net\n"
    )
    monkeypatch.syspath_prepend(Path.cwd())
    assert app("experiment=evil", f"hydra.searchpath=[file://{Path('ext').resolve()}]") == 1
    assert "No file can allow another package" in "".join(capsys.readouterr())
    assert not Path(CANARY).exists()
