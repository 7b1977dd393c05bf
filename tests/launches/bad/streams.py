"""Refusals where output cannot be written, or not in every letter, and where the disk is full."""

from launches.judge import Launch
from launches.places import QUICK, full_disk, has, written

TYPED = (*QUICK, "optimizer.lr=-1")
ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
TARGETS = ("head", "closed", "/dev/full")
UNHEARD = (1, 2, 120)  # 120: Python's, where its last flush fails

STREAMS = (
    *(Launch("streams", TYPED, "learning rate", stdout=target) for target in TARGETS),
    *(Launch("streams", TYPED, stderr=target, codes=UNHEARD) for target in TARGETS),
    *(Launch("streams", TYPED, stdout=target, stderr=target, codes=UNHEARD) for target in TARGETS),
    *(Launch("streams", ("-m", *TYPED), "learning rate", stdout=target) for target in TARGETS),
    *(Launch("streams", ("-m", *TYPED), stderr=target, codes=UNHEARD) for target in TARGETS),
    *(
        Launch("streams", arguments, stderr=target, script=script, codes=UNHEARD)
        for target in TARGETS
        for script, arguments in (
            ("scripts/report.py", ("missing",)),
            ("scripts/predict.py", ("missing", "x")),
            ("scripts/evaluate.py", ("missing",)),
            ("scripts/complexity.py", ("modle=x",)),
        )
    ),
    Launch("streams", (*QUICK, "modle='größer'"), "model", environment=ASCII),
    Launch("streams", (*QUICK, "name='ö/ä'"), "name", environment=ASCII),
    Launch(
        "streams",
        ("missing-ö",),
        "missing",
        script="scripts/report.py",
        environment=ASCII,
    ),
    Launch("disk", QUICK, "space", place=(full_disk("outputs", 16),), keeps=False),
    Launch("disk", QUICK, "space", place=(full_disk("outputs", 300),), keeps=False),
    Launch("disk", QUICK, "space", place=(full_disk("outputs", 2000),), keeps=False),
    Launch("disk", ("-m", *QUICK, "seed=0,1"), place=(full_disk("outputs", 16),), keeps=False),
    Launch("disk", ("-m", *QUICK, "seed=0,1"), place=(full_disk("outputs", 300),), keeps=False),
    Launch("disk", QUICK, "large", file_bytes=100_000, keeps=False),
    *(
        Launch(
            "disk",
            arguments,
            "space",
            script=script,
            place=(has("ghost"), full_disk("full", 4)),
            keeps="export" in script,
        )
        for script, arguments in (
            ("scripts/export.py", ("run", "--format", "onnx", "--output", "full/x.onnx")),
            ("scripts/report.py", ("run", "--out", "full/x")),
            ("scripts/embeddings.py", ("run", "--out", "full/x")),
            ("scripts/features.py", ("run", "--index", "0", "--out", "full/x")),
        )
    ),
    Launch("disk", (*QUICK, "hydra.run.dir=/proc/x"), "/proc", place=(written("x", "x"),)),
    Launch("disk", (*QUICK, "hydra.run.dir=/dev/null/x"), "/dev/null"),
)
