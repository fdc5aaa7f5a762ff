"""TensorFlow: a frozen ``GraphDef`` in, sessions of `tf.compat.v1` out.

TensorFlow is imported when the first graph is loaded, never before: it is not fork-safe, and a
process that loads it and then daemonizes hangs at its first prediction.
"""

import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsapi.engines import EngineOptions, Session, count_scores, require_batch, take_only
from dsapi.engines.tensorflow_library import import_tensorflow
from dsapi.errors import StartupError, first_line

# How lines of a message begin that do not say what is wrong.
_BESIDES = ("[[", "Hint:", "Original stack trace")


class TensorFlowSession(Session):
    """A `tf.compat.v1.Session` with its feed and fetch bound."""

    def __init__(self, loaded: "TensorFlowGraph") -> None:
        """Open a session on a graph, which lives as long as this."""
        tf = import_tensorflow()
        # Workers give the parallelism, one thread each. The first session of a process fixes
        # the size of its thread pools for good. -1: operations run in the calling thread. With 1
        # all sessions would share a single thread, whatever the number of workers.
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=1, inter_op_parallelism_threads=-1
        )
        # By itself TensorFlow takes all of a GPU's memory, whatever else wants to use it.
        config.gpu_options.allow_growth = True
        self._loaded = loaded
        self._one_by_one = loaded.one_by_one
        self._session = tf.compat.v1.Session(graph=loaded.graph, config=config)
        # A callable skips the parsing of feeds and fetches that Session.run repeats every time.
        self._call = self._session.make_callable(
            loaded.output_tensor.name, feed_list=[loaded.input_tensor.name]
        )

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        """Map inputs ``[n, …]`` to scores ``float32 [n, labels]``."""
        pieces = np.split(batch, len(batch)) if self._one_by_one else [batch]
        try:
            found = [self._call(piece) for piece in pieces]
        except import_tensorflow().errors.OpError as error:
            raise RuntimeError(_reason(error.message)) from error
        scores = np.concatenate(found) if self._one_by_one else found[0]
        return np.asarray(scores, dtype=np.float32).reshape(len(batch), -1)

    def close(self) -> None:
        """Give back the session's memory."""
        self._session.close()


class TensorFlowGraph:
    """A frozen graph, imported once and shared by every session.

    It and its sessions are free of reference cycles: when the last of them is let go, the
    ``tf.Graph`` goes at once, and no garbage collector is needed for it.
    """

    def __init__(self, graph: Any, *, input_tensor: Any, output_tensor: Any) -> None:
        """Keep the imported ``tf.Graph`` and the two tensors at its ends."""
        weakref.finalize(self, _break_cycles, graph).atexit = False
        self.graph = graph
        self.input_tensor = input_tensor
        self.output_tensor = output_tensor
        inputs, outputs = input_tensor.shape, output_tensor.shape
        self.input_shape = None if inputs.rank is None else tuple(inputs.as_list()[1:])
        self.input_dtype: str = input_tensor.dtype.name
        self.output_size = count_scores(outputs.as_list()[1:] if outputs.rank else None)
        # Whether it is frozen with a batch of one.
        self.one_by_one = _fixed_batch(input_tensor) == 1

    @property
    def gains_from_batches(self) -> bool:
        """Whether the graph runs on a GPU, and takes more than one input at a time."""
        return not self.one_by_one and bool(import_tensorflow().config.list_physical_devices("GPU"))

    def open_session(self) -> TensorFlowSession:
        """Open a session for the calling thread."""
        return TensorFlowSession(self)


