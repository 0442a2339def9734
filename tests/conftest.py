"""Where the tests find the facts they compare with: `tests/golden`, and `../shared` beside the
checkout, which has more of them.
"""

import gc
import json
import os
import signal
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from mindssd.build.engine import ENGINES, build_engine
from mindssd.build.network import build_network
from mindssd.build.predictor import model_metadata
from mindssd.config.load import load_config, to_tree
from mindssd.config.schema import Config
from mindssd.types import Array
from mindssd.weights.mindspore_checkpoint import write_checkpoint
from mindssd.weights.safetensors_file import write_model
from tests.golden.facts import REDUCED, Golden, parameter_by_rule, read_shapes, with_classes

# Some files of tests import MindSpore before an engine tells it to be silent.
os.environ.setdefault("GLOG_v", "3")

# A test uses one core, for another process of tests has the other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Threads of PyTorch that wait shall leave the core to other processes: those that test beside this
# one, and those that it starts. Spinning, as by default, they take twice the processor time.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


LONGEST = (
    "distributed/test_run_of_two.py",
    "test_end_to_end.py",
    "deploy/web/test_export_of_a_page.py",
    "deploy/web/test_page.py",
    "engines/test_both_engines.py",
    "distributed/test_launchers.py",
    "engines/test_golden_steps.py",
    "deploy/test_export.py",
    "engines/test_golden_networks.py",
    "engines/test_golden_checkpoint.py",
    "deploy/test_export_of_parts.py",
    "distributed/test_same_steps.py",
    "test_guest.py",
    "test_interruptions.py",
    "engines/test_stepper.py",
    "test_wheel.py",
    "distributed/test_failures.py",
    "engines/test_accumulation.py",
    "cli/test_published.py",
    "predict/test_ends.py",
    "api/test_api.py",
    "engines/test_backbone_families.py",
    "build/test_finetune.py",
    "engines/test_adamw.py",
    "tune/test_tuning.py",
    "launch/test_job.py",
    "api/test_types_from_outside.py",
    "api/test_examples.py",
    "test_other_systems.py",
)
"""The files that take longest begin first, for a file's tests stay in one process.

Those of `distributed` wait more than they compute, so one of them runs beside two others.
"""


