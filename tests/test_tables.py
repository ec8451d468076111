"""Tables as Markdown, CSV and LaTeX."""

import csv
import io

import pytest
from rich.console import Console

from lrjax.display.tables import FORMATS, Estimate, Spread, Table, parameter_count, print_tables

TABLE = Table("t", "", ("a|b", "c_1"), (("x\ny|", 1.26), (None, 3), ("[50%] <b>& \\", 100.0)), labels=1)


def test_markdown_escapes_what_would_break_a_table():
    assert TABLE.markdown() == (
        "| a\\|b | c_1 |\n| --- | ---: |\n| x y\\| | 1.3 |\n| – | 3 |\n| \\[50%] &lt;b>&amp; \\\\ | 100.0 |\n"  # noqa: RUF001
    )


def test_markdown_of_a_name_is_text_in_cell_title_and_caption():
    name = "![a](http://x) [b](y) `c` *d* <img>"
    text = Table(name, name, (name,), ((name,),), labels=1).document("##")
    assert text.startswith(r"## !\[a](http://x) \[b](y) \`c\` \*d\* &lt;img>")
    assert text.count(r"\[a]") == text.count(r"\[b]") == 4 and "<img" not in text


@pytest.mark.parametrize("name", ["=1+1", "+cmd", "-cmd", "@SUM(A1)", "\tx", "\rx", "-1+cmd"])
def test_csv_holds_no_formula(name):
    table = Table("t", "", ("m", "n"), ((name, 1.5), ("a=b", -2.0), ("-3", -4)), labels=1)
    first = next(csv.reader(io.StringIO(table.csv().partition("\n")[2], newline="")))[0]
    assert first[0] not in "=+-@\t\r" and name[1:] in first
    assert table.csv().endswith("a=b,-2.0000\n-3,-4\n")


@pytest.mark.parametrize(
    ("character", "escape"),
    [("\x1b", r"\x1b"), ("\x9b", r"\x9b"), ("\0", r"\x00"), ("\u202e", r"\u202e"), ("\u2028", r"\u2028")],
)
def test_no_format_has_characters_that_steer_a_terminal(character, escape, capsys):
    name = f"a{character}b"
    table = Table(name, name, (name, "n"), ((name, 1.0),), labels=1)
    print_tables([table])
    latex = escape.replace("\\", r"\textbackslash{}")
    for text in (capsys.readouterr().out, table.document(), table.csv(), table.latex()):
        assert character not in text
        assert f"a{escape}b" in text or f"a{latex}b" in text or f"a\\{escape}b" in text


def test_csv_keeps_digits_and_quotes():
    assert TABLE.csv() == 'a|b,c_1\n"x\ny|",1.2600\n,3\n[50%] <b>& \\,100.0000\n'


def test_intervals_are_shown_in_one_cell_and_written_in_three():
    rows = (("x", Estimate(12.34, 10.0, 14.06), 1.0), ("y", None, 2.0), ("z", Estimate(100.0, None, None), None))
    table = Table("t", "", ("m", "SAR", "n"), rows, labels=1)
    assert table.csv() == "m,SAR,SAR low,SAR high,n\nx,12.3400,10.0000,14.0600,1.0000\ny,,,,2.0000\nz,100.0000,,,\n"
    assert [line.split("|")[2].strip() for line in table.markdown().splitlines()[2:]] == [
        "12.3 [10.0, 14.1]",
        "–",  # noqa: RUF001
        "100.0 [–, –]",  # noqa: RUF001
    ]
    assert r"x & 12.3 {[}10.0, 14.1] & 1.0 \\" in table.latex()


def test_means_with_deviations():
    table = Table("t", "", ("m", "SAR"), (("x", Spread(12.34, 0.26)), ("y", Spread(5.0, None)), ("z", None)), labels=1)
    assert table.csv() == "m,SAR,SAR deviation\nx,12.3400,0.2600\ny,5.0000,\nz,,\n"
    assert [line.split("|")[2].strip() for line in table.markdown().splitlines()[2:4]] == ["12.3 ± 0.3", "5.0"]


def test_latex_escapes_what_would_break_a_table():
    lines = TABLE.latex().splitlines()
    assert lines[:3] == [r"\begin{tabular}{lr}", r"\toprule", r"a|b & c\_1 \\"]
    assert lines[4] == r"x y| & 1.3 \\"
    assert lines[6] == r"{[}50\%] \textless{}b\textgreater{}\& \textbackslash{} & 100.0 \\"
    assert lines[-1] == r"\end{tabular}"
    assert set(FORMATS) == {"csv", "markdown", "latex"}


def test_numbers_of_parameters():
    cells = [parameter_count(number) for number in (None, 999, 1_234_567, 149_691_137, 8_220_748_545)]
    table = Table("t", "", ("Params",), tuple((cell,) for cell in cells), labels=1)
    assert [line.strip("| ") for line in table.markdown().splitlines()[2:]] == ["–", "1.0K", "1.23M", "149.7M", "8.22B"]  # noqa: RUF001
    assert table.csv().split("\n")[1:-1] == ['""', "999", "1234567", "149691137", "8220748545"]


WIDE = Table("Wide", "C" * 90, ("Model", "Kind", "A", "B"), (("m" * 20, "x", "a" * 30, "b" * 30),) * 2, 2, group=2)


def printed(table, width):
    stream = io.StringIO()
    print_tables([table], Console(file=stream, width=width))
    return stream.getvalue().splitlines()


def test_columns_of_a_group_stay_together():
    # 20 + 4 + 60 letters and 4 gaps of 3 are 96 columns
    assert any(line.split() == ["Model", "Kind", "A", "B"] for line in printed(WIDE, 96))
    # without the names that all lines share, which the title has, there is room from 66 columns on
    lines = printed(WIDE, 95)
    assert lines[1] == f"Wide (Model {'m' * 20}, Kind x)" and any(line.split() == ["A", "B"] for line in lines)
    assert any(line.split() == ["A", "B"] for line in printed(WIDE, 66))
    assert not any(line.split()[-2:] == ["A", "B"] for line in printed(WIDE, 65))
    assert max(map(len, printed(WIDE, 65)[:-3])) <= 65


def test_long_names_are_broken_for_a_group():
    rows = (("m" * 20, "a" * 30, "b" * 30), ("n" * 20, "a" * 30, "b" * 30))
    table = Table("Wide", "", ("Model", "A", "B"), rows, 1, group=2)
    lines = printed(table, 80)  # 69 are taken by the group and the gaps
    assert any(line.split() == ["Model", "A", "B"] for line in lines)
    assert any(line.split() == ["m" * 11, "a" * 30, "b" * 30] for line in lines)
    assert any(line.split() == ["m" * 9] for line in lines)
    assert not any(line.split() == ["Model", "A", "B"] for line in printed(table, 76))  # 7 letters are too few
    assert any(line.split() == ["Model", "A", "B"] for line in printed(table, 77))


def test_letters_that_are_two_columns_wide_are_not_cut():
    table = Table("t", "", ("m", "A", "B"), (("犬" * 10, "a" * 30, "b" * 30),), 1, group=2)
    for width in (200, 84, 80):
        assert "".join(printed(table, width)).count("犬") == 10


def test_what_is_no_terminal_has_lines_of_any_length(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    print_tables([WIDE])
    lines = capsys.readouterr().out.splitlines()
    assert "C" * 90 in lines
    assert any(line.split() == ["m" * 20, "x", "a" * 30, "b" * 30] for line in lines)
