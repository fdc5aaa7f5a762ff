"""What a camera does to a patch: light, lens, sensor, processing, JPEG.

Enters: scenes in linear light, float32 [n, 17, 17, 3]. Leaves: pictures' pixels, uint8
[n, 9, 9, 3], the middle of each canvas. Called by the patch generator of ``dsapi train colors``.
The margin of four pixels around the middle lets blur, sharpening and JPEG blocks reach in.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsapi.training.colors.science import FloatArray, encode_srgb

#: Side of a scene's canvas and of the patch in its middle, in pixels.
CANVAS_PX = 17
PATCH_PX = 9
#: Pixels between the canvas' border and the patch.
MARGIN_PX = (CANVAS_PX - PATCH_PX) // 2
_CELL_PX = 32  # two JPEG macroblocks: room for the canvas at any of 16 offsets
_COLUMNS = 32

ByteArray = NDArray[np.uint8]


@dataclass(frozen=True)
class Camera:
    """How strongly each effect is drawn; every amount is drawn anew for every patch."""

    exposure_sigma: float = 0.10
    white_balance_sigma: float = 0.035
    strong_cast_share: float = 0.10
    strong_cast_sigma: float = 0.10
    blur_sigmas_px: tuple[float, ...] = (0.0, 0.4, 0.7, 1.1)
    noise_max: float = 0.07
    contrast_sigma: float = 0.05
    saturation_sigma: float = 0.08
    sharpening_max: float = 0.9
    jpeg_share: float = 0.9
    jpeg_qualities: tuple[int, int] = (35, 96)

    def photograph(self, rng: np.random.Generator, scenes: FloatArray) -> ByteArray:
        """Photograph `scenes`, float32 [n, 17, 17, 3] linear light, 1 = white: uint8 patches."""
        lit = scenes * self._draw_light(rng, len(scenes))
        light = blur(lit, rng.choice(self.blur_sigmas_px, len(scenes)))
        light = light + self._draw_noise(rng, np.clip(light, 0.0, 1.0))
        pixels = self._develop(rng, encode_srgb(light))
        canvases = np.rint(np.clip(pixels, 0.0, 1.0) * 255).astype(np.uint8)
        compressed = rng.random(len(scenes)) < self.jpeg_share
        if compressed.any():
            canvases[compressed] = self._compress(rng, canvases[compressed])
        inner = slice(MARGIN_PX, MARGIN_PX + PATCH_PX)
        return canvases[:, inner, inner]

    def _draw_light(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Exposure times white balance, as a factor per channel, float32 [n, 1, 1, 3]."""
        strong = rng.random((count, 1)) < self.strong_cast_share
        sigma = np.where(strong, self.strong_cast_sigma, self.white_balance_sigma)
        # Lamps and shade move red against blue most, green against both less.
        warmth, tint = rng.normal(size=(2, count, 1)) * sigma
        gains = np.concatenate([warmth + tint / 2, -tint / 2, tint / 2 - warmth], axis=1)
        exposure = rng.normal(0.0, self.exposure_sigma, (count, 1))
        return np.exp(gains + exposure)[:, None, None, :].astype(np.float32)

    def _draw_noise(self, rng: np.random.Generator, light: FloatArray) -> FloatArray:
        """Photon and read noise; in part blurred, as reducing and denoising leave it."""
        count = len(light)
        # Squared, so that most pictures are clean and some are of the night.
        amount = self.noise_max * rng.random((count, 1, 1, 1)) ** 2
        white = rng.normal(size=light.shape).astype(np.float32)
        gray = rng.normal(size=(*light.shape[:3], 1)).astype(np.float32)
        share = rng.uniform(0.2, 0.9, (count, 1, 1, 1))
        noise = np.sqrt(share) * white + np.sqrt(1 - share) * gray
        # Small sensors and denoising leave blotches rather than grains, as strong as these.
        soft = blur(noise, rng.choice((0.0, 0.6, 0.9, 1.5), count))
        soft = soft / soft.std(axis=(1, 2, 3), keepdims=True)
        return np.asarray(soft * amount * np.sqrt(light + 0.01), np.float32)

    def _develop(self, rng: np.random.Generator, pixels: FloatArray) -> FloatArray:
        """Contrast, saturation and sharpening, on encoded pixels 0-1."""
        shape = (len(pixels), 1, 1, 1)
        contrast = 1 + rng.normal(0.0, self.contrast_sigma, shape)
        pixels = 0.5 + (pixels - 0.5) * contrast
        gray = pixels @ np.array([[0.299], [0.587], [0.114]], np.float32)
        pixels = gray + (pixels - gray) * (1 + rng.normal(0.0, self.saturation_sigma, shape))
        amount = self.sharpening_max * rng.random(shape) ** 2
        return np.asarray(pixels + amount * (pixels - blur(pixels, np.full(len(pixels), 0.8))))

    def _compress(self, rng: np.random.Generator, canvases: ByteArray) -> ByteArray:
        """JPEG in groups of up to 512 that share quality and chroma subsampling."""
        order = rng.permutation(len(canvases))
        result = np.empty_like(canvases)
        for start in range(0, len(order), 512):
            group = order[start : start + 512]
            quality = int(rng.integers(*self.jpeg_qualities, endpoint=True))
            subsampling = str(rng.choice(("4:2:0", "4:2:0", "4:2:2", "4:4:4")))
            offsets = rng.integers(0, _CELL_PX - CANVAS_PX + 1, (len(group), 2))
            result[group] = compress_canvases(
                canvases[group], offsets=offsets, quality=quality, subsampling=subsampling
            )
        return result


