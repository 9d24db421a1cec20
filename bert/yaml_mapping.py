"""A YAML file of `key: value` lines, whatever the file holds: values, or a ValueError in one line, within seconds.

Leaves to others: what the keys mean (`project_config`).
"""

import itertools
import pathlib
from typing import Any

import yaml

from bert import files

# PyYAML takes the square of the time for `1:1:1:...`, a number to the base of 60.
_MOST_CHARACTERS = 100_000
_MOST_VALUES = 10_000  # aliases followed: a few lines can stand for 10**9 values
_MOST_BRACKETS = 500  # PyYAML looks at all that are open for each one that comes
# What PyYAML lets through of a value such as `2020-99-99`, `!!int x` or `!!bool maybe`.
_NOT_OF_ITS_TAG = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def read(path: files.Path) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    """Return the values by key, and each key with its line, as often as it stands there.

    Raises:
      FileNotFoundError: the file is not there.
      ValueError: it holds no YAML mapping; the message names the file and, where it can, the line.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"{path} must be a YAML file, but there is none; check the path")
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
        node, values = _parse(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be UTF-8 text, got {error.reason}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        told = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        raise ValueError(f"{where}: must be YAML, got what its reader refuses ({told})") from None
    except _NOT_OF_ITS_TAG as error:
        raise ValueError(f"{path}: must be YAML, got what its reader refuses ({error})") from None
    if node is None or not isinstance(values, dict):
        raise ValueError(f"{path}:1: must hold `key: value` lines, got {values!r:.40}")
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):  # `!!str {=: x}` is a text, but no key of a line
            raise ValueError(
                f"{path}:{key.start_mark.line + 1}: a key must be text, got a list or mapping; write `key: value`"
            )
    keys = [(key.value, key.start_mark.line + 1) for key, _ in node.value]
    return {str(key): value for key, value in values.items()}, keys


def _parse(text: str) -> tuple[yaml.Node | None, Any]:
    """Return the tree of the file and its values."""
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"more than {_MOST_CHARACTERS} characters")
    if text.count("[") + text.count("{") > _MOST_BRACKETS:
        raise ValueError(f"more than {_MOST_BRACKETS} lists and mappings in brackets")
    reader = yaml.SafeLoader(text)
    node = reader.get_single_node()
    if _is_endless(node):
        raise ValueError(f"more than {_MOST_VALUES} values where aliases are followed")
    values = None if node is None else reader.construct_document(node)
    repr(values)  # refuses what no message could tell, a number of thousands of digits
    return node, values


def _is_endless(node: yaml.Node | None) -> bool:
    """Tell whether aliases make more of a file than can be meant: thousands of values, or a ring."""
    waiting, count = [node], 0
    while waiting and count + len(waiting) <= _MOST_VALUES:
        count += 1
        found = waiting.pop()
        if isinstance(found, yaml.SequenceNode):
            waiting += found.value
        elif isinstance(found, yaml.MappingNode):
            waiting += itertools.chain.from_iterable(found.value)
    return bool(waiting)
