"""Which photos are held out for measuring: their labels in, two lists of their indices out.

Called by `dsapi.training.photos` where nobody has split the photos already.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

HELD_OUT_FRACTION = 0.15


def split_photos(
    label_sets: Sequence[tuple[int, ...]], *, seed: int
) -> tuple[list[int], list[int]]:
    """Hold out a part of the photos of every label, at least one where there are two.

    With several labels a photo, it may be none: each label keeps a photo to learn from.

    Args:
        label_sets: the labels of each photo.
        seed: of the choice.

    Returns:
        Indices of the photos to train on, and of those held out.
    """
    if all(len(labels) <= 1 for labels in label_sets):
        return _split_groups(label_sets, seed)
    return _split_iteratively(label_sets, seed)


def _split_groups(label_sets: Sequence[tuple[int, ...]], seed: int) -> tuple[list[int], list[int]]:
    """Split each label's photos by themselves."""
    rng = np.random.default_rng(seed)
    groups: dict[tuple[int, ...], list[int]] = {}
    for photo, labels in enumerate(label_sets):
        groups.setdefault(labels, []).append(photo)
    train: list[int] = []
    held: list[int] = []
    for key in sorted(groups):
        group = [groups[key][int(each)] for each in rng.permutation(len(groups[key]))]
        count = _count_held(len(group))
        held += group[:count]
        train += group[count:]
    return train, held


def _split_iteratively(
    label_sets: Sequence[tuple[int, ...]], seed: int
) -> tuple[list[int], list[int]]:
    """Hold out for one label after the other, the rarest first: it has the least to choose from.

    After Sechidis et al. 2011, "On the Stratification of Multi-Label Data". By sets of labels, as
    single ones are split, nearly nothing would be held out where nearly every set is the only one
    of its kind.
    """
    # No label is one more thing that photos have in common.
    kinds = [labels or (-1,) for labels in label_sets]
    photos_of: dict[int, list[int]] = {}
    for photo, labels in enumerate(kinds):
        for label in labels:
            photos_of.setdefault(label, []).append(photo)
    wanted = {label: _count_held(len(photos)) for label, photos in photos_of.items()}
    rank = np.random.default_rng(seed).permutation(len(kinds)).tolist()
    counts: Counter[int] = Counter()
    held: set[int] = set()

    def cost(photo: int) -> tuple[int, int]:
        """How many of a photo's labels have enough held out; by chance among equals."""
        return sum(counts[label] >= wanted[label] for label in kinds[photo]), rank[photo]

    for label in sorted(photos_of, key=lambda each: (len(photos_of[each]), each)):
        for photo in sorted(set(photos_of[label]) - held, key=cost):
            if counts[label] >= wanted[label]:
                break
            # Each label keeps a photo to learn from.
            if all(counts[each] + 1 < len(photos_of[each]) for each in kinds[photo]):
                held.add(photo)
                counts.update(kinds[photo])
    order = sorted(range(len(kinds)), key=rank.__getitem__)
    return [each for each in order if each not in held], [each for each in order if each in held]


def _count_held(count: int) -> int:
    return max(1, round(count * HELD_OUT_FRACTION)) if count > 1 else 0