def load(
    path: Path,
    options: EngineOptions,
    *,
    input_tensor: str | None,
    output_tensor: str | None,
    input_size: int | None,
) -> TensorFlowGraph:
    """Load a frozen graph; see `dsapi.engines.load_graph`. Open input sizes may stay open."""
    if options.precision != "f32":
        raise StartupError(
            f"precision = {options.precision!r} is for engine = 'openvino'; TensorFlow has f32"
        )
    definition = _read(path)
    graph = import_tensorflow().Graph()
    try:
        _import(definition, graph, path)
        _require_constants(graph, path)
        feed = (
            _named(graph, input_tensor, "input_tensor")
            if input_tensor
            else _only_input(graph, path)
        )
        require_batch(_fixed_batch(feed), path)
        return TensorFlowGraph(
            graph,
            input_tensor=feed,
            output_tensor=_named(graph, output_tensor, "output_tensor")
            if output_tensor
            else _only_output(graph, path),
        )
    except StartupError:
        _break_cycles(graph)
        raise


def _read(path: Path) -> Any:
    """Read a graph file."""
    definition = import_tensorflow().compat.v1.GraphDef()
    from google.protobuf.message import DecodeError

    try:
        definition.ParseFromString(path.read_bytes())
    except OSError as error:
        raise StartupError(
            f"cannot read the graph {path}: {error.strerror}; check `graph` in the model's section"
        ) from error
    except DecodeError as error:
        raise StartupError(
            f"{path} is no frozen TensorFlow graph or is cut short; copy it again"
        ) from error
    if not definition.node:
        raise StartupError(f"the graph {path} is empty; copy it again")
    return definition


def _import(definition: Any, graph: Any, path: Path) -> None:
    """Import what was read into an empty graph."""
    tf = import_tensorflow()
    try:
        with graph.as_default():
            tf.import_graph_def(definition, name="")
    except (ValueError, tf.errors.OpError) as error:
        raise StartupError(
            f"TensorFlow cannot import the graph {path}: {first_line(error)}; freeze it again"
        ) from error


def _break_cycles(graph: Any) -> None:
    """Make a ``tf.Graph`` unusable, so that it goes with the last reference to it.

    It and its operations know each other: a cycle of megabytes, which the garbage collector comes
    to only after many reloads. TensorFlow's own `dismantle_graph` is this call.
    """
    graph.Dismantle()


def _reason(message: str) -> str:
    """Find what matters in a message of many lines: the last that tells no place and no hint."""
    lines = [line.strip() for line in message.splitlines()]
    told = [line for line in lines if line and not line.startswith(_BESIDES)]
    reason = told[-1] if told else message
    if "must feed a value for placeholder" in reason:
        reason += "; freeze the inference graph, which has one input"
    return reason


def _fixed_batch(tensor: Any) -> int | None:
    """Find the length of the first axis; ``None`` if it is open."""
    size: int | None = tensor.shape.as_list()[0] if tensor.shape.rank else None
    return size


def _require_constants(graph: Any, path: Path) -> None:
    """Refuse a graph whose weights lie elsewhere."""
    kinds = {"Variable", "VariableV2", "VarHandleOp", "ReadVariableOp"}
    found = next((op.name for op in graph.get_operations() if op.type in kinds), None)
    if found is not None:
        raise StartupError(
            f"{path} is not frozen: it has the variable {found!r} and not its value; freeze it"
        )


def _named(graph: Any, name: str, setting: str) -> Any:
    """Find a configured tensor."""
    try:
        return graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
    except (KeyError, ValueError) as error:
        raise StartupError(f"{setting} = {name!r} is not in the graph") from error


def _only_input(graph: Any, path: Path) -> Any:
    """Find the single placeholder."""
    found = [op.outputs[0] for op in graph.get_operations() if op.type == "Placeholder"]
    return take_only(found, path, end="input", names=[tensor.name for tensor in found])


def _only_output(graph: Any, path: Path) -> Any:
    """Find the single tensor that no operation reads and that depends on the input."""
    found = [
        op.outputs[0]
        for op in graph.get_operations()
        if len(op.outputs) == 1
        and not op.outputs[0].consumers()
        and op.inputs
        and op.outputs[0].dtype.is_floating
    ]
    return take_only(found, path, end="output", names=[tensor.name for tensor in found])
