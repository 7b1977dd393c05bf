"""Sweeps of which a job cannot run: no job may start."""

from launches.judge import Launch
from launches.places import QUICK, has, merged, written

SEED_0 = "outputs/x/seed=0"
SLIPS = (  # further arguments of `-m`, what the refusal names
    (("optimizer.lr=0.1,-1",), "lr"),
    (("optimizer.lr=0.1,abc",), "lr"),
    (("task.loss.label_smoothing=0,2",), "label_smoothing"),
    (("trainer.accelerator=cpu,gpu",), "accelerator"),
    (("seed=0,abc",), "seed"),
    (("seed=0,null",), "seed"),
    (("seed=0,-1",), "seed"),
    (("seed=0,1.5",), "seed"),
    (("model=resnet20,resnt32",), "resnet32"),
    (("model=resnet20,vgg16",), "vgg16"),
    (("model=glob(ghost*)", "model.ratio=0"), "ratio"),
    (("model=glob(nothing*)",), "glob"),
    (("model=resnet20,null",), "model"),
    (("callbacks=default,features",), "features"),
    (("sched=cosine,plateau", "dataset.val_split=0"), "val"),
    (("task=classification,arcface",), "cosine"),
    (("trainer.max_epochs=1,0",), "max_epochs"),
    (("dataset.batch_size=8,0",), "batch_size"),
    (("dataset.image_size=8,0",), "image_size"),
    (("dataset=digits,image_folder",), "root"),
    (("dataset.val_split=0.1,2",), "val_split"),
    (("nonsense=1,2",), "nonsense"),
    (("+nonsense=1,2",), "nonsense"),
    (("optimizer.lrr=1,2",), "lr"),
    (("modle=resnet20,resnet32",), "model"),
    (("resume=run,run2",), "resume"),
    (("resume=run",), "resume"),
    (("run_dir=x",), "run_dir"),
    (("name=../x", "seed=0,1"), "name"),
    (("name=null", "seed=0,1"), "name"),
    (("hydra.sweep.subdir=x", "seed=0,1"), "x"),
    (("seed=0,0",), "seed"),
    (("optimizer.lr=interval(0.1,0.2)",), "interval"),
    (("optimizer.lr=range(0.1",), "range"),
    (("seed=range(0,2", "nonsense=2"), "range"),
    (("seed=choice()",), "choice"),
    (("seed=range(0,0)",), "seed"),
    (("on_error=abc", "seed=0,1"), "on_error"),
    (("on_error=stop,continue", "seed=0,1"), "on_error"),
    (("rerun=no", "seed=0,1"), "rerun"),
    (("rerun=true,false", "seed=0"), "rerun"),
    (("hydra/launcher=joblib", "seed=0,1"), "joblib"),
    (("hydra/launcher=submitit_local", "seed=0,1"), "submitit"),
    (("hydra/launcher=ray", "seed=0,1"), "ray"),
    (("hydra/sweeper=optuna_tpe", "seed=0,1"), "optuna"),
    (("hydra/launcher=nonsense", "seed=0,1"), "launcher"),
    (("hydra/sweeper=nonsense", "seed=0,1"), "sweeper"),
    (("hydra.sweep.dir=null", "seed=0,1"), "hydra.sweep.dir"),
    (("hydra.sweep.dir=file", "seed=0,1"), "file"),
    (("hydra.sweeper.max_batch_size=abc", "seed=0,1"), "max_batch_size"),
    (("hydra.sweeper.max_batch_size=0", "seed=0,1"), "max_batch_size"),
    (("hydra.sweeper.params=abc", "seed=0,1"), "params"),
    (("hydra.sweeper.params={nonsense: '1,2'}",), "nonsense"),
    (("model.shortcut=A,C",), "shortcut"),
    (("logger=default,wandb",), "wandb"),
    (("experiment=nonsense",), "experiment"),
    (("experiment=quickstart,nonsense",), "nonsense"),
    (("debug=fast,nonsense",), "callbacks.progress"),  # which debug=fast has none of
    (("~model", "seed=0,1"), "model"),
    (("trainer.precision=32-true,17",), "precision"),
    (("optimizer=sgd,adam",), "adam"),
    (("+optimizer.betas=[0.9,0.9],[2,2]",), "betas"),
    (("callbacks.early_stopping.patience=1,abc", "callbacks=early_stopping"), "patience"),
)
TWICE = (("seed=0", "seed=1"), ("seed=0,1", "seed=1,2"), ("seed=0,1", "model=vgg16"))
TAKEN = (  # the folder of the first job is another's; the second job runs
    (("seed=0,1", "name=x", "optimizer.lr=1"), "1 of 2 jobs failed", (has("finished", SEED_0),)),
    (
        ("seed=0,1", "name=x"),
        "1 of 2 jobs failed",
        (has("finished", SEED_0), written(f"{SEED_0}/result.json", "{")),
    ),
    (("seed=0,1", "name=x"), SEED_0, (written(SEED_0, "a file"),)),
)

SWEEPS = (
    *(Launch("sweep", ("-m", *QUICK, *given), given[-1].split("=")[0]) for given in TWICE),
    *(
        Launch("sweep", ("-m", *merged(*QUICK, *given)), named, place=(written("file", "a file"),))
        for given, named in SLIPS
    ),
    *(
        Launch("sweep", ("-m", *QUICK, *given), named, place=place, keeps=False)
        for given, named, place in TAKEN
    ),
    Launch(
        "sweep",
        ("-m", *QUICK, "seed=0,1", "name=x"),
        ".sweep",
        place=(written("outputs/x/.sweep", "a file"),),
    ),
)
