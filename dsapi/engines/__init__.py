"""Engines load graph files and run them; what answers requests imports their libraries only here.

A graph file is loaded once per process (`load_graph`); every prediction worker opens a session
of its own on it. Called by `dsapi.prediction.model`, and by a training to measure its graph.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dsapi.errors import StartupError

EngineName = Literal["tensorflow", "openvino"]
Precision = Literal["f32", "bf16", "f16"]
Batching = Literal["auto", "on", "off"]
Sharing = Literal["auto", "on", "off"]
_End = TypeVar("_End")

# First bytes of files that people mistake for frozen graphs. A GraphDef's first byte is 0x0a.
_OTHER_FORMATS = {
    b"PK\x03\x04": "a Keras model (.keras) or another archive",
    b"\x89HDF\r\n\x1a\n": "a Keras model (.h5)",
    b"\x08\x01\x12": "a SavedModel",
}
# What the placeholders are called that only training feeds.
_OF_TRAINING = re.compile(
    r"keep_?prob|drop_?out|is_?training|train_?phase|learning_(rate|phase)", re.IGNORECASE
)


@dataclass(frozen=True)
class EngineOptions:
    """How an engine is to run graphs.

    Attributes:
        precision: of the arithmetic. TensorFlow computes in the graph's own, ``f32``.
        batching: whether the inputs of sessions that wait at the same time run as one batch;
            ``auto``: if the engine says that its device gains from it.
        share_weights: whether an engine that can do without lets all sessions have the weights in
            common; ``auto``: if there are more than two. TensorFlow always does.
        sessions: how many are to run at a time; more may be opened.
    """

    precision: Precision = "f32"
    batching: Batching = "auto"
    share_weights: Sharing = "auto"
    sessions: int = 1

    @property
    def shares_weights(self) -> bool:
        """Whether sessions have the weights in common, with an engine that can do without."""
        # What sharing saves for two it needs for a third, which hand-overs ask for: two without
        # take no more memory and are faster (docs/engines.md).
        return self.share_weights == "on" or (self.share_weights == "auto" and self.sessions > 2)


class Session(Protocol):
    """One thread's means of running a graph."""

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        """Map inputs ``[n, …]`` to scores ``float32 [n, labels]``."""

    def start(self, batch: NDArray[np.generic]) -> Callable[[], NDArray[np.float32]]:
        """Begin a run; what is returned waits for its end and gives the scores.

        An engine that computes in the calling thread has done so by then; one with threads of its
        own goes on meanwhile.
        """
        scores = self.run(batch)
        return lambda: scores

    def close(self) -> None:
        """Give back what the session holds."""


class Graph(Protocol):
    """A graph file in memory, shared by all sessions on it."""

    @property
    def input_shape(self) -> tuple[int | None, ...] | None:
        """Shape of one input without the batch axis; ``None`` for an open axis or rank."""

    @property
    def input_dtype(self) -> str:
        """Type of the input's values as NumPy names it: ``float32``, ``uint8``."""

    @property
    def output_size(self) -> int | None:
        """Number of scores per input; ``None`` if the graph leaves it open."""

    @property
    def gains_from_batches(self) -> bool:
        """Whether a batch of n takes less than n times as long as one input."""

    def open_session(self) -> Session:
        """Open a session for the calling thread."""


def load_graph(
    path: Path,
    *,
    engine: EngineName,
    input_tensor: str | None,
    output_tensor: str | None,
    input_size: int | None = None,
    options: EngineOptions = EngineOptions(),
) -> Graph:
    """Load a frozen graph with the named engine.

    Args:
        path: a frozen TensorFlow ``GraphDef`` (``.pb``).
        engine: which library runs it.
        input_tensor: name of the tensor to feed (``image`` or ``image:0``); ``None``: the
            graph's only placeholder.
        output_tensor: name of the tensor to fetch; ``None``: the only output that nothing reads.
        input_size: side of the input in pixels, for engines that must know what the graph may
            leave open.
        options: how it is to run.

    Raises:
        StartupError: the file is missing or no graph, a tensor is missing or ambiguous, or the
            engine is not installed or lacks an option.
    """
    from dsapi.engines.batching import BatchingGraph

    graph = _loader(engine)(
        path,
        options,
        input_tensor=input_tensor,
        output_tensor=output_tensor,
        input_size=input_size,
    )
    if options.batching == "on" or (options.batching == "auto" and graph.gains_from_batches):
        return BatchingGraph(graph)
    return graph


def refuse_other_formats(path: Path) -> None:
    """Tell whoever names another kind of model as a graph how to make one of it.

    Raises:
        StartupError: it is a Keras model, a SavedModel or a folder.
    """
    found = None
    if path.is_dir():
        found = "a SavedModel" if (path / "saved_model.pb").exists() else "a folder"
    elif path.is_file():
        with path.open("rb") as stream:
            head = stream.read(8)
        found = next(
            (kind for start, kind in _OTHER_FORMATS.items() if head.startswith(start)), None
        )
    if found is not None:
        raise StartupError(
            f"{path} is {found}, not a frozen graph (.pb); freeze it as docs/models.md shows, "
            "with dsapi.training.freezing.freeze_network"
        )


def take_only(found: Sequence[_End], path: Path, *, end: str, names: Sequence[str]) -> _End:
    """Take the one end of a graph that there is.

    Args:
        found: all that there are.
        path: the graph file.
        end: ``input`` or ``output``.
        names: what they are called.

    Raises:
        StartupError: there are several, or none.
    """
    if len(found) == 1:
        return found[0]
    advice = f"set {end}_tensor in the model's section"
    if end == "input" and (extra := [name for name in names if _OF_TRAINING.search(name)]):
        advice = f"{', '.join(extra)} is for training: freeze the inference graph, without it"
    candidates = ", ".join(sorted(names)) or "none"
    raise StartupError(f"the {end} of {path} is ambiguous (candidates: {candidates}); {advice}")


def require_batch(pictures: int | None, path: Path) -> None:
    """See that a graph takes any number of pictures at a time (``None``), or one.

    Raises:
        StartupError: it takes another number.
    """
    if pictures not in (None, 1):
        raise StartupError(
            f"{path} takes {pictures} pictures at a time; freeze it with an open batch axis, "
            "or one of 1"
        )


def count_scores(shape: Sequence[int | None] | None) -> int | None:
    """Count the scores per input from an output's shape without the batch axis.

    Args:
        shape: ``None`` for an open axis or rank; ``(labels,)``, or with axes of one around that.

    Returns:
        ``None`` if the shape leaves it open, or has the batch axis only.
    """
    count = 1
    for axis in shape or (None,):
        if axis is None:
            return None
        count *= axis
    return count


def _loader(engine: EngineName) -> Callable[..., Graph]:
    """Import the engine's module only now: its library is large and perhaps not fork-safe."""
    if engine == "openvino":
        from dsapi.engines import openvino

        return openvino.load
    from dsapi.engines import tensorflow

    return tensorflow.load
