"""FIR resampling, modulated convolution, biased leaky ReLU: the one place to make faster.

Pictures and features are [N, C, H, W]; every function can be differentiated twice. Memory format is
kept, and channels-last is the fast one on CPUs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2)
SEPARABLE_TAPS = 8  # from here on two 1-D passes are cheaper than one outer product


def setup_filter(
    f: Tensor | Sequence | float | None,
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1,
    separable: bool | None = None,
) -> Tensor:
    """Prepare a FIR filter for `upfirdn2d`: [kh, kw], or [taps] for two separable passes."""
    f = torch.as_tensor(1.0 if f is None else f, dtype=torch.float32).clone()
    if f.ndim == 0:
        f = f[None]
    if separable is None:
        separable = f.ndim == 1 and f.numel() >= SEPARABLE_TAPS
    if f.ndim == 1 and not separable:
        f = f.outer(f)
    if normalize:
        f = f / f.sum()
    if flip_filter:
        f = f.flip(list(range(f.ndim)))
    return f * gain ** (f.ndim / 2)


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    up: int | Sequence[int] = 1,
    down: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """Insert zeros (`up`), pad or crop (`padding`), convolve with `f`, keep every `down`-th pixel.

    `up` and `down` are a number or (x, y); `padding` is a number, (x, y) or (x0, x1, y0, y1) and
    may be negative. `f` comes from `setup_filter`; it convolves, or correlates with `flip_filter`.
    """
    upx, upy = _pair(up)
    downx, downy = _pair(down)
    px0, px1, py0, py1 = _sides(padding)
    if f is None:
        f = torch.ones(1, 1)
    if not flip_filter:
        f = f.flip(list(range(f.ndim)))
    if f.ndim == 1:
        g = f * math.sqrt(gain)
        x = _FIR.apply(x, g[None, :], (upx, 1), (downx, 1), (px0, px1, 0, 0))
        return _FIR.apply(x, g[:, None], (1, upy), (1, downy), (0, 0, py0, py1))
    return _FIR.apply(x, f * gain, (upx, upy), (downx, downy), (px0, px1, py0, py1))


class _FIR(torch.autograd.Function):
    """Correlation with one filter in every channel; its gradient is another, at any order.

    The gradient is spelled out because a depthwise convolution's own gradient is slow on CPUs.
    """

    @staticmethod
    def forward(ctx, x, f, up, down, padding):
        ctx.save_for_backward(f)
        ctx.args = x.shape, up, down, padding
        return _fir(x, f, up, down, padding)

    @staticmethod
    def backward(ctx, grad):
        (f,) = ctx.saved_tensors
        (_, _, h, w), (upx, upy), (downx, downy), (px0, _, py0, _) = ctx.args
        kh, kw = f.shape
        p0x, p0y = kw - px0 - 1, kh - py0 - 1
        p1x = w * upx - grad.shape[3] * downx + px0 - upx + 1
        p1y = h * upy - grad.shape[2] * downy + py0 - upy + 1
        sides = (p0x, p1x, p0y, p1y)
        return _FIR.apply(grad, f.flip([0, 1]), (downx, downy), (upx, upy), sides), *[None] * 4


def _fir(x: Tensor, f: Tensor, up: tuple, down: tuple, padding: tuple) -> Tensor:
    n, c, h, w = x.shape
    upx, upy = up
    px0, px1, py0, py1 = padding
    if upx > 1 or upy > 1:
        fmt = _memory_format(x)
        wide = x.new_zeros([n, c, h * upy, w * upx]).contiguous(memory_format=fmt)
        wide[:, :, ::upy, ::upx] = x
        x = wide
    if px0 == px1 and py0 == py1 and px0 >= 0 and py0 >= 0:
        sides = (py0, px0)
    else:
        x, sides = F.pad(x, padding), 0
    weight = f.to(x)[None, None].expand(c, 1, -1, -1)
    return F.conv2d(x, weight, stride=(down[1], down[0]), padding=sides, groups=c)


def filter2d(
    x: Tensor,
    f: Tensor,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """Filter at the same size; `padding` is added to what keeps the size."""
    px0, px1, py0, py1 = _sides(padding)
    kw, kh = f.shape[-1], f.shape[0]
    sides = (px0 + kw // 2, px1 + (kw - 1) // 2, py0 + kh // 2, py1 + (kh - 1) // 2)
    return upfirdn2d(x, f, padding=sides, flip_filter=flip_filter, gain=gain)


def upsample2d(
    x: Tensor,
    f: Tensor,
    up: int | Sequence[int] = 2,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """Enlarge `up` times; brightness is kept (gain times up in x times up in y)."""
    upx, upy = _pair(up)
    px0, px1, py0, py1 = _sides(padding)
    kw, kh = f.shape[-1], f.shape[0]
    sides = (
        px0 + (kw + upx - 1) // 2,
        px1 + (kw - upx) // 2,
        py0 + (kh + upy - 1) // 2,
        py1 + (kh - upy) // 2,
    )
    return upfirdn2d(x, f, up=up, padding=sides, flip_filter=flip_filter, gain=gain * upx * upy)


def downsample2d(
    x: Tensor,
    f: Tensor,
    down: int | Sequence[int] = 2,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """Shrink `down` times."""
    downx, downy = _pair(down)
    px0, px1, py0, py1 = _sides(padding)
    kw, kh = f.shape[-1], f.shape[0]
    sides = (
        px0 + (kw - downx + 1) // 2,
        px1 + (kw - downx) // 2,
        py0 + (kh - downy + 1) // 2,
        py1 + (kh - downy) // 2,
    )
    return upfirdn2d(x, f, down=down, padding=sides, flip_filter=flip_filter, gain=gain)


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int | Sequence[int] = 0,
    flip_weight: bool = False,
    flip_filter: bool = False,
) -> Tensor:
    """Upsample, correlate with w [O, I, kh, kw], downsample; FIR filter `f` where sizes change.

    `padding` is that of the convolution at the high resolution. With `flip_weight` w convolves.
    """
    fh, fw = (1, 1) if f is None else (f.shape[0], f.shape[-1])
    kh, kw = w.shape[2:]
    px0, px1, py0, py1 = _sides(padding)
    if up > 1:
        px0, px1 = px0 + (fw + up - 1) // 2, px1 + (fw - up) // 2
        py0, py1 = py0 + (fh + up - 1) // 2, py1 + (fh - up) // 2
    if down > 1:
        px0, px1 = px0 + (fw - down + 1) // 2, px1 + (fw - down) // 2
        py0, py1 = py0 + (fh - down + 1) // 2, py1 + (fh - down) // 2
    sides = (px0, px1, py0, py1)

    if up > 1:  # transposed convolution first: its products with inserted zeros are never computed
        w = w if flip_weight else w.flip([2, 3])  # a transposed convolution convolves
        x = F.conv_transpose2d(x, w.transpose(0, 1), stride=up)
        sides = (px0 - (kw - 1), px1 - (kw - up), py0 - (kh - 1), py1 - (kh - up))
        x = upfirdn2d(x, f, padding=sides, gain=up**2, flip_filter=flip_filter)
        return upfirdn2d(x, f, down=down, flip_filter=flip_filter) if down > 1 else x
    w = w.flip([2, 3]) if flip_weight else w
    if down > 1 and kh == kw == 1:  # shrink first: a quarter of the products
        return F.conv2d(upfirdn2d(x, f, down=down, padding=sides, flip_filter=flip_filter), w)
    if down > 1:
        return F.conv2d(upfirdn2d(x, f, padding=sides, flip_filter=flip_filter), w, stride=down)
    if px0 == px1 and py0 == py1 and px0 >= 0 and py0 >= 0:
        return F.conv2d(x, w, padding=(py0, px0))
    return F.conv2d(F.pad(x, sides), w)


def demodulation(w: Tensor, s: Tensor) -> Tensor:
    """1 / norm of modulated filters (StyleGAN2, eq. 3): w [O, I, kh, kw], s [N, I] -> [N, O]."""
    return (s.square() @ w.square().sum([2, 3]).t() + 1e-8).rsqrt()


def modulated_conv2d(
    x: Tensor,
    w: Tensor,
    s: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    demodulate: bool = True,
    flip_weight: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Convolution with filters scaled by styles s [N, I] (StyleGAN2, section 2.2).

    Features are scaled instead of weights, so that one convolution serves the whole batch. Returns
    the features [N, O, H, W] and the demodulation [N, O] still to be multiplied in, which the
    caller folds into its next pass over the features.
    """
    d = None
    if demodulate:
        if x.dtype == torch.float16:  # keep sums inside half precision's range; cancels out
            w = w * (w[0].numel() ** -0.5 / w.abs().amax(dim=[1, 2, 3], keepdim=True))
            s = s / s.abs().amax(dim=1, keepdim=True)
        d = demodulation(w, s)
    x = x * s.to(x.dtype)[:, :, None, None]
    x = conv2d_resample(
        x, w.to(x.dtype), f, up=up, down=down, padding=padding, flip_weight=flip_weight
    )
    return x, d


