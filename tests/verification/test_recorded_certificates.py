"""The certificates that the benchmarks recorded verify with this version."""

from dlgen_cli.verification import read_report, verify


def pytest_generate_tests(metafunc):
    folder = metafunc.config.rootpath / "benchmarks" / "results"
    reports = [
        one for one in sorted(folder.rglob("*.json")) if '"bounds"' in one.read_text("utf-8")
    ]
    metafunc.parametrize("report", reports, ids=lambda path: path.stem)


def test_a_recorded_certificate_verifies(report):
    found = verify(read_report(report))
    assert found.bounds >= 2
    assert found.checked > 20
    assert found.mismatches == ()
