"""Where the truth is planted, every protocol's table ranks it first."""

import numpy as np
import pytest

from explain import evaluation
from explain import faithfulness
from explain import rationales
from explain import removal
from explain import results
from explain import results_page

SETTINGS = {"seed": 3, "draws": 20, "rationale": "4 tokens"}
WORDS = 12
TRUTH = np.linspace(3.0, -2.5, WORDS).astype(np.float32)
"""What each word adds to the logit of class 1; class 0's is -0.5."""


def planted(texts: int):
    """Cases of a plain sum of token weights, explained by the truth and by its reverse."""
    cases = []
    for index in range(texts):
        order = np.random.default_rng(index).permutation(WORDS)
        ids = (1, *(int(word) + 10 for word in order), 2)
        units = removal.Units(
            removal.Ids(ids, (0,) * len(ids), (1,) * len(ids)), (-1, *range(WORDS), -1), 0, 3
        )
        scores = {"truth": TRUTH[order], "reverse": -TRUTH[order]}
        cases.append(faithfulness.Case(units, scores, 1, 1, answers([units.ids])[0]))
    return cases


def answers(rows):
    weights = dict(enumerate(TRUTH, start=10))
    totals = [sum(weights.get(i, 0.0) for i in row.input_ids) for row in rows]
    return np.array([[-0.5, total] for total in totals], np.float32)


@pytest.mark.parametrize("name", [key for key in results.HEADLINES if key != "rationales"])
def test_the_truth_stands_above_its_reverse_in_the_table_of_every_protocol(name):
    cases = planted(15)
    asked = evaluation.with_hard_rationale(
        list(faithfulness.PROTOCOLS.values()), rationales.TopK(4)
    )
    (protocol,) = (protocol for protocol in asked if protocol.name == name)
    found = faithfulness.measure(cases, [protocol], answers, draws=5)
    lines_made = [
        {
            "gold": 1,
            "probabilities": [0.1, 0.9],
            "measures": measured.methods,
            "floor": measured.floor,
        }
        for measured in found
    ]
    settings = SETTINGS | {"protocols": {name: {"removal": "mask"}}}
    page = results_page.to_markdown(results.summarise(lines_made, settings), "Truth")
    table = page.split(f"## {name}")[1]
    if (
        name == "infidelity"
    ):  # a multiple of the reverse forecasts as well: its scale may be below 0
        assert "`truth`" in table
    else:
        assert table.index("| `truth`") < table.index("| `reverse`")
        assert "No method is better than chance" not in table
        assert "**Worse than chance: `reverse`.**" in table
