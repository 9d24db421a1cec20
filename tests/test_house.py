"""The house around the code: pins, papers, and what importing does."""

import importlib.metadata
import pathlib
import re
import subprocess
import sys

import pytest
from packaging import requirements

from bert import datasets
from bert import options as options_lib
from tests import test_run_classifier

ROOT = pathlib.Path(__file__).resolve().parent.parent


def pins(name):
    lines = (ROOT / name).read_text().splitlines()
    stated = (line.split("#")[0].strip() for line in lines if not line.startswith("-"))
    return [requirements.Requirement(line) for line in stated if line]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_what_is_installed_is_what_is_pinned(name):
    for pin in pins(name):
        installed = importlib.metadata.version(pin.name)
        assert pin.specifier.contains(installed), f"{pin} is pinned, {installed} is installed"


def test_every_pin_is_exact_and_the_constraints_agree():
    constraints = {pin.name.lower(): pin for pin in pins("constraints.txt")}
    for pin in [*pins("requirements.txt"), *pins("requirements-dev.txt")]:
        assert str(pin.specifier).startswith("==")
        assert constraints[pin.name.lower()].specifier == pin.specifier


def test_the_lock_file_has_the_versions_of_the_constraints_and_their_hashes():
    text = (ROOT / "requirements.lock.txt").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}\b", text, re.M))
    versions = {name.lower().replace("_", "-"): version for name, version in locked.items()}
    constraints = {pin.name.lower().replace("_", "-"): pin for pin in pins("constraints.txt")}
    assert {name: f"=={version}" for name, version in versions.items()} == {
        name: str(constraints[name].specifier) for name in versions
    }
    # pandas wants it on Windows only
    assert set(constraints) - set(versions) == {"tzdata"}


def test_both_houses_and_the_command_import_without_output_flags_or_deprecated_calls():
    code = (
        "import sys, run_classifier, explain.model, explain.plots; from absl import flags;"
        "assert not {'data_dir', 'task_name'} & set(flags.FLAGS), 'global flags';"
        "assert 'bert.estimator' in sys.modules and not any('contrib' in name for name in sys.modules"
        " if name.startswith('tensorflow'))"
    )
    command = [sys.executable, "-W", "error", "-W", "ignore:pkg_resources", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("LICENSE", "Apache License"),
        ("NOTICE", "google-research/bert"),
        ("CODE_OF_CONDUCT.md", "Contributor Covenant"),
        ("CONTRIBUTING.md", "make check"),
        ("SECURITY.md", "pip-audit -r requirements.txt"),
        ("RELIABILITY.md", "nothing lost?"),
        ("CHANGELOG.md", "## "),
        ("README.md", "scripts/demo"),
        ("bert/README.md", "modeling"),
        ("explain/README.md", "attention"),
        ("data/README.md", "written for this project"),
    ],
)
def test_the_papers_of_the_house_are_there(name, phrase):
    assert phrase in (ROOT / name).read_text()


def test_no_document_names_a_path_of_somebodys_machine():
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in names:
        path = ROOT / name
        if path.suffix in {".md", ".ipynb", ".py", ".txt", ".toml", ".html"} and path.is_file():
            assert not re.search(r"/(root|work|Users/\w+)/", path.read_text(encoding="utf-8")), name


def test_no_document_holds_a_placeholder():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/README.md")]:
        assert not re.search(r"@@|TODO|TBD", path.read_text(encoding="utf-8")), path.name


def test_the_readme_lists_every_option_that_is_not_the_releases():
    readme = (ROOT / "README.md").read_text()
    own = set(options_lib.RunConfig.model_fields) - set(test_run_classifier.GOOGLE_DEFAULTS)
    assert set(re.findall(r"^\| `--(\w+)` \|", readme, flags=re.MULTILINE)) == own


def test_the_readmes_own_task_reads_its_files(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    (task,) = [block for block in blocks if "class Tickets" in block]
    (tmp_path / "my_task.py").write_text(task)
    (tmp_path / "train.csv").write_text('id,team,text\n7,bug,"It crashes, twice"\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    processor = datasets.find_processor(options_lib.DataConfig(processor="my_task:Tickets"))
    (example,) = processor.get_train_examples(str(tmp_path))
    assert example == datasets.InputExample("7", "It crashes, twice", None, "bug")
    assert example.label in processor.get_labels()


def test_the_flags_of_the_readmes_commands_exist():
    scripts = (
        "input output output_dir model_dir max_examples dev_fraction config input_file labels method data_file methods "
        "protocols no_text dead_letters output_format rows_per_shard runner direct_running_mode direct_num_workers "
        "job_endpoint environment_type"
    )
    known = set(options_lib.RunConfig.model_fields) | set(scripts.split())
    for name in ("README.md", "explain/README.md", "data/README.md"):
        blocks = re.findall(r"```sh\n(.*?)```", (ROOT / name).read_text(), flags=re.DOTALL)
        assert set(re.findall(r"--(\w+)", "".join(blocks))) <= known


def test_every_link_of_the_documents_leads_somewhere():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/*.md")]:
        if ".venv" in path.parts or "out" in path.parts:
            continue
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text()):
            if not target.startswith(("http://", "https://", "mailto:")):
                assert (path.parent / target).exists(), f"{path.relative_to(ROOT)}: {target}"


def test_the_parity_table_names_tests_that_exist():
    table = (ROOT / "tests" / "README.md").read_text()
    rows = re.findall(r"^\| *(\d+) *\|[^|]*\|([^|]*)\|$", table, flags=re.MULTILINE)
    wanted = {*range(1, 33), *range(34, 56), *range(59, 129)}
    assert {int(number) for number, _ in rows} >= wanted
    for number, cell in rows:
        named = re.findall(r"`([\w/]+\.py)`::(\w+)", cell)
        assert named, f"row {number} names no test"
        for file, test in named:
            assert f"def {test}(" in (ROOT / "tests" / file).read_text(), (
                f"row {number}: {file}::{test}"
            )


def test_the_results_page_sets_attention_beside_gradients_and_chance():
    page = (ROOT / "explain" / "RESULTS.md").read_text()
    table = page.split("## SST-5")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `?(\w+)`? \| (0\.\d+)", table, re.MULTILINE)
    kept = {method: float(share) for method, share in rows}
    assert kept["integrated_gradients"] < kept["attention_last"] < kept["chance"]
    (row,) = re.findall(r"^\| `lat` \|.*$", table, re.MULTILINE)
    assert "(p = 0." in row  # not told apart from chance
    assert (ROOT / "explain" / "images" / "sst5_word_deletion.png").stat().st_size > 10_000
    assert "RESULTS.md" in (ROOT / "explain" / "README.md").read_text()
