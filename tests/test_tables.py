"""Tables as Markdown, CSV and LaTeX."""

from lrjax.tables import FORMATS, Estimate, Spread, Table, parameter_count

TABLE = Table("t", "", ("a|b", "c_1"), (("x\ny|", 1.26), (None, 3), ("[50%] <b>& \\", 100.0)), labels=1)


def test_markdown_escapes_what_would_break_a_table():
    assert TABLE.markdown() == (
        "| a\\|b | c_1 |\n| --- | ---: |\n| x y\\| | 1.3 |\n| – | 3 |\n| [50%] &lt;b>& \\\\ | 100.0 |\n"  # noqa: RUF001
    )


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
    shown = [parameter_count(number) for number in (None, 999, 1_234_567, 149_691_137, 8_220_748_545)]
    assert shown == [None, "1.0K", "1.23M", "149.7M", "8.22B"]
