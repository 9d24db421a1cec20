"""What no line of the code may do, read from the syntax trees; and that SECURITY.md says so."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOUSES = ("bert", "explain", "scripts")
# Packages whose files run code when they are read.
PICKLES = {"pickle", "_pickle", "cPickle", "shelve", "marshal", "dill", "cloudpickle", "joblib"}
# The exception that torch raises of a file that is not tensors alone has its name in pickle.
PICKLE_NAMES = {("bert/tensor_files.py", "pickle.UnpicklingError")}
BUILTINS = {"eval", "exec", "compile", "__import__"}
CALLS = {  # the end of a call's name -> why nobody calls it
    r"os\.(system|popen|spawn\w+|exec\w+)": "a shell or another program takes over",
    r"yaml\.(load\w*|unsafe_load\w*|full_load\w*|compose\w*|parse|Loader|\w+Loader(?<!SafeLoader))": (
        "a YAML file may make objects"
    ),
    r"(models|keras)\.load_model": "a Keras model may hold code, whatever safe_mode says",
    r"saved_model\.(load|load_v2)|hub\.(load|Module|KerasLayer)": "a SavedModel is code",
    r"json_format\.\w+": "JSON that becomes a protobuf may nest without end (CVE-2026-0994)",
    r"(\w+\.)?(extractall|unpack_archive)|tar\.extract|archive\.extract": "members may lead out",
    r"(pd|pandas)\.read_(pickle|hdf)|np\.fromregex": "its files run code when they are read",
    r"ssl\._create_unverified_context|tempfile\.mktemp": "anybody may stand in for it",
    r"get_file": "Keras unpacks archives wherever they say (CVE-2025-12638)",
    r"onnx\.load\w*": "unfixed faults of onnx below 1.21",
}
KEYWORDS = {  # the end of a call's name -> the keyword that it must have, and its value
    r"np\.load": ("allow_pickle", "False"),
    r"torch\.load": ("weights_only", "True"),
    r"jinja2\.Environment": ("autoescape", "True"),
}
FORBIDDEN_KEYWORDS = {("shell", "True"), ("verify", "False"), ("allow_pickle", "True")}


def name_of(node):
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def call_problem(node):
    """Return what is wrong with a call, "" if nothing is."""
    name = ast.unparse(node.func)
    if name in BUILTINS:
        return f"{name} runs what it is given"
    for pattern, reason in CALLS.items():
        if re.search(rf"(^|\.)({pattern})$", name):
            return f"{name}: {reason}"
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    for pattern, (keyword, value) in KEYWORDS.items():
        if re.search(rf"(^|\.)({pattern})$", name) and given.get(keyword) != value:
            return f"{name} must be called with {keyword}={value}"
    for keyword, value in FORBIDDEN_KEYWORDS & given.items():
        return f"{name} must not be called with {keyword}={value}"
    return ""


def problems_of(path, text):
    """Yield (line, problem) of a file."""
    nodes = list(ast.walk(ast.parse(text)))
    from_pickle = {name for name in map(name_of, nodes) if name.split(".")[0] in PICKLES} - PICKLES
    is_known = from_pickle and {(path, name) for name in from_pickle} <= PICKLE_NAMES
    for node in nodes:
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        for module in modules:
            if module.split(".")[0] in PICKLES and not is_known:
                yield node.lineno, f"{module} runs what a file holds"
            if module.endswith("json_format"):
                yield node.lineno, f"{module}: JSON must not become a protobuf"
        if isinstance(node, ast.Call) and (problem := call_problem(node)):
            yield node.lineno, problem


def sources():
    yield ROOT / "run_classifier.py"
    for house in HOUSES:
        yield from sorted((ROOT / house).rglob("*.py"))


def test_no_line_runs_what_a_file_holds():
    paths = list(sources())
    assert len(paths) > 100
    problems = [
        f"{path.relative_to(ROOT)}:{line}: {problem}"
        for path in paths
        for line, problem in problems_of(
            path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        )
    ]
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import shelve",
        "import joblib as j",
        "import marshal, os",
        "eval(text)",
        "exec('1')",
        "os.system(command)",
        "os.popen(command)",
        "subprocess.run(command, shell=True)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "yaml.compose(text)",
        "tf.keras.models.load_model(path)",
        "keras.models.load_model(path, safe_mode=True)",
        "tf.saved_model.load(path)",
        "hub.load(path)",
        "yaml.UnsafeLoader(text)",
        "json_format.Parse(text, message)",
        "from google.protobuf import json_format",
        "json_format.ParseDict({}, message)",
        "tarfile.open(path).extractall(folder)",
        "archive.extractall(folder)",
        "shutil.unpack_archive(path)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "pd.read_pickle(path)",
        "jinja2.Environment()",
        "requests.get(url, verify=False)",
        "tf.keras.utils.get_file(name, url)",
        "tempfile.mktemp()",
    ],
)
def test_a_planted_line_is_found(line):
    assert [number for number, _ in problems_of("bert/planted.py", f"\n{line}\n")] == [2]


@pytest.mark.parametrize(
    "line",
    [
        "np.load(path, allow_pickle=False)",
        "torch.load(path, map_location='cpu', weights_only=True)",
        "yaml.safe_load(text)",
        "yaml.SafeLoader(text)",
        "re.compile(pattern)",
        "model.eval()",
        "json.loads(text)",
        "subprocess.run([program, argument])",
        "tensor_files.load(path)",
        "jinja2.Environment(autoescape=True)",
    ],
)
def test_what_is_allowed_is_not(line):
    assert list(problems_of("bert/planted.py", line)) == []


def test_the_one_name_of_pickle_is_an_exception():
    text = "import pickle\ntry:\n    f()\nexcept pickle.UnpicklingError:\n    pass\n"
    assert list(problems_of("bert/tensor_files.py", text)) == []
    assert len(list(problems_of("bert/tensor_files.py", text + "pickle.load(file)\n"))) == 1
    assert len(list(problems_of("bert/files.py", text))) == 1


def test_templates_mark_nothing_safe_but_what_the_page_itself_is_made_of():
    folder = ROOT / "explain" / "templates"
    texts = {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.*")}
    marked = {
        (path.name, found)
        for path, text in texts.items()
        for found in re.findall(r"([^\s{(|,]+) \| safe\b", text)
    }
    assert marked == {
        ("report.html", '"&#13;"'),
        ("report.html", "style"),
        ("report.html", "scripts[0]"),
        ("page.html", "style"),
        ("page.html", "script"),
        ("figure.html", "view.json"),  # whose every "<" is spelled \u003c
    }
    assert not [path for path, text in texts.items() if "autoescape" in text]


def test_the_findings_of_the_pinned_set_are_read_in_the_security_page():
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for told in (
        "CVE-2026-0994",
        "CVE-2025-9905",
        "pip-audit -r requirements.txt",
        "trust",
        "No password",
        "report",
    ):
        assert told in page, told
