"""Pixels of a picture in tiles, which are decoded as its rows are asked for; called by `heif`."""

from collections.abc import Callable

from PIL import Image

from dsapi.errors import UnreadableImage
from dsapi.prediction.formats.grids import Grid
from dsapi.prediction.formats.header import RawPixels


class TiledPixels:
    """Decodes one row of tiles after the other, and keeps no more than one.

    Attributes:
        size: width and height of the picture.
        mode: Pillow's name of the kind of pixels.
    """

    def __init__(self, grid: Grid, mode: str, decode: Callable[[int], RawPixels]) -> None:
        """Decode nothing yet.

        Args:
            grid: where each tile belongs.
            mode: of the picture, and so of each tile.
            decode: decodes a tile by its number.
        """
        self.size = grid.size
        self.mode = mode
        self._grid = grid
        self._decode = decode
        self._row = -1
        self._tiles: list[RawPixels] = []

    def crop(self, box: tuple[int, int, int, int], /) -> Image.Image:
        """Copy a box of the pixels, which decodes the rows of tiles that it touches.

        Raises:
            UnreadableImage: a tile is of another kind or size than the picture says.
            Exception: whatever decoding one raises.
        """
        left, top, right, bottom = box
        width, height = self._grid.tile_size
        image = Image.new(self.mode, (right - left, bottom - top))
        for row in range(top // height, -(-bottom // height)):
            start = row * height
            first, last = max(top, start), min(bottom, start + height)
            for column, tile in enumerate(self._decode_row(row)):
                piece = tile.crop((0, first - start, width, last - start))
                image.paste(piece, (column * width - left, first - top))
        return image

    def _decode_row(self, row: int) -> list[RawPixels]:
        if row != self._row:
            self._tiles = []  # before the next take as much
            self._tiles = [self._decode_tile(item) for item in self._grid.rows[row]]
            self._row = row
        return self._tiles

    def _decode_tile(self, item: int) -> RawPixels:
        tile, (width, height) = self._decode(item), self._grid.tile_size
        if (tile.size, tile.mode) != ((width, height), self.mode):
            raise UnreadableImage(
                f"a tile has {tile.size[0]} × {tile.size[1]} pixels, {tile.mode}, "
                f"the header says {width} × {height}, {self.mode}"
            )
        return tile
