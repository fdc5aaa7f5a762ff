"""Turn a trained network into a frozen graph file the engines can load.

Enters: a Keras model or a function on tensors. Leaves: one ``.pb`` file holding a
``GraphDef`` whose weights are constants, with one named placeholder and one named output.
Called at the end of every training.

The file is written so that every reader of old-style graphs gets along with it:
``tf.compat.v1.import_graph_def``, OpenVINO's TensorFlow frontend, netron. Hence no function
calls, no control flow and no operations that TensorFlow's optimizer fuses for its own kernels.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsapi.errors import StartupError

# Grappler passes that only remove or fold. Left out on purpose: `remap` and `layout` rewrite to
# kernels such as _FusedConv2D, which OpenVINO cannot read and TensorFlow makes again by itself.
_CLEANING_PASSES = ("pruning", "function", "constfold", "arithmetic", "dependency", "constfold")

# Operations that call functions or loop. A loop costs about 10 µs a step in TensorFlow, so a
# recurrent network is to be unrolled before it is frozen (`unroll=True`).
_CALLING_OPERATIONS = frozenset(
    {
        "Case",
        "Enter",
        "For",
        "If",
        "NextIteration",
        "PartitionedCall",
        "StatefulPartitionedCall",
        "StatelessCase",
        "StatelessIf",
        "StatelessWhile",
        "While",
    }
)
_VARIABLE_OPERATIONS = frozenset({"ReadVariableOp", "VarHandleOp", "VariableV2"})


class FreezingError(StartupError):
    """The network cannot be written as a plain frozen graph; the message names the reason."""


@dataclass(frozen=True)
class FrozenGraph:
    """A graph file as written."""

    path: Path
    size_bytes: int
    sha256: str

    @property
    def version(self) -> str:
        """First 12 hex digits of the file's SHA-256, the version the server reports."""
        return self.sha256[:12]


