"""A fit of a tiny network to plain photos, whose losses can be worked out on paper."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from dsapi.training.checkpoint import Checkpoint
from dsapi.training.epochs import EpochFigures
from dsapi.training.images.config import Activation, ImageConfig
from dsapi.training.images.fitting import Fit
from dsapi.training.images.network import Classifier
from dsapi.training.photos import Collection, Photo

# So small that the weights stay as good as they are.
_STILL = {"learning_rate": 1e-9, "backbone_rate": 0.0}
# What the network says of every photo, before it has learned.
_LOGITS = np.array([2.0, -1.0])


def make_classifier(*, sees: float = 0.0) -> Classifier:
    """Make a network of 1×1 pixels; its first logit rises by `sees` from black to white."""
    import keras

    backbone = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(1, 1, kernel_initializer=keras.initializers.Constant(1 / 765)),
        ]
    )
    head = keras.Sequential(
        [
            keras.Input((32, 32, 1)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )
    head.set_weights([np.array([[sees, 0.0]]), _LOGITS])
    return Classifier(backbone, head, preprocess=lambda pixels: pixels, learns_normalization=False)


def collect(
    folder: Path, *labels: tuple[int, ...], halves: tuple[int, int] | None = None
) -> Collection:
    """Draw a photo for each set of labels: gray, or of a size, half black and half white.

    The same ones are learned from and held out.
    """
    photos = []
    for number, shown in enumerate(labels):
        picture = Image.new("RGB", (64, 64), (100, 100, 100))
        if halves is not None:
            picture = Image.new("RGB", halves, (0, 0, 0))
            width, height = halves
            # The right one, or the lower one of a photo that is higher than wide.
            left, top = (width // 2, 0) if width > height else (0, height // 2)
            picture.paste((255, 255, 255), (left, top, width, height))
        picture.save(folder / f"{number}.png")
        photos.append(Photo(folder / f"{number}.png", shown))
    return Collection(("cat", "dog"), tuple(photos), tuple(photos))


def fit(
    folder: Path,
    classifier: Classifier,
    collection: Collection,
    *,
    activation: Activation = "softmax",
    **settings: Any,
) -> list[EpochFigures]:
    config = ImageConfig(
        **{"size": 32, "epochs": 1, "frozen_epochs": 0, "augmentation": "crop", **settings}
    )
    fitting = Fit(classifier, collection, config, activation=activation)
    return fitting.run(Checkpoint(folder / "run.npz", run=""), console=Console(file=io.StringIO()))


def cross_entropy(targets: NDArray[np.float64], activation: str) -> NDArray[np.float64]:
    """Work out the loss of each photo from what is wanted."""
    if activation == "softmax":
        return -(targets * (_LOGITS - np.logaddexp(*_LOGITS))).sum(axis=1)
    yes, no = -np.logaddexp(0, -_LOGITS), -np.logaddexp(0, _LOGITS)
    return -(targets * yes + (1 - targets) * no).mean(axis=1)


# Each label weighs as much as the other; a photo of both as the mean of both; one of none as the
# mean of all. On average a photo weighs 1.
RARE: dict[Activation, tuple[list[tuple[int, ...]], list[float]]] = {
    "softmax": ([(0,), (0,), (0,), (1,)], [2 / 3, 2 / 3, 2 / 3, 2]),
    "sigmoid": ([(0,), (0,), (0, 1), ()], [0.75, 0.75, 1.5, 1]),
}


@pytest.mark.parametrize("activation", RARE)
@pytest.mark.parametrize("weighed", [True, False])
def test_rare_labels_count_more_and_targets_are_pulled_to_the_middle(
    tmp_path: Path, activation: Activation, weighed: bool
) -> None:
    labels, weights = RARE[activation]
    (epoch,) = fit(
        tmp_path,
        make_classifier(),
        collect(tmp_path, *labels),
        activation=activation,
        class_weights=weighed,
        label_smoothing=0.2,
        **_STILL,
    )
    targets = np.array([[float(label in shown) for label in (0, 1)] for shown in labels])
    # Of two labels the middle is a half, whichever way they are asked for.
    learned = cross_entropy(targets * 0.8 + 0.1, activation)
    expected = np.mean(learned * weights) if weighed else learned.mean()
    assert epoch.loss == pytest.approx(expected, rel=1e-4)
    # What is held out is measured as it is.
    assert epoch.new_loss == pytest.approx(cross_entropy(targets, activation).mean(), rel=1e-4)
    # It says "cat" of all and "dog" of none: 3 of 4 answers are right, and 6 of 8 decisions.
    assert (epoch.accuracy, epoch.new_accuracy) == (0.75, 0.75)


def test_targets_are_pulled_to_as_much_for_each_of_many_labels(tmp_path: Path) -> None:
    import keras

    collection = collect(tmp_path, (0,), (1,))
    many = Collection(("cat", "dog", "cow", "hen"), collection.train, collection.val)
    classifier = make_classifier()
    head = keras.Sequential(
        [keras.Input((32, 32, 1)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)]
    )
    head.set_weights([np.zeros((1, 4)), np.array([3.0, 0, 0, 0])])
    classifier.head = head
    (epoch,) = fit(tmp_path, classifier, many, label_smoothing=0.4, **_STILL)
    logs = np.array([3.0, 0, 0, 0]) - np.log(np.exp(3) + 3)
    wanted = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1]])
    assert epoch.loss == pytest.approx(-(wanted * logs).sum(axis=1).mean(), rel=1e-4)


@pytest.mark.parametrize(("frozen_epochs", "moved"), [(0, 0.003), (1, 0.0)])
def test_new_layer_and_backbone_learn_at_their_own_rates_and_the_backbone_not_at_first(
    tmp_path: Path, frozen_epochs: int, moved: float
) -> None:
    classifier = make_classifier(sees=1.0)
    parts = (classifier.backbone, classifier.head)
    before = [part.get_weights()[0] for part in parts]
    collection = collect(tmp_path, (0,), (0,), (1,), halves=(64, 48))
    fit(
        tmp_path,
        classifier,
        collection,
        frozen_epochs=frozen_epochs,
        learning_rate=0.02,
        backbone_rate=0.003,
    )
    # The first step of this optimizer is as long as its rate.
    steps = [
        np.abs(part.get_weights()[0] - old).max() for part, old in zip(parts, before, strict=True)
    ]
    assert steps == pytest.approx([moved, 0.02], rel=0.01)


@pytest.mark.parametrize("size", [(64, 8), (8, 64)])
def test_each_epoch_shows_a_photo_at_another_point_by_seed_alone(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    collection = collect(tmp_path, (0,), (1,), halves=size)

    def losses(seed: int) -> list[EpochFigures]:
        (tmp_path / "run.npz").unlink(missing_ok=True)
        settings = {"seed": seed, "epochs": 4, "patience": 9, "batch_size": 1}
        return fit(tmp_path, make_classifier(sees=4.0), collection, **settings, **_STILL)

    first = losses(1)
    assert len({round(epoch.loss, 4) for epoch in first}) > 2
    # Where photos are measured at stays, or epochs could not be compared.
    assert len({round(epoch.new_loss, 4) for epoch in first}) == 1
    assert [epoch.loss for epoch in losses(1)] == pytest.approx([epoch.loss for epoch in first])
    other = losses(2)
    assert round(other[0].loss, 4) != round(first[0].loss, 4)
    assert round(other[0].new_loss, 4) != round(first[0].new_loss, 4)


def test_a_fit_ends_when_nothing_is_gained_for_as_long_as_it_is_patient(tmp_path: Path) -> None:
    collection = collect(tmp_path, (0,), (1,))
    settings = {"epochs": 9, "frozen_epochs": 2, "patience": 3}
    history = fit(tmp_path, make_classifier(), collection, **settings, **_STILL)
    # Those of the new layer alone do not count, nor does the first of the whole network.
    assert len(history) == 2 + 1 + 3


@pytest.mark.parametrize(("augmentation", "alike"), [("crop", True), ("strong", False)])
def test_only_strong_augmentation_changes_colors(
    tmp_path: Path, augmentation: str, alike: bool
) -> None:
    (epoch,) = fit(
        tmp_path,
        make_classifier(sees=9.0),
        collect(tmp_path, (0,), (1,)),
        augmentation=augmentation,
        label_smoothing=0.0,
        **_STILL,
    )
    assert (epoch.loss == pytest.approx(epoch.new_loss, rel=1e-4)) == alike
