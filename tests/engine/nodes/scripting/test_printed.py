from engine.nodes.scripting.printed import MAX_CHARACTERS, MAX_LINE_CHARACTERS, MAX_LINES, log_lines


def test_lines_are_kept_as_they_are() -> None:
    assert log_lines("") == []
    assert log_lines("a\n\nb\r\n") == ["a", "", "b\r"]


def test_what_is_too_much_is_left_out_and_said() -> None:
    many = log_lines("x\n" * (MAX_LINES + 5))
    assert (len(many), many[-1]) == (MAX_LINES + 1, "… 5 more lines are left out")
    (long,) = log_lines("x" * (MAX_LINE_CHARACTERS + 1))
    assert long == "x" * MAX_LINE_CHARACTERS + " …"
    wide = log_lines(("x" * 1000 + "\n") * 100)
    assert sum(map(len, wide)) < MAX_CHARACTERS + 100
    assert wide[-1].startswith("… 37 more")  # 64,000 // 1,001 = 63 lines are kept
