"""Broken YAML in a person's own folder, and data that cannot be trained on."""

from launches.judge import Launch
from launches.places import QUICK, folder_at, merged, pictures, written

NET = "_target_: ghostexp.models.resnet20\nnum_classes: 10\nin_channels: 1\n"
YAML = (  # content of mine/model/my.yaml, what the refusal names
    (NET + "shortcut: [", "my.yaml"),
    (NET + "\tshortcut: A", "my.yaml"),
    (NET + "shortcut: 'A", "my.yaml"),
    (NET + "shortcut: A\nshortcut: B", "shortcut"),
    (NET + "shortcut: A: B", "my.yaml"),
    (NET + "shortcut: @A", "my.yaml"),
    (NET + "shortcut: *nothing", "my.yaml"),
    (NET + "shortcut: !!python/object/apply:os.system ['touch canary']", "my.yaml"),
    (NET + "shortcut: !nonsense A", "my.yaml"),
    (NET + "shortcutt: A", "shortcut"),
    (NET + "shortcut: {a: 1}", "shortcut"),
    (NET + "shortcut: ${nothing.here}", "nothing"),
    (NET + "shortcut: ${", "shortcut"),
    ("", "model"),
    ("# nothing but a comment\n", "model"),
    ("- a\n- list\n", "model"),
    ("a scalar", "model"),
    ("5", "int"),
    ("null", "model"),
    ("\ufeff[", "my.yaml"),
    (b"\xff\xfe\x00\x01\x02", "YAML"),
    (b"\x00" * 100, "my.yaml"),
    ("_target_: ghostexp.models.resnet20\n" + "a: &a [" + "x," * 50 + "]\n", "a"),
    ("defaults: [nothing_here, _self_]\n" + NET, "nothing_here"),
    ("defaults: [my]\n" + NET, "defaults"),
    ("defaults: 5\n" + NET, "my"),
    ("defaults: [{override /model: vgg16}]\n" + NET, "model"),
    ("_target_: ghostexp.models.resnt20\nnum_classes: 10\n", "resnet20"),
    ("_target_: torch.\nnum_classes: 10\n", "torch."),
    ("_target_: .torch\n", ".torch"),
    ("_target_: 5\n", "_target_"),
    ("_target_: null\n", "_target_"),
    ("_target_: [a]\n", "_target_"),
    ("_target_: ''\n", "_target_"),
    ("_target_: nothing.here\n", "nothing"),
    ("_target_: numpy.zeros\n", "numpy"),
    ("_target_: torch.tensor\ndata: [1]\n", "tensor"),
    ("_target_: torch.nn.Linear\n", "in_features"),
    ("_target_: torch.nn.CrossEntropyLoss\n", "model"),
    ("_target_: torch.nn.Linear\nin_features: 8\nout_features: 10\n", "training step"),
    (
        "_target_: torch.nn.Conv2d\nin_channels: 1\nout_channels: 10\nkernel_size: 99\n",
        "kernel size",
    ),
    ("_target_: torch.nn.Identity\n", "model"),
    ("_target_: torch.nn\n", "torch.nn"),
    ("_target_: torch\n", "torch"),
    ("model_name: resnet20\n", "model"),
    (NET + "_partial_: true\n", "model"),
    (NET + "_args_: 5\n", "_args_"),
    (NET + "1: 2\n", "1"),
)
FOLDER = ("dataset=image_folder", "dataset.root=data", "dataset.num_classes=3")
AUDIO = (
    *("dataset=audio_folder", "dataset.root=data", "dataset.num_classes=3"),
    "without dataset.image_size",
)
IMAGES = pictures("data")
DATA = (  # overrides, steps, what the refusal names
    (FOLDER, (), "data"),
    (("dataset=image_folder",), (), "root"),
    (("dataset=image_folder", "dataset.root=null"), (), "root"),
    (("dataset=image_folder", "dataset.root=5"), (), "root"),
    (FOLDER, (folder_at("data"),), "data"),
    (FOLDER, (written("data", "a file"),), "data"),
    (FOLDER, (folder_at("data/class0"), folder_at("data/class1")), "data"),
    (FOLDER, (pictures("data", classes=1),), "num_classes"),
    (FOLDER, (pictures("data", classes=2),), "num_classes"),
    (FOLDER, (pictures("data", classes=5),), "num_classes"),
    (FOLDER, (pictures("data", count=1),), "class"),
    (FOLDER, (IMAGES, written("data/class1/broken.png", b"\x89PNG nothing")), "broken.png"),
    (FOLDER, (IMAGES, written("data/class1/empty.png", "")), "empty.png"),
    (FOLDER, (IMAGES, written("data/class1/text.jpg", "no picture")), "text.jpg"),
    (
        FOLDER,
        (written("data/class0/notes.txt", "x"), written("data/class1/notes.txt", "x")),
        "data",
    ),
    ((*FOLDER, "dataset.in_channels=1"), (IMAGES,), "1 channels"),
    ((*FOLDER, "dataset.augment.mean=[0.5]"), (IMAGES,), "mean"),
    (AUDIO, (), "data"),
    (AUDIO, (folder_at("data"),), "data"),
    (
        AUDIO,
        tuple(written(f"data/class{i}/{k}.wav", "no sound") for i in range(3) for k in range(6)),
        ".wav",
    ),
    (
        AUDIO,
        tuple(written(f"data/class{i}/{k}.wav", "") for i in range(3) for k in range(6)),
        ".wav",
    ),
    (("dataset=imagenet", "dataset.root=data", "model=ghostnet_050"), (), "data"),
    (
        ("dataset=imagenet", "dataset.root=data", "model=ghostnet_050"),
        (folder_at("data/train"),),
        "data",
    ),
    (
        ("dataset=cifar10", "dataset.root=data", "without dataset.image_size"),
        (written("data", "a file"),),
        "data",
    ),
)
DETECTOR = (
    *("model=retinanet_ghostnet_small", "task=detection", "callbacks=detection"),
    *("without dataset.image_size", "without dataset.val_split", "dataset.root=data"),
)
COCO = ("dataset=coco_json", *DETECTOR)
ANNOTATIONS = (  # content of the three annotation files
    ("", "json"),
    ("{", "json"),
    ("[]", "json"),
    ("{}", "json"),
    ('{"images": [], "annotations": [], "categories": []}', "json"),
    ('{"images": 5, "annotations": 5, "categories": 5}', "json"),
    (
        '{"images": [{"id": 1, "file_name": "no.png", "height": 9, "width": 9}], "annotations":'
        ' [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4], "area": 16,'
        ' "iscrowd": 0}], "categories": [{"id": 1, "name": "a"}]}',
        "no.png",
    ),
    (
        '{"images": [{"id": 1, "file_name": "no.png", "height": 9, "width": 9}], "annotations":'
        ' [{"id": 1, "image_id": 7, "category_id": 9, "bbox": "abc"}],'
        ' "categories": [{"id": 1, "name": "a"}]}',
        "json",
    ),
)


