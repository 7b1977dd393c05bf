"""Runs, checkpoints and configs made by somebody who wants a command executed: `touch canary`."""

import io
import os
import pickle
import zipfile
from typing import Any

from launches.bad.runs import BEST, CONFIG, LAST, READERS
from launches.judge import CANARY, Launch
from launches.places import QUICK, configured, has, merged, pictures, written

TOUCH = f"touch {CANARY}"
WRITE = f"open('{CANARY}', 'w').close()"


class _Evil:
    """Executes a command when it is unpickled."""

    def __reduce__(self) -> tuple:
        return os.system, (TOUCH,)


def _zipped(pickled: bytes) -> bytes:
    """A file in the form of torch.save whose pickle is this one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return buffer.getvalue()


EVIL = pickle.dumps(_Evil(), protocol=2)  # torch's
NEWER = pickle.dumps(_Evil())
HUB = written("hub/hubconf.py", f"{WRITE}\ndef net():\n    {WRITE}\n")
PLANTED = (  # what the attacks refer to, in the working folder
    HUB,
    written("evil.pkl", EVIL),
    written("evil.ckpt", _zipped(EVIL)),
    written("evil.py", WRITE),
    written("payload", "x"),
    pictures("images", classes=1),
)


def _node(target: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": target, **arguments}


ATTACKS = {  # what stands where a node should be
    "os": _node("os.system", command=TOUCH),
    "posix": _node("posix.system", command=TOUCH),
    "subprocess": _node("subprocess.check_call", args=["touch", CANARY]),
    "exec": _node("builtins.exec", _args_=[WRITE]),
    "eval": _node("builtins.eval", _args_=[WRITE]),
    "open": _node("builtins.open", file=CANARY, mode="w"),
    "runpy": _node("runpy.run_path", path_name="evil.py"),
    "import": _node("importlib.import_module", name="evil"),
    "evil module": _node("evil.net"),
    "pickle": _node("pandas.read_pickle", filepath_or_buffer="evil.pkl"),
    "partial": _node(
        "functools.partial", _args_=[_node("hydra.utils.get_method", path="os.system"), TOUCH]
    ),
    "hydra instantiate": _node("hydra.utils.instantiate", config=_node("os.system", command=TOUCH)),
    "hydra call": _node("hydra.utils.call", _args_=[_node("os.system", command=TOUCH)]),
    "torch.os": _node("torch.os.system", command=TOUCH),
    "deep os": _node("torch.utils.data.dataloader.os.system", command=TOUCH),
    "our os": _node("ghostexp.config.cli.os.system", command=TOUCH),
    "lightning os": _node("pytorch_lightning.trainer.trainer.os.system", command=TOUCH),
    "timm os": _node("timm.models._hub.os.system", command=TOUCH),
    "builtins of torch": _node("torch.builtins.exec", _args_=[WRITE]),
    "hub": _node("torch.hub.load", repo_or_dir="hub", model="net", source="local"),
    "hub unpickles": _node(
        "torch.hub.load_state_dict_from_url", url="file:evil.pkl", weights_only=False
    ),
    "torch.load": _node("torch.load", f="evil.pkl", weights_only=False),
    "serialization": _node("torch.serialization.load", f="evil.ckpt", weights_only=False),
    "jit": _node("torch.jit.load", f="evil.ckpt"),
    "torch.save": _node("torch.save", obj=1, f=CANARY),
    "collect_env": _node("torch.utils.collect_env.run", command=TOUCH),
    "download": _node(
        "torchvision.datasets.utils.download_url", url="file:payload", root=".", filename=CANARY
    ),
    "cpp": _node(
        "torch.utils.cpp_extension.load_inline", name="x", cpp_sources="", build_directory=CANARY
    ),
    "lightning load": _node("lightning_fabric.utilities.cloud_io._load", path_or_url="evil.pkl"),
    "checkpoint": _node(
        "pytorch_lightning.LightningModule.load_from_checkpoint",
        checkpoint_path="evil.ckpt",
        weights_only=False,
    ),
    "our file": _node(
        "ghostexp.files.atomic.write_text", path=_node("pathlib.Path", _args_=[CANARY]), text="x"
    ),
    "our lock": _node(
        "ghostexp.files.lock.Lock.acquire", self=_node("ghostexp.files.lock.Lock", path=CANARY)
    ),
    "our run": _node(
        "ghostexp.runs.run.Run.owned", self=_node("ghostexp.runs.run.Run", directory=CANARY)
    ),
    "class method": _node("torch.nn.Module.apply", self="x", fn=_node("os.system", command=TOUCH)),
    "dunder": _node("torch.nn.Linear.__init__.__globals__", _args_=[]),
    "create": "${oc.create:'{_target_: os.system, command: " + TOUCH + "}'}",
    "created": "${oc.create:{_target_:os.system,command:" + TOUCH + "}}",
    "decode": "${oc.decode:'{_target_: os.system, command: \"" + TOUCH + "\"}'}",
    "name from elsewhere": _node("${evil_name}", command=TOUCH),
    "name in pieces": _node("torch.${evil_module}.system", command=TOUCH),
    "node from elsewhere": "${evil_node}",
    "in a list": _node("torch.nn.Sequential", _args_=[_node("os.system", command=TOUCH)]),
    "deep in a list": _node(
        "torch.nn.Sequential",
        _args_=[_node("torch.nn.Sequential", _args_=[_node("torch.os.system", command=TOUCH)])],
    ),
    "argument": _node(
        "torch.nn.Linear", in_features=_node("torch.os.system", command=TOUCH), out_features=10
    ),
}
HELPERS = {  # what some attacks refer to
    "evil_name": "os.system",
    "evil_module": "os",
    "evil_node": _node("os.system", command=TOUCH),
}
POINTS = (  # where an attack stands in the config; the part of it that a refusal names
    *("model", "model.ratio", "task.loss", "task.param_groups", "task.net", "optimizer"),
    *("optimizer.lr", "sched.scheduler", "sched.x", "trainer.plugins", "trainer.max_epochs"),
    *("trainer.profiler", "dataset", "dataset.augment", "dataset.augment.mix", "dataset.files"),
    *("dataset.augment.mean", "callbacks.x", "callbacks.best.filename", "logger.x", "seed", "x"),
)
IGNORED = ("callbacks", "logger", "x")  # by scripts, which only must not execute it


def _planted(key: str, attack: Any, *, trusting: bool = False) -> tuple:
    steps = [has("ghost"), *PLANTED]
    steps += [configured("run", name, value) for name, value in HELPERS.items()]
    if trusting:
        packages = ["os", "posix", "subprocess", "builtins", "functools", "hydra", "evil"]
        steps.append(configured("run", "allow_targets", packages))
    return (*steps, configured("run", key, attack))


def _launch(script: str, key: str, attack: Any, kind: str, *, trusting: bool = False) -> Launch:
    return Launch(
        kind,
        READERS[script],
        script=script,
        place=_planted(key, attack, trusting=trusting),
        codes=(0, 1, 2) if key.partition(".")[0] in IGNORED else (1, 2),
        keeps=key.partition(".")[0] not in IGNORED,
        environment={"PYTHONSAFEPATH": "1"},
    )


def _checkpoints() -> list[Launch]:
    contents = (EVIL, _zipped(EVIL), NEWER, _zipped(NEWER))
    return [
        Launch(
            "hostile checkpoint",
            READERS[script],
            ".ckpt",
            script=script,
            place=(has("ghost"), *PLANTED, written(LAST, content), written(BEST, content)),
        )
        for content in contents
        for script in READERS
    ]


def _tagged(at: str, script: str, *arguments: str) -> Launch:
    """YAML with a tag by which an unsafe reader executes."""
    return Launch(
        "hostile YAML",
        arguments,
        script=script,
        place=(
            has("ghost"),
            *PLANTED,
            written(at, f"a: !!python/object/apply:os.system ['{TOUCH}']\n"),
        ),
        codes=(0, 1, 2),
        keeps=False,
    )


COMMAND_LINES = (  # overrides of a new run, what the refusal names
    (("model={_target_: os.system, command: touch canary}",), "model"),
    (("model._target_=os.system",), "os.system"),
    (("model._target_=torch.os.system", "+model.command=touch canary"), "torch.os.system"),
    (("optimizer._target_=subprocess.run",), "subprocess"),
    (("+callbacks.x={_target_: os.system, command: touch canary}",), "os.system"),
    (("+logger.x={_target_: torch.os.system, command: touch canary}",), "torch.os.system"),
    (("+trainer.plugins=[{_target_: os.system, command: touch canary}]",), "trainer.plugins"),
    (("task.loss={_target_: builtins.exec, _args_: [open]}",), "task.loss"),
    (("sched.scheduler._target_=os.system",), "os.system"),
)

HOSTILE = (
    *(
        _launch(script, "model", attack, "hostile model")
        for attack in ATTACKS.values()
        for script in ("train.py", "scripts/predict.py")
    ),
    *(
        _launch(script, key, ATTACKS["torch.os"], "hostile point")
        for key in POINTS
        for script in READERS
    ),
    *(
        _launch(script, "model", ATTACKS[name], "trusts itself", trusting=True)
        for name in ("os", "exec", "in a list")
        for script in READERS
    ),
    *_checkpoints(),
    *(_tagged(CONFIG, script, *READERS[script]) for script in READERS),
    _tagged("run/.hydra/overrides.yaml", "scripts/report.py", "run"),
    _tagged(CONFIG, "scripts/report.py", "run"),
    Launch(
        "hostile weights",
        tuple(merged(*QUICK, "model=ghostnet_050", "model.weights=evil.pkl")),
        "evil.pkl",
        place=PLANTED,
    ),
    Launch(
        "hostile weights",
        tuple(merged(*QUICK, "model=ghostnet_050", "model.weights=evil.ckpt")),
        "evil.ckpt",
        place=PLANTED,
    ),
    *(
        Launch("hostile command line", tuple(merged(*QUICK, *given)), named, place=PLANTED)
        for given, named in COMMAND_LINES
    ),
)
