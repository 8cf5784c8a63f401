"""What a terminal cannot print is written in ASCII, and JSON stays JSON."""

import json

import pytest

from dlgen_cli.render.ascii_text import JSON_ESCAPES, READABLE, ascii_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("‖W_1 − W_1′‖ ≤ 2·σ²", "||W_1 - W_1'|| <= 2*sigma^2"),
        ("√( nats / (2·m) ) + kl⁻¹", "sqrt( nats / (2*m) ) + kl^-1"),
        ("Δ_1 = ½ × 10^-3 …", "Delta_1 = 1/2 x 10^-3 ..."),
        ("Müller, naïve ×", "Muller, naive x"),
        ("L̂ ≥ 0", "L >= 0"),
        ("漢 \udc80", "? ?"),
        ("plain, ASCII ~ text", "plain, ASCII ~ text"),
    ],
)
def test_mathematics_stays_readable(text: str, expected: str):
    assert ascii_text(text) == expected


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", "||x||^2 <= sigma, Mu"),
        ("latin-1", "||x||² <= sigma, Mü"),
        ("utf-8", "‖x‖² ≤ σ, Mü"),
    ],
)
def test_only_what_an_encoding_lacks_is_replaced(encoding: str, expected: str):
    assert "‖x‖² ≤ σ, Mü".encode(encoding, READABLE).decode(encoding) == expected


def test_json_reads_back_what_was_written():
    text = json.dumps({"‖θ‖": "é 😀 σ"}, ensure_ascii=False)
    assert json.loads(text.encode("ascii", JSON_ESCAPES)) == {"‖θ‖": "é 😀 σ"}
