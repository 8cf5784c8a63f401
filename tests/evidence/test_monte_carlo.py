"""The Monte Carlo step of a certificate: its share of delta, and the draws that are kept."""

import pytest

GIBBS = "pac_bayes.kl"


def test_saved_draws_are_taken_up(digits_run, tmp_path, invoke, certify, bound_of):
    words = ("--sigma", "0.3", "--state", str(tmp_path / "draws.pt"))
    first = bound_of(certify(digits_run, *words), GIBBS)
    second = bound_of(certify(digits_run, *words), GIBBS)
    assert first == second
    (tmp_path / "draws.pt").write_bytes(b"nonsense")
    result = invoke("certify", digits_run, "--data", "digits", *words)
    assert result.exit_code == 2
    assert "holds no saved draws" in result.stderr


@pytest.mark.parametrize("share", ["0", "0.02", "1"])
def test_the_monte_carlo_step_takes_a_part_of_its_certificates_share(digits_run, share, invoke):
    result = invoke("certify", digits_run, "--data", "digits", "--delta-monte-carlo", share)
    assert result.exit_code == 2
    assert "between 0 and the certificate's failure probability 0.0166667" in result.stderr
