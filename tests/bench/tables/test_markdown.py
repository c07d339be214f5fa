"""Tables for readers: layout, bold only where it is earned, and notes."""

from __future__ import annotations

import pandas as pd
import pytest
from bench.scored import scored

from stflow.bench.tables._labels import FOLDS, PEEKING
from stflow.bench.tables._markdown import to_markdown
from stflow.bench.tables._rows import compare, make_tables

NAN = float("nan")


def accuracy(*frames: pd.DataFrame) -> list[str]:
    """Lines of the first table."""
    return to_markdown(make_tables(pd.concat(frames))["accuracy"]).splitlines()


def line_of(lines: list[str], label: str) -> str:
    """The only row that starts with a label."""
    (found,) = [line for line in lines if line.startswith(f"| {label} |")]
    return found


def test_layout():
    scores = {"IDC": [0.5, 0.6, 0.5, 0.6], "PRAD": [-0.1, 0.1]}
    lines = accuracy(scored(scores, method="flow"))
    rows = [line for line in lines if line.startswith("|")]
    assert rows[0] == "| method | encoder | protocol | IDC | PRAD |"
    assert {line.count("|") for line in rows} == {6}
    assert (
        rows[2] == "| flow (our denoiser alone) | uni | hest | **.550 ± .058** | **.000 ± .141** |"
    )
    told = "- *published*: preprint, table 1, for the genes of `hest`; `nested` has others."
    assert any(line.startswith(told) for line in lines)
    assert rows[3] == "| *published* |  |  | *.589 ± .063* | *.420 ± .005* |"
    assert len(rows) == 4


def test_nothing_published_no_row():
    assert not any("published*" in line for line in accuracy(scored({"her2st": [0.1]})))


def test_bold_is_the_best_of_each_protocol():
    ridge, ours = scored({"t": [0.5]}), scored({"t": [0.6]}, method="stflow")
    nested = scored({"t": [0.4]}, protocol="nested")
    lines = accuracy(ridge, ours, nested)
    assert sum("**.600**" in line for line in lines) == 1
    assert sum("**.400**" in line for line in lines) == 1
    assert not any("**.500**" in line for line in lines)


@pytest.mark.parametrize("peek", [0.4, 0.9])
def test_what_peeked_is_never_bold(peek: float):
    lines = accuracy(scored({"t": [0.5]}), scored({"t": [peek]}, method=PEEKING))
    (bold,) = [line for line in lines if "**" in line]
    assert "**.500**" in bold
    assert "(not a result)" not in bold
    assert any("never bold" in line for line in lines)


def test_incomplete_and_failed_results_say_so():
    whole = scored({"t": [0.1, 0.1, 0.1, 0.1]}, method="stflow")
    part = scored({"t": [0.8, 0.9, NAN]})
    lines = accuracy(whole, part, scored({"t": [NAN] * 4}, method="bleep", encoder="resnet50"))
    assert "| .850 ± .071 (2 of 4 folds, 1 failed) |" in line_of(lines, "encoder + ridge")
    assert "| failed |" in line_of(lines, "BLEEP")
    assert "**.100 ± .000**" in line_of(lines, "stflow (this library)")
    assert any("enters no average" in line for line in lines)
    assert not any("enters no average" in line for line in accuracy(whole))


def test_notes_name_what_a_reader_must_know():
    frame = scored({"her2st": [0.1]}, method="bleep", constructed=True, max_epochs=30)
    text = "\n".join(accuracy(frame))
    assert "Splits constructed here, none were published: her2st." in text
    assert "30 epochs at most, not as published: BLEEP." in text
    assert "`hest`: hyper-parameters as published." in text
    assert "`nested`:" not in text
    assert "HCC" not in text
    official = "\n".join(accuracy(scored({task: [0.1] * n for task, n in FOLDS.items()})))
    assert "leaves out HCC" in official
    assert "constructed" not in official
    assert "epochs at most" not in official


def test_epochs_are_told_of_the_rows_that_they_cut():
    cut = scored({"t": [0.1, 0.2]}, method="bleep", max_epochs=8)
    other = scored({"t": [0.1, 0.2]}, method="bleep", protocol="nested", max_epochs=2)
    whole = scored({"t": [0.1, 0.2]}, method="bleep", protocol="nested")
    text = "\n".join(accuracy(cut, other))
    assert "Trained for 8 epochs at most, not as published: BLEEP under `hest`." in text
    assert "Trained for 2 epochs at most, not as published: BLEEP under `nested`." in text
    assert "8 epochs at most, not as published: BLEEP under `hest`." in "\n".join(
        accuracy(cut, whole)
    )