def _coco(content: str) -> tuple:
    return tuple(
        written(f"data/annotations/{split}.json", content) for split in ("train", "val", "test")
    )


FILES = (
    *(
        Launch(
            "yaml",
            (*merged(*QUICK, "model=my"), "--config-dir=mine"),
            named,
            place=(written("mine/model/my.yaml", content),),
        )
        for content, named in YAML
    ),
    *(
        Launch("data", tuple(merged(*QUICK, *given)), named, place=place)
        for given, place, named in DATA
    ),
    *(
        Launch(
            "data",
            tuple(merged(*QUICK, *COCO, "dataset.num_classes=1")),
            named,
            place=_coco(content),
        )
        for content, named in ANNOTATIONS
    ),
    Launch("data", tuple(merged(*QUICK, *COCO)), "data"),
    Launch("data", tuple(merged(*QUICK, "dataset=voc", *DETECTOR)), "data"),
    Launch("data", tuple(merged(*QUICK, "dataset=coco", *DETECTOR)), "data"),
    Launch(
        "yaml",
        (*QUICK, "hydra.searchpath=[file://nothing_here]", "model=nonsense"),
        "nothing_here",
    ),
    Launch(
        "yaml",
        (*QUICK, "--config-dir=mine", "experiment=my"),
        "allow_targets",
        place=(
            written(
                "mine/experiment/my.yaml",
                "# @package _global_\nallow_targets: [os]\n"
                "callbacks:\n  x:\n    _target_: os.system\n    command: touch canary\n",
            ),
        ),
    ),
)
