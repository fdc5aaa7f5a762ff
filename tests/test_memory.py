"""The memory that one request takes, on a real server process under a resource limit."""

import base64
import http.client
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from dsapi.errors import TooLarge
from dsapi.prediction.picture import Limits, open_picture
from tests.corpus.heif import encode_heic, encode_tile, write_tiles
from tests.corpus.scene import draw
from tests.pictures import encode

# The default and less.
MAX_PIXELS = (20_000_000, 50_000_000)
# Just under the size from which malloc gives a block back as it is freed, so that it keeps them.
_BODY_BYTES = 15_000_000
_MAX_SLOW_PIXELS = 25_000_000
WORST = ("RGB PNG", "RGBA PNG", "progressive JPEG", "WebP", "AVIF", "HEIC", "deflated TIFF")


@dataclass(frozen=True)
class Server:
    """A server process of its own."""

    pid: int
    port: int
    limits: Limits
    # What it takes once it is warm, in KiB.
    resident_kib: int

    def post(self, body: bytes, content_type: str = "image/png") -> tuple[int, dict[str, object]]:
        """Post a picture, raw unless the content type says otherwise."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/v1/predictions", body, {"Content-Type": content_type})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def kib(self, field: str) -> int:
        """Read a figure of the process, in KiB."""
        return _kib(self.pid, field)

    def limit_growth(self, max_bytes: int) -> None:
        """Let the process take no more memory than it has and this much."""
        limit = self.kib("VmData") * 1024 + max_bytes
        hard = resource.prlimit(self.pid, resource.RLIMIT_DATA)[1]
        resource.prlimit(self.pid, resource.RLIMIT_DATA, (limit, hard))

    def grown_bytes(self) -> int:
        """How much more memory it took at its peak than when it was warm."""
        return (self.kib("VmHWM") - self.resident_kib) * 1024

    def forget_peak(self) -> None:
        """Start measuring VmHWM anew (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")


@pytest.fixture(scope="module", params=MAX_PIXELS)
def process(
    request: pytest.FixtureRequest, tiny_config: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of one worker, warmed up."""
    limits = Limits(max_pixels=request.param, working_side=2048)
    config = tmp_path_factory.mktemp("memory") / "dsapi.conf"
    text = tiny_config.read_text(encoding="utf-8")
    for name in ("models", "labels"):
        text = text.replace(f'"{name}/', f'"{tiny_config.parent / name}/')
    settings = f"max_pixels = {limits.max_pixels}\nprediction_workers = 1"
    config.write_text(text.replace("prediction_workers = 2", settings), encoding="utf-8")
    running = subprocess.Popen(
        [sys.executable, "-m", "dsapi", "serve", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert running.stdout is not None
    try:
        words = running.stdout.readline().split()
        port = next(int(word.rpartition(":")[2]) for word in words if "http://" in word)
        cold = Server(running.pid, port, limits, 0)
        for _ in range(3):
            assert cold.post(encode(draw(width=1000, height=800), "PNG"))[0] == 200
        yield replace(cold, resident_kib=cold.kib("VmRSS"))
    finally:
        running.terminate()
        running.communicate(timeout=60)


def _kib(pid: int, field: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if field in line)


@cache
def worst_picture(name: str, limits: Limits) -> bytes:
    """Encode the largest picture that is accepted, for a decoder that takes much memory."""

    def largest(format: str, bytes_per_pixel: float, **options: object) -> bytes:
        return _largest(limits, format, bytes_per_pixel, **options)

    makers: dict[str, Callable[[], bytes]] = {
        "RGB PNG": lambda: largest("PNG", 5.1, compress_level=1),
        "RGBA PNG": lambda: largest("PNG", 5, mode="RGBA", compress_level=1),
        "progressive JPEG": lambda: largest("JPEG", 7, subsampling=0, progressive=True),
        "WebP": lambda: largest("WEBP", 13.4, method=0),
        "AVIF": lambda: largest("AVIF", 14, speed=10, quality=50),
        "HEIC": lambda: largest("HEIC", 6.5),
        "deflated TIFF": lambda: largest("TIFF", 5, compression="tiff_adobe_deflate"),
    }
    return makers[name]()


def _largest(
    limits: Limits, format: str, bytes_per_pixel: float, *, mode: str = "RGB", **options: object
) -> bytes:
    # 20 MB less: the encoded picture, its copies and working memory count too.
    pixels = min(limits.max_pixels, (limits.max_decoding_bytes - 20_000_000) / bytes_per_pixel)
    if options.get("progressive") or format == "HEIC":
        pixels = min(pixels, _MAX_SLOW_PIXELS)
    side = int(pixels**0.5)
    image = Image.new(mode, (side, side), "teal")
    return encode_heic(image) if format == "HEIC" else encode(image, format, **options)


def test_a_machine_out_of_memory_refuses_the_picture_and_goes_on(process: Server) -> None:
    process.limit_growth(24 * 2**20)
    status, answer = process.post(worst_picture("RGB PNG", process.limits))
    assert (status, answer.get("code")) == (413, "too_large")
    assert process.post(encode(draw(), "PNG"))[0] == 200


@pytest.mark.parametrize("name", WORST)
def test_the_worst_accepted_picture_stays_within_the_bound(process: Server, name: str) -> None:
    picture = worst_picture(name, process.limits)
    process.limit_growth(process.limits.max_decoding_bytes)
    process.forget_peak()
    status, answer = process.post(picture)
    assert status == 200, answer.get("detail")
    assert process.limits.max_pixels < process.grown_bytes() <= process.limits.max_decoding_bytes


@pytest.mark.parametrize("form", ["raw", "upload", "base64"])
def test_a_large_body_stays_within_the_bound(process: Server, form: str) -> None:
    picture = _largest_tiff(process.limits, file_bytes=_BODY_BYTES)
    process.limit_growth(process.limits.max_decoding_bytes)
    grown = []
    for _ in range(3):  # what malloc has kept of earlier bodies differs by some megabytes
        process.forget_peak()
        status, answer = process.post(*_BODIES[form](picture))
        assert status == 200, answer.get("detail")
        grown.append(process.grown_bytes())
    assert process.limits.max_pixels < min(grown) <= process.limits.max_decoding_bytes


@cache
def _largest_tiff(limits: Limits, *, file_bytes: int) -> bytes:
    """Encode the largest TIFF that is accepted in a file of this size, most of it left unread."""
    side = int((limits.max_decoding_bytes / 4) ** 0.5)
    while True:
        image = Image.new("RGB", (side, side), "teal")
        data = encode(image, "TIFF", compression="tiff_adobe_deflate").ljust(file_bytes, b"\0")
        try:
            open_picture(data, limits)
        except TooLarge:
            side = side * 99 // 100
        else:
            return data


def _write_upload(picture: bytes) -> tuple[bytes, str]:
    head = b'--limit\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    return head + picture + b"\r\n--limit--\r\n", "multipart/form-data; boundary=limit"


def _write_json(picture: bytes) -> tuple[bytes, str]:
    text = base64.b64encode(picture).decode()
    return json.dumps({"image": text}).encode(), "application/json"


_BODIES: dict[str, Callable[[bytes], tuple[bytes, str]]] = {
    "raw": lambda picture: (picture, "image/tiff"),
    "upload": _write_upload,
    "base64": _write_json,
}


def test_a_picture_in_tiles_takes_little(process: Server) -> None:
    count = int(process.limits.max_pixels**0.5) // 512
    side = 512 * count
    tile = encode_tile(Image.new("RGB", (512, 512), "teal"), b"hvc1")
    picture = write_tiles(
        [tile] * count**2,
        kind=b"hvc1",
        size=(side, side),
        tile_size=(512, 512),
        grid=(count, count),
    )
    process.forget_peak()
    before_kib = process.kib("VmHWM")
    status, answer = process.post(picture)
    assert status == 200, answer.get("detail")
    taken_kib = process.kib("VmHWM") - before_kib
    assert 0 < taken_kib * 1024 <= process.limits.max_decoding_bytes / 2


def test_memory_comes_back_to_its_level(process: Server) -> None:
    picture = worst_picture("RGB PNG", process.limits)
    process.limit_growth(process.limits.max_decoding_bytes)
    process.post(picture)
    before = process.kib("VmRSS")
    for _ in range(5):
        assert process.post(picture)[0] == 200
    assert process.kib("VmRSS") - before < 16 * 1024