def test_folds_of_different_epochs_are_never_bold():
    frame = scored({"t": [0.8, 0.9]}, method="bleep", max_epochs=[8, None])
    lines = accuracy(frame, scored({"t": [0.1, 0.2]}))
    assert "| .850 ± .071 (unequal epochs) |" in line_of(lines, "BLEEP")
    assert "**" in line_of(lines, "encoder + ridge")
    assert "- Folds trained for different numbers of epochs, never bold: BLEEP." in lines
    assert not any("8 epochs at most" in line for line in lines)
    equal = scored({"t": [0.8, 0.9]}, method="bleep", max_epochs=8)
    assert "**.850 ± .071**" in line_of(accuracy(equal), "BLEEP")


def test_run_time():
    costs = {"embed_s": 10.27, "fit_s": 101.4, "predict_s": 0.5, "fit_mib": 812.4, "device": "cpu"}
    frame = scored({"IDC": [0.1]}, method="flow", **costs)
    lines = to_markdown(make_tables(frame)["run_time"]).splitlines()
    assert "| 10.3 / 101 / 0.5 s, 812 MiB |" in line_of(lines, "flow (our denoiser alone)")
    assert "| *64.3 / – / 0.51 s* |" in line_of(lines, "*published*")
    assert "- Measured on: cpu." in lines


def test_differences():
    ours = scored({"t": [0.3, 0.5]}, method="stflow")
    text = to_markdown(compare(pd.concat([ours, scored({"t": [0.2, 0.2]})])))
    row = "| encoder + ridge | uni | hest | counts | uni | −.200 ± .141 | 0 of 2 |"
    assert f"{row} 2 of 2 |" in text
    ahead = to_markdown(compare(pd.concat([ours, scored({"t": [0.4, 0.6]})])))
    assert "| +.100 ± .000 | 2 of 2 | 2 of 2 |" in ahead


def both_units() -> pd.DataFrame:
    """Two methods in both units, with what is known beside a score."""
    known = {"pearson_depth": [0.1, 0.3], "ceiling": 0.8, "partial": 0.25, "n_left_out": [0, 2]}
    known |= {"gene_structure": 0.9, "spot_structure": NAN}
    how = {"protocol": "nested", **known}
    scores = {"cp10k": {"IDC": [0.3, 0.3]}, "counts": {"IDC": [0.7, 0.7]}}
    parts = [
        scored(scores[units], method=method, units=units, **how)
        for units in ("counts", "cp10k")
        for method in ("ridge", "flow")
    ]
    return pd.concat(parts)


def test_each_of_the_units_has_a_part_the_default_first():
    lines = accuracy(both_units())
    parts = [number for number, line in enumerate(lines) if line.startswith("In `")]
    assert [lines[number].partition(",")[0] for number in parts] == ["In `cp10k`", "In `counts`"]
    first, second = lines[: parts[1]], lines[parts[1] :]
    assert "**" not in "".join(first + second)
    assert "| .300 ± .000 (2 of 4 folds) |" in line_of(first, "encoder + ridge")
    assert "| .700 ± .000 (2 of 4 folds) |" in line_of(second, "encoder + ridge")
    assert not any(line.startswith("| *published* |") for line in first)
    assert line_of(second[:6], "*published*")
    both = both_units().replace("IDC", "t")
    assert sum("**.300 ± .000**" in line for line in accuracy(both)) == 2
    assert sum("**.700 ± .000**" in line for line in accuracy(both)) == 2


def test_total_counts_and_the_ceiling_stand_below():
    lines = accuracy(both_units().replace("IDC", "t"))
    assert lines.count("| *total counts alone* |  | nested | *.200* |") == 2
    assert lines.count("| *ceiling* |  | nested | *.800* |") == 2
    told = (
        "- Test spots that measured too little, not scored: 2 of t in `cp10k`, 2 of t in `counts`."
    )
    assert told in lines
    older = "\n".join(accuracy(scored({"t": [0.1]})))
    assert "total counts alone" not in older
    assert "ceiling" not in older
    assert "too little" not in older


def test_structure():
    lines = to_markdown(make_tables(both_units())["structure"]).splitlines()
    assert lines.count("| encoder + ridge | uni | nested | .250 / .900 / – (2 of 4 folds) |") == 2
    assert any(line.startswith("- Partial Pearson correlation given log1p") for line in lines)
    assert "structure" not in make_tables(scored({"t": [0.1]}))


def test_empty_table():
    with pytest.raises(ValueError, match="no rows; there is nothing to show"):
        to_markdown(compare(scored({"t": [0.1]})))
