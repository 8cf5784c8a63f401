"""A network in the user's own code: found, made, and refused with a word on what to do."""

import pytest
import torch

from dlgen_cli.architectures import code_constructor, is_code
from dlgen_cli.errors import UsageError

CODE = """
import torch
from torch import nn
from neighbour import WIDTH

class Net(nn.Module):
    def __init__(self, width=WIDTH):
        super().__init__()
        self.fc = nn.Linear(width, 2)

class Settings:
    class Inner(nn.Linear):
        pass

def make_network(width, **more):
    return nn.Linear(width, 3)

def wrong():
    return 7

def broken():
    return nn.Linear(3, 4)(torch.ones(5))

lazy = nn.LazyLinear
ready = nn.Linear(2, 2)
"""


@pytest.fixture
def code(tmp_path):
    (tmp_path / "neighbour.py").write_text("WIDTH = 5\n")
    path = tmp_path / "net.py"
    path.write_text(CODE)
    return path


def test_a_class_a_function_and_a_module_are_taken(code):
    assert code_constructor(f"{code}:Net")().fc.in_features == 5
    assert code_constructor(f"{code}:Net")(width=7).fc.in_features == 7
    inner = code_constructor(f"{code}:Settings.Inner")(in_features=2, out_features=4)
    assert inner.out_features == 4
    assert code_constructor(f"{code}:make_network")(width=2).out_features == 3
    ready = code_constructor(f"{code}:ready")
    assert ready() is not ready()
    with pytest.raises(UsageError, match="a module already"):
        ready(width=3)


def test_a_module_of_a_package_is_taken():
    assert code_constructor("torch.nn:Linear")(in_features=2, out_features=3).out_features == 3


def test_the_random_generator_is_as_before_and_the_network_the_same_each_time(code):
    before = torch.get_rng_state()
    one, two = (code_constructor(f"{code}:Net")() for _ in range(2))
    assert torch.equal(one.fc.weight, two.fc.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_arguments_that_the_constructor_names(code):
    assert code_constructor(f"{code}:Net").accepts("width")
    assert not code_constructor(f"{code}:Net").accepts("num_classes")
    assert not code_constructor(f"{code}:make_network").accepts("num_classes")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net", r"Did you mean .*net\.py:Net\?"),
        ("zzz", r"It has .*net\.py:Net, .*net\.py:make_network"),
        ("wrong", "returned a int"),
        ("broken", r"RuntimeError: .*net\.py, line|RuntimeError"),
        ("make_network", r"width.*--arch-arg KEY=VALUE.*\(width, \*\*more\)"),
    ],
)
def test_what_fails_says_what_to_do(code, name, message):
    with pytest.raises(UsageError, match=message):
        code_constructor(f"{code}:{name}")()


def test_lazy_layers_are_refused(code):
    with pytest.raises(UsageError, match="lazy"):
        code_constructor(f"{code}:lazy")(out_features=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import nowhere_to_be_found", "no module nowhere_to_be_found, .* imports.*Install"),
        ("raise ValueError('a reason')", "ValueError: a reason.*line 1"),
        ("def f(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
    ],
)
def test_code_that_does_not_load_is_one_line(tmp_path, content, message):
    path = tmp_path / "bad.py"
    path.write_text(content)
    with pytest.raises(UsageError, match=message) as error:
        code_constructor(f"{path}:Net")
    assert "\n" not in str(error.value)


def test_a_file_or_a_module_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="there is none"):
        code_constructor(f"{tmp_path}/none.py:Net")
    with pytest.raises(UsageError, match=r"no module nowhere_to_be_found.*names\."):
        code_constructor("nowhere_to_be_found.nets:Net")


def test_what_is_code():
    assert is_code("net.py:Net")
    assert is_code("package.module:Net")
    assert not any(is_code(one) for one in ("resnet18", "timm:resnet18", "mobilenet_v2-128"))