def biased_lrelu(
    x: Tensor,
    b: Tensor | None = None,
    gain: float = LRELU_GAIN,
    clamp: float | None = None,
    scale: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """clamp(gain * lrelu(x * scale + noise + b)); scale [N, C], noise [N or 1, 1, H, W], b [C].

    The gain is folded into scale, noise and bias: lrelu(gain a) = gain lrelu(a).
    """
    x = biased_linear(x, b, gain=gain, scale=scale, noise=noise)
    x = F.leaky_relu(x, LRELU_SLOPE)
    return x if clamp is None else F.hardtanh(x, -clamp, clamp)


def biased_linear(
    x: Tensor,
    b: Tensor | None = None,
    gain: float = 1,
    clamp: float | None = None,
    scale: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """clamp(gain * (x * scale + noise + b)), see `biased_lrelu`."""
    shape = [1, -1] + [1] * (x.ndim - 2)
    if scale is not None:
        factor: Tensor | float = (scale * gain).to(x.dtype)[:, :, None, None]
    else:
        factor = gain
    if b is not None:
        b = (b * gain).to(x.dtype).reshape(shape)
        if isinstance(factor, Tensor):
            x = torch.addcmul(b, x, factor)
        else:
            x = torch.add(b, x, alpha=factor)
    elif scale is not None or gain != 1:
        x = x * factor
    if noise is not None:
        x = x + (noise * gain).to(x.dtype)
    return x if clamp is None else F.hardtanh(x, -clamp, clamp)


def to_uint8(img: Tensor) -> Tensor:
    """Pictures of about [-1, 1] as uint8: floor(clamp(127.5 x + 128, 0, 255))."""
    return (img * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def _pair(v: int | Sequence[int]) -> tuple[int, int]:
    return (v, v) if isinstance(v, int) else (v[0], v[1])


def _sides(v: int | Sequence[int]) -> tuple[int, int, int, int]:
    if isinstance(v, int):
        return v, v, v, v
    return (v[0], v[0], v[1], v[1]) if len(v) == 2 else (v[0], v[1], v[2], v[3])


def _memory_format(x: Tensor) -> torch.memory_format:
    last = torch.channels_last
    channels_last = x.is_contiguous(memory_format=last) and not x.is_contiguous()
    return last if channels_last else torch.contiguous_format
