"""Fine-tuning the upper blocks of EfficientNet-Lite0 on cached activations.

Enters: a `Table` of cached activations with labels and sampling weights, the ImageNet weights,
a `Recipe`. Leaves: fitted weights (`Fitted`). Called once per fold by the themes training.

The network forgets as little as it can: its ImageNet class scores are held where they were
(distillation), its weights are held near the pretrained ones, and what is kept at the end is
the running average of the weights, not the last ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsapi.training.themes import efficientnet

_BLOCKS = "blocks/"


@dataclass(frozen=True)
class Recipe:
    """What is varied when fitting. Each default was chosen on left-out sources."""

    epochs: int = 2
    batch_size: int = 64
    trunk_rate: float = 3e-4
    head_rate: float = 3e-3
    drift: float = 1e-2
    distillation: float = 1.0
    label_smoothing: float = 0.05
    mixing: float = 0.3
    average: float = 0.998
    dropout: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class Table:
    """Cached activations, one array ``[n, h, w, c]`` per variant, float16.

    ``groups`` float32 ``[n, groups]`` are the probabilities that the pretrained network gives
    the groups of ImageNet classes for the unchanged photo: what it saw there it is to see in
    every variant.
    ``labels`` int64 ``[n]``; ``weights`` float64 ``[n]``, the chance of drawing each photo,
    0 for those left out.
    """

    activations: Sequence[NDArray[np.float16]]
    groups: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """Weights of the upper blocks and of the two layers on top of them.

    ``head`` is kernel and bias of the themes, ``[1280, themes]`` and ``[themes]``; ``groups``
    the same of the groups of ImageNet classes.
    """

    blocks: efficientnet.Folded
    head: efficientnet.Layer
    groups: efficientnet.Layer

    def pack(self) -> dict[str, NDArray[np.float32]]:
        """Give all arrays by name, for a checkpoint."""
        layers = {f"{_BLOCKS}{name}": layer for name, layer in self.blocks.items()}
        layers |= {"head": self.head, "groups": self.groups}
        parts = {f"{name}/kernel": kernel for name, (kernel, _) in layers.items()}
        return parts | {f"{name}/bias": bias for name, (_, bias) in layers.items()}

    @classmethod
    def unpack(cls, arrays: Mapping[str, NDArray[np.float32]]) -> Fitted:
        """Put together again what `pack` gave."""
        names = [name.removesuffix("/kernel") for name in arrays if name.endswith("/kernel")]
        layers = {name: (arrays[f"{name}/kernel"], arrays[f"{name}/bias"]) for name in names}
        blocks = {name: layer for name, layer in layers.items() if name.startswith(_BLOCKS)}
        return cls(
            {name.removeprefix(_BLOCKS): layer for name, layer in blocks.items()},
            head=layers["head"],
            groups=layers["groups"],
        )


Report = Callable[[int, float, float], None]
"""Called after each step with the step's number, loss and accuracy, averaged over a while."""


