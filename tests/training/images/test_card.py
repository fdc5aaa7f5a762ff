"""What the card of one's own model says: every figure as `dsapi evaluate` counts it."""

from pathlib import Path

from dsapi.training.freezing import FrozenGraph
from dsapi.training.images.card import ImageFigures, write_card
from dsapi.training.images.config import ImageConfig
from dsapi.training.photos import Collection, Photo


def test_a_label_with_a_bar_stays_in_its_cell() -> None:
    photos = tuple(Photo(Path(f"{label}.jpg"), (label,)) for label in range(2))
    card = write_card(
        name="plain",
        graph=FrozenGraph(Path("plain.pb"), 10, "0" * 64),
        collection=Collection(("on|off", "rest"), photos, photos),
        config=ImageConfig(),
        weights="none",
        epochs=1,
        activation="softmax",
        figures=ImageFigures(0.5, 0.1, (1.0, 0.0), (0.5, float("nan"))),
    )
    assert r"| on\|off | 100% | 50% |" in card