def freeze_network(
    network: Callable[..., Any],
    path: Path | str,
    *,
    input_shape: Sequence[int | None],
    input_name: str = "input",
    output_name: str = "probabilities",
) -> FrozenGraph:
    """Write `network` to `path` as a frozen graph and say what was written.

    The same weights and the same TensorFlow version give the same bytes. The file appears
    whole or not at all: it is written beside `path` and renamed.

    Args:
        network: A Keras model, or a function (plain or ``tf.function``) from one float32 tensor
            to one tensor. A model is called with ``training=False``.
        path: Where the ``.pb`` goes; the folder is made.
        input_shape: Shape with the batch first, None for a free dimension: ``(None, 9, 9, 3)``.
        input_name: Name of the placeholder (its tensor is ``name:0``).
        output_name: Name of the output operation.

    Raises:
        FreezingError: The network loops, calls functions that cannot be inlined, keeps
            variables or 64-bit floats, or gives other than one tensor.
    """
    definition = _define(
        network, input_shape=input_shape, input_name=input_name, output_name=output_name
    )
    content: bytes = definition.SerializeToString(deterministic=True)
    file = Path(path)
    write_atomically(file, content)
    return FrozenGraph(
        path=file,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def check_freezable(network: Callable[..., Any], *, input_shape: Sequence[int | None]) -> None:
    """See that a network can be frozen, before it is trained.

    Raises:
        FreezingError: as `freeze_network` would.
    """
    _define(network, input_shape=input_shape, input_name="input", output_name="output")


def _define(
    network: Callable[..., Any],
    *,
    input_shape: Sequence[int | None],
    input_name: str,
    output_name: str,
) -> Any:
    """Make a checked ``GraphDef`` of a network."""
    definition = _trace_definition(
        network, input_shape=input_shape, input_name=input_name, output_name=output_name
    )
    definition = _clean_definition(definition, input_name=input_name, output_name=output_name)
    _check_definition(definition, input_name=input_name, output_name=output_name)
    return definition


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` by way of a temporary file in the same folder and a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes the file readable by its owner only; the server may be another user.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _trace_definition(
    network: Callable[..., Any],
    *,
    input_shape: Sequence[int | None],
    input_name: str,
    output_name: str,
) -> Any:
    """Trace `network` once and replace its variables by constants: a ``GraphDef``."""
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    options = {"training": False} if isinstance(network, keras.Model) else {}

    def serve(tensor: Any) -> Any:
        output = network(tensor, **options)
        if isinstance(output, list | tuple) and len(output) == 1:
            output = output[0]
        if not tf.is_tensor(output):
            raise FreezingError(
                f"the network must give one tensor, it gave {type(output).__name__}"
            )
        return tf.identity(output, name=output_name)

    signature = tf.TensorSpec(list(input_shape), tf.float32, name=input_name)
    traced = tf.function(serve, autograph=False).get_concrete_function(signature)
    frozen = convert_variables_to_constants_v2(
        traced, lower_control_flow=True, aggressive_inlining=True
    )
    return frozen.graph.as_graph_def()


def _clean_definition(definition: Any, *, input_name: str, output_name: str) -> Any:
    """Fold constants, drop what does not lead to the output, and order the nodes for good."""
    import tensorflow as tf
    from tensorflow.core.framework import graph_pb2
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.grappler import tf_optimizer

    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(definition, name="")
        collection = graph.get_collection_ref(tf.compat.v1.GraphKeys.TRAIN_OP)
        # Grappler keeps what is fetched, and it takes TRAIN_OP for the list of that.
        collection.append(graph.get_operation_by_name(output_name))
        collection.append(graph.get_operation_by_name(input_name))
        meta_graph = tf.compat.v1.train.export_meta_graph(graph=graph)
    config = config_pb2.ConfigProto()
    rewrite = config.graph_options.rewrite_options
    rewrite.min_graph_nodes = -1
    rewrite.optimizers.extend(_CLEANING_PASSES)
    cleaned = tf_optimizer.OptimizeGraph(config, meta_graph)

    ordered = graph_pb2.GraphDef()
    ordered.versions.CopyFrom(definition.versions)
    for node in _order_nodes(cleaned, {input_name, output_name}):
        copy = ordered.node.add()
        copy.CopyFrom(node)
        copy.device = ""
        copy.ClearField("experimental_debug_info")
        for attribute in [name for name in copy.attr if name.startswith("_")]:
            del copy.attr[attribute]
    return ordered


def _order_nodes(definition: Any, wanted: set[str]) -> list[Any]:
    """Nodes that lead to the `wanted` ones, inputs first, in an order that names alone fix."""
    nodes = {node.name: node for node in definition.node}
    ordered: list[Any] = []
    seen: set[str] = set()
    stack = [(name, False) for name in sorted(wanted, reverse=True)]
    while stack:
        name, inputs_done = stack.pop()
        if inputs_done:
            ordered.append(nodes[name])
            continue
        if name in seen:
            continue
        seen.add(name)
        stack.append((name, True))
        sources = [source.lstrip("^").split(":")[0] for source in nodes[name].input]
        stack.extend((source, False) for source in reversed(sources) if source not in seen)
    return ordered


def _check_definition(definition: Any, *, input_name: str, output_name: str) -> None:
    """Raise FreezingError unless the graph is what this module promises."""
    import tensorflow as tf

    for node in definition.node:
        if node.op in _CALLING_OPERATIONS:
            raise FreezingError(
                f"operation {node.name!r} ({node.op}) loops or calls a function; "
                "unroll recurrent layers (unroll=True), avoid tf.while_loop and tf.map_fn, or "
                "choose another backbone"
            )
        if node.op in _VARIABLE_OPERATIONS:
            raise FreezingError(
                f"variable {node.name!r} was not turned into a constant; "
                "keep all variables in layers of the network"
            )
        if node.op == "Const" and node.attr["dtype"].type == tf.float64.as_datatype_enum:
            raise FreezingError(f"constant {node.name!r} is float64; build the network in float32")
    placeholders = [node.name for node in definition.node if node.op == "Placeholder"]
    if placeholders != [input_name]:
        raise FreezingError(
            f"expected the one placeholder {input_name!r}, found {placeholders}; "
            "the network must use its one input and no other"
        )
    if output_name not in {node.name for node in definition.node}:
        raise FreezingError(f"the output {output_name!r} was lost; choose another name")
