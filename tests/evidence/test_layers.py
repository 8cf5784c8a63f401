"""How the layers of a network are measured: what is asked for, progress, threads."""

import pytest
import torch
from safetensors.torch import save_file

from dlgen_cli.audit.audit import audit
from dlgen_cli.evidence.options import AuditOptions


@pytest.fixture
def checkpoint(tmp_path):
    generator = torch.Generator().manual_seed(0)
    sizes = [(150, 200), (9, 7), (300, 130), (140, 140)]
    tensors = {
        f"l.{n}.weight": torch.randn(size, generator=generator) for n, size in enumerate(sizes)
    }
    save_file(tensors, tmp_path / "x.safetensors")
    return tmp_path / "x.safetensors"


def test_progress_counts_weights_up_to_all_of_them(checkpoint):
    calls = []
    options = AuditOptions(checkpoint=checkpoint)
    audit(options, command="spectra", progress=lambda *call: calls.append(call))
    done = [done for _, done, _ in calls]
    assert done[0] == 0
    assert done == sorted(done)
    total = 150 * 200 + 9 * 7 + 300 * 130 + 140 * 140
    assert (done[-1], {total for _, _, total in calls}) == (total, {total})
    assert {what for what, _, _ in calls} == {f"measuring l.{n}.weight" for n in range(4)}


def test_numbers_do_not_depend_on_the_threads(checkpoint):
    options = AuditOptions(checkpoint=checkpoint, singular_values=True)
    one = audit(options, command="spectra").layers
    torch.set_num_threads(3)
    try:
        assert audit(options, command="spectra").layers == one
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)


def test_norms_alone_agree_with_all_singular_values(checkpoint):
    norms = audit(AuditOptions(checkpoint=checkpoint), command="spectra").layers
    whole = audit(AuditOptions(checkpoint=checkpoint, r=3), command="spectra").layers
    for one, two in zip(norms, whole, strict=True):
        assert one.name == two.name
        assert one.frobenius_norm == two.frobenius_norm
        assert one.spectral_norm.lower <= two.spectral_norm.upper
        assert two.spectral_norm.lower <= one.spectral_norm.upper
        assert one.spectral_norm.upper <= one.spectral_norm.lower * (1 + 1e-9)
        assert one.stable_rank == pytest.approx(two.stable_rank, rel=1e-9)
        assert one.truncation is None
        assert two.truncation.rank == 3
