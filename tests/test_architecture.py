"""The rules of the houses, read from the syntax trees: a line of code knows its room.

Rows: a room imports lower rows of its house, the arrows drawn inside a row, and (for explain) the doors of bert.
"""

import ast
import pathlib
import re
import tomllib

import pytest
from packaging import requirements

ROOT = pathlib.Path(__file__).resolve().parent.parent
PICTURE = {  # lowest row first; * may import TensorFlow, < is a door that explain may use
    "bert": [
        "files< checksums< layouts failures*",
        "config< shapes*< training_log taps*< normalization yaml_mapping",
        "options project_config tasks tables< tensor_files tokenization< downloads weights* layers*< "
        "distribution*",
        "datasets< hugging_face pretrained truncation encoder* word_level",
        "modeling* features*< nano",
        "classifier*< graph_tokenization*< input_fn*< optimization* checkpoints*< metrics* tf_hub* windows*<",
        "conversion* hooks*",
        "alterations*<",
        "estimator* model_folder*< frozen*< training* export*< ancestor*",
        "project* anatomy* worker*",
    ],
    "explain": [
        "attention* attribution* averaged_gradients* relevance* perturbation*",
        "words statistics removal sentiment_trees explanation targets methods*",
        "warm* predictor* inspector*",
        "explainer*",
        "model* answers* saved_model*",
        "robustness faithfulness rationales rationale_files eraser_files accuracy corpus palette lettering packing "
        "embeddings bulk_records*",
        "evaluation* evaluation_files* results results_page highlight plots attention_plots training_plots "
        "evaluation_plots "
        "view_page views bulk_rows*",
        "gallery evaluation_gallery* form turns rest* bulk_answers*",
        "server* bulk_shards*",
        "bulk*",
    ],
}
MARKED = {
    f"{house}.{room}": number
    for house, rows in PICTURE.items()
    for number, row in enumerate(rows)
    for room in row.split()
}
ROW = {room.rstrip("*<"): number for room, number in MARKED.items()}
TENSORFLOW = {room.rstrip("*<") for room in MARKED if "*" in room}
DOORS = {room.rstrip("*<") for room in MARKED if "<" in room}
ARROWS = {  # inside a row: who imports -> what
    "bert.project_config": {"bert.options"},
    "bert.estimator": {"bert.model_folder"},
    "bert.frozen": {"bert.model_folder"},
    "bert.ancestor": {"bert.estimator"},
    "bert.training": {"bert.estimator", "bert.model_folder"},
    "bert.export": {"bert.estimator", "bert.model_folder"},
    "explain.explanation": {"explain.words"},
    "explain.averaged_gradients": {"explain.attribution"},
    "explain.perturbation": {"explain.attribution"},
    "explain.methods": {"explain.words"},
    "explain.rationale_files": {"explain.rationales"},
    "explain.eraser_files": {"explain.rationales"},
    "explain.results_page": {"explain.results"},
    "explain.view_page": {"explain.highlight"},
    "explain.views": {"explain.highlight", "explain.view_page"},
    "explain.attention_plots": {"explain.plots"},
    "explain.evaluation_files": {"explain.evaluation"},
    "explain.evaluation_gallery": {"explain.gallery"},
}
EXCEPTIONS = {  # (file, what it imports): inside which functions
    # explain must live where there is no Estimator
    ("explain/model.py", "bert.estimator"): {"load_bert_model", "TYPE_CHECKING"},
    # the ancestor's name, kept as a thin face
    ("explain/attention.py", "explain.highlight"): {"viz_attention"},
    # the demo is that command with its flags filled in
    ("scripts/demo.py", "run_classifier"): {""},
}
LIBRARIES = [  # (rule, packages, the only files that may import them)
    (2, "argparse click typer absl.flags absl.app", "run_classifier.py scripts/*.py"),
    (
        7,
        "yaml omegaconf tomllib configparser",
        "bert/config.py bert/project_config.py bert/yaml_mapping.py",
    ),
    # options in config; the others read or write a data format
    (
        7,
        "json",
        "bert/config.py bert/export.py bert/tables.py "
        "explain/explanation.py explain/view_page.py explain/rationale_files.py explain/eraser_files.py "
        "explain/evaluation_files.py explain/bulk_shards.py "
        "scripts/prepare_*.py scripts/benchmark_*.py scripts/fuzz_targets.py",
    ),
    (
        8,
        "matplotlib seaborn",
        "explain/plots.py explain/attention_plots.py explain/training_plots.py explain/evaluation_plots.py "
        "explain/lettering.py",
    ),
    (8, "plotly", "explain/views.py"),
    (8, "jinja2 markupsafe", "explain/highlight.py explain/views.py"),
    (2, "fastapi starlette uvicorn", "explain/server.py scripts/app.py"),
    (2, "tensorflow_text", "bert/graph_tokenization.py"),
    (2, "apache_beam grpc", "explain/bulk.py scripts/bulk_explain.py"),
    (7, "pyarrow", "explain/bulk_shards.py"),
]
COLOUR = re.compile(r"(?i)(?<![\w&])#([0-9a-f]{6}|[0-9a-f]{8})\b|\b(rgb|hsl)a?\(|^#[0-9a-f]{3}$")
HTML = re.compile(r"(?i)</?(html|body|head|div|span|p|table|style|script|svg|mark)\b[^<]*>")
NAMELESS = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
ENTRY_POINTS = {"run_classifier", "scripts", "notebooks", "tests"}
TENSORFLOW_PACKAGES = {"tensorflow", "tensorflow_hub", "tf_keras", "keras"}
MAX_LINES, MAX_BODY = 350, 60


