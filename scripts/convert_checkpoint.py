"""Convert the weights of a BERT between TF1 checkpoints and Hugging Face's files, bit for bit.

    python scripts/convert_checkpoint.py --input uncased_L-2_H-128_A-2/bert_model.ckpt --output tiny.safetensors
    python scripts/convert_checkpoint.py --input tiny.safetensors --output tiny/bert_model.ckpt
    python scripts/convert_checkpoint.py --input out/imdb --output imdb.bin             # PyTorch's form, needs torch
    python scripts/convert_checkpoint.py --input out/imdb --output_dir out/imdb_small   # a whole folder

The input is a TF1 checkpoint (the common start of its file names), a folder that holds one or is Hugging Face's, or a
.safetensors or .bin file. The suffix of --output says the form: .safetensors, .bin (PyTorch's, which needs torch), or
else a TF1 checkpoint; --output_dir takes a trained folder and writes it whole. The optimiser's slots are always left
out, and so is what the other form has no name for; a line names each. Floats become float32.
"""

import argparse
import importlib
import logging
import os
import pathlib
import sys
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

if __name__ == "__main__":  # before TensorFlow is imported: its start-up notes drown our lines
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
import tensorflow as tf

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bert import checkpoints
from bert import export
from bert import files
from bert import hugging_face
from bert import model_folder
from bert import tensor_files

_PRETRAINING_HEADS = {  # the release's name -> transformers', of BertForPreTraining
    "cls/predictions/transform/dense/kernel": "cls.predictions.transform.dense.weight",
    "cls/predictions/transform/dense/bias": "cls.predictions.transform.dense.bias",
    "cls/predictions/transform/LayerNorm/gamma": "cls.predictions.transform.LayerNorm.weight",
    "cls/predictions/transform/LayerNorm/beta": "cls.predictions.transform.LayerNorm.bias",
    "cls/predictions/output_bias": "cls.predictions.bias",
    "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
    "cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
}
_SLOTS = "slots of the optimiser"
_NO_RELEASE_NAME = "unknown to google-research/bert"
_NO_HUGGING_FACE_NAME = "unknown to transformers"

Arrays = dict[str, npt.NDArray[Any]]


class Weights(NamedTuple):
    """Arrays by name, and the names of what was left out, by what it is."""

    arrays: Arrays
    left_out: dict[str, list[str]]


def read(source: pathlib.Path) -> Weights:
    """Return the weights under the release's names, kernels [in, out], whatever the source is.

    Raises:
      FileNotFoundError: the source is not there or holds no weights.
      ValueError: a file is damaged.
    """
    if source.suffix in (".safetensors", ".bin"):
        return to_release(tensor_files.read_file(source))
    if not source.is_dir():
        return read_checkpoint(source)
    if newest := checkpoints.newest(model_folder.best_folder(source)):
        return read_checkpoint(pathlib.Path(newest))
    google = source / checkpoints.GOOGLE_CHECKPOINT
    if google.with_name(f"{google.name}.index").is_file():
        return read_checkpoint(google)
    return to_release(tensor_files.read(source))


def read_checkpoint(prefix: pathlib.Path) -> Weights:
    """Read the variables of a TF1 checkpoint and its global step, without the optimiser's slots."""
    kept = {*checkpoints.checkpoint_shapes(prefix), "global_step"}
    names = [name for name, _ in tf.train.list_variables(str(prefix))]
    variables = checkpoints.load_variables(prefix, [name for name in names if name in kept])
    return Weights(variables, {_SLOTS: [name for name in names if name not in kept]})


def to_release(tensors: Mapping[str, npt.NDArray[Any]]) -> Weights:
    """Rename transformers' tensors, of a classifier or of pre-training, to the release's."""
    heads = {theirs: ours for ours, theirs in _PRETRAINING_HEADS.items()}
    known, variables, nameless = {}, {}, []
    for name, value in tensors.items():
        today = name.replace("Norm.gamma", "Norm.weight").replace("Norm.beta", "Norm.bias")
        if hugging_face.release_name(name):
            known[name] = value
        elif today in heads:
            variables[heads[today]] = turned(heads[today], value)
        else:
            nameless.append(name)
    return Weights(
        hugging_face.from_tensors(known) | variables, {_NO_RELEASE_NAME: sorted(nameless)}
    )


def to_hugging_face(variables: Mapping[str, npt.NDArray[Any]]) -> Weights:
    """Undo `to_release`."""
    tensors, nameless = {}, []
    for name, value in variables.items():
        if name in _PRETRAINING_HEADS:
            tensors[_PRETRAINING_HEADS[name]] = turned(name, value)
            continue
        try:
            tensors |= hugging_face.to_tensors({name: value})
        except ValueError:
            nameless.append(name)
    return Weights(tensors, {_NO_HUGGING_FACE_NAME: nameless})


def turned(name: str, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn a kernel from [in, out] to [out, in] or back; other variables lie the same way in both forms."""
    return np.ascontiguousarray(value.T if name.endswith("/kernel") else value)


def write(target: pathlib.Path, weights: Weights) -> Weights:
    """Write weights that `read` gave in the form that the suffix says; return what was written and left out.

    Raises:
      FileExistsError: the target is there already.
      ValueError: there is nothing to write, or PyTorch is needed and not installed.
    """
    if target.exists() or target.with_name(f"{target.name}.index").exists():
        raise FileExistsError(
            f"--output must be new, got {str(target)!r}, which is there already; choose another, for a TF1 checkpoint "
            "the common start of its file names, such as .../bert_model.ckpt"
        )
    if target.suffix in (".safetensors", ".bin"):
        tensors, nameless = to_hugging_face(weights.arrays)
        weights = Weights(tensors, weights.left_out | nameless)
    if not weights.arrays:
        raise ValueError(
            "--input must hold the weights of a BERT, but nothing in it has their names"
        )
    if target.suffix == ".safetensors":
        export.write_weights(target, weights.arrays)
    elif target.suffix == ".bin":
        write_pytorch(target, weights.arrays)
    else:
        checkpoints.write(target, weights.arrays)
    return weights


def write_pytorch(path: pathlib.Path, tensors: Arrays) -> None:
    """Write a state dict as `torch.save` does."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        raise ValueError(
            f"{path} must be written by PyTorch, which is not installed; install torch, or end --output in "
            ".safetensors, which transformers reads too"
        ) from None
    with files.draft(path) as draft:
        torch.save({name: torch.from_numpy(value) for name, value in tensors.items()}, draft)


def listed(names: Collection[str]) -> str:
    """Return the first five names, and how many more there are.

    >>> listed(["a", "b"]), listed("abcdefg")
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join([*names][:5]) + more


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 success, 1 a failure told in one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", type=pathlib.Path, required=True)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--output", type=pathlib.Path, help="*.safetensors, *.bin or a checkpoint")
    target.add_argument("--output_dir", type=pathlib.Path, help="new folder, of a trained --input")
    options = parser.parse_args(arguments)
    tf.get_logger().setLevel(logging.ERROR)  # its deprecations
    try:
        if options.output_dir:
            export.strip_optimizer(options.input, options.output_dir)
            sys.stderr.write(f"{options.output_dir}: the model without its optimiser\n")
            return 0
        written = write(options.output, read(options.input))
    except (OSError, ValueError, tf.errors.OpError) as error:
        sys.stderr.write(f"convert_checkpoint.py: {error}\n")
        return 1
    sys.stderr.write(f"{options.output}: {len(written.arrays)} variables\n")
    for what, names in written.left_out.items():
        if names:
            sys.stderr.write(f"left out, {what}: {len(names)} ({listed(names)})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
