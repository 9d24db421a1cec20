"""Write a trained model as a TensorFlow SavedModel that answers and explains without this project.

    python scripts/export_model.py --model_dir out/imdb --output imdb/1
    python scripts/export_model.py --model_dir out/imdb --output imdb/1 --methods integrated_gradients,chefer --no_text

Signatures: `serving_default` is given `text` and `text_b` ("" for none), `explain` also `target`, the class to explain
(-1: the predicted one), `ids` is given `input_ids`, `input_mask` and `segment_ids`. Such a model needs tensorflow-text
where it is made (`pip install -r requirements-serve.txt`) and where it is loaded. With --no_text it needs TensorFlow
alone, and `explain` is given ids.
"""

import argparse
import logging
import os
import pathlib
import sys

if __name__ == "__main__":  # before TensorFlow is imported: its start-up notes drown our lines
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bert import failures
from bert import project_config
from explain import attention
from explain import methods
from explain import saved_model


def main(options: argparse.Namespace) -> None:
    """Write the folder and say how to load it."""
    logging.getLogger("absl").setLevel(logging.ERROR)  # it names every input that it renames
    saved_model.write(
        options.model_dir,
        options.output,
        options.methods,
        attention.find_processor(options.attn_processor_fn),
        with_text=not options.no_text,
    )
    size = sum(path.stat().st_size for path in pathlib.Path(options.output).rglob("*"))
    print(f'tf.saved_model.load("{options.output}")  # {size / 1e6:.1f} MB')


def cli_main(arguments: list[str] | None = None) -> int:
    """Run the command line; see `failures.exit_status`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model_dir",
        required=True,
        help="a trained folder or Hugging Face classifier (output_dir)",
    )
    parser.add_argument(
        "--output", required=True, help="a new folder; a server wants it named by a number"
    )
    parser.add_argument(
        "--methods",
        type=project_config.split_names,
        default=list(saved_model.METHODS),
        help=f"attributions that every call returns, with commas ({','.join(saved_model.METHODS)}): of "
        f"{', '.join(methods.METHODS)}, or your own as package.module:function; '' for none",
    )
    parser.add_argument(
        "--attn_processor_fn", help="attention that every call returns too, as in run_classifier.py"
    )
    parser.add_argument(
        "--no_text", action="store_true", help="read ids only; needs no tensorflow-text"
    )
    options = parser.parse_args(arguments)
    sys.path.insert(0, os.getcwd())  # where a module of one's own usually is
    return failures.exit_status("export_model.py", lambda: main(options))


if __name__ == "__main__":
    sys.exit(cli_main())
