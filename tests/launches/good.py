"""Launches that look odd and must work."""

from launches.bad.streams import ASCII, TARGETS
from launches.judge import Launch
from launches.places import QUICK, full_disk, has, merged, pictures

FAST = ("trainer.accelerator=cpu", "debug=fast", "model=resnet20", "dataset.image_size=8")
MARGIN = ("task=arcface", "model=ghost_efficientnet_v2_050", "dataset.image_size=32")
SCRIPTS = (
    ("scripts/evaluate.py", ("run",)),
    ("scripts/predict.py", ("run", "images")),
    ("scripts/predict.py", ("run", "images", "--csv")),
    ("scripts/report.py", ("run",)),
    ("scripts/report.py", ("--diff", "run", "run")),
    ("scripts/complexity.py", ("model=resnet20",)),
    ("scripts/complexity.py", ("model=resnet20", "--json")),
    ("scripts/complexity.py", ("--help",)),
    ("scripts/embeddings.py", ("run", "--neighbours", "1")),
    ("scripts/features.py", ("run", "--index", "0")),
)
TRAIN = (  # (arguments, steps, what they may not need)
    (*QUICK, "logger=null"),
    tuple(
        merged(*QUICK, "without callbacks.progress", "without callbacks.summary", "callbacks=null")
    ),
    (*QUICK, "~logger"),
    tuple(merged(*QUICK, "without callbacks.progress", "without callbacks.summary", "~callbacks")),
    (*QUICK, "logger=none"),
    tuple(
        merged(*QUICK, "without callbacks.progress", "without callbacks.summary", "callbacks=none")
    ),
    (*QUICK, "logger=null", "~callbacks.lr"),
    (*QUICK, "name=5"),
    (*QUICK, "name=with space"),
    (*QUICK, "name='ünïcödé-名'"),
    (*QUICK, "name='a=b,c'"),
    (*QUICK, "seed=4294967295"),
    (*QUICK, "trainer.gradient_clip_val=1.0"),
    (*QUICK, "+trainer.gradient_clip_algorithm=norm"),
    (*QUICK, "trainer.accumulate_grad_batches=5"),
    (*QUICK, "optimizer.lr=0"),
    (*QUICK, "optimizer.momentum=0"),
    (*QUICK, "+trainer.deterministic=true"),
    (*QUICK, "sched=multistep"),
    (*QUICK, "trainer.precision=null"),
    (*QUICK, "+trainer.fast_dev_run=true"),
    tuple(merged(*QUICK, "trainer.limit_val_batches=0")),
    tuple(merged(*QUICK, "trainer.limit_test_batches=0")),
    tuple(merged(*QUICK, "dataset.val_split=0")),
    tuple(merged(*QUICK, "trainer.limit_test_batches=0.1")),
    tuple(merged(*QUICK, "dataset=tones", "without dataset.image_size")),
    FAST,
    *((*FAST, f"callbacks={name}") for name in ("default", "ema", "finetune", "none")),
    (*FAST, "callbacks=early_stopping", "dataset.val_split=0.1"),
    tuple(merged(*FAST, "callbacks=features", "model=ghost_resnet56")),
    tuple(merged(*FAST, "callbacks=fast", "model=ghost_resnet56")),
    tuple(merged(*FAST, *MARGIN, "callbacks=margin_warmup")),
    tuple(
        merged(
            *("trainer.accelerator=cpu", "debug=fast", "model=retinanet_ghostnet_small"),
            *("dataset=shapes", "task=detection", "callbacks=detection"),
            *("model.min_size=64", "model.max_size=64"),
        )
    ),
    ("--help",),
    ("--cfg", "job"),
    ("--cfg", "job", "--resolve", *QUICK),
    ("--cfg", "all"),
    ("--info", "defaults"),
    ("--hydra-help",),
    ("--version",),
    ("-m", *QUICK, "seed=0,1"),
    ("-m", *QUICK, "model.shortcut=A,B", "name=with space"),
    ("-m", *QUICK, "seed=range(0,2)"),
    ("-m", *QUICK),
)
PLACES = (  # names of folders of a run to go on with
    *("run", "with space", "a=b", "optimizer.lr=0.1,seed=0", "ünïcödé-名", "x[1]", "it's", "$HOME"),
    *("deep/er/run", "run{1}", "100%", "a#b", "~run", "true", "1e3", "a:b", "a&b;c", "(x)"),
    *('say"x"', "x\\y", "-run", "*", "?", "run ", "@x", "..hidden"),
)

GOOD = (
    *(Launch("works", arguments, codes=(0,), keeps=False) for arguments in TRAIN),
    *(
        Launch(
            "resumes",
            (f"resume={at}", "trainer.max_epochs=2"),
            place=(has("finished", at),),
            codes=(0,),
            keeps=False,
        )
        for at in PLACES
    ),
    Launch("resumes", ("resume=run",), place=(has("finished"),), codes=(0,)),
    Launch(
        "resumes",
        ("resume=run", "trainer.max_epochs=2", "optimizer.lr=0.01", "trainer.gradient_clip_val=1"),
        place=(has("finished"),),
        codes=(0,),
        keeps=False,
    ),
    Launch(
        "data",
        tuple(
            merged(
                *QUICK,
                *("dataset=image_folder", "dataset.root='my data/ünï'", "dataset.num_classes=3"),
            )
        ),
        place=(pictures("my data/ünï"),),
        codes=(0,),
        keeps=False,
    ),
    *(
        Launch(
            "scripts",
            arguments,
            script=script,
            place=(has("ghost"), pictures("images", classes=1)),
            codes=(0,),
            keeps=False,
        )
        for script, arguments in SCRIPTS
    ),
    *(
        Launch(
            "output",
            arguments,
            script=script,
            place=(has("ghost"), pictures("images", classes=1)),
            codes=(0, 1, 141),
            keeps=False,
            stdout=target,
        )
        for target in TARGETS
        for script, arguments in SCRIPTS[:6]
    ),
    *(
        Launch("output", arguments, codes=(0, 1, 141), stdout=target, keeps=False)
        for target in TARGETS
        for arguments in (("--help",), ("--cfg", "job"))
    ),
    *(
        Launch("output", arguments, codes=(0,), keeps=False, **streams)
        for arguments in (QUICK, ("-m", *QUICK, "seed=0,1"))
        for target in TARGETS
        for streams in (
            {"stdout": target},
            {"stderr": target},
            {"stdout": target, "stderr": target},
        )
    ),
    Launch("output", (*QUICK, "name='größe'"), codes=(0,), keeps=False, environment=ASCII),
    Launch(
        "output",
        ("-m", *QUICK, "name='größe'", "seed=0,1"),
        codes=(0,),
        keeps=False,
        environment=ASCII,
    ),
    Launch(
        "output",
        ("run", "images-ö"),
        script="scripts/predict.py",
        place=(has("ghost"), pictures("images-ö", classes=1)),
        codes=(0,),
        keeps=False,
        environment=ASCII,
    ),
    Launch(
        "disk",
        QUICK,
        place=(full_disk("outputs", 50_000),),
        codes=(0,),
        keeps=False,
    ),
)
