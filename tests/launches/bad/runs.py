"""Folders of runs that are missing, broken, foreign or another's, in train.py and every script."""

import pickle

from launches.judge import Launch
from launches.places import (
    QUICK,
    checkpointed,
    configured,
    cut,
    folder_at,
    has,
    pictures,
    recorded,
    removed,
    replaced,
    written,
)

LAST, BEST = "run/checkpoints/last.ckpt", "run/checkpoints/best.ckpt"
CONFIG, RECORD = "run/.hydra/config.yaml", "run/result.json"
READERS = {  # script -> its arguments for the folder `run`
    "train.py": ("resume=run", "trainer.max_epochs=3"),
    "scripts/evaluate.py": ("run",),
    "scripts/predict.py": ("run", "images"),
    "scripts/features.py": ("run", "--index", "0"),
    "scripts/embeddings.py": ("run",),
    "scripts/export.py": ("run", "--format", "onnx"),
}
BROKEN = {  # what is wrong -> steps, what the refusal names
    "missing": ((), "run"),
    "empty": ((folder_at("run"),), "run"),
    "a file": ((written("run", "a file"),), "run"),
    "no config": ((has("ghost"), removed(CONFIG)), "config"),
    "empty config": ((has("ghost"), written(CONFIG, "")), "config"),
    "cut config": ((has("ghost"), cut(CONFIG, 0.3)), "run"),
    "binary config": ((has("ghost"), written(CONFIG, b"\xff\x00\xfe")), "config"),
    "no YAML": ((has("ghost"), written(CONFIG, "model: [")), "config"),
    "a list": ((has("ghost"), written(CONFIG, "- a\n")), "config"),
    "no model": ((has("ghost"), replaced(CONFIG, "\nmodel:", "\nmodle:")), "model"),
    "another model": ((has("ghost"), configured("run", "model.ratio", 4)), "ckpt"),
    "another class": (
        (has("ghost"), configured("run", "model._target_", "ghostexp.models.vgg16")),
        "model",
    ),
    "no checkpoint": ((has("ghost"), removed(LAST), removed(BEST)), "run"),
    "empty checkpoint": ((has("ghost"), written(LAST, ""), written(BEST, "")), ".ckpt"),
    "cut checkpoint": ((has("ghost"), cut(LAST), cut(BEST)), ".ckpt"),
    "text": ((has("ghost"), written(LAST, "text"), written(BEST, "text")), ".ckpt"),
    "another pickle": (
        (has("ghost"), *(written(at, pickle.dumps([1, 2])) for at in (LAST, BEST))),
        ".ckpt",
    ),
    "no weights": (
        (has("ghost"), *(checkpointed(at, lambda saved: {"a": 1}) for at in (LAST, BEST))),
        ".ckpt",
    ),
    "a list saved": (
        (has("ghost"), *(checkpointed(at, lambda saved: [1, 2]) for at in (LAST, BEST))),
        ".ckpt",
    ),
    "other weights": (
        (
            has("ghost"),
            *(
                checkpointed(at, lambda saved: saved | {"state_dict": {"net.x": saved["epoch"]}})
                for at in (LAST, BEST)
            ),
        ),
        ".ckpt",
    ),
    "a folder for a checkpoint": (
        (has("ghost"), *(step for at in (LAST, BEST) for step in (removed(at), folder_at(at)))),
        ".ckpt",
    ),
}
NEEDS_RECORD = ("train.py", "scripts/predict.py")
RECORDS = {
    "empty record": ((has("ghost"), written(RECORD, "")), "result.json"),
    "cut record": ((has("ghost"), cut(RECORD)), "result.json"),
    "binary record": ((has("ghost"), written(RECORD, b"\xff\x00")), "result.json"),
    "a list as record": ((has("ghost"), written(RECORD, "[]")), "result.json"),
    "a number as record": ((has("ghost"), written(RECORD, "5")), "result.json"),
    "no status": ((has("ghost"), written(RECORD, "{}")), "result.json"),
    "wrong status": ((has("ghost"), recorded("run", status="abc")), "result.json"),
    "a folder as record": ((has("ghost"), removed(RECORD), folder_at(RECORD)), "result.json"),
}
RESUMES = (  # further overrides of `resume=run`, steps, what the refusal names
    (("optimizer=adamw",), (has("finished"),), "optimizer=adamw"),
    (("model=resnet32",), (has("finished"),), "model=resnet32"),
    (("~callbacks",), (has("finished"),), "callbacks"),
    (("nonsense=1",), (has("finished"),), "nonsense"),
    (("optimizer.lrr=1",), (has("finished"),), "optimizer.lr"),
    (("trainer.max_epochs=abc",), (has("finished"),), "max_epochs"),
    (("trainer.max_epochs=0",), (has("finished"),), "max_epochs"),
    (("optimizer.lr=-1", "trainer.max_epochs=3"), (has("finished"),), "learning rate"),
    (("model.shortcut=A", "trainer.max_epochs=3"), (has("finished"),), "weights of another"),
    (("dataset.num_classes=7", "trainer.max_epochs=3"), (has("finished"),), "num_classes"),
    (("name=other/x",), (has("finished"),), "name"),
    (("rerun=abc",), (has("finished"),), "rerun"),
    (("-m",), (has("finished"),), "resume"),
    (("seed=0,1",), (has("finished"),), "seed"),
    ((), (has("finished"), recorded("run", metrics=None)), "metrics"),
    ((), (has("finished"), recorded("run", config=None)), "config"),
    (
        ("trainer.max_epochs=3",),
        (has("finished"), recorded("run", segments="abc")),
        "result.json",
    ),
    (("trainer.max_epochs=3",), (has("finished"), recorded("run", epochs="abc")), "result.json"),
)
REPORTS = (  # arguments, steps, what the refusal names
    (("missing",), (), "missing"),
    (("run",), (folder_at("run"),), "run"),
    (("run",), (written("run", "a file"),), "run"),
    ((), (), "folder"),
    (("--diff", "run"), (has("finished"),), "--diff"),
    (("--diff", "run", "missing"), (has("finished"),), "missing"),
    (("--nonsense",), (), "nonsense"),
    (("run", "--out", "file"), (has("finished"), written("file", "x")), "file"),
    (("run", "--out", "file/x"), (has("finished"), written("file", "x")), "file"),
    (("--diff", "run", "run", "--png"), (has("finished"),), "--png"),
    (("--diff", "run", "run", "--out", "x"), (has("finished"),), "--out"),
    (
        ("--diff", "run", "run2"),
        (has("finished"), has("finished", "run2"), written("run2/result.json", "{")),
        "result.json",
    ),
)
OPTIONS = (  # script, arguments, what the refusal names
    ("scripts/evaluate.py", (), "run"),
    ("scripts/evaluate.py", ("run", "--split", "train"), "--split"),
    ("scripts/evaluate.py", ("run", "more"), "more"),
    ("scripts/predict.py", ("run",), "files"),
    ("scripts/predict.py", ("run", "missing.png"), "missing.png"),
    ("scripts/predict.py", ("run", "run/notes.txt"), "notes.txt"),
    ("scripts/predict.py", ("run", "images", "--top", "0"), "--top"),
    ("scripts/predict.py", ("run", "images", "--top", "abc"), "--top"),
    ("scripts/predict.py", ("run", "images", "--batch-size", "-1"), "--batch-size"),
    ("scripts/predict.py", ("run", "images", "--output", "x"), "--output"),
    ("scripts/predict.py", ("run", "images", "--min-score", "0"), "--min-score"),
    ("scripts/features.py", ("run",), "--index"),
    ("scripts/features.py", ("run", "--index", "-1"), "-1"),
    ("scripts/features.py", ("run", "--index", "999999"), "999999"),
    ("scripts/features.py", ("run", "--index", "abc"), "--index"),
    ("scripts/features.py", ("run", "--file", "missing.png"), "missing.png"),
    ("scripts/features.py", ("run", "--index", "0", "--layer", "abc"), "abc"),
    ("scripts/features.py", ("run", "--statistics", "--images", "-5"), "--images"),
    ("scripts/features.py", ("run", "--index", "0", "--out", "run/notes.txt"), "notes.txt"),
    ("scripts/features.py", ("run", "--index", "0", "--images", "5"), "--images"),
    ("scripts/embeddings.py", ("run", "--neighbours", "0"), "neighbours"),
    ("scripts/embeddings.py", ("run", "--neighbours", "99999"), "neighbours"),
    ("scripts/embeddings.py", ("run", "--examples", "-1"), "--examples"),
    ("scripts/embeddings.py", ("run", "--out", "run/notes.txt"), "notes.txt"),
    ("scripts/export.py", ("run",), "--format"),
    ("scripts/export.py", ("run", "--format", "abc"), "--format"),
    ("scripts/export.py", ("run", "--format", "onnx", "--precision", "abc"), "--precision"),
    ("scripts/export.py", ("run", "--format", "onnx", "--output", "run/notes.txt"), "notes.txt"),
    ("scripts/export.py", ("run", "--format", "onnx", "--output", "run/notes.txt/x"), "notes.txt"),
    ("scripts/complexity.py", ("modle=resnet20",), "model"),
    ("scripts/complexity.py", ("model=resnt20",), "resnet20"),
    ("scripts/complexity.py", ("model=resnet20", "dataset.image_size=0"), "image_size"),
    ("scripts/complexity.py", ("model=vgg16", "dataset.image_size=2"), "model"),
    ("scripts/complexity.py", ("model=resnet20", "--plan"), "--plan"),
    ("scripts/complexity.py", ("model=resnet20", "--json", "--csv"), "--csv"),
    ("scripts/complexity.py", ("model=null",), "model"),
    ("scripts/complexity.py", ("model.ratio=abc",), "ratio"),
    ("scripts/complexity.py", ("model.ratio=2,3",), "model.ratio"),
    ("scripts/benchmark.py", (), "what"),
    ("scripts/benchmark.py", ("abc",), "abc"),
    ("scripts/benchmark.py", ("train", "--rounds", "0"), "--rounds"),
    ("scripts/benchmark.py", ("train", "--rounds", "abc"), "--rounds"),
    ("scripts/benchmark.py", ("train", "modle=x"), "model"),
    ("scripts/benchmark.py", ("infer", "--models", "nonsense"), "nonsense"),
    ("scripts/benchmark.py", ("infer", "--models", ""), "model="),
    ("scripts/benchmark.py", ("infer", "--forms", "nonsense"), "nonsense"),
    ("scripts/benchmark.py", ("infer", "--batch", "0"), "--batch"),
    ("scripts/benchmark.py", ("infer", "--batch", "abc"), "--batch"),
    ("scripts/benchmark.py", ("infer", "--threads", "0"), "--threads"),
    ("scripts/benchmark.py", ("infer", "--run", "missing"), "missing"),
    ("scripts/benchmark.py", ("infer", "--run", "run", "--out", "run/notes.txt"), "notes.txt"),
    ("scripts/benchmark.py", ("infer", "--run", "run", "--models", "linear"), "--models linear"),
    ("scripts/benchmark.py", ("infer", "--run", "run", "model.ratio=3"), "model.ratio=3"),
    ("scripts/benchmark.py", ("steps", "--run", "run"), "--run"),
    ("scripts/benchmark.py", ("train", "--batch", "4"), "--batch"),
    ("scripts/benchmark.py", ("data", "--out", "folder"), "--out"),
    ("scripts/benchmark.py", ("layers", "--models", "linear"), "--models"),
    ("scripts/benchmark.py", ("kernels", "--threads", "1"), "--threads"),
    ("scripts/benchmark.py", ("loader", "dataset=cifar10"), "dataset=cifar10"),
    ("scripts/benchmark.py", ("loader", "--batch", "1,2"), "--batch"),
    ("scripts/benchmark.py", ("engines", "model.ratio=3"), "model.ratio=3"),
    ("scripts/benchmark.py", ("engines", "--groups", "nonsense"), "nonsense"),
    ("scripts/any_network.py", ("--workers", "0"), "--workers"),
    ("scripts/any_network.py", ("linear", "--out", "run/notes.txt"), "notes.txt"),
    ("scripts/kept_filters.py", ("weights.pth", "--ratio", "0"), "--ratio"),
    ("scripts/kept_filters.py", ("weights.pth", "dataset=shapes", "model=ghost_resnet56"), "class"),
    ("scripts/download_weights.py", ("nonsense",), "nonsense"),
    ("scripts/download_weights.py", (), "NAME"),
)

RUNS = (
    *(
        Launch(
            f"broken run, {script.rpartition('/')[2]}",
            arguments,
            named,
            script=script,
            place=(*place, pictures("images", classes=1)),
        )
        for place, named in BROKEN.values()
        for script, arguments in READERS.items()
    ),
    *(
        Launch(
            "broken record",
            READERS[script],
            named,
            script=script,
            place=(*place, pictures("images", classes=1)),
        )
        for place, named in RECORDS.values()
        for script in NEEDS_RECORD
    ),
    *(
        Launch("resume", ("resume=run", *given), named, place=place)
        for given, place, named in RESUMES
    ),
    *(
        Launch("report", given, named, script="scripts/report.py", place=place)
        for given, place, named in REPORTS
    ),
    *(
        Launch(
            "options",
            arguments,
            named,
            script=script,
            place=(has("ghost"), pictures("images", classes=1)) if "run" in arguments else (),
        )
        for script, arguments, named in OPTIONS
    ),
    Launch("resume", (*QUICK, "resume=run"), "model", place=(has("finished"),)),
    Launch("resume", ("resume=run",), "loss", place=(has("failed"),), keeps=False),
)