def initial_head(
    folded: efficientnet.Folded, themes_of_class: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Start each theme's weights at the mean of its ImageNet classes', ``[1280, themes]``.

    ``themes_of_class`` is ``[1000, themes]``, 1 where a class speaks for a theme. Themes
    without a class start at zero.
    """
    kernel = folded["predictions"][0]
    share = themes_of_class / themes_of_class.sum(axis=0).clip(1)
    return np.asarray((kernel - kernel.mean(axis=1, keepdims=True)) @ share, np.float32)


class Fitting:
    """One network being fitted; `run` goes through all steps."""

    def __init__(
        self,
        recipe: Recipe,
        *,
        first_block: int,
        folded: efficientnet.Folded,
        head: NDArray[np.float32],
        groups: efficientnet.Layer,
        inner_px: int,
        start: Fitted | None,
    ) -> None:
        """Build blocks from ``first_block`` up.

        They begin with the weights of ``start``, or with the pretrained ones, ``head`` and
        ``groups``. Drift is measured from the pretrained ones either way.
        """
        import tensorflow as tf

        self.recipe = recipe
        self.trunk = efficientnet.build_blocks(
            first_block, efficientnet.LAST_BLOCK, side_px=inner_px
        )
        efficientnet.set_weights(self.trunk, folded)
        self.pretrained = [tf.constant(variable) for variable in self.trunk.trainable_variables]
        bias = np.zeros(head.shape[1], np.float32)
        begin = start or Fitted(folded, head=(head, bias), groups=groups)
        efficientnet.set_weights(self.trunk, begin.blocks)
        self.group_kernel, self.group_bias = (tf.Variable(value) for value in begin.groups)
        self.kernel, self.bias = (tf.Variable(value) for value in begin.head)
        layers = [self.group_kernel, self.group_bias, self.kernel, self.bias]
        self.variables = [*self.trunk.trainable_variables, *layers]
        self.averages = [tf.Variable(variable) for variable in self.variables]
        self.first = [tf.Variable(tf.zeros_like(v)) for v in self.variables]
        self.second = [tf.Variable(tf.zeros_like(v)) for v in self.variables]
        self.count = tf.Variable(0.0)

    def count_steps(self, table: Table) -> int:
        """Tell how many steps `run` takes."""
        drawn = int(np.count_nonzero(table.weights))
        return max(1, self.recipe.epochs * drawn // self.recipe.batch_size)

    def run(self, table: Table, report: Report) -> Fitted:
        """Fit to ``table``, call ``report`` after each step, and give the averaged weights."""
        import tensorflow as tf

        recipe = self.recipe
        rng = np.random.default_rng(recipe.seed)
        tf.random.set_seed(recipe.seed)
        step_of = tf.function(self._step)
        steps = self.count_steps(table)
        chances = table.weights / table.weights.sum()
        loss = accuracy = 0.0
        for step in range(steps):
            rows = rng.choice(len(chances), recipe.batch_size, p=chances)
            batch = _gather(table, rows, rng.integers(len(table.activations), size=len(rows)))
            rate = _rate(step, steps)
            share = float(rng.beta(0.4, 0.4)) if rng.random() < recipe.mixing else 1.0
            values = step_of(*batch, tf.constant(rate), tf.constant(share))
            keep = 0.0 if step == 0 else 0.95
            loss = keep * loss + (1 - keep) * float(values[0])
            accuracy = keep * accuracy + (1 - keep) * float(values[1])
            report(step, loss, accuracy)
        return self._fitted()

    def _fitted(self) -> Fitted:
        for variable, average in zip(self.variables, self.averages, strict=True):
            variable.assign(average)
        return Fitted(
            efficientnet.get_weights(self.trunk),
            head=(self.kernel.numpy(), self.bias.numpy()),
            groups=(self.group_kernel.numpy(), self.group_bias.numpy()),
        )

    def _step(self, x: Any, labels: Any, teacher: Any, rate: Any, share: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        recipe = self.recipe
        x = tf.cast(x, tf.float32)
        x = share * x + (1 - share) * tf.reverse(x, [0])
        wanted = tf.one_hot(labels, self.kernel.shape[1])
        wanted = share * wanted + (1 - share) * tf.reverse(wanted, [0])
        teacher = share * teacher + (1 - share) * tf.reverse(teacher, [0])
        smooth = recipe.label_smoothing
        target = wanted * (1 - smooth) + smooth / self.kernel.shape[1]
        with tf.GradientTape() as tape:
            features = tf.reduce_mean(self.trunk(x), [1, 2])
            dropped = tf.nn.dropout(features, recipe.dropout)
            logits = tf.matmul(dropped, self.kernel) + self.bias
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits))
            total = loss
            if recipe.distillation:
                groups = tf.matmul(features, self.group_kernel) + self.group_bias
                total += recipe.distillation * tf.reduce_mean(
                    tf.nn.softmax_cross_entropy_with_logits(teacher, groups)
                )
        gradients = tape.gradient(total, self.variables)
        self._update(gradients, rate)
        hit = tf.equal(tf.argmax(wanted, 1), tf.argmax(logits, 1))
        return loss, tf.reduce_mean(tf.cast(hit, tf.float32))

    def _update(self, gradients: Sequence[Any], rate: Any) -> None:
        """One step of Adam (Kingma & Ba 2015), with drift pulled back as AdamW decays."""
        import tensorflow as tf

        self.count.assign_add(1.0)
        correct_first = 1 - tf.pow(0.9, self.count)
        correct_second = 1 - tf.pow(0.999, self.count)
        keep = tf.minimum(self.recipe.average, (1 + self.count) / (10 + self.count))
        for index, (variable, gradient) in enumerate(zip(self.variables, gradients, strict=True)):
            first, second = self.first[index], self.second[index]
            first.assign(0.9 * first + 0.1 * gradient)
            second.assign(0.999 * second + 0.001 * tf.square(gradient))
            move = (first / correct_first) / (tf.sqrt(second / correct_second) + 1e-8)
            if index < len(self.pretrained):
                speed = rate * self.recipe.trunk_rate
                pull = self.recipe.drift * (variable - self.pretrained[index])
            else:
                speed = rate * self.recipe.head_rate
                pull = self.recipe.drift * variable
            variable.assign_sub(speed * (move + pull))
            average = self.averages[index]
            average.assign(keep * average + (1 - keep) * variable)


def _gather(
    table: Table, rows: NDArray[np.int64], variants: NDArray[np.int64]
) -> tuple[NDArray[np.float16], NDArray[np.int64], NDArray[np.float32]]:
    chosen = list(zip(variants.tolist(), rows.tolist(), strict=True))
    activations = np.stack([table.activations[variant][row] for variant, row in chosen])
    return activations, table.labels[rows], table.groups[rows]


def _rate(step: int, steps: int) -> np.float32:
    """Warm up over the first twentieth, then fall along a cosine to zero."""
    warm = min(1.0, (step + 1) / max(1, steps // 20))
    return np.float32(warm * 0.5 * (1 + np.cos(np.pi * step / steps)))


def predict(
    fitted: Fitted, activations: NDArray[np.float16], *, first_block: int, inner_px: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give theme logits ``[n, themes]`` and features ``[n, 1280]`` for cached activations."""
    import tensorflow as tf

    trunk = efficientnet.build_blocks(first_block, efficientnet.LAST_BLOCK, side_px=inner_px)
    efficientnet.set_weights(trunk, fitted.blocks)

    @tf.function  # type: ignore[untyped-decorator]
    def features_of(x: Any) -> Any:
        return tf.reduce_mean(trunk(tf.cast(x, tf.float32)), [1, 2])

    features = np.concatenate(
        [features_of(activations[at : at + 64]).numpy() for at in range(0, len(activations), 64)]
    )
    return features @ fitted.head[0] + fitted.head[1], features
