"""From one checkpoint both engines compute the same: outputs, loss, gradients, steps."""

from itertools import product

import numpy as np
import pytest

from mindssd.build.network import build_network, network_spec
from mindssd.config.load import load_config
from mindssd.engines.base import WEIGHT_STD, LossSpec, StepSpec

OUTPUT_TOLERANCE = 2e-4
LOSS_TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-3
LATER_LOSS_TOLERANCE = 1e-2
NUM_STEPS = 10


@pytest.fixture(scope="module")
def both(mindspore_engine, torch_engine, tiny_spec):
    """(MindSpore's network, PyTorch's), with the parameters that the first began with."""
    first = mindspore_engine.build_network(tiny_spec, seed=3)
    second = torch_engine.build_network(tiny_spec, seed=4)
    second.load_parameters(first.parameters())
    return first, second


@pytest.fixture(scope="module")
def trained(both, mindspore_engine, torch_engine, make_batch):
    """For each engine: the results of ten steps, and the velocities after the first."""
    spec = StepSpec(weight_decay=0.0, ema=True)
    of_each = []
    for engine, network in zip((mindspore_engine, torch_engine), both, strict=True):
        stepper = engine.build_stepper(network, spec)
        results = [stepper.step(make_batch(range(8)), 0.01, 0.5)]
        velocities = {
            name.replace("backbone.net.", "backbone."): value
            for name, value in stepper.state().arrays.items()
            if name.startswith("momentum.")
        }
        for step in range(1, NUM_STEPS):
            batch = make_batch(range(8 * step, 8 * step + 8))
            results.append(stepper.step(batch, 0.01, 0.5))
        of_each.append((results, velocities))
    return of_each


def test_the_parameters_have_the_same_names_shapes_and_order(both):
    first, second = (network.parameters() for network in both)
    assert [(n, v.shape) for n, v in first.items()] == [(n, v.shape) for n, v in second.items()]
    assert [*both[0].trainable_names()] == [*both[1].trainable_names()]
    assert both[0].grids == both[1].grids


def test_the_outputs_are_the_same(both, make_batch, by_rule, difference, record_figure):
    images = make_batch([0, 1]).images
    start = both[0].parameters()
    for network in both:
        network.load_parameters(by_rule(start))
    outputs = [network.forward(images) for network in both]
    for network in both:
        network.load_parameters(start)
    for one, other in zip(*outputs, strict=True):
        record_figure("outputs", difference(other, one))
        assert difference(other, one) < OUTPUT_TOLERANCE


def test_the_first_loss_and_its_gradients_are_the_same(trained, difference, record_figure):
    (of_mindspore, gradients), (of_torch, others) = trained
    assert of_torch[0].loss == pytest.approx(of_mindspore[0].loss, rel=LOSS_TOLERANCE)
    assert of_torch[0].num_positives == of_mindspore[0].num_positives
    assert list(gradients) == list(others)
    largest = max(float(np.abs(gradient).max()) for gradient in gradients.values())
    off = max(float(np.abs(others[n] - g).max()) for n, g in gradients.items()) / largest
    record_figure("gradients", off)
    assert off < GRADIENT_TOLERANCE


def test_ten_steps_have_the_same_losses(trained, record_figure):
    losses = np.array([[result.loss for result in results] for results, _ in trained])
    off = np.abs(losses[1] / losses[0] - 1)
    record_figure("losses of ten steps", float(off.max()))
    assert off.max() < LATER_LOSS_TOLERANCE


LOSSES = [
    LossSpec(classes, 0.25, 2.0, 1.5, boxes, 2.0, by_score)
    for classes, boxes, by_score in product(
        ("focal", "quality_focal"), ("smooth_l1", "giou"), (False, True)
    )
]


@pytest.mark.parametrize(
    ("spec", "num_classes"),
    [
        *((spec, 80) for spec in LOSSES),
        (LossSpec("focal", focal_gamma=1.5), 1),
        (LossSpec("quality_focal", focal_gamma=1.5, box_kind="giou"), 1),
    ],
    ids=str,
)
def test_each_loss_and_its_gradients_are_the_same(
    spec, num_classes, mindspore_engine, torch_engine, difference
):
    import mindspore as ms
    import torch

    from mindssd.engines.mindspore.loss import DetectionLoss
    from mindssd.engines.torch.loss import detection_loss

    rng = np.random.default_rng(0)
    labels = rng.integers(0, num_classes + 1, (2, 30)).astype(np.int32)
    labels[:, 10:] = 0
    offsets, targets = rng.normal(0, 2, (2, 2, 30, 4)).astype(np.float32)
    logits = rng.normal(0, 3, (2, 30, num_classes + 1)).astype(np.float32)
    arrays = (offsets, logits, targets, labels, np.array([1, 0.5], np.float32))

    of_mindspore = DetectionLoss(spec)
    rest = [ms.Tensor(array) for array in arrays[2:]]

    def total(one, other):
        sums = of_mindspore(one, other, *rest)
        return sums[0] + sums[1], sums

    slopes, sums = ms.grad(total, (0, 1), has_aux=True)(*map(ms.Tensor, arrays[:2]))
    tensors = [torch.from_numpy(array) for array in arrays]
    leaves = [tensor.requires_grad_() for tensor in tensors[:2]]
    others = detection_loss(*leaves, *tensors[2:], spec)
    (others.class_sum + others.box_sum).backward()

    np.testing.assert_allclose(
        [float(x) for x in others], [float(x.asnumpy()) for x in sums[0]], rtol=LOSS_TOLERANCE
    )
    for slope, leaf in zip(slopes, leaves, strict=True):
        assert difference(leaf.grad.numpy(), slope.asnumpy()) < GRADIENT_TOLERANCE


