"""OpenVINO: the same frozen ``GraphDef`` in, compiled models out, on which sessions run it.

TensorFlow is not imported: OpenVINO reads the file with a frontend of its own. A session is an
infer request. All of a graph's share one compiled model, and with it the weights, or each has one
of its own. With one stream it runs in the thread that calls it, with more in the streams' own
threads (OpenVINO 2026.4: ``ITaskExecutor::run_and_wait`` in ``IAsyncInferRequest::infer``), while
the calling thread does what else there is to do for its picture. That hand-over costs little as
long as the streams are not bound to cores, on which another worker may be decoding. It is more than
a small graph takes, which is never shared.

A run that fails in the calling thread is lost: nothing is raised, the output stays the one before,
and the run is tried again before the next one, whether or not its request still exists
(``CPUStreamsExecutor::Impl::Defer``, OpenVINO 2026.4). So a graph that could fail always runs in
the stream's thread.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsapi.engines import EngineOptions, Session, count_scores, require_batch, take_only
from dsapi.engines.openvino_library import import_openvino, make_core
from dsapi.errors import StartupError

# Files below this have too few weights to be worth sharing.
_SHARED_BYTES = 1024 * 1024
_WITH_BODY = ("If", "Loop", "TensorIterator")


class OpenVINOSession(Session):
    """An infer request of one thread."""

    def __init__(self, compiled: Any, *, one_by_one: bool, may_fail: bool) -> None:
        """Make a request on a compiled model; `one_by_one` if that takes a batch of one only."""
        self._request = compiled.create_infer_request()
        self._one_by_one = one_by_one
        self._runs_here = compiled.get_property("NUM_STREAMS") == 1 and not may_fail
        self._input: Any = None

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        """Map inputs ``[n, …]`` to scores ``float32 [n, labels]``."""
        return self.start(batch)()

    def start(self, batch: NDArray[np.generic]) -> Callable[[], NDArray[np.float32]]:
        """Begin a run; of a batch that is run one by one, the first."""
        first, *others = np.split(batch, len(batch)) if self._one_by_one else [batch]
        with _naming_reason():
            self._begin(first)
        return partial(self._finish, others, len(batch))

    def close(self) -> None:
        """Give back the request's memory; waits for its end if it runs."""
        self._request = None
        self._input = None

    def _begin(self, piece: NDArray[np.generic]) -> None:
        # A run given up at its deadline may still be going on. wait() raises its error, or repeats
        # the previous one's; neither concerns this run.
        with suppress(Exception):
            self._request.wait()
        # infer() takes and returns arrays too, but looks at their kinds for 50 µs. The request
        # does not keep the array, which the tensor does.
        self._input = import_openvino().Tensor(piece, shared_memory=True)
        self._request.set_input_tensor(self._input)
        if self._runs_here:
            self._request.infer(share_outputs=True)
        else:
            self._request.start_async(share_inputs=True)

    def _finish(self, others: list[NDArray[np.generic]], count: int) -> NDArray[np.float32]:
        """Wait for what has begun, run the `others` and give all `count` scores."""
        with _naming_reason():
            scores = [self._wait()]
            for piece in others:
                self._begin(piece)
                scores.append(self._wait())
        return np.concatenate(scores).reshape(count, -1)

    def _wait(self) -> NDArray[np.float32]:
        self._request.wait()
        # The next run overwrites it.
        return np.array(self._request.get_output_tensor().data)


