"""How people name plain colors: the survey, folded onto the 18 color labels.

Enters: ``c3_data.json``, the binned xkcd color survey (CIELAB bins of 5x5x5, answers per bin and
term). Leaves: the share of each label among the answers for any color. Called by the patch
generators of ``dsapi train colors`` and by the figures of its card.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsapi.errors import StartupError
from dsapi.training.colors.science import FloatArray

#: The labels in output order, alphabetical.
COLOR_LABELS = (
    "black",
    "black & white",
    "blue",
    "brown",
    "copper",
    "gold",
    "gray",
    "green",
    "multi-colored",
    "neutral",
    "orange",
    "pink",
    "purple",
    "red",
    "rose gold",
    "silver",
    "white",
    "yellow",
)

# Terms whose whole meaning is one label: the label's own name, its shades (dark, pale, neon ...)
# and names that dictionaries define as a kind of it.
_WHOLE_TERMS = {
    "black": "black",
    "blue": (
        "blue lightblue skyblue darkblue navyblue royalblue brightblue paleblue babyblue cerulean "
        "deepblue seablue slateblue mediumblue oceanblue midnightblue cornflowerblue electricblue "
        "azure robinseggblue"
    ),
    "brown": "brown lightbrown darkbrown",
    # The survey's only metal. Its answers lie where yellow paint is a little dark and brownish.
    "gold": "gold",
    "gray": "grey darkgrey lightgrey",
    "green": (
        "green lightgreen limegreen olive darkgreen brightgreen forestgreen seafoamgreen palegreen "
        "seagreen lime mint neongreen grassgreen kellygreen peagreen springgreen pastelgreen "
        "armygreen huntergreen leafgreen mossgreen sage applegreen"
    ),
    # What shops and decorators call neutral: undyed cloth, sand, wood and plaster, skin tones.
    "neutral": "tan beige sand cream taupe",
    "orange": "orange burntorange lightorange darkorange",
    "pink": "pink hotpink darkpink brightpink lightpink palepink neonpink dustyrose",
    "purple": (
        "purple violet lavender lightpurple darkpurple lilac brightpurple plum royalpurple "
        "deeppurple palepurple eggplant neonpurple"
    ),
    "red": "red darkred brickred crimson bloodred brightred deepred",
    "white": "white",
    "yellow": "yellow paleyellow lightyellow darkyellow brightyellow mustardyellow",
}

# Terms between labels. Compounds lean to their last word, which is the noun ("bluegreen" is a
# green); the others are split as dictionaries and paint cards describe them.
_SPLIT_TERMS: dict[str, dict[str, float]] = {
    # Between blue and green. Cyan and aqua are called blue more often than green, teal neither.
    "teal": {"blue": 0.5, "green": 0.5},
    "darkteal": {"blue": 0.5, "green": 0.5},
    "lightteal": {"blue": 0.5, "green": 0.5},
    "turquoise": {"blue": 0.6, "green": 0.4},
    "darkturquoise": {"blue": 0.6, "green": 0.4},
    "lightturquoise": {"blue": 0.6, "green": 0.4},
    "aqua": {"blue": 0.65, "green": 0.35},
    "cyan": {"blue": 0.8, "green": 0.2},
    "aquamarine": {"green": 0.6, "blue": 0.4},
    "bluegreen": {"green": 0.6, "blue": 0.4},
    "greenblue": {"blue": 0.6, "green": 0.4},
    # Between green and yellow. "Puke" is a dull yellow green.
    "yellowgreen": {"green": 0.7, "yellow": 0.3},
    "greenyellow": {"yellow": 0.5, "green": 0.5},
    "chartreuse": {"green": 0.75, "yellow": 0.25},
    "puke": {"green": 0.5, "yellow": 0.25, "brown": 0.25},
    # Between blue and purple.
    "periwinkle": {"blue": 0.5, "purple": 0.5},
    "indigo": {"purple": 0.6, "blue": 0.4},
    "bluepurple": {"purple": 0.6, "blue": 0.4},
    "purpleblue": {"blue": 0.6, "purple": 0.4},
    "blueviolet": {"purple": 0.7, "blue": 0.3},
    # Between pink and purple. Magenta and fuchsia are sold as pinks.
    "magenta": {"pink": 0.6, "purple": 0.4},
    "fuchsia": {"pink": 0.7, "purple": 0.3},
    "mauve": {"purple": 0.6, "pink": 0.4},
    "pinkpurple": {"purple": 0.6, "pink": 0.4},
    "darkmagenta": {"purple": 0.6, "pink": 0.4},
    "puce": {"pink": 0.4, "purple": 0.3, "brown": 0.3},
    # Between red and its neighbors.
    "rose": {"pink": 0.8, "red": 0.2},
    "pinkred": {"red": 0.6, "pink": 0.4},
    "lightred": {"red": 0.5, "pink": 0.5},
    "maroon": {"red": 0.75, "brown": 0.25},
    "burgundy": {"red": 0.75, "purple": 0.25},
    "wine": {"red": 0.7, "purple": 0.3},
    "brick": {"red": 0.65, "brown": 0.35},
    "redbrown": {"brown": 0.7, "red": 0.3},
    "redorange": {"orange": 0.6, "red": 0.4},
    "orangered": {"red": 0.6, "orange": 0.4},
    # Between orange and its neighbors.
    "coral": {"orange": 0.5, "pink": 0.5},
    "salmon": {"pink": 0.65, "orange": 0.35},
    "peach": {"orange": 0.5, "pink": 0.25, "neutral": 0.25},
    "yelloworange": {"orange": 0.6, "yellow": 0.4},
    "orangebrown": {"brown": 0.6, "orange": 0.4},
    "rust": {"brown": 0.5, "orange": 0.3, "red": 0.2},
    "terracotta": {"orange": 0.4, "brown": 0.4, "red": 0.2},
    "burntsienna": {"brown": 0.6, "orange": 0.4},
    # Between yellow and brown. Goldenrod is named after gold.
    "goldenrod": {"gold": 0.6, "yellow": 0.4},
    "mustard": {"yellow": 0.8, "brown": 0.2},
    "ochre": {"yellow": 0.4, "brown": 0.4, "orange": 0.2},
    "yellowbrown": {"brown": 0.6, "yellow": 0.4},
    # Between a neutral and a color.
    "khaki": {"neutral": 0.6, "green": 0.4},
    "flesh": {"neutral": 0.7, "orange": 0.15, "pink": 0.15},
    "skin": {"neutral": 0.7, "orange": 0.15, "pink": 0.15},
    "offwhite": {"white": 0.6, "neutral": 0.4},
    # Between gray and a color.
    "greyblue": {"blue": 0.7, "gray": 0.3},
    "bluegrey": {"blue": 0.5, "gray": 0.5},
    "steelblue": {"blue": 0.8, "gray": 0.2},
    "slate": {"gray": 0.7, "blue": 0.3},
    "greygreen": {"green": 0.7, "gray": 0.3},
}


def fold_terms() -> dict[str, dict[str, float]]:
    """Each survey term with its shares of the labels; the shares of a term sum to 1."""
    fold = {term: {label: 1.0} for label, terms in _WHOLE_TERMS.items() for term in terms.split()}
    return fold | _SPLIT_TERMS


class SurveyError(StartupError):
    """The color survey cannot be used; the message says why and what to do."""

    def __init__(self, problem: str) -> None:
        """Add to the problem what to do about it."""
        super().__init__(f"{problem}; --data names the folder with c3_data.json of StanfordHCI/c3")


@dataclass(frozen=True)
class ColorSurvey:
    """Answers per bin, folded: `lab` float32 [bins, 3] and `answers` float32 [bins, 18]."""

    lab: FloatArray
    answers: FloatArray

    @property
    def shares(self) -> FloatArray:
        """Share of each label among a bin's answers, float32 [bins, 18], rows sum to 1."""
        return np.asarray(self.answers / self.answers.sum(axis=1, keepdims=True), np.float32)

    def select(self, wanted: NDArray[np.bool_]) -> ColorSurvey:
        """The bins where `wanted`, bool [bins], is true."""
        return ColorSurvey(lab=self.lab[wanted], answers=self.answers[wanted])


