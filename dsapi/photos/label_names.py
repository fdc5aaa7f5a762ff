"""What people call a label in folders and tables: a name in, the index of its label out.

Called by `dsapi.evaluation` and `dsapi.training`. A photo under the wrong label spoils
every figure without a word, so what could mean two labels means none.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

_NUMBERED = re.compile(r"(\d+)[-_ ](.+)", re.DOTALL)


class LabelNames:
    """The labels of a model, to be found by name."""

    def __init__(self, labels: Sequence[str]) -> None:
        """Know `labels`, in the order of the model's output."""
        self._count = len(labels)
        self._numbered = any(_NUMBERED.fullmatch(label) for label in labels)
        self._names = {_normalize(label): index for index, label in enumerate(labels)}
        short = [shorten_label(label) for label in labels]
        alike = {name for name, times in Counter(short).items() if times > 1 or not name}
        self._short = {name: index for index, name in enumerate(short) if name not in alike}

    def find(self, name: str) -> int | None:
        """Find a label by its name (``Women's Fashion``) or its short form (``womens-fashion``).

        Returns:
            Its index; ``None`` if there is no such label, or if several have this short form.
        """
        index = self._names.get(_normalize(name))
        return index if index is not None else self._short.get(shorten_label(name))

    def find_folders(self, names: Iterable[str]) -> dict[str, int | None]:
        """Find the labels of folders that lie side by side, by name or by number.

        Where all of them begin with a number (``00-womens-fashion``), it is the index of the label,
        and what follows is for people; but if that is the name of another label, they were numbered
        after another list of labels, and neither counts. Where one of them is a label as it is, or
        a label begins with a number itself, numbers are part of names and nothing else.
        """
        found = {name: self.find(name) for name in names}
        numbers = {name: _NUMBERED.fullmatch(name) for name in found}
        by_name = self._numbered or any(index is not None for index in found.values())
        if by_name or not all(numbers.values()):
            return found
        return {name: self._find_number(match) for name, match in numbers.items() if match}

    def _find_number(self, match: re.Match[str]) -> int | None:
        number, named = int(match[1]), self.find(match[2])
        return number if number < self._count and named in (None, number) else None


def shorten_label(label: str) -> str:
    """The form of a label for folder names: ``Women's Fashion`` becomes ``womens-fashion``.

    Letters of all scripts stay, without accents; what remains of a label of signs alone is "".
    """
    parts = unicodedata.normalize("NFKD", label.replace("'", "")).casefold()
    plain = "".join(each for each in parts if not unicodedata.combining(each))
    return re.sub(r"[\W_]+", "-", plain).strip("-")


def split_names(text: str) -> list[str]:
    """Split the names of a photo's labels, ``beach | sunset``; each counts once."""
    return list(dict.fromkeys(name.strip() for name in text.split("|") if name.strip()))


def _normalize(name: str) -> str:
    """Some systems write an accented letter in a file name as two characters."""
    return unicodedata.normalize("NFC", name)
