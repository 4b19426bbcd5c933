"""FIR resampling, convolutions and activations against recorded vectors."""

import pytest
import torch
from golden_io import Golden, assert_close

from stylegan.networks import ops

FIR, CONV = Golden("nv_op_upfirdn2d"), Golden("nv_op_conv2d_resample")
MODCONV, BIAS = Golden("nv_op_modulated_conv2d"), Golden("nv_op_bias_act")


def cases(golden, keep=lambda case: True):
    return [
        pytest.param(k, c, id=f"case{k:02d}")
        for k, c in enumerate(golden.config["cases"])
        if keep(c)
    ]


def raw_filter(config, name):
    return None if name is None else ops.setup_filter(config["filters"][name])


@pytest.mark.parametrize("k", range(len(FIR.config["setup"])))
def test_setup_filter(k):
    case = dict(FIR.config["setup"][k])
    f = FIR.config["filters"][case.pop("f")]
    assert_close(ops.setup_filter(f, **case), FIR[f"out.setup{k:02d}"])


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("k", "case"), cases(FIR))
def test_fir(k, case, memory_format):
    case = dict(case)
    function, f = getattr(ops, case.pop("fn")), raw_filter(FIR.config, case.pop("f"))
    x = FIR["in.x"].contiguous(memory_format=memory_format).requires_grad_()
    y = function(x, f, **case)
    assert_close(y, FIR[f"out.case{k:02d}"])
    (grad,) = torch.autograd.grad(y.square().sum() / 2, x)
    assert_close(grad, FIR[f"out.case{k:02d}.grad_x"])


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("down", [1, 2])
def test_fir_is_twice_differentiable(up, down):
    f = ops.setup_filter([[1.0, 2, -0.5], [0.5, 3, 1]]).double()
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)

    def function(x):
        return ops.upfirdn2d(x, f, up=up, down=down, padding=[2, 1, 0, 3]) ** 2

    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


@pytest.mark.parametrize(("k", "case"), cases(CONV, lambda c: "groups" not in c))
def test_conv2d_resample(k, case):
    case = dict(case)
    f = raw_filter(CONV.config, case.pop("f"))
    x = CONV["in.x"].clone().requires_grad_()
    w = CONV[f"in.{case.pop('w')}"].clone().requires_grad_()
    case["flip_weight"] = not case["flip_weight"]  # recorded as "the library's flips already"
    y = ops.conv2d_resample(x, w, f, **case)
    assert_close(y, CONV[f"out.case{k:02d}"])
    grad_x, grad_w = torch.autograd.grad(y.square().sum() / 2, [x, w])
    assert_close(grad_x, CONV[f"out.case{k:02d}.grad_x"])
    assert_close(grad_w, CONV[f"out.case{k:02d}.grad_w"])


@pytest.mark.parametrize(("k", "case"), cases(MODCONV))
def test_modulated_conv2d(k, case):
    case = dict(case)
    case.pop("fused_modconv")  # ours is one formulation for both
    x, s = (MODCONV[f"in.{name}"].clone().requires_grad_() for name in ("x", "styles"))
    w = MODCONV[f"in.{case.pop('w')}"].clone().requires_grad_()
    noise = case.pop("noise", None)
    noise = None if noise is None else MODCONV[f"in.{noise}"]
    case["flip_weight"] = not case.get("flip_weight", True)
    f = ops.setup_filter([1, 3, 3, 1]) if "up" in case or "down" in case else None
    y, d = ops.modulated_conv2d(x, w, s, f, **case)
    y = ops.biased_linear(y, scale=d, noise=noise)
    assert_close(y, MODCONV[f"out.case{k:02d}"])
    grads = torch.autograd.grad(y.square().sum() / 2, [x, w, s])
    for grad, name in zip(grads, ("x", "w", "styles"), strict=True):
        assert_close(grad, MODCONV[f"out.case{k:02d}.grad_{name}"])


@pytest.mark.parametrize(
    ("k", "case"),
    cases(BIAS, lambda c: c["act"] in ("linear", "lrelu") and not {"dim", "alpha"} & set(c)),
)
def test_biased_activations(k, case):
    case = dict(case)
    function = ops.biased_lrelu if case.pop("act") == "lrelu" else ops.biased_linear
    x = BIAS["in.x"].clone().requires_grad_()
    b = BIAS[f"in.{case.pop('b')}"].clone().requires_grad_() if "b" in case else None
    y = function(x, b, **case)
    assert_close(y, BIAS[f"out.case{k:02d}"])
    (grad,) = torch.autograd.grad(y.square().sum() / 2, x)
    assert_close(grad, BIAS[f"out.case{k:02d}.grad_x"])


def test_float16_modulation_agrees_with_float32():
    torch.manual_seed(0)
    x, s, w = torch.randn(2, 8, 6, 6), torch.randn(2, 8) * 40 + 100, torch.randn(4, 8, 3, 3)
    full = ops.biased_linear(*_split(ops.modulated_conv2d(x, w, s, padding=1)))
    half = ops.biased_linear(*_split(ops.modulated_conv2d(x.half(), w, s, padding=1)))
    assert half.dtype == torch.float16
    assert_close(half.float(), full, tol=3e-3)


def _split(result):
    y, d = result
    return y, None, 1, None, d
