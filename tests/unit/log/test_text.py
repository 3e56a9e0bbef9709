from fastscp.log.text import printable, printable_lines


def test_plain_text_is_unchanged():
    assert printable("Müller^Jörg 1.2.3") == "Müller^Jörg 1.2.3"


def test_line_ends_cannot_forge_a_line():
    assert printable("A\r\nE: forged") == "A\\r\\nE: forged"


def test_terminal_sequences_are_escaped():
    assert printable("\x1b[2J\x9b1m\x7f\t\x00") == "\\x1b[2J\\x9b1m\\x7f\\t\\x00"


def test_unicode_line_separators_are_escaped():
    assert printable("a\u2028b\u2029c") == "a\\u2028b\\u2029c"


def test_long_text_is_cut():
    assert printable("x" * 2000, limit=10) == "x" * 10 + "..."


def test_line_ends_inside_lines_are_escaped():
    assert printable_lines(["a\nE: forged", "b"]) == "a\\nE: forged\nb"
