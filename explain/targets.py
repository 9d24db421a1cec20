"""Which class of a text is explained: by its name, its index, the model's answer, the truth, or against another."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

Target: TypeAlias = str | int | tuple[str | int, str | int]
"""A class by its name or index, a word, or a contrast: "a-b" or, where that is a label too, ("a", "b")."""


class Targets:
    """The classes of a model, as a user names them."""

    def __init__(self, labels: Sequence[str]) -> None:
        """Keep the labels, in class order."""
        self._labels = list(labels)

    def gold(self, labels: Sequence[str | int | None] | None, count: int) -> list[int | None]:
        """Return the class of each text's true label; None where it is not known.

        Raises:
          ValueError: `labels` are not one a text, or one is no label of the model.
        """
        if labels is None:
            return [None] * count
        if isinstance(labels, str) or len(labels) != count:
            raise ValueError(f"labels must be one a text, got {labels!r:.80} for {count} texts")
        return [None if label is None else self.class_of(label) for label in labels]

    def class_of(self, label: str | int) -> int:
        """Return the class of a label, or of its index.

        Raises:
          ValueError: the model has no such class.
        """
        if label in self._labels:
            return self._labels.index(str(label))
        is_index = isinstance(label, int | np.integer) or label.isdecimal()
        if is_index and 0 <= int(label) < len(self._labels):
            return int(label)
        raise ValueError(
            f"a class must be one of {', '.join(map(repr, self._labels))}, or an index from 0 to "
            f"{len(self._labels) - 1}; got {label!r}"
        )

    def needs_prediction(self, target: Target) -> bool:
        """Tell whether a contrast names the predicted class, which the caller has to find first."""
        name, against = self._parts(target)
        return against is not None and "predicted" in (name, against)

    def pairs(self, target: Target, gold: int | None, predicted: int) -> list[tuple[int, int]]:
        """Return the (class, contrast) pairs that one text is explained for; -1 is the predicted one, or no contrast.

        Raises:
          ValueError: there is no such class, the true one is not known, or a class is held against itself.
        """
        if target in ("all", "gold") and target in self._labels:
            raise ValueError(
                f"target {target!r} is a label of this model and a word of its own; name the class by its index, "
                f"{self._labels.index(str(target))}"
            )
        if target == "all":
            return [(index, -1) for index in range(len(self._labels))]

        def find(name: str | int) -> int:
            if name == "predicted":
                return predicted
            if name != "gold":
                return self.class_of(name)
            if gold is None:
                raise ValueError("target 'gold' needs the true label of every text; give labels")
            return gold

        name, against = self._parts(target)
        if against is None:
            return [(find(name), -1)]
        first, second = find(name), find(against)
        if first == second:
            asked = f"{name}-{against}"
            raise ValueError(
                f"a contrast must be of two classes, but {asked!r} is one for some text"
            )
        return [(first, second)]

    def _parts(self, target: Target) -> tuple[str | int, str | int | None]:
        """Return the class that is asked about, and the one that a contrast takes off it."""
        if isinstance(target, tuple):
            return target
        if isinstance(target, str) and target not in self._labels:
            names = {*self._labels, "predicted", "gold"}
            parts = target.split("-")
            for cut in range(1, len(parts)):  # a label may hold a hyphen itself
                pair = "-".join(parts[:cut]), "-".join(parts[cut:])
                if names.issuperset(pair):
                    return pair
        return target, None
