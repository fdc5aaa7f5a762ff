"""Pictures: bytes in, a decoded picture out that gives upright RGB crops.

Limits are checked on the header, before any pixel is decoded. Called by
`dsapi.prediction.predictor`, and by `dsapi.photos` and `dsapi.evaluation` for labeled photos.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from dsapi.errors import MissingImage, RequestError, TooLarge, UnreadableImage
from dsapi.memory import give_back
from dsapi.prediction.colors import convert_to_srgb, read_conversion
from dsapi.prediction.deadline import Deadline
from dsapi.prediction.formats import read_header
from dsapi.prediction.formats.header import Header
from dsapi.prediction.orientation import find_stored_box, swaps_sides, turn_upright
from dsapi.prediction.pixels import simplify
from dsapi.prediction.reduction import (
    find_spare_factor,
    find_working_factor,
    reduce_size,
    to_blocks,
)

# Beside 3 bytes a pixel: what a request may use whatever the size of its picture.
_BASE_BYTES = 64 * 1024 * 1024
# Of which decoding takes half of this for bands, crops and its own tables; as much again is what
# malloc cannot give back of the pictures before.
_WORKING_BYTES = 16 * 1024 * 1024
# Processor time in which a decoder cannot be stopped at the deadline, estimated.
_MAX_STEP_MS = 1000


@dataclass(frozen=True)
class Limits:
    """What a picture may cost; the defaults are those of the service.

    Attributes:
        max_pixels: width × height by the header. Decoding may take ``3 × max_pixels`` bytes of
            memory and 64 MiB.
        working_side: longest side in pixels that a picture is worked on at; 0: any.
    """

    max_pixels: int = 50_000_000
    working_side: int = 2048

    @property
    def max_decoding_bytes(self) -> int:
        """Memory that one request may take."""
        return 3 * self.max_pixels + _BASE_BYTES


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        image: as stored, at ``1 / factor`` of the full size (rounded up); mode L, RGB, RGBX or
            CMYK. `cut` and `resize` give what a person sees. If only a part was decoded, rows at
            the end may be missing, and tiles be black.
        width: of the full upright picture, in pixels.
        height: likewise.
        factor: power of two by which `image` is reduced.
        format: JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF or HEIC.
        bytes: size of the encoded picture.
        orientation: how `image` is turned upright: 1 to 8 as in EXIF.
        conversion: of its colors to sRGB, if it has a color profile.
    """

    image: Image.Image
    width: int
    height: int
    factor: int
    format: str
    bytes: int
    orientation: int = 1
    conversion: ImageCms.ImageCmsTransform | None = None

    @property
    def reduced_size(self) -> tuple[int, int]:
        """Width and height of the upright picture at ``1 / factor``."""
        return reduce_size((self.width, self.height), self.factor)

    def cut(self, box: tuple[int, int, int, int]) -> Image.Image:
        """Cut a box of the upright, reduced picture: upright, sRGB, pixel by pixel."""
        left, top, right, bottom = self._stored(box)
        piece = self.image.crop((int(left), int(top), int(right), int(bottom)))
        return turn_upright(convert_to_srgb(piece, self.conversion), self.orientation)

    def resize(
        self, box: tuple[float, float, float, float], size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Resize a box of the upright, reduced picture to a width and height: upright, sRGB.

        What has at least twice the pixels asked for is first averaged over blocks, as a decoder
        of scaled JPEGs does: so both give the same, and it takes a sixth of the time of
        ``crop().resize()``, which filters every pixel. The last step is not rounded: half a level
        of rounding, different in each way of decoding, moves the probabilities of a doubtful
        picture by up to 0.04.

        Returns:
            ``float32 [height, width, 3]``, RGB, 0 to 255.
        """
        if swaps_sides(self.orientation):
            size = (size[1], size[0])
        left, top, right, bottom = self._stored(box)
        across = find_spare_factor(right - left, size[0])
        down = find_spare_factor(bottom - top, size[1])
        blocks = to_blocks((left, top, right, bottom), (across, down), size=self.image.size)
        piece = convert_to_srgb(self.image.reduce((across, down), blocks), self.conversion)
        edges = (
            (left - blocks[0]) / across,
            (top - blocks[1]) / down,
            min((right - blocks[0]) / across, piece.width),
            min((bottom - blocks[1]) / down, piece.height),
        )
        bands = (
            piece.getchannel(band).convert("F").resize(size, Image.Resampling.BILINEAR, box=edges)
            for band in range(3)
        )
        upright = [np.asarray(turn_upright(band, self.orientation)) for band in bands]
        return np.stack(upright, axis=-1)

    def _stored(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        return find_stored_box(box, size=self.reduced_size, orientation=self.orientation)


@dataclass(frozen=True)
class OpenPicture:
    """A picture whose headers are read and within the limits, not yet decoded.

    Attributes:
        header: what its headers say.
        width: of the full upright picture, in pixels.
        height: likewise.
        bytes: size of the encoded picture.
        factor: power of two by which it is reduced at least.
        large: decoding takes over half of the memory that it may.
    """

    header: Header
    width: int
    height: int
    bytes: int
    factor: int
    large: bool

    @property
    def reduced_size(self) -> tuple[int, int]:
        """Width and height of the upright picture at ``1 / factor``."""
        return reduce_size((self.width, self.height), self.factor)

    def decode(
        self, factor: int, deadline: Deadline, *, seen: tuple[int, int, int, int] | None = None
    ) -> Picture:
        """Decode, reduced by `factor` (a power of two, 1 or more), or more by the limits.

        What is outside of a box of the full upright picture, if that is all that is `seen`, may be
        left out.

        Raises:
            UnreadableImage: truncated or corrupt.
            DeadlineExceeded: it took too long; some decoders cannot be stopped.
        """
        factor, header = max(factor, self.factor), self.header
        part = header if seen is None else self._find_part(seen, factor)
        if self.large:
            # What is kept of the bodies and pictures before would come on top.
            give_back()
        try:
            image = _decode(part, factor, deadline)
        except RequestError:
            raise
        except MemoryError as error:
            raise TooLarge(
                f"the {header.coding} picture ({header.width} × {header.height} pixels) needs more "
                "memory than there is"
            ) from error
        except Exception as error:  # on corrupt data decoders raise almost anything
            if part is header:
                reason = f"the {header.format} picture is truncated or corrupt"
                raise UnreadableImage(reason) from error
            image = None
        if image is None:  # damage at a part's end may be such that all of the picture is shown
            return self.decode(factor, deadline)
        mode = "RGB" if image.mode == "RGBX" else image.mode
        return Picture(
            image,
            self.width,
            self.height,
            factor=factor,
            format=header.format,
            bytes=self.bytes,
            orientation=header.orientation,
            conversion=read_conversion(header.profile, mode),
        )

    def _find_part(self, seen: tuple[int, int, int, int], factor: int) -> Header:
        """Find the header of as little as can be decoded to see a box of the upright picture."""
        header, size = self.header, (self.width, self.height)
        if header.read_part is None:
            return header
        left, top, right, bottom = find_stored_box(seen, size=size, orientation=header.orientation)
        # Pixels are reduced in whole blocks, which begin at one edge and may reach over the other.
        edge = 2 * factor
        return header.read_part((left - edge, top - edge, right + edge, bottom + edge)) or header


def open_picture(data: bytes, limits: Limits) -> OpenPicture:
    """Read a picture's headers and check them against the limits.

    Raises:
        MissingImage: `data` is empty.
        UnsupportedMediaType: the bytes are no picture in a permitted format.
        TooLarge: more pixels than `limits` permit, or than can be decoded within a second and the
            permitted memory.
        UnreadableImage: the headers are truncated or corrupt.
    """
    if not data:
        raise MissingImage("the picture is empty: 0 bytes")
    header = read_header(data)
    if header.width < 1 or header.height < 1:
        raise UnreadableImage(
            f"the {header.format} picture has no pixels: {header.width} × {header.height}"
        )
    factor = find_working_factor(max(header.width, header.height), limits.working_side)
    needed_bytes = _check_size(header, limits, factor=factor, data_bytes=len(data))
    width, height = header.width, header.height
    if swaps_sides(header.orientation):
        width, height = height, width
    large = needed_bytes > limits.max_decoding_bytes // 2
    return OpenPicture(header, width, height, len(data), factor, large)


def read_picture(data: bytes, limits: Limits) -> Picture:
    """Decode a picture at the full size that `limits` permit.

    Its `cut` and `resize` give what a person sees: upright, sRGB, transparency on white. Its
    `image` is still as stored.

    Raises:
        RequestError: as `open_picture` and `OpenPicture.decode`.
    """
    return open_picture(data, limits).decode(1, Deadline.far())


def _check_size(header: Header, limits: Limits, *, factor: int, data_bytes: int) -> int:
    """Refuse what is too large; give the bytes of memory that decoding takes."""
    pixels = header.width * header.height
    size = f"{pixels} pixels ({header.width} × {header.height})"
    if pixels > limits.max_pixels:
        raise TooLarge(f"the picture has {size}, max_pixels is {limits.max_pixels}")
    if header.coded_pixels > pixels:
        pixels = header.coded_pixels
        size += f", {pixels} as coded"
    if header.max_pixels and pixels > header.max_pixels:
        raise TooLarge(
            f"the picture has {size}, the limit for {header.coding} is {header.max_pixels}"
        )
    coded_bytes = max(data_bytes, header.coded_bytes)
    step_pixels, step_bytes = header.step_pixels or pixels, header.step_bytes or coded_bytes
    step_ms = (step_pixels * header.ns_per_pixel + step_bytes * header.ns_per_byte) / 1e6
    if step_ms > _MAX_STEP_MS:
        raise TooLarge(
            f"the {header.coding} picture has {size} in {coded_bytes} bytes and takes about "
            f"{step_ms:.0f} ms to decode, the limit is {_MAX_STEP_MS} ms"
        )
    needed = int(
        _WORKING_BYTES
        + pixels * header.bytes_per_pixel
        + pixels / factor**2 * 4
        + header.fixed_bytes
        + coded_bytes
    )
    if needed > limits.max_decoding_bytes:
        raise TooLarge(
            f"the {header.coding} picture has {size} and takes {needed} bytes to decode, "
            f"the limit is {limits.max_decoding_bytes}"
        )
    return needed


def _decode(header: Header, factor: int, deadline: Deadline) -> Image.Image:
    """Decode to plain pixels at ``1 / factor``."""
    deadline.check()
    pixels = header.decode(factor, deadline)
    size = (header.width, header.height)
    reductions = (1, 2, 4, 8)  # those that decoders know
    done = next((each for each in reductions if pixels.size == reduce_size(size, each)), None)
    if done is None:
        raise UnreadableImage(
            f"the {header.format} picture has {pixels.size[0]} × {pixels.size[1]} pixels, "
            f"its header says {size[0]} × {size[1]}"
        )
    return simplify(pixels, max(1, factor // done))
