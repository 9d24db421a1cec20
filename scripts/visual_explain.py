"""Explain one answer of a model that scripts/train.py trained: pictures, a page, and the numbers behind them.

    python scripts/visual_explain.py --config scripts/config.yaml --input "Not a dull moment in it."
    python scripts/visual_explain.py --config scripts/config.yaml --input "..." --method rollout,occlusion --layers 0,-1
    python scripts/visual_explain.py --model_dir out/demo --output_dir out/why --layers=0,-1 --input "..."

Into <output_dir>/visualizations/ go attention_layer_<i>.png (mean over heads) of each layer, attention.npz (every layer
and head, and the tokens), token_importance.png, explanation.html and explanation.jsonl; their paths are printed, and
pictures of an earlier text are removed. A method whose method_options in the config say `layers: true` also has
layer_profile_<method>.png. Options that are left out come from the config. No display is needed.
"""

import argparse
import os
import pathlib
import sys

if __name__ == "__main__":  # before TensorFlow is imported: its start-up notes drown our lines
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bert import checkpoints
from bert import failures
from bert import model_folder
from bert import project_config
from explain import attention
from explain import explanation
from explain import gallery
from explain import highlight
from explain import methods
from explain import model


def explain(
    config: project_config.ProjectConfig, options: argparse.Namespace
) -> tuple[list[explanation.Explanation], tuple[int, ...]]:
    """Return the records of the one text, with the attention of all layers if any is to be drawn, and those layers."""
    asked = options.method or config.method
    method_options = project_config.options_of_methods(config, asked, methods.METHODS, methods.bind)
    model_dir = options.model_dir or config.output_dir
    if options.model_dir is None and checkpoints.latest_step(model_dir) is None:
        raise FileNotFoundError(
            f"{model_dir} must hold a trained model, got none; run scripts/train.py --config {options.config} first, "
            "or give --model_dir"
        )
    of_config = config.attention_layers if options.config else []
    layers = project_config.resolve_layers(
        of_config if options.layers is None else options.layers,
        model_folder.load(model_dir).config.num_hidden_layers,
    )
    explainer = model.load_explainer(
        model_dir,
        asked,
        attn_processor_fn=attention.all_layers if layers else None,
        method_options=method_options,
        word_scores=config.word_scores,
        long_text=options.long_text or config.long_text,
    )
    text = options.input if options.input_b is None else (options.input, options.input_b)
    return explainer([text], options.target or config.target), layers


def layer_numbers(text: str) -> list[int]:
    """Return the layers of a command line's --layers."""
    try:
        return [int(name) for name in project_config.split_names(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be whole numbers with commas, as 0,5,-1; got {text!r}"
        ) from None


def main(options: argparse.Namespace) -> None:
    """Explain, write the files, and print the answer and their paths."""
    config = project_config.ProjectConfig.model_construct()  # the defaults
    if options.config is not None:
        config = project_config.read(options.config, methods=methods.METHODS)
    picture = gallery.find_picture(options.picture)
    records, layers = explain(config, options)
    folder = pathlib.Path(options.output_dir or config.output_dir) / "visualizations"
    first, paths = records[0], []
    for record in records:
        print(highlight.ansi(record, colour=sys.stdout.isatty()))
    if layers and first.attention is not None:
        title = f"predicted {first.predicted} ({first.confidence:.2f})"
        start = folder / "attention"
        paths += gallery.save_attention(first.attention, first.tokens, layers, start, title)
    elif layers:
        print("no heat maps: the text is read in windows; --long_text=cut draws its first one")
    paths += gallery.save_explanations(records, folder, "What counted in the text", picture)
    gallery.remove_earlier(folder, paths, picture)
    print("\n".join(map(str, paths)))


def cli_main(arguments: list[str] | None = None) -> int:
    """Run the command line; see `failures.exit_status`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", metavar="TEXT", required=True)
    parser.add_argument("--input_b", metavar="TEXT", help="second text, of a pair")
    parser.add_argument("--config", type=pathlib.Path, help="its output_dir is the model")
    parser.add_argument(
        "--method",
        type=project_config.split_names,
        help=f"one or more, with commas: {', '.join(methods.METHODS)}, or your own as package.module:function",
    )
    parser.add_argument("--target", help="predicted, a label, a-b for the lead of a over b, or all")
    parser.add_argument(
        "--layers",
        type=layer_numbers,
        help='numbers with commas, as 0,5,11; "" draws none; write --layers=-1 to begin with a minus',
    )
    parser.add_argument(
        "--long_text", choices=("cut", "window"), help="cut it, or read it all in windows"
    )
    parser.add_argument(
        "--model_dir", help="a trained folder or Hugging Face classifier (output_dir)"
    )
    parser.add_argument("--output_dir", help="holds visualizations/ (the config's output_dir)")
    parser.add_argument(
        "--picture",
        default="token_importance",
        help="function of an explanation that draws it, as package.module:function (token_importance)",
    )
    options = parser.parse_args(arguments)
    if options.config is None and None in (options.model_dir, options.output_dir):
        parser.error("--config, or both of --model_dir and --output_dir, is required")
    if not options.input.strip():
        parser.error("--input must hold a word to explain, got only white space")
    sys.path.insert(0, os.getcwd())  # where a module of one's own usually is
    return failures.exit_status(
        "visual_explain.py", lambda: main(options), (project_config.ConfigError,)
    )


if __name__ == "__main__":
    sys.exit(cli_main())
