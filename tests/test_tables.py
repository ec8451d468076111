"""Tables as Markdown, CSV and LaTeX."""

from lrjax.tables import FORMATS, Table, parameter_count

TABLE = Table("t", "", ("a|b", "c_1"), (("x\ny|", 1.26), (None, 3), ("[50%] <b>& \\", 100.0)), labels=1)


def test_markdown_escapes_what_would_break_a_table():
    assert TABLE.markdown() == (
        "| a\\|b | c_1 |\n| --- | ---: |\n| x y\\| | 1.3 |\n| – | 3 |\n| [50%] &lt;b>& \\\\ | 100.0 |\n"  # noqa: RUF001
    )


def test_csv_keeps_digits_and_quotes():
    assert TABLE.csv() == 'a|b,c_1\n"x\ny|",1.2600\n,3\n[50%] <b>& \\,100.0000\n'


def test_latex_escapes_what_would_break_a_table():
    lines = TABLE.latex().splitlines()
    assert lines[:3] == [r"\begin{tabular}{lr}", r"\toprule", r"a|b & c\_1 \\"]
    assert lines[4] == r"x y| & 1.3 \\"
    assert lines[6] == r"{[}50\%] \textless{}b\textgreater{}\& \textbackslash{} & 100.0 \\"
    assert lines[-1] == r"\end{tabular}"
    assert set(FORMATS) == {"csv", "markdown", "latex"}


def test_numbers_of_parameters():
    shown = [parameter_count(number) for number in (None, 999, 1_234_567, 149_691_137, 8_220_748_545)]
    assert shown == [None, "1.0K", "1.23M", "149.7M", "8.22B"]
