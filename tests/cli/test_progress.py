"""Progress: phases, the time left, and where it is shown."""

import io
import threading

import pytest
from rich.console import Console

from dlgen_cli.cli import progress
from dlgen_cli.cli.options import ReportOptions
from dlgen_cli.cli.progress import Work, duration, showing_work


def test_the_time_left_is_that_of_the_phase():
    now = [100.0]
    work = Work(clock=lambda: now[0])
    assert work.line() == ""
    work.take("measuring a", 0, 10)
    assert work.line() == "measuring a: 0% done"
    now[0] += 6
    work.take("measuring b", 2, 10)
    assert work.line() == "measuring b: 20% done, about 24 s left"
    now[0] += 1000
    work.take("storing a", 0, 4)  # another total: another phase
    now[0] += 5
    work.take("storing a", 1, 4)
    assert work.line() == "storing a: 25% done, about 15 s left"
    assert work.phases == 2
    work.take("storing a", 4, 4)
    assert work.line() == "storing a: done; the next step is under way"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(4, "4 s"), (59, "59 s"), (120, "2 min"), (9000, "2.5 h")]
)
def test_durations(seconds, shown):
    assert duration(seconds) == shown


class Written(io.StringIO):
    """Says when a line on measuring has come."""

    def __init__(self):
        super().__init__()
        self.has_come = threading.Event()

    def write(self, text):
        count = super().write(text)
        if "measuring" in text:
            self.has_come.set()
        return count


def test_outside_a_terminal_lines_come_while_one_piece_of_work_goes_on(monkeypatch):
    file = Written()
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.001)
    monkeypatch.setattr(progress.console, "stderr", lambda: Console(file=file))
    with showing_work(ReportOptions()) as show:
        show("measuring [b]", 0, 3)
        assert file.has_come.wait(60)
    assert "measuring [b]: 0% done\n" in file.getvalue()


def test_a_terminal_gets_a_bar_and_quiet_nothing(monkeypatch):
    file = io.StringIO()
    terminal = Console(file=file, force_terminal=True, width=80)
    monkeypatch.setattr(progress.console, "stderr", lambda: terminal)
    with showing_work(ReportOptions(quiet=True)) as show:
        show("measuring a", 1, 2)
    assert file.getvalue() == ""
    with showing_work(ReportOptions()) as show:
        show("measuring a", 1, 2)
        show("storing a", 1, 4)
    assert "storing a" in file.getvalue()
    assert "25%" in file.getvalue()
