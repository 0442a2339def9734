"""What PyTorch does otherwise than the reference, done as the reference does it."""

from dataclasses import replace

import numpy as np
import pytest

from mindssd.build.engine import build_engine
from mindssd.config.schema import Config
from mindssd.engines.base import StepSpec
from mindssd.errors import EngineError

torch = pytest.importorskip("torch")

from mindssd.engines.torch import device  # noqa: E402
from mindssd.engines.torch.layers import (  # noqa: E402
    BatchNorm,
    Conv2d,
    SameConv2d,
    SameMaxPool2d,
)
from mindssd.engines.torch.necks import resize  # noqa: E402


def ones(convolution):
    torch.nn.init.ones_(convolution.weight)
    return convolution


def test_the_odd_row_and_column_of_a_same_padding_go_to_the_end():
    """3×3 of ones with stride 2 on 1..4 in a row: 1+2+3 and 3+4; PyTorch has 1+2 and 2+3+4."""
    row = torch.tensor([[[[1.0, 2, 3, 4]]]])
    assert ones(SameConv2d(1, 1, 3, 2, bias=False))(row).tolist() == [[[[6, 7]]]]
    assert ones(Conv2d(1, 1, 3, 2, bias=False))(row).tolist() == [[[[3, 9]]]]


def test_on_odd_sides_both_ends_get_one():
    row = torch.tensor([[[[1.0, 2, 3, 4, 5]]]])
    assert ones(SameConv2d(1, 1, 3, 2, bias=False))(row).tolist() == [[[[3, 9, 9]]]]


def test_a_maximum_pads_alike():
    row = torch.tensor([[[[1.0, 2, 3, 4]]]])
    assert SameMaxPool2d(3, 2)(row).tolist() == [[[[3, 4]]]]


def test_resizing_looks_at_the_index_times_old_by_new():
    """Twice as long: 0, ½, 1, and beyond the last value itself. 2 to 3: at 0, ⅔ and 1⅓."""
    row = torch.tensor([[[[0.0, 6.0]]]])
    assert resize(row, 1, 4).tolist() == [[[[0, 3, 6, 6]]]]
    np.testing.assert_allclose(resize(row, 1, 3).numpy(), [[[[0, 4, 6]]]], rtol=1e-6)


@pytest.mark.parametrize("kind", [Conv2d, SameConv2d])
def test_a_depthwise_stride_computes_in_float32_beside_bfloat16(kind):
    strided, dense = kind(4, 4, 3, 2, groups=4), kind(4, 4, 3, 1, groups=4)
    x = torch.randn(2, 4, 8, 8)
    expected, rounded = strided(x), dense(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(strided(x), expected, rtol=0, atol=0)
        assert not torch.equal(dense(x).float(), rounded)


def test_batchnorms_statistics_by_hand():
    """Of 0, 1, 2, 3: mean 1.5, variance 5/4, and of the sample 5/3, which is what is kept."""
    norm = BatchNorm(1, eps=1e-9, momentum=0.25)
    out = norm(torch.tensor([[[[0.0, 1, 2, 3]]]]))
    np.testing.assert_allclose(out.detach().flatten()[0], -1.5 / np.sqrt(1.25), rtol=1e-6)
    assert norm.running_mean.item() == pytest.approx(0.25 * 1.5)
    assert norm.running_var.item() == pytest.approx(0.75 + 0.25 * 5 / 3)


def test_batchnorm_over_a_group_of_one_is_batchnorm():
    """Outputs, gradients and what is kept."""
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.normal(3, 2, (4, 5, 6, 7)).astype(np.float32))
    seen = []
    for group_mean in (None, lambda x: x):
        norm, x = BatchNorm(5), values.clone().requires_grad_()
        norm.group_mean = group_mean
        out = norm(x)
        (out * values.cos()).sum().backward()
        seen.append([out, x.grad, norm.weight.grad, norm.running_mean, norm.running_var])
    for ours, theirs in zip(*seen, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("precision", "has_it", "trains", "infers"),
    [
        ("auto", True, True, False),
        ("auto", False, False, False),
        ("float32", True, False, False),
        ("bfloat16", False, True, True),
    ],
)
def test_auto_trains_in_bfloat16_where_that_is_fast(precision, has_it, trains, infers, monkeypatch):
    monkeypatch.setattr(device, "has_fast_bfloat16", lambda _: has_it)
    chosen = device.Runtime("CPU", precision)
    assert (chosen.trains_in_bfloat16, chosen.infers_in_bfloat16) == (trains, infers)


def test_bfloat16_trains_nearly_as_float32(tiny_spec, make_batch):
    ends = []
    for precision in ("float32", "bfloat16"):
        engine = build_engine(Config(engine="torch", device="CPU", precision=precision))
        network = engine.build_network(tiny_spec, seed=0)
        stepper = engine.build_stepper(network, StepSpec())
        losses = [stepper.step(make_batch(range(8)), 0.01, 0.0).loss for _ in range(5)]
        ends.append(losses)
        assert {value.dtype for value in network.parameters().values()} == {np.dtype("float32")}
    assert ends[0] != ends[1]  # it does compute otherwise
    np.testing.assert_allclose(ends[1], ends[0], rtol=0.03)


def test_the_same_seed_and_batches_end_bit_for_bit_the_same(tiny_spec, make_batch):
    ends = []
    try:
        for _ in range(2):
            config = Config(engine="torch", device="CPU", deterministic=True)
            engine = build_engine(config, training=True)
            network = engine.build_network(tiny_spec, seed=0)
            stepper = engine.build_stepper(network, StepSpec(clip_norm=1.0, ema=True))
            for step in range(3):
                stepper.step(make_batch(range(4 * step, 4 * step + 4)), 0.05, 0.5)
            ends.append({**network.parameters(), **stepper.state().arrays})
    finally:
        torch.use_deterministic_algorithms(False)
    assert [name for name in ends[0] if not np.array_equal(ends[0][name], ends[1][name])] == []


def test_a_single_image_cannot_train_a_level_of_one_cell(torch_engine, tiny_spec, make_batch):
    network = torch_engine.build_network(replace(tiny_spec, image_size=(16, 16)), seed=0)
    assert network.grids[-1] == (1, 1)
    stepper = torch_engine.build_stepper(network, StepSpec())
    batch = make_batch([0])
    with pytest.raises(EngineError, match=r"batch_size=1: .*set batch_size=2"):
        stepper.step(replace(batch, images=batch.images[:, :, :16, :16]), 0.1, 0.0)


def test_pytorchs_own_random_numbers_are_left_alone(torch_engine, tiny_spec):
    before = torch.get_rng_state()
    torch_engine.build_network(tiny_spec, seed=9)
    assert torch.equal(torch.get_rng_state(), before)