@pytest.fixture(scope="module")
def trained_by_adamw(both, mindspore_engine, torch_engine, make_batch):
    """For each engine: the parameters, state and losses of five steps with all that is new."""
    spec = StepSpec(
        loss=LossSpec("quality_focal", class_weight=0.5, box_kind="giou", box_weight=2.0),
        optimizer="adamw",
        backbone_rate=0.25,
        weight_decay=0.05,
        decayed="weights",
        clip_norm=10.0,
    )
    start, of_each = both[0].parameters(), []
    for engine, network in zip((mindspore_engine, torch_engine), both, strict=True):
        network.load_parameters(start)
        stepper = engine.build_stepper(network, spec)
        results = [
            stepper.step(make_batch(range(8 * step, 8 * step + 8)), 0.001, 0.0) for step in range(5)
        ]
        of_each.append((network.parameters(), stepper.state(), results))
        network.load_parameters(start)
    return of_each


@pytest.mark.slow
def test_five_steps_of_adamw_are_the_same(trained_by_adamw, record_figure):
    (parameters, state, results), (others, other_state, other_results) = trained_by_adamw
    losses, other_losses = (
        [(r.loss, r.class_loss, r.box_loss) for r in x] for x in (results, other_results)
    )
    np.testing.assert_allclose(other_losses, losses, rtol=LATER_LOSS_TOLERANCE)
    assert state.scalars == other_state.scalars == {"micro_step": 0, "updates": 5}
    names = {name.replace("backbone.net.", "backbone.") for name in state.arrays}
    assert names == set(other_state.arrays)
    # AdamW's first updates have the gradient's sign alone, so where it is all but 0 they differ.
    moved = [np.abs(others[n] - p) > 2e-3 for n, p in parameters.items() if "moving" not in n]
    share = sum(int(x.sum()) for x in moved) / sum(x.size for x in moved)
    record_figure("share of parameters apart", share)
    assert share < 0.01


# name and depth of the last map: every layer is built
MODELS = {
    "mobilenet_v2_035_96": 18,
    "mobilenet_v2_050_128": 18,
    "mobilenet_v2_075": 18,
    "mobilenet_v2_100_192": 18,
    "mobilenet_v2_130_224": 18,
    "mobilenet_v2_140": 18,
    "mobilenet_v3_small_075": 12,
    "mobilenet_v3_small_100": 12,
    "mobilenet_v3_large_075": 16,
    "mobilenet_v3_large_100": 16,
    "resnet18": 4,
    "resnet34": 4,
    "resnet50": 4,
    "resnext50_32x4d": 4,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_each_of_mindcvs_backbones_is_the_same(
    name, mindspore_engine, torch_engine, by_rule, difference, record_figure
):
    """Names, shapes, grids and outputs; odd and even sides meet every padding.

    MindSpore computes operator by operator here, which spares the graph's compilation of each;
    `test_backbone_families.py` and `test_golden_networks.py` compile one of each family, and
    `test_depthwise.py` tests the operator of ours that a graph has.
    """
    import mindspore as ms

    from mindssd.engines.mindspore.device import in_mode
    from mindssd.engines.mindspore.network import MindSporeNetwork

    config = load_config(
        "ssd_resnet50_fpn",
        [
            "image_size=[97, 128]",
            f"backbone={{name: {name}, out_indices: [1, 3, {MODELS[name]}]}}",
            "neck.fpn_channels=8",
            "neck.fpn_extra_levels=1",
            "head.tower_depth=1",
        ],
    )
    first = MindSporeNetwork(network_spec(config, num_classes=3), fast_depthwise=False)
    second = build_network(config, torch_engine, num_classes=3)
    assert first.grids == second.grids
    parameters = first.parameters()
    assert {n: v.shape for n, v in parameters.items()} == {
        n: v.shape for n, v in second.parameters().items()
    }
    for network in (first, second):
        network.load_parameters(by_rule(parameters))
    images = np.random.default_rng(0).normal(size=(1, 3, 97, 128)).astype(np.float32)
    with in_mode(ms.PYNATIVE_MODE):
        outputs = [output.asnumpy() for output in first.cell(ms.Tensor(images))]
    for one, other in zip(outputs, second.forward(images), strict=True):
        record_figure(f"{name} outputs", difference(other, one))
        assert difference(other, one) < OUTPUT_TOLERANCE


def test_the_torch_engine_has_every_model_of_mindcvs_three_families():
    mindcv = pytest.importorskip("mindcv")
    pytest.importorskip("torch")
    from mindssd.engines.torch.backbones import BACKBONES

    names = [n for kind in ("mobilenet_v2*", "mobilenet_v3*") for n in mindcv.list_models(kind)]
    names += [n for n in mindcv.list_models("resne*") if n.startswith(("resnet", "resnext"))]
    assert sorted(BACKBONES) == sorted(n for n in names if not n.startswith("resnetv2"))


def test_initial_values_are_drawn_alike(mindspore_engine, torch_engine, tiny_spec):
    """Not the same numbers, but of each tensor the same mean and deviation, of those with many."""
    first, second = (
        engine.build_network(tiny_spec, seed=5).parameters()
        for engine in (mindspore_engine, torch_engine)
    )
    for name, values in first.items():
        if values.std() == 0:  # what begins at 0 or 1
            np.testing.assert_array_equal(second[name], values)
        elif values.size >= 500:
            assert second[name].std() == pytest.approx(values.std(), rel=0.15), name
            assert abs(second[name].mean() - values.mean()) < 0.2 * values.std(), name
            assert np.abs(second[name]).max() < 1.5 * np.abs(values).max(), name
        if name.startswith(("neck.", "head.")) and name.endswith(".weight"):
            assert np.abs([values, second[name]]).max() <= 2 * WEIGHT_STD, name
