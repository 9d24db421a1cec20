"""Layouts: which files make a pretrained model, by the convention of whoever publishes it.

Names only; nothing here opens a file. Leaves to others: fetching the files (`downloads`), reading them.
"""

import dataclasses
import fnmatch
from collections.abc import Collection, Iterable


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a publisher lays a model out in a folder.

    Attributes:
      required: of each group of names or patterns, one file must be there.
      optional: more files that belong to the model.
    """

    required: tuple[tuple[str, ...], ...]
    optional: tuple[str, ...] = ()


LAYOUTS = {
    "Google": Layout(
        required=(
            ("bert_config.json",),
            ("bert_model.ckpt.index",),
            ("bert_model.ckpt.data-*",),
            ("vocab.txt",),
        ),
    ),
    "Hugging Face": Layout(
        required=(
            ("config.json",),
            (
                "model.safetensors",
                "model.safetensors.index.json",
                "pytorch_model.bin",
                "pytorch_model.bin.index.json",
            ),
            ("vocab.txt", "tokenizer.json"),
        ),
        optional=(
            "model-*-of-*.safetensors",
            "pytorch_model-*-of-*.bin",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "added_tokens.json",
        ),
    ),
    "SavedModel": Layout(
        required=(("saved_model.pb",),), optional=("tfhub_module.pb", "variables/*", "assets/*")
    ),
}


def lacking(names: Collection[str], layout: str) -> list[str]:
    """Return what a folder with these files lacks for a layout, alternatives joined by "or".

    >>> lacking(["config.json", "pytorch_model.bin"], "Hugging Face")
    ['vocab.txt or tokenizer.json']
    """
    required = LAYOUTS[layout].required
    return [" or ".join(group) for group in required if not _matching(names, group)]


def wanted(names: Collection[str], layout: str) -> list[str]:
    """Return the files that make the model, in an order in which a part is never mistaken for the whole.

    Weights come last, and an index after its shards. PyTorch's pickles are left out where the same weights come as
    safetensors.

    >>> wanted(["README.md", "pytorch_model.bin", "model.safetensors", "vocab.txt"], "Hugging Face")
    ['vocab.txt', 'model.safetensors']
    """
    patterns = sum(LAYOUTS[layout].required, LAYOUTS[layout].optional)
    chosen = _matching(names, patterns)
    if any(name.endswith(".safetensors") for name in chosen):
        chosen = [name for name in chosen if not name.startswith("pytorch_model")]
    return sorted(chosen, key=lambda name: (name.startswith(("model", "pytorch_model")), name))


def only_model(paths: Collection[str]) -> dict[str, str]:
    """Find the one model among paths, in whichever folder; return its files' paths, each with its name in that folder.

    >>> only_model(["readme.txt", "a/saved_model.pb", "a/variables/variables.index"])
    {'a/saved_model.pb': 'saved_model.pb', 'a/variables/variables.index': 'variables/variables.index'}

    Args:
      paths: separated by slashes.

    Raises:
      ValueError: there is no model, or more than one.
    """
    models = {}
    for root in sorted({path[: path.rfind("/") + 1] for path in paths}):
        names = [path.removeprefix(root) for path in paths if path.startswith(root)]
        complete = [layout for layout in LAYOUTS if not lacking(names, layout)]
        if complete:
            models[root] = {root + name: name for lay in complete for name in wanted(names, lay)}
    if len(models) != 1:
        found = ", ".join(repr(root) for root in models) or "none"
        raise ValueError(f"there must be one model (layout of {', '.join(LAYOUTS)}), got {found}")
    return models.popitem()[1]


def _matching(names: Collection[str], patterns: Iterable[str]) -> list[str]:
    return [name for name in names if any(fnmatch.fnmatchcase(name, p) for p in patterns)]