def pytest_configure(config: pytest.Config) -> None:
    # A shell's `&` and nohup have these ignored, which every process of a test would inherit.
    for name in ("SIGINT", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(
                number, signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
            )
    if hasattr(config.option, "loadscopereorder"):  # xdist's own order: the most tests first
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> tuple[int, bool]:
        name = item.path.relative_to(folder).as_posix()
        return LONGEST.index(name) if name in LONGEST else len(LONGEST), item.path not in slow

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Leave what is there for good, frameworks and thousands of tests, out of garbage collections.

    They look through it again and again else, a twelfth of the processor time of quick tests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def shared(name: str) -> Path:
    """What lies beside the checkout. Without it the test is skipped, and fails on a build server:
    there a skip would pass for a test.
    """
    path = SHARED / name
    if not path.exists():
        reason = f"{path} is absent: it lies beside the checkout"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and CI is set", pytrace=False)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """What the reference computes: the full set where it is there, else what is kept of it here."""
    return SHARED / "golden" if (SHARED / "golden").exists() else REDUCED


@pytest.fixture(scope="session")
def golden_sets() -> list[Path]:
    """Each set of golden facts that is there: what is quick is compared with both."""
    return [path for path in (REDUCED, SHARED / "golden") if path.exists()]


@pytest.fixture(scope="session")
def bccd_dir() -> Path:
    """292 training and 72 validation microscope images in COCO layout."""
    return shared("data/bccd")


@pytest.fixture(scope="session")
def trained_checkpoint() -> Path:
    """The reference's detector, trained on BCCD, which gives its outputs and its mAP."""
    return shared("golden/bccd_trained.ckpt")


@pytest.fixture(scope="session")
def reference_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of three classes in MindSpore's format, under the reference's names.

    The trained one where it is there, else one of the same names and shapes.
    """
    full = SHARED / "golden" / "bccd_trained.ckpt"
    if full.exists():
        return full
    shapes = with_classes(Golden("ssd_mobilenetv2", REDUCED).reference_shapes(), num_classes=3)
    path = tmp_path_factory.mktemp("detector") / full.name
    write_checkpoint(path, {n: parameter_by_rule(n, shape) for n, shape in shapes.items()})
    return path


@pytest.fixture(scope="session")
def backbone_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MobileNetV2 under MindCV's names, with its classifier.

    The ImageNet-pretrained one where it is there, else one of the same names and shapes.
    """
    full = SHARED / "weights" / "mobilenet_v2_100.ckpt"
    if full.exists():
        return full
    shapes = read_shapes(REDUCED / "mobilenet_v2_100.parameters.json")
    path = tmp_path_factory.mktemp("backbone") / full.name
    write_checkpoint(path, {n: parameter_by_rule(n, shape) for n, shape in shapes.items()})
    return path


@pytest.fixture(scope="session")
def models_of_before() -> Path:
    """A trained model and its exports, as an earlier version wrote them."""
    return shared("cases/models_of_before")


TINY_CONFIG = """
# A detector that trains in seconds.
inherits: ssd_mobilenetv2
device: CPU
precision: float32                 # two threads that train in bfloat16 spin where cores are busy
image_size: 96
batch_size: 4
epochs: 30
num_workers: 0
backbone: {name: mobilenet_v2_035_96, out_indices: [6, 13]}
neck: {kind: fpn, fpn_channels: 32, fpn_extra_levels: 1}
head: {kind: shared, tower_depth: 1, class_prior: 0.01}
default_boxes: {kind: grid}
loss: {focal_alpha: 0.5}
optimizer: {decayed: weights, clip_norm: 10.0}
schedule: {learning_rate: 0.05, warmup_epochs: 1, final_factor: 0.01}
augment: {crop_probability: 0, flip_probability: 0, colour_probability: 0}
evaluation: {every_epochs: 0}
"""


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration file of a small network."""
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(TINY_CONFIG, encoding="utf-8")
    return path


QUICK_NETWORK = """
image_size: 64
backbone: {name: resnet18, out_indices: [0]}
neck: {kind: fpn, fpn_channels: 8, fpn_extra_levels: 0}
head: {kind: shared, tower_depth: 0, class_prior: 0.01}
"""


@pytest.fixture(scope="session")
def quick_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a network of one convolution, a level of FPN and a head: 16 parameters.

    MindSpore compiles its training step in a quarter of the time; for tests of what a run does with
    files, signals and processes, which ask little of the network.
    """
    settings = {**yaml.safe_load(TINY_CONFIG), **yaml.safe_load(QUICK_NETWORK)}
    path = tmp_path_factory.mktemp("config") / "quick.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def shapes_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of red rectangles and green ellipses in COCO's layout.

    Training and validation images are the same, so that the validation tells whether a network has
    learnt them by heart. Category ids are 3 and 7.
    """
    folder = tmp_path_factory.mktemp("shapes")
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(12):
        name, picture = f"{index}.png", _background(rng)
        images.append({"id": index + 1, "file_name": name, "width": 160, "height": 120})
        for place in range(1 + index % 3):
            category_id = int(rng.choice([3, 7]))
            x, y = 4 + 52 * place + int(rng.integers(10)), int(rng.integers(10, 60))
            width, height = (int(side) for side in rng.integers(26, 40, 2))
            _draw_shape(picture, category_id, (x, y, width, height))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": category_id,
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
        for split in ("train", "val"):
            path = folder / f"{split}2017" / name
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    categories = [{"id": 3, "name": "rectangle"}, {"id": 7, "name": "ellipse"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations").mkdir()
    for split in ("train", "val"):
        file = folder / "annotations" / f"instances_{split}2017.json"
        file.write_text(json.dumps(content), encoding="utf-8")
    return folder


def _background(rng: np.random.Generator) -> Array:
    """A soft grey unevenness, (120, 160, 3) uint8 RGB."""
    coarse = rng.integers(60, 120, (15, 20, 3), dtype=np.uint8)
    return cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_CUBIC)


def _draw_shape(picture: Array, category_id: int, box: tuple[int, int, int, int]) -> None:
    x, y, width, height = box
    if category_id == 3:
        cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), (230, 60, 50), -1)
    else:
        centre, half = (x + width // 2, y + height // 2), (width // 2, height // 2)
        cv2.ellipse(picture, centre, half, 0, 0, 360, (60, 220, 90), -1)


@pytest.fixture(scope="session")
def any_engine() -> None:
    """For a test that needs one of the engines, whichever."""
    if not any(all(map(find_spec, packages)) for packages in ENGINES.values()):
        pytest.skip("no engine is installed")


@pytest.fixture(scope="session")
def quickest_engine(any_engine: None) -> str:
    """PyTorch where it is installed, for it compiles nothing: for tests that either engine does."""
    return "torch" if find_spec("torch") else "mindspore"


@pytest.fixture(scope="session")
def untrained_model(
    any_engine: None, quick_config: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model file of the quick network at its initial values, for rectangles and ellipses.

    Its class layers are biased by 2, so that everywhere it detects something, with a score of 0.88.
    """
    path = tmp_path_factory.mktemp("model") / "best.safetensors"
    write_untrained(load_config(str(quick_config)), path)
    return path


def write_untrained(config: Config, path: Path) -> None:
    """Write a shared head's model that scores all of both classes 0.88."""
    network = build_network(config, build_engine(config), num_classes=2)
    parameters = network.parameters()
    parameters["head.classes.predict.bias"][:] = 2.0
    parameters["head.classes.predict.weight"][:] = 0.0
    metadata = model_metadata(
        config_tree=to_tree(config),
        config=config,
        network=network,
        class_names=("rectangle", "ellipse"),
        category_ids=(3, 7),
        metrics={"AP": 0.5},
    )
    write_model(path, parameters, metadata)
