from __future__ import annotations

from fastscp.study.numbering import highest_number, plan


def test_rename_plan_goes_on_after_the_highest_number() -> None:
    after = highest_number(["CT000002", "MR000011", "CT.1", "CT1", "XYZ000099", "CT000003.bak"])
    assert after == 11
    assert plan([("CT.1", "CT"), ("x", "UNKNOWN")], after) == [("CT.1", "CT000012"), ("x", "UN000013")]
    assert highest_number([]) == 0
