"""Which line a key stands on, for texts that are as awkward as TOML allows."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from fastscp.cli.toml_lines import key_lines

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

AWKWARD = '''\
# a = 1
a = 1 # b = 2
b = """
c = 3
[d]
\\""" e = 4 \\\\""\"""
f = \'\'\'
g = "\'\'\'\'\'
h = [
  "]", # ]
  [1, 2], { i = "}" },
]
"j k" = '"'
  l.m = 1

[ n ]
o = "# \\" ["

[[p]]
q = 1
[[p]]
  q = 2
[p.r]
s = 5
[[p]]
q = { t = [
 1 ], u = "v" }
w = 1979-05-27 07:32:00'''


def test_awkward_text():
    tomllib.loads(AWKWARD)
    assert key_lines(AWKWARD) == {
        ("", 0, "a"): 2, ("", 0, "b"): 3, ("", 0, "f"): 7, ("", 0, "h"): 9, ("", 0, "j k"): 13, ("", 0, "l"): 14,
        ("n", 0, ""): 16, ("n", 0, "o"): 17, ("p", 0, ""): 19, ("p", 0, "q"): 20, ("p", 1, ""): 21, ("p", 1, "q"): 22,
        ("p", 1, "s"): 24, ("p", 2, ""): 25, ("p", 2, "q"): 26, ("p", 2, "w"): 28,
    }


VALUES = st.sampled_from([
    "1", "true", '"x"', '"# y = 1"', "'[['", '"""\nz = 1\n[t]\n"""', "'''\n\\\n'''", "[\n1,\n# ]\n2]", "{ a = 1 }", '["]"]',
    '"\\\\"', '"\\""', '""', "''", '""""""', '"""a\\"""b"""',
])


@given(st.lists(st.tuples(st.booleans(), VALUES), max_size=12))
def test_every_key_is_where_it_was_written(statements):
    """The keys are numbered; every line of the text that begins one of them is known."""
    text, wanted, table, number = "", {}, "", 0
    for index, (opens, value) in enumerate(statements):
        if opens:
            table, number = "t", (number + 1 if table else 0)
            wanted[table, number, ""] = text.count("\n") + 1
            text += "[[t]]\n"
        wanted[table, number, f"k{index}"] = text.count("\n") + 1
        text += f"k{index} = {value} # comment\n\n"
    tomllib.loads(text)
    assert key_lines(text) == wanted
