"""Coded runs: the same bytes from the same seed, and what is refused."""

import pytest

SHORT = ("--source", "digits", "--objective", "coded", "--depth", 2, "--dim", 300, "--lr", 0.1)


@pytest.fixture
def train(invoke):
    def run(out, *words):
        result = invoke("train", *SHORT, "--epochs", 4, "--out", out, "-q", *words)
        assert result.exit_code == 0, result.output
        return out

    return run


def test_the_same_seed_gives_the_same_bytes(train, tmp_path):
    for predictor in ("code", "gaussian"):
        first = train(tmp_path / f"{predictor}-1", "--predictor", predictor)
        second = train(tmp_path / f"{predictor}-2", "--predictor", predictor)
        for path in first.iterdir():
            assert path.read_bytes() == (second / path.name).read_bytes(), path.name
    assert (tmp_path / "code-1" / "code.bin").read_bytes()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--objective", "other"), "--objective 'other' is unknown"),
        (("--dim", "5"), "--dim was given with"),
        (("--objective", "coded", "--resume"), "runs in one go"),
        (("--objective", "coded", "--arch", "resnet18"), "without batch statistics"),
        (("--objective", "coded", "--dim", "99999999"), "--dim is 99999999"),
        (("--objective", "coded", "--predictor", "x"), "--predictor 'x'"),
        (("--objective", "coded", "--step", "0"), "--step is 0"),
        (("--objective", "coded", "--dataset", "random"), "draws images"),
        (("--objective", "coded", "--clip-linf", "1"), "--clip-linf"),
    ],
)
def test_bad_options_are_told_in_one_line(words, reason, invoke, tmp_path):
    result = invoke("train", "--source", "digits", "--out", tmp_path / "x", "-q", *words)
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.split())
    assert not (tmp_path / "x").exists()


def test_a_coded_run_is_not_resumed_and_nothing_advises_it(train, invoke, tmp_path):
    code_run = train(tmp_path / "run", "--predictor", "code")
    result = invoke("train", "--resume", "--out", code_run, "--epochs", "99")
    assert result.exit_code == 2
    assert "not resumed" in result.stderr
    for words in ((), ("--objective", "coded")):
        result = invoke("train", "--source", "digits", "--out", code_run, *words)
        assert result.exit_code == 2
        assert "finished run. Give another --save." in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--predictor", "code"), "--predictor code was given with --arch filter_kernel"),
        (("--dim", "405"), "a multiple of the classes"),
        (("--dim", "90000"), "landmarks"),
    ],
)
def test_a_kernel_machine_that_cannot_be_is_told_in_one_line(words, reason, invoke, tmp_path):
    shared = ("--source", "digits", "--objective", "coded", "--arch", "filter_kernel")
    result = invoke("train", *shared, "--width", 2, "--out", tmp_path / "x", "-q", *words)
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.split())
