"""One classifier in memory that answers by whichever of its methods is asked for, as a server needs it.

Each method has a graph of its own over the same weights: a question costs what it asks for. One question at a time;
whoever asks from several threads takes turns. Leaves to others: records (`explainer`), HTTP (`server`).
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bert import datasets
from bert import features
from bert import frozen
from bert import model_folder
from explain import attention
from explain import explainer as explainer_lib
from explain import explanation
from explain import methods as methods_lib
from explain import targets

_ATTENTION = (
    "attention_last"  # the cheapest method, asked where only the layers' attention is wanted
)


class Question(NamedTuple):
    """What is asked.

    Attributes:
      methods: names among the `Answers`' own.
      layer: whose attention is shown too, with that of every layer and head beside it; None leaves attention out.
    """

    texts: tuple[explainer_lib.Text, ...]
    methods: tuple[str, ...]
    target: targets.Target = "predicted"
    layer: int | None = None


class Answers:
    """A classifier and its methods; see `records`."""

    def __init__(
        self,
        model_dir: str | os.PathLike[str],
        methods: Sequence[methods_lib.MethodLike],
        method_options: methods_lib.Options | None = None,
    ) -> None:
        """Read the weights; the arguments are those of `model.load_explainer`.

        Raises:
          FileNotFoundError: the folder holds no trained classifier.
          ValueError: there is no method, or an unknown one.
        """
        if not methods:
            raise ValueError("methods must be at least one, got none; leave --methods out")
        bound = methods_lib.bind(methods, method_options)
        self._parts = model_folder.load(model_dir)
        self._tokenizer = self._parts.tokenizer()
        weights = frozen.FrozenModel(self._parts)

        def explainer(settings: explainer_lib.Settings) -> explainer_lib.Explainer:
            return explainer_lib.Explainer(self._parts, settings, str(model_dir), weights)

        self._explainers = {
            method.name: explainer(explainer_lib.Settings((method,))) for method in bound
        }
        self._inside = explainer(
            explainer_lib.Settings(methods_lib.bind([_ATTENTION]), attention.all_layers)
        )

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in class order."""
        return self._parts.labels

    @property
    def methods(self) -> list[str]:
        """Names of the methods that can be asked for."""
        return list(self._explainers)

    @property
    def layers(self) -> int:
        """Number of the model's layers."""
        return self._parts.config.num_hidden_layers

    def warm_up(self) -> None:
        """Build every graph, so that no question waits for one."""
        self.records(Question(("a text",), tuple(self.methods), layer=0))

    def check_target(self, target: targets.Target) -> None:
        """Refuse a target that no text could have.

        Raises:
          ValueError: there is no such class, or a class is held against itself.
        """
        targets.Targets(self.labels).pairs(target, None, -1)

    def encode(self, text: explainer_lib.Text) -> features.Encoding:
        """Return a text's tokens as the model reads them."""
        return self._parts.encode(self._tokenizer, _example(text))

    def records(self, question: Question) -> list[explanation.Explanation]:
        """Return the explanations, a text's together; those of a layer's attention carry every layer's.

        Raises:
          ValueError: a target that a text cannot have, such as its predicted class against itself.
        """
        found = [
            self._explainers[name](question.texts, question.target) for name in question.methods
        ]
        if question.layer is not None:
            found.append(self._attention(question.texts, question.layer))
        of_text: dict[str, list[explanation.Explanation]] = {}
        for records in found:
            for record in records:
                of_text.setdefault(record.guid, []).append(record)
        return [record for records in of_text.values() for record in records]

    def _attention(
        self, texts: Sequence[explainer_lib.Text], layer: int
    ) -> list[explanation.Explanation]:
        """Return what [CLS] attends to in a layer, mean over heads, as `average_layer_i_on_token_j_by_head` has it."""
        found = []
        for text, record in zip(texts, self._inside(texts), strict=True):
            assert record.attention is not None
            of_layer = explanation.from_prediction(
                _example(text, record.guid),
                self.encode(text),
                np.mean(record.attention[layer, :, 0], axis=0),
                record.probabilities,
                labels=record.labels,
                method=f"attention_layer_{layer}",
                attention=record.attention,
                settings=record.settings,
            )
            found.append(of_layer)
        return found


def _example(text: explainer_lib.Text, guid: str = "") -> datasets.InputExample:
    return datasets.InputExample(guid, *((text,) if isinstance(text, str) else text))