class OpenVINOGraph:
    """A model that is compiled for all sessions together, or for each."""

    gains_from_batches = False

    def __init__(self, compile_model: Callable[[], Any], *, shared: bool, may_fail: bool) -> None:
        """Compile a model of one input and one output; if not `shared`, again for each session.

        Args:
            compile_model: does so.
            shared: whether the sessions share one.
            may_fail: whether some inputs may end a run.
        """
        compiled = compile_model()
        # The first session takes it, unless all do.
        self._compiled = [compiled]
        self._compile_anew = None if shared else compile_model
        self._may_fail = may_fail
        # A shape known at compile time is that of one input.
        self._one_by_one = not compiled.inputs[0].partial_shape.is_dynamic
        self.input_shape = _shape(compiled.inputs[0].partial_shape)
        self.input_dtype = compiled.inputs[0].element_type.to_dtype().name
        self.output_size = count_scores(_shape(compiled.outputs[0].partial_shape))

    def open_session(self) -> OpenVINOSession:
        """Open a session for the calling thread."""
        if self._compile_anew is None:
            compiled = self._compiled[0]
        else:
            try:
                compiled = self._compiled.pop()
            except IndexError:  # not asked before: sessions are opened in several threads at once
                compiled = self._compile_anew()
        return OpenVINOSession(compiled, one_by_one=self._one_by_one, may_fail=self._may_fail)


def load(
    path: Path,
    options: EngineOptions,
    *,
    input_tensor: str | None,
    output_tensor: str | None,
    input_size: int | None,
) -> OpenVINOGraph:
    """Load a frozen graph; see `dsapi.engines.load_graph`."""
    if not path.is_file():
        raise StartupError(f"cannot read the graph {path}: no such file; check `graph`")
    try:
        model = _read(path, input_tensor=input_tensor, output_tensor=output_tensor)
        require_batch(_fixed_batch(model.inputs[0].partial_shape), path)
        shape = _settled(_shape(model.inputs[0].partial_shape), input_size)
        if shape is None:
            raise StartupError(f"{path} leaves its input open; set input_size in pixels")
        if None not in shape:
            # A shape known at compile time makes a MobileNetV2 a quarter faster than an open
            # batch, and a batch of 8 takes as long as 8 batches of 1.
            model.reshape([1, *shape])
        shared = options.shares_weights and path.stat().st_size >= _SHARED_BYTES
        settings = _configuration(options if shared else replace(options, sessions=1))
        compile_model = partial(make_core().compile_model, model, "CPU", settings)
        return OpenVINOGraph(compile_model, shared=shared, may_fail=_may_fail(model))
    except StartupError:
        raise
    except Exception as error:  # OpenVINO's have no class of their own in common
        raise StartupError(
            f"{path} is no frozen TensorFlow graph that OpenVINO can run ({_reason(error)}); "
            "copy or freeze it again, set input_size, or use engine = 'tensorflow'"
        ) from error


def _configuration(options: EngineOptions) -> dict[str, str]:
    """Have each session run on one thread, on whichever core is free.

    By itself OpenVINO would give all cores to one session and let the others wait, and would bind
    its threads to cores. It would also pick bf16 on some CPUs, which changes the best five labels
    (error 0.02 instead of 4e-6). It makes no more streams than there are cores.
    """
    return {
        "INFERENCE_PRECISION_HINT": options.precision,
        "NUM_STREAMS": str(options.sessions),
        "INFERENCE_NUM_THREADS": str(options.sessions),
        "ENABLE_CPU_PINNING": "NO",
    }


def _read(path: Path, *, input_tensor: str | None, output_tensor: str | None) -> Any:
    """Convert a graph file, or its part between two tensors, to a model with one end each."""
    frontend = import_openvino().frontend.FrontEndManager().load_by_framework("tf")
    source = frontend.load(str(path))
    feed = _named(source, input_tensor, "input_tensor") or _only(source.get_inputs(), path)
    fetch = _named(source, output_tensor, "output_tensor")
    if input_tensor or fetch:
        # Only what lies between is converted: what leads there may be beyond OpenVINO.
        fetch = fetch or _only(source.get_outputs(), path, end="output")
        source.extract_subgraph([feed], [fetch])
    model = frontend.convert(source)
    _only(model.inputs, path)  # one that is named may not be all that the output needs
    output = _only(model.outputs, path, end="output")
    # OpenVINO 2026.4 takes the depth_radius for the whole window.
    if any(operation.get_type_name() == "LRN" for operation in model.get_ops()):
        raise StartupError(
            f"{path} has tf.nn.lrn, for which OpenVINO computes something else; "
            "use engine = 'tensorflow'"
        )
    # Of an operation's third output that it does not have, OpenVINO gives the first.
    full = _full_name(output_tensor or "")
    if output_tensor and not full.endswith(":0") and full not in output.get_names():
        raise _missing(output_tensor, "output_tensor")
    # NumPy has no bf16, whose bits would be read as f16.
    converter = import_openvino().preprocess.PrePostProcessor(model)
    converter.output().tensor().set_element_type(import_openvino().Type.f32)
    return converter.build()