def scoped_nodes(node, where=""):
    """Yield every node with the function around it, or "TYPE_CHECKING", or ""."""
    for child in ast.iter_child_nodes(node):
        inner = where
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = child.name
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            inner = "TYPE_CHECKING"
        yield child, inner
        yield from scoped_nodes(child, inner)


def imported(node, house):
    """Return the dotted names that an import statement brings in."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        module = ".".join(part for part in (house if node.level else "", node.module) if part)
        return [f"{module}.{alias.name}" for alias in node.names]
    return []


def library_problem(path, packages):
    """Return what is wrong with importing an outside library here, "" if nothing is."""
    for rule, names, files in LIBRARIES:
        wrong = packages & set(names.split())
        if wrong and not any(path.match(pattern) for pattern in files.split()):
            return f"rule {rule}: {wrong.pop()} belongs in {files}"
    return ""


def import_problem(path, target, where):
    """Return what is wrong with an import, "" if nothing is."""
    top, *rest = target.split(".")
    wanted = ".".join([top, *rest[:1]])
    room, house = ".".join(path.with_suffix("").parts), path.parts[0]
    if where in EXCEPTIONS.get((str(path), wanted), ()):
        return ""
    if top in ENTRY_POINTS:
        return f"rule 1: nothing imports the entry point {top}"
    brings_tensorflow = top in TENSORFLOW_PACKAGES or wanted in TENSORFLOW
    if brings_tensorflow and room in ROW.keys() - TENSORFLOW and where != "TYPE_CHECKING":
        return f"rule 3: this room is free of TensorFlow, which {target} brings in"
    if top not in PICTURE or not rest:
        return library_problem(path, {top, wanted})
    if len(rest) > 1:
        return f"rule 1: import the module {wanted}, not the name {rest[1]}"
    is_below = top == house and ROW.get(wanted, 99) < ROW.get(room, -1)
    is_door = house == "explain" and wanted in DOORS
    if house not in PICTURE or is_below or is_door or wanted in ARROWS.get(room, ()):
        return ""
    return f"rule 1: {room} may not import {wanted}"


def line_problem(path, node, is_docstring):
    """Return what is wrong with a syntax node other than an import, "" if nothing is."""
    in_house, code = path.parts[0] in PICTURE, ""
    if isinstance(node, ast.Call | ast.Attribute):
        code = ast.unparse(node.func if isinstance(node, ast.Call) else node)
    if code.endswith(".latest_checkpoint"):
        return "rule 12: checkpoints.newest finds the newest checkpoint"
    if in_house and (code in {"print", "input", "sys.argv"} or code.endswith("v1.flags")):
        return f"rule 2: {code} belongs in entry points"
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and not is_docstring:
        if COLOUR.search(node.value) and path.name != "palette.py":
            return f"rule 8: colours belong in explain/palette.py, got {node.value!r}"
        if HTML.search(node.value):
            return f"rule 8: HTML belongs in explain/templates, got {node.value!r}"
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
        if (length := node.end_lineno - first.lineno + 1) > MAX_BODY:
            return f"size: the body of {node.name} must be at most {MAX_BODY} lines, got {length}"
    return ""


def file_problems(path, text):
    """Yield (line, problem) of one file; `path` is relative to the root."""
    tree, house = ast.parse(text), path.parts[0]
    if (lines := len(text.splitlines())) > MAX_LINES:
        yield MAX_LINES + 1, f"size: a module must be at most {MAX_LINES} lines, got {lines}"
    if NAMELESS & set(path.stem.split("_")):
        yield 1, f"rule 13: no module is named {path.stem}; say what it does"
    if house in PICTURE and path.name == "__init__.py":
        if len(tree.body) != 1 or not ast.get_docstring(tree):
            yield 1, "rule 11: __init__.py holds a docstring and nothing else"
    elif house in PICTURE and ".".join(path.with_suffix("").parts) not in ROW:
        yield 1, "rule 1: a new room needs a row in tests/test_architecture.py and in the picture"
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node, where in scoped_nodes(tree):
        problems = [import_problem(path, target, where) for target in imported(node, house)]
        for problem in [*problems, line_problem(path, node, id(node) in docstrings)]:
            if problem:
                yield node.lineno, problem


def problems_of(root):
    """Return every broken rule of a tree as "file:line: rule: what"."""
    paths = [
        root / "run_classifier.py",
        *(p for h in (*PICTURE, "scripts") for p in (root / h).rglob("*.py")),
    ]
    return [
        f"{path.relative_to(root)}:{line}: {problem}"
        for path in sorted(paths)
        if path.is_file()
        for line, problem in file_problems(path.relative_to(root), path.read_text(encoding="utf-8"))
    ]


def plant(root, file, text):
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text, encoding="utf-8")
    return problems_of(root)


def test_every_line_knows_its_room():
    assert (ROOT / "bert").is_dir()
    problems = problems_of(ROOT)
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("bert/encoder.py", "\nfrom bert import classifier", "2: rule 1: bert.encoder may not"),
        ("bert/encoder.py", "from . import features", "1: rule 1: bert.encoder may not"),
        ("bert/estimator.py", "from explain import words", "1: rule 1: bert.estimator may not"),
        ("bert/estimator.py", "from bert.features import encode", "1: rule 1: import the module"),
        ("run_classifier.py", "from bert.features import encode", "1: rule 1: import the module"),
        ("bert/estimator.py", "import run_classifier", "1: rule 1: nothing imports the entry"),
        ("scripts/train.py", "import run_classifier", "1: rule 1: nothing imports the entry"),
        ("explain/words.py", "from bert import pretrained", "1: rule 1: explain.words may not"),
        ("explain/model.py", "from bert import estimator", "1: rule 1: explain.model may not"),
        ("explain/words.py", "from explain import plots", "1: rule 1: explain.words may not"),
        ("bert/novelty.py", "", "1: rule 1: a new room needs a row"),
        ("bert/datasets.py", "def f(x):\n    print(x)", "2: rule 2: print belongs"),
        ("bert/config.py", "import sys\nARGUMENTS = sys.argv[1:]", "2: rule 2: sys.argv belongs"),
        ("bert/config.py", "from absl import flags", "1: rule 2: absl.flags belongs"),
        ("bert/estimator.py", "import argparse", "1: rule 2: argparse belongs"),
        ("explain/words.py", "import tensorflow as tf", "1: rule 3: this room is free"),
        ("explain/words.py", "from bert import features", "1: rule 3: this room is free"),
        ("scripts/train.py", "import yaml", "1: rule 7: yaml belongs in bert/config.py"),
        ("bert/estimator.py", "import json", "1: rule 7: json belongs"),
        ("explain/views.py", "INK = '#16202b'", "1: rule 8: colours belong"),
        (
            "explain/highlight.py",
            "f = lambda a: f'rgba(0, 0, 255, {a})'",
            "1: rule 8: colours belong",
        ),
        ("explain/corpus.py", "import matplotlib.pyplot as plt", "1: rule 8: matplotlib belongs"),
        ("explain/corpus.py", "import jinja2", "1: rule 8: jinja2 belongs"),
        ("run_classifier.py", "PAGE = '<div class=\"a\">'", "1: rule 8: HTML belongs"),
        ("bert/__init__.py", '"""Doc."""\nX = 1', "1: rule 11: __init__.py holds"),
        ("scripts/train.py", "FIND = tf.train.latest_checkpoint", "1: rule 12: checkpoints.newest"),
        ("scripts/text_utils.py", "", "1: rule 13: no module is named text_utils"),
        ("bert/metrics.py", "X = 1\n" * 351, "351: size: a module must be"),
        ("bert/metrics.py", "def f():\n" + "    x = 1\n" * 61, "1: size: the body of f must be"),
    ],
)
def test_a_planted_violation_is_named_with_file_line_and_rule(tmp_path, file, text, expected):
    (problem,) = plant(tmp_path, file, text)
    assert problem.startswith(f"{file}:{expected}")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "bert/estimator.py",
            "import tensorflow as tf\nfrom bert import classifier as classifier_lib",
        ),
        ("explain/words.py", "if TYPE_CHECKING:\n    from bert import features"),
        ("explain/model.py", "def load_bert_model():\n    from bert import estimator"),
        ("explain/explanation.py", "from explain import words\nimport json"),
        ("bert/datasets.py", '"""Row #123456, as in <p>; print(x)."""\nLINE = "#17 <br />"'),
        ("run_classifier.py", "import sys\nfrom bert import estimator\nprint(sys.argv)"),
        ("scripts/prepare_snli.py", "import argparse\nimport json\nimport tensorflow as tf"),
        ("bert/metrics.py", 'def f():\n    """' + "Doc.\n" * 70 + '"""\n' + "    x = 1\n" * 60),
    ],
)
def test_what_the_rules_allow_stays_green(tmp_path, file, text):
    assert plant(tmp_path, file, text) == []


def test_every_pinned_requirement_lies_inside_the_range_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ranges = {item.name: item for item in map(requirements.Requirement, project["dependencies"])}
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line.split("#")[0] for line in lines if line[:1].isalpha()]
    pins = {item.name: str(item.specifier)[2:] for item in map(requirements.Requirement, pinned)}
    assert pins.keys() == ranges.keys()
    assert [name for name in pins if not ranges[name].specifier.contains(pins[name])] == []
