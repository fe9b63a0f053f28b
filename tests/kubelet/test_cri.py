from hypothesis import given
from hypothesis import strategies as st

from proa.kubelet import _cri

NOON = 1_763_719_866_123_456_789
TIME = b"2025-11-21T10:11:06.123456789Z"


def test_lines_become_full_records_with_nanoseconds() -> None:
    assert _cri.encode(b"one\ntwo\n", "stdout", NOON) == TIME + b" stdout F one\n" + TIME + b" stdout F two\n"


def test_what_lacks_a_newline_becomes_a_part() -> None:
    assert _cri.encode(b"one\ntw", "stderr", NOON) == TIME + b" stderr F one\n" + TIME + b" stderr P tw\n"


def test_an_empty_line_after_a_part_ends_it() -> None:
    assert _cri.encode(b"\n", "stdout", NOON) == TIME + b" stdout F \n"


def test_nothing_becomes_nothing() -> None:
    assert _cri.encode(b"", "stdout", NOON) == b""


def test_a_damaged_record_is_not_read() -> None:
    assert _cri.parse(b"2025-11-21T10:11") is None
    assert _cri.parse(b"\0" * 60) is None


@given(st.lists(st.binary(max_size=200).map(lambda text: text.replace(b"\r", b"x")), max_size=20))
def test_output_cut_anywhere_is_read_back_byte_for_byte(chunks: list[bytes]) -> None:
    log = b"".join(_cri.encode(chunk, "stdout", NOON + number) for number, chunk in enumerate(chunks))
    records = [_cri.parse(line) for line in log.split(b"\n")[:-1]]
    text = b"".join(r.content + (b"\n" if r.complete else b"") for r in records if r is not None)
    assert text == b"".join(chunks)


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=20), st.integers(0, 25))
def test_the_tail_is_the_last_lines_however_they_were_cut(chunks: list[bytes], lines: int) -> None:
    output = b"".join(chunks)
    log = b"".join(_cri.encode(chunk, "stdout", NOON) for chunk in chunks)
    records = [_cri.parse(line) for line in log[_cri.tail_offset(log, lines) :].split(b"\n")[:-1]]
    text = b"".join(r.content + (b"\n" if r.complete else b"") for r in records if r is not None)
    whole = output.split(b"\n")
    pieces = [line + b"\n" for line in whole[:-1]] + ([whole[-1]] if whole[-1] else [])
    assert text == b"".join(pieces[len(pieces) - lines :] if lines < len(pieces) else pieces)
