"""Pixels of a picture in tiles, which are decoded as its rows are asked for; called by `heif`."""

from collections.abc import Callable

from PIL import Image

from dsapi.errors import UnreadableImage
from dsapi.prediction.formats.grids import Grid
from dsapi.prediction.formats.header import Area, RawPixels


class TiledPixels:
    """Decodes one row of tiles after the other, and keeps no more than one.

    Attributes:
        size: width and height of the picture.
        mode: Pillow's name of the kind of pixels.
    """

    def __init__(
        self, grid: Grid, mode: str, decode: Callable[[int], RawPixels], *, seen: Area | None
    ) -> None:
        """Decode nothing yet.

        Args:
            grid: where each tile belongs.
            mode: of the picture, and so of each tile.
            decode: decodes a tile by its number.
            seen: tiles outside of this area stay black; ``None``: none does.
        """
        self.size = grid.size
        self.mode = mode
        self._grid = grid
        self._decode = decode
        self._seen = seen or (0, 0, *grid.size)
        self._row = -1
        self._tiles: list[tuple[int, RawPixels]] = []

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
            for column, tile in self._decode_row(row):
                piece = tile.crop((0, first - start, width, last - start))
                image.paste(piece, (column * width - left, first - top))
        return image

    def _decode_row(self, row: int) -> list[tuple[int, RawPixels]]:
        """Decode the tiles of a row that are seen; each with its column."""
        if row != self._row:
            self._tiles = []  # before the next take as much
            self._tiles = [
                (column, self._decode_tile(item))
                for column, item in enumerate(self._grid.rows[row])
                if self._is_seen(column, row)
            ]
            self._row = row
        return self._tiles

    def _is_seen(self, column: int, row: int) -> bool:
        (width, height), (left, top, right, bottom) = self._grid.tile_size, self._seen
        across = column * width < right and left < (column + 1) * width
        return across and row * height < bottom and top < (row + 1) * height

    def _decode_tile(self, item: int) -> RawPixels:
        tile, (width, height) = self._decode(item), self._grid.tile_size
        if (tile.size, tile.mode) != ((width, height), self.mode):
            raise UnreadableImage(
                f"a tile has {tile.size[0]} × {tile.size[1]} pixels, {tile.mode}, "
                f"the header says {width} × {height}, {self.mode}"
            )
        return tile
