"""The compression bounds of a measured network: the choice of bits, and its range."""

from reports import bound_of

from dlgen_cli.audit.audit import audit
from dlgen_cli.evidence.options import AuditOptions


def compression_of(checkpoint, **options):
    return audit(
        AuditOptions(checkpoint=checkpoint, **options), command="x", families=("compression",)
    )


def test_the_choice_of_bits_is_paid(digits_mlp):
    fixed = {
        bits: bound_of(
            audit(
                AuditOptions(checkpoint=digits_mlp, b=bits), command="x", families=("compression",)
            ),
            "compression.stored",
        )
        for bits in (8, 12, 16)
    }
    chosen = bound_of(compression_of(digits_mlp, b=None), "compression.stored")
    bits = chosen.terms["bits_per_parameter"]
    assert chosen.value > fixed[bits].value
    assert chosen.value <= min(one.value for one in fixed.values()) * 1.001


def test_the_stored_network_of_more_than_32_bits_does_not_apply(digits_mlp):
    report = audit(
        AuditOptions(checkpoint=digits_mlp, b=64), command="x", families=("compression",)
    )
    assert bound_of(report, "compression.stored").status == "not_applicable"
    assert report.headline.theorem == "compression.layer_ranks"


def test_storing_at_each_width_tells_how_far_it_is(digits_mlp):
    calls = []
    options = AuditOptions(checkpoint=digits_mlp, b=8)
    audit(
        options,
        command="compress-bound",
        families=("compression",),
        progress=lambda *call: calls.append(call),
    )
    stored = [call for call in calls if call[0].startswith("storing")]
    assert {what for what, _, _ in stored} == {
        f"storing layers.{n}.weight in 8 bits" for n in range(3)
    }
    assert [done for _, done, _ in stored] == [4096, 8192, 12288]
    assert {total for _, _, total in stored} == {12288}
