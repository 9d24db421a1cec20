import re
import subprocess
import sys


def test_the_benchmark_prints_a_row_a_method_beside_its_prediction():
    command = "scripts/benchmark.py --size tiny --batch_size 2 --tokens 9 --repeats 1 --methods chefer,occlusion"
    done = subprocess.run(
        [sys.executable, *command.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, _, *table = done.stdout.splitlines()
    assert first.startswith("2 layers, width 12, 2 x 9 tokens, float32")
    cells = [re.match(r"\| (.+) \| \d+ \| \d+ \| (\d+\.\d\d) \|", row) for row in table[2:]]
    assert [cell[1] for cell in cells] == ["five in one", "chefer", "occlusion"]
    assert all(float(cell[2]) > 0 for cell in cells)


def test_an_unknown_method_is_told_in_one_line():
    command = "scripts/benchmark.py --size tiny --methods chefr"
    done = subprocess.run(
        [sys.executable, *command.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "did you mean 'chefer'?" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
