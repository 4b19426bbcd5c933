"""Filtering of one picture row as a matrix: wavelet resampling and an octave filter bank.

A matrix [out, in] for rows of `size` pixels holds the padding as well, so that a separable filter
of a picture is two matrix products.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import torch

# Daubechies' least asymmetric wavelets ("symlets"), scaling filters of unit norm.
_SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
_SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
BANDS = 4
EDGE = 5  # samples that the low-pass filter reaches beyond the ends of a doubled row


def resampling_filter() -> np.ndarray:
    """Low-pass filter of the geometric transformations, unit sum. [12]"""
    taps = np.array(_SYM6)
    return taps / taps.sum()


@functools.cache
def filter_bank() -> np.ndarray:
    """Zero-phase filters of the octaves up to pi/8, pi/4, pi/2 and pi; they sum to 1. [4, 43]"""
    taps = np.array(_SYM2)
    low = np.convolve(taps, taps[::-1]) / 2
    high = low * np.where(np.arange(len(low)) % 2 == len(low) // 2 % 2, 1, -1)
    bank, below = [], np.ones(1)  # `below` is the low-pass filter of the octaves already split off
    for octave in range(BANDS - 1):
        bank.append(np.convolve(below, _dilated(high, 1 << octave)))
        below = np.convolve(below, _dilated(low, 1 << octave))
    bank.append(below)
    return np.stack([np.pad(f, (len(below) - len(f)) // 2) for f in reversed(bank)])


def _dilated(taps: np.ndarray, step: int) -> np.ndarray:
    out = np.zeros((len(taps) - 1) * step + 1)
    out[::step] = taps
    return out


def reflected(index: np.ndarray, size: int) -> np.ndarray:
    """Fold any whole positions into 0 .. size - 1, mirrored at the centres of the end pixels."""
    period = max(2 * (size - 1), 1)
    index = np.abs(index) % period
    return np.minimum(index, period - index)


def _correlation(taps: np.ndarray, start: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """Row i weighs position start[i] + k by taps[k]; pixel[position] is its column, -1 a zero."""
    matrix = np.zeros((len(start), pixel.max() + 1))
    for k, tap in enumerate(taps):
        rows = np.flatnonzero((start + k >= 0) & (start + k < len(pixel)))
        rows = rows[pixel[start[rows] + k] >= 0]
        matrix[rows, pixel[start[rows] + k]] += tap
    return matrix


@functools.lru_cache(maxsize=8)
def upsampler(size: int, dtype: torch.dtype, device: torch.device) -> Banded:
    """Mirror size - 1 pixels on both sides, then double. [2 * (3 * size - 2), size]"""
    zero_stuffed = np.full(2 * (3 * size - 2), -1)
    zero_stuffed[::2] = reflected(np.arange(1 - size, 2 * size - 1), size)
    taps = resampling_filter()[::-1] * 2
    matrix = _correlation(taps, np.arange(len(zero_stuffed)) - 6, zero_stuffed)
    return Banded(matrix, dtype, device)


@functools.lru_cache(maxsize=8)
def downsampler(size: int, dtype: torch.dtype, device: torch.device) -> Banded:
    """Halve a row that has EDGE extra samples on both sides. [size, 2 * (size + EDGE)]

    The filter is the mirror image of the upsampler's: one after the other changes nothing.
    """
    samples = np.arange(2 * (size + EDGE))
    matrix = _correlation(resampling_filter(), np.arange(size) * 2, samples)
    return Banded(matrix, dtype, device)


@functools.lru_cache(maxsize=8)
def band_filters(size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """The filter bank on a row mirrored at its ends. [4, size, size]"""
    bank = filter_bank()
    margin = bank.shape[1] // 2
    pixel = reflected(np.arange(-margin, size + margin), size)
    matrices = [_correlation(taps, np.arange(size), pixel) for taps in bank]
    return torch.from_numpy(np.stack(matrices)).to(device, dtype)


class Banded:
    """A matrix whose rows are zero outside a run of columns; products skip most of the zeros."""

    def __init__(self, matrix: np.ndarray, dtype: torch.dtype, device: torch.device) -> None:
        self.dense = torch.from_numpy(matrix).to(device, dtype)
        self._block = max(64, matrix.shape[1] // 4)  # rows that share one dense product
        self._first = (matrix != 0).argmax(axis=1)
        self._stop = matrix.shape[1] - (matrix[:, ::-1] != 0).argmax(axis=1)

    def _blocks(self, rows: range) -> Iterator[tuple[slice, slice]]:
        for start in range(rows.start, rows.stop, self._block):
            block = slice(start, min(start + self._block, rows.stop))
            yield block, slice(int(self._first[block].min()), int(self._stop[block].max()))

    def product(self, x: torch.Tensor, rows: range) -> torch.Tensor:
        """matrix[rows] @ x. [..., in, K] -> [..., len(rows), K]"""
        parts = [self.dense[r, c] @ x[..., c, :] for r, c in self._blocks(rows)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)

    def transposed_product(self, y: torch.Tensor, rows: range) -> torch.Tensor:
        """matrix[rows]^T @ y. [..., len(rows), K] -> [..., in, K]"""
        out = y.new_zeros(*y.shape[:-2], self.dense.shape[1], y.shape[-1])
        for r, c in self._blocks(rows):
            part = y[..., r.start - rows.start : r.stop - rows.start, :]
            out[..., c, :] += self.dense[r, c].mT @ part
        return out