def blur(canvases: FloatArray, sigmas_px: FloatArray) -> FloatArray:
    """Gaussian blur of each canvas [n, s, s, c] with its own sigma [n]; the border repeats."""
    side = canvases.shape[1]
    result = canvases.copy()
    for sigma in np.unique(sigmas_px):
        if sigma <= 0:
            continue
        kernel = _build_blur(side, float(sigma))
        chosen = sigmas_px == sigma
        rows = np.einsum("ij,njkc->nikc", kernel, canvases[chosen], optimize=True)
        result[chosen] = np.einsum("ij,nkjc->nkic", kernel, rows, optimize=True)
    return result


def _build_blur(side: int, sigma_px: float) -> FloatArray:
    """Matrix [side, side] that blurs a line; what falls over the border stays at the border."""
    places = np.arange(-side, 2 * side)
    weights = np.exp(-((places[None] - np.arange(side)[:, None]) ** 2) / (2 * sigma_px**2))
    kernel = np.zeros((side, side))
    np.add.at(kernel.T, np.clip(places, 0, side - 1), weights.T)
    return np.asarray(kernel / kernel.sum(axis=1, keepdims=True), np.float32)


def compress_canvases(
    canvases: ByteArray, *, offsets: NDArray[np.int64], quality: int, subsampling: str
) -> ByteArray:
    """Send uint8 [n, s, s, 3] through one JPEG file, each at its own offset to the blocks.

    `offsets` [n, 2] are rows and columns, 0 to 32 - s.
    """
    from PIL import Image

    count, side = canvases.shape[:2]
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    # Each canvas sits in a cell of its own, its border repeated, so cells do not bleed.
    places = np.arange(_CELL_PX)
    down = np.clip(places[None] - offsets[:, :1], 0, side - 1)
    across = np.clip(places[None] - offsets[:, 1:], 0, side - 1)
    sample = np.arange(count)[:, None, None]
    cells = np.zeros((rows * columns, _CELL_PX, _CELL_PX, 3), np.uint8)
    cells[:count] = canvases[sample, down[:, :, None], across[:, None, :]]
    shape = (rows, columns, _CELL_PX, _CELL_PX, 3)
    sheet = cells.reshape(shape).swapaxes(1, 2).reshape(rows * _CELL_PX, columns * _CELL_PX, 3)
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "JPEG", quality=quality, subsampling=subsampling)
    decoded = np.asarray(Image.open(stream).convert("RGB"))
    shape = (rows, _CELL_PX, columns, _CELL_PX, 3)
    cells = decoded.reshape(shape).swapaxes(1, 2).reshape(-1, _CELL_PX, _CELL_PX, 3)
    inside = np.arange(side)
    down = offsets[:, :1] + inside
    across = offsets[:, 1:] + inside
    return np.asarray(cells[sample, down[:, :, None], across[:, None, :]])
