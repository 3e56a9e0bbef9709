"""Medians, ratios round by round, targets, what is left out; the plot; the comparison of two runs."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from perf.comparison import changes
from perf.comparison import text as comparison
from perf.plot import draw
from perf.report import FIGURES, Report, Round, ratio
from perf.rows import ROWS

ROOT = Path(__file__).parents[2]
MR = next(row for row in ROWS if row.name == "mr")


def rounds(*cpu_us: float, peak_mb: float = 40) -> list[Round]:
    return [{**dict.fromkeys(FIGURES, 100.0), "cpu_us": cpu, "objects_per_s": 1e6 / cpu, "peak_mb": peak_mb} for cpu in cpu_us]


def report(ours: list[Round], theirs: list[Round] | None = None, **others: list[Round]) -> Report:
    made = Report("/dev/shm")
    made.add(MR, {"fastscp": ours, **({"storescp": theirs} if theirs else {}), **others}, {})
    return made


def test_ratios_are_taken_round_by_round() -> None:
    assert ratio(rounds(10, 40, 30), rounds(20, 40, 100)) == pytest.approx(0.5)  # not 30 / 40


def test_table_says_what_is_wanted_found_and_left_out() -> None:
    made = report(rounds(30), rounds(100), floor=rounds(10))
    made.skip("mr", "orthanc", "Orthanc is not installed")
    text = made.text()
    assert "| mr | fastscp | 33333 | 100.0 | 30 |" in text
    assert "| mr | CPU µs/object | fastscp / storescp | 0.30 | 0.30 | met |" in text
    assert "| mr | CPU µs/object | fastscp / floor | 2.50 | 3.00 | missed |" in text
    assert "left out: mr, orthanc: Orthanc is not installed" in text
    assert "+B" not in text, "no target is judged without its figures"


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    made = report(rounds(30, 31), rounds(100, 99))
    made.write(str(tmp_path / "a.json"))
    assert vars(Report.read(str(tmp_path / "a.json"))) == vars(made)
    (tmp_path / "b.json").write_text("[]")
    with pytest.raises(ValueError, match="not a result"):
        Report.read(str(tmp_path / "b.json"))


def test_an_earlier_checkout_is_the_peer_where_there_is_one() -> None:
    made = report(rounds(30), rounds(100), **{"before: fastscp": rounds(60)})
    assert made.beside("mr", "fastscp") == rounds(60)
    assert made.beside("mr", "before: fastscp") == rounds(100)


def test_system_calls_have_a_column_where_they_were_counted() -> None:
    made = Report("")
    made.add(MR, {"fastscp": rounds(30), "storescp": rounds(100)}, {"fastscp": {"per_object": 7.25, "names": {"openat": 1.0}}})
    assert made.text().splitlines()[2].endswith("| calls/object |")
    assert made.text().splitlines()[4].endswith("| 7.2 |")
    assert made.text().splitlines()[5].endswith("| 1.00 |  |")


def judged(before: Report, after: Report, figure: str) -> str:
    return next(change.verdict for change in changes(before, after) if (change.server, change.figure) == ("fastscp", figure))


@pytest.mark.parametrize(("before", "after", "verdict"), [
    (rounds(50, 51, 49), rounds(50, 52, 51), "same"),
    (rounds(50, 51, 49), rounds(60, 61, 59), "worse"),
    (rounds(50, 51, 49), rounds(40, 41, 39), "better"),
    (rounds(50, 51, 62), rounds(60, 61, 59), "noise"),
])
def test_change_of_more_than_five_percent_is_judged_and_noise_is_said(before: list[Round], after: list[Round], verdict: str) -> None:
    base = rounds(100, 100, 100)
    assert judged(report(before, base), report(after, base), "cpu_us") == verdict
    assert judged(report(before), report(after), "cpu_us") == verdict


def test_more_is_better_for_what_is_done_in_a_second() -> None:
    assert judged(report(rounds(50)), report(rounds(40)), "objects_per_s") == "better"
    assert judged(report(rounds(40)), report(rounds(50)), "objects_per_s") == "worse"


def test_slower_machine_does_not_show_beside_a_peer_but_memory_is_absolute() -> None:
    before, after = report(rounds(50), rounds(100)), report(rounds(100, peak_mb=80), rounds(200))
    assert judged(before, after, "cpu_us") == "same"
    assert judged(before, after, "peak_mb") == "worse"


def test_comparison_shows_changes_and_counts_the_rest() -> None:
    found = list(changes(report(rounds(50), rounds(100)), report(rounds(60), rounds(100))))
    assert "| mr | fastscp | CPU µs/object / storescp | 0.5 | 0.6 | +20% | worse |" in comparison(found)
    assert "p50" not in comparison(found)
    assert "p50" in comparison(found, everything=True)
    assert comparison(found).endswith("2 worse, 0 better, 0 noise, 10 same\n")


@pytest.mark.parametrize(("after", "status"), [(60, 1), (50, 0), (40, 0)])
def test_program_says_with_its_status_whether_something_is_worse(tmp_path: Path, after: int, status: int) -> None:
    report(rounds(50), rounds(100)).write(str(tmp_path / "a.json"))
    report(rounds(after), rounds(100)).write(str(tmp_path / "b.json"))
    done = subprocess.run([sys.executable, ROOT / "perf/compare", tmp_path / "a.json", tmp_path / "b.json"], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert done.stdout.startswith("| row |")


def test_plot_has_a_bar_for_each_server_and_leaves_out_rows_without_the_peer() -> None:
    made = report(rounds(30, 20, 40), rounds(100, 100, 100), floor=rounds(1000, 1000, 1000))
    made.add(next(row for row in ROWS if row.name == "events-mr"), {"fastscp": rounds(1)}, {})
    tree = ET.fromstring(draw(made))
    space = "{http://www.w3.org/2000/svg}"
    bars = [float(rect.get("width")) for rect in tree.iter(f"{space}rect")][1:]
    words = [text.text for text in tree.iter(f"{space}text")]
    assert len(bars) == 3
    assert bars[0] / bars[1] == pytest.approx(0.3, abs=0.01)
    assert bars[2] == 3 * bars[1], "longer ones end at three times the peer"
    assert {"0.30", "1.00", "10.00", "mr", "floor"} <= set(words)
    assert "events-mr" not in words


def test_plot_escapes_names() -> None:
    made = report(rounds(1), rounds(1))
    made.machine["python"] = "3.<11>"
    assert "3.&lt;11&gt;" in draw(made)