def _settled(
    shape: tuple[int | None, ...] | None, side: int | None
) -> tuple[int | None, ...] | None:
    """Fill what a graph leaves open of its input's shape with the configured size."""
    if side is None:
        return shape
    if shape is None:
        return side, side, 3
    if len(shape) == 1:
        return (shape[0] or side * side * 3,)
    return tuple(axis or known for axis, known in zip(shape, (side, side, 3), strict=False))


@contextmanager
def _naming_reason() -> Iterator[None]:
    """Raise what matters in a message, not the source file with which it begins."""
    try:
        yield
    except Exception as error:  # OpenVINO's have no class of their own in common
        raise RuntimeError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Find what matters in a message of many lines: a summary's first point, else its end."""
    text = str(error).strip() or type(error).__name__
    _, *points = text.split("\n-- ")
    if not points:
        return text.splitlines()[-1]
    operation, _, message = points[0].partition(" with a message:\n")
    details = message.partition("Summary:")[0].strip()  # whose own end says why
    return ": ".join([operation.splitlines()[0], *details.splitlines()[-1:]])


def _shape(partial: Any) -> tuple[int | None, ...] | None:
    """Take the batch axis off a shape; ``None`` for an open axis or rank."""
    if partial.rank.is_dynamic:
        return None
    return tuple(axis.get_length() if axis.is_static else None for axis in list(partial)[1:])


def _fixed_batch(partial: Any) -> int | None:
    """Find the length of the first axis; ``None`` if it is open."""
    axes = [] if partial.rank.is_dynamic else list(partial)
    return axes[0].get_length() if axes and axes[0].is_static else None


def _may_fail(model: Any) -> bool:
    """Tell whether some pictures may end a run of a model.

    What ends one is an index, a length or a shape that does not fit: an integer computed from the
    picture, or a shape known only then. Branches and loops are not looked into.
    """
    from_picture = set()
    for operation in model.get_ordered_ops():
        kind, sources = operation.get_type_name(), operation.input_values()
        seen = any(source.get_node().get_name() in from_picture for source in sources)
        if kind == "Parameter" or (seen and kind != "ShapeOf"):
            from_picture.add(operation.get_name())
            outputs = operation.outputs()
            if kind in _WITH_BODY or any(map(_may_not_fit, outputs)):
                return True
    return False


def _may_not_fit(output: Any) -> bool:
    """Tell whether something that depends on the picture has an open shape or is an integer."""
    kind, kinds = output.get_element_type(), import_openvino().Type
    counts = not kind.is_real() and kind not in (kinds.u8, kinds.boolean)  # pixels, masks
    return bool(counts or output.partial_shape.is_dynamic)


def _named(source: Any, name: str | None, setting: str) -> Any:
    """Find a configured tensor, ``None`` if none is configured."""
    if name is None:
        return None
    place = source.get_place_by_tensor_name(_full_name(name))
    if place is None:
        raise _missing(name, setting)
    return place


def _missing(name: str, setting: str) -> StartupError:
    return StartupError(f"{setting} = {name!r} is not in the graph")


def _full_name(tensor: str) -> str:
    """Write a tensor's name with the number of its operation's output; without one the first."""
    return tensor if ":" in tensor else f"{tensor}:0"


def _only(found: list[Any], path: Path, *, end: str = "input") -> Any:
    """Take the one end of a graph, a place of the frontend or an output of a model."""
    names = [name for one in found for name in one.get_names()]
    return take_only(found, path, end=end, names=names)
