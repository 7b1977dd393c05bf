"""Misspelt keys, groups and choices; grammar errors; names of folders and options."""

from launches.judge import Launch
from launches.places import QUICK, folder_at, merged, written

MISSPELT = (  # what is typed, what the refusal proposes or names
    ("modle=resnet20", "model"),
    ("optimzer=adamw", "optimizer"),
    ("model=resnt20", "resnet20"),
    ("model=ghost_resnet65", "ghost_resnet56"),
    ("dataset=cifar", "cifar10"),
    ("sched=cosin", "cosine"),
    ("optimizer=adam", "adamw"),
    ("task=clasification", "classification"),
    ("callbacks=erly_stopping", "early_stopping"),
    ("experiment=quickstar", "quickstart"),
    ("search=optna", "optuna"),
    ("debug=fst", "fast"),
    ("trainer=defalt", "default"),
    ("trainer=4", "trainer"),
    ("lr=0.1", "optimizer.lr"),
    ("max_epochs=3", "trainer.max_epochs"),
    ("batch_size=3", "dataset.batch_size"),
    ("val_split=0.2", "dataset.val_split"),
    ("optimizer.lrr=0.1", "optimizer.lr"),
    ("trainer.max_epoch=3", "max_epochs"),
    ("trainer.epochs=3", "epochs"),
    ("dataset.batchsize=3", "batch_size"),
    ("dataset.augment.flp=true", "flip"),
    ("model.shortcutt=A", "shortcut"),
    ("model.ratoi=2", "ratoi"),
    ("task.loss.smoothing=0.1", "smoothing"),
    ("callbacks.best.mointor=val/acc", "monitor"),
    ("callbacks.bset.monitor=val/acc", "best"),
    ("+trainer.max_epochz=3", "max_epochs"),
    ("+optimizer.lrate=0.1", "lrate"),
    ("+model.depth=3", "depth"),
    ("+nonsense=1", "nonsense"),
    ("+nonsense.deep=1", "nonsense"),
    ("+dataset.augment.noise=1", "noise"),
    ("+callbacks.mine.monitor=3", "mine"),
    ("+logger.mine={}", "mine"),
    ("~nonsense", "nonsense"),
    ("~optimizer.nonsense", "nonsense"),
    ("optimizer@task=adamw", "optimizer"),
    ("+model@net=resnet20", "net"),
    ("model/resnet20=1", "model/resnet20"),
    ("hydra/sweeper=nonsense", "sweeper"),
    ("hydra.nonsense=1", "nonsense"),
    ("hydra.run.dirr=x", "dir"),
)
GRAMMAR = (
    ("model.ratio", "model.ratio"),
    ("=3", "=3"),
    ("optimizer.lr=[1,2", "[1,2"),
    ("optimizer.lr={a:", "{a:"),
    ("optimizer.lr='0.1", "0.1"),
    ("optimizer.lr==0.1", "0.1"),
    ("optimizer.lr=0.1,0.2", "optimizer.lr"),
    ("optimizer lr=0.1", "optimizer"),
    ("optimizer.lr = 0.1", "optimizer"),
    ("optimizer..lr=0.1", "optimizer"),
    (".lr=0.1", "lr"),
    ("optimizer.lr=choice(0.1", "choice"),
    ("optimizer.lr=nonsense(0.1)", "nonsense"),
    ("optimizer.lr=range(1,3)", "optimizer.lr"),
    ("optimizer.lr=interval(0,1)", "optimizer.lr"),
    ("optimizer.lr=${", "${"),
    ("optimizer.lr=$(rm -rf x)", "$(rm"),
    ("seed=glob(*)", "seed"),
    ("--lr=0.1", "--lr"),
    ("--resume", "--resume"),
    ("-x", "-x"),
    ("--config-name=nonsense", "nonsense"),
    ("--config-path=nonsense", "nonsense"),
    ("--config-dir=nonsense", "nonsense"),
    ("--cfg=nonsense", "nonsense"),
    ("ä=ö", "ä"),
    ("seed=1 seed=2", "seed"),
    ("\u2212m", "\u2212m"),
)
FOLDERS = (  # what is typed, what the refusal names
    (("run_dir=x",), "run_dir"),
    (("+run_dir=/tmp/x",), "run_dir"),
    (("name=x/../../y",), "name"),
    (("name=" + "x" * 300,), "name"),
    (("name=outputs/train",), "name"),
    (("hydra.run.dir=null",), "hydra.run.dir"),
    (("hydra.run.dir=file/x",), "file"),
    (("hydra.job.chdir=abc",), "chdir"),
)


def _names() -> list[Launch]:
    typed = [("misspelt", *each) for each in MISSPELT] + [("grammar", *each) for each in GRAMMAR]
    return [Launch(kind, tuple(merged(*QUICK, argument)), named) for kind, argument, named in typed]


NAMES = (
    *_names(),
    *(
        Launch("folders", (*QUICK, *given), named, place=(written("file", "a file"),))
        for given, named in FOLDERS
    ),
    Launch("folders", QUICK, "outputs", place=(written("outputs", "a file"),)),
    Launch("folders", QUICK, "train", place=(written("outputs/train", "a file"),)),
    Launch(
        "folders",
        (*QUICK, "hydra.run.dir=x"),
        "x",
        place=(folder_at("x"), written("x/result.json", "{}")),
    ),
)
