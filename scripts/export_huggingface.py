"""Write a trained model as a Hugging Face folder.

    python scripts/export_huggingface.py --model_dir out/imdb --output_dir imdb_bert

transformers opens it with AutoModelForSequenceClassification.from_pretrained("imdb_bert") and gives the same logits. A
model that pools the mean or the maximum of its tokens, as one trained from minilm-l6 does, brings a class of its own
along and needs trust_remote_code=True there.
"""

import argparse
import logging
import os
import pathlib
import sys

if __name__ == "__main__":  # before TensorFlow is imported: its start-up notes drown our lines
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bert import export


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 success, 1 a failure told in one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model_dir", required=True, help="output_dir of a training")
    parser.add_argument("--output_dir", type=pathlib.Path, required=True, help="a new folder")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        export.write_hugging_face(options.model_dir, options.output_dir)
    except (OSError, ValueError, tf.errors.OpError) as error:
        sys.stderr.write(f"export_huggingface.py: {error}\n")
        return 1
    is_pooled = (options.output_dir / f"{export.POOLED_MODULE}.py").is_file()
    how = ", trust_remote_code=True" if is_pooled else ""
    sys.stdout.write(
        f'AutoModelForSequenceClassification.from_pretrained("{options.output_dir}"{how})\n'
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