def read_survey(path: Path) -> ColorSurvey:
    """Read ``c3_data.json`` (StanfordHCI/c3) and fold its terms onto the labels.

    Raises:
        SurveyError: It cannot be read or is not that file: not JSON, a key is missing, a term is
            not in the fold, or the numbers do not fit together.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SurveyError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SurveyError(f"{path} is no JSON ({error})") from error
    if not isinstance(data, dict) or not {"color", "terms", "T"} <= set(data):
        raise SurveyError(f"{path} lacks color, terms or T")
    fold = fold_terms()
    unknown = sorted(set(data["terms"]) - set(fold))
    if unknown:
        raise SurveyError(f"{path} has terms the fold does not name: {unknown}")
    weights = np.zeros((len(data["terms"]), len(COLOR_LABELS)), np.float32)
    for row, term in enumerate(data["terms"]):
        for label, share in fold[term].items():
            weights[row, COLOR_LABELS.index(label)] = share
    try:
        lab = np.asarray(data["color"], np.float32).reshape(-1, 3)
        pairs = np.asarray(data["T"], np.int64).reshape(-1, 2)
        counts = np.zeros((len(lab), len(data["terms"])), np.float32)
        counts.flat[pairs[:, 0]] = pairs[:, 1]
    except (ValueError, TypeError, IndexError) as error:
        raise SurveyError(f"{path} is damaged ({error})") from error
    survey = ColorSurvey(lab=lab, answers=counts @ weights)
    return survey.select(survey.answers.sum(axis=1) > 0)


def mark_held_out(lab: FloatArray) -> NDArray[np.bool_]:
    """Which colors are kept out of training: whole cubes of CIELAB, so by color, not by sample.

    Space is cut into cubes 15 units wide (27 survey bins each); a fixed mixing of a cube's place
    keeps out one in five, spread over all of space. `lab` is float32 [n, 3]; bool [n].
    """
    # Bins are centered on multiples of 5; the 2.5 puts the cubes' walls between them.
    place = np.floor((lab + np.array([2.5, 302.5, 302.5])) / 15.0).astype(np.int64)
    # Three large primes, so that neighbors in no direction share their fate.
    mixed = (place * np.array([73_856_093, 19_349_663, 83_492_791])).sum(axis=-1)
    mixed ^= mixed >> 7
    return np.asarray(mixed % 5 == 0)


# Bins that a color's name is taken from, and CIELAB units that the Gaussian over them is wide: less
# than the bins' distance of 5, so a bin's own answers dominate.
_NEIGHBORS = 8
_WIDTH = 3.5


class NameSurface:
    """Share of each label for any plain color: the survey, smoothed, with the eye of a camera.

    The survey showed colors on a white page, where only the page itself is white. In a photo a
    white wall in the shade is light gray by its numbers and a black coat dark gray, and both are
    called by their own color. So for colors without hue the answers are blended with a rule on
    lightness: from L = 87 (sRGB 218) up rather white than gray, from L = 22 (sRGB 53) down rather
    black. Likewise light colors with a little yellow, for which the survey's answers scatter over
    gray, pink, yellow and white, lean to neutral: ivory, cream, linen, pale wood. All three are
    our reading of photos, not of the survey, and are mild enough to leave its clear majorities.
    """

    def __init__(self, survey: ColorSurvey) -> None:
        """Smooth the answers over the nearest bins."""
        from scipy.spatial import cKDTree

        self._tree = cKDTree(survey.lab)
        self._answers = survey.answers

    def find_shares(self, lab: FloatArray) -> FloatArray:
        """Shares for `lab`, float32 [n, 3], as float32 [n, 18]; rows sum to 1."""
        distances, indices = self._tree.query(lab, k=_NEIGHBORS)
        # Relative to the nearest bin, so that colors far from every bin still get a name.
        excess = distances**2 - distances[:, :1] ** 2
        weights = np.exp(-excess / (2 * _WIDTH**2))
        answers = np.einsum("nk,nkl->nl", weights, self._answers[indices])
        shares = answers / answers.sum(axis=1, keepdims=True)
        chroma = np.hypot(lab[:, 1], lab[:, 2])
        # Relative to lightness, as a shadow takes from both: less light makes nothing whiter.
        relative = chroma * 95 / np.maximum(lab[:, 0], 50)
        blend = 0.9 * np.exp(-((relative / 5.0) ** 2))[:, None]
        shares = (1 - blend) * shares + blend * _name_achromatic(lab[:, 0])
        cream = 0.6 * _measure_creaminess(lab)[:, None]
        neutral = np.eye(len(COLOR_LABELS))[COLOR_LABELS.index("neutral")]
        return np.asarray((1 - cream) * shares + cream * neutral, np.float32)


def _name_achromatic(lightness: FloatArray) -> FloatArray:
    """Shares of white, gray and black for colors without hue, by CIELAB lightness [n]."""
    white = 1 / (1 + np.exp((87.0 - lightness) / 2.0))
    black = 1 / (1 + np.exp((lightness - 22.0) / 3.0))
    shares = np.zeros((len(lightness), len(COLOR_LABELS)), np.float32)
    shares[:, COLOR_LABELS.index("white")] = white
    shares[:, COLOR_LABELS.index("black")] = black
    shares[:, COLOR_LABELS.index("gray")] = np.maximum(1 - white - black, 0.0)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


def _measure_creaminess(lab: FloatArray) -> FloatArray:
    """1 for ivory and cream (L 88, chroma 12, hue of pale wood), falling to 0 around it: [n]."""
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    hue = np.arctan2(lab[:, 2], lab[:, 1])
    distance = ((lab[:, 0] - 88) / 9) ** 2 + ((chroma - 12) / 5) ** 2 + ((hue - 1.4) / 0.35) ** 2
    return np.asarray(np.exp(-distance / 2), np.float32)
