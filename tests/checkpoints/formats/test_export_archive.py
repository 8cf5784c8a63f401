"""Archives of torch.export, made by hand: what is read, and what damaged ones say."""

import copy
import io
import json
import sys
import zipfile

import pytest
import torch

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError, DlgenError, UsageError

WEIGHT = torch.arange(12.0).reshape(3, 4)
NODE = {
    "target": "torch.ops.aten.linear.default",
    "inputs": [
        {"name": "input", "arg": {"as_tensor": {"name": "x"}}, "kind": 1},
        {"name": "weight", "arg": {"as_tensor": {"name": "p_weight"}}, "kind": 1},
    ],
    "outputs": [{"as_tensor": {"name": "y"}}],
    "metadata": {},
}


def meta(*sizes, dtype=7, strides=None):
    steps = strides or [1] * len(sizes)
    for axis in range(len(sizes) - 1, 0, -1):
        if strides is None:
            steps[axis - 1] = steps[axis] * sizes[axis]
    return {
        "dtype": dtype,
        "sizes": [{"as_int": size} for size in sizes],
        "strides": [{"as_int": step} for step in steps],
        "storage_offset": {"as_int": 0},
        "layout": 7,
    }


def parts():
    """The JSON texts of an archive of one linear layer ``fc``, and its raw entries."""
    return {
        "model": {
            "schema_version": {"major": 8, "minor": 20},
            "graph_module": {
                "graph": {
                    "nodes": [copy.deepcopy(NODE)],
                    "tensor_values": {"x": meta(1, 4), "y": meta(1, 3), "p_weight": meta(3, 4)},
                },
                "signature": {
                    "input_specs": [
                        {"parameter": {"arg": {"name": "p_weight"}, "parameter_name": "fc.weight"}},
                        {"user_input": {"arg": {"as_tensor": {"name": "x"}}}},
                    ],
                    "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": "y"}}}}],
                },
            },
        },
        "weights": {
            "config": {
                "fc.weight": {
                    "path_name": "weight_0",
                    "is_param": True,
                    "use_pickle": False,
                    "tensor_meta": meta(3, 4),
                }
            }
        },
        "constants": {"config": {}},
        "raw": {"weight_0": WEIGHT.numpy().tobytes()},
    }


def archive(given, *, compression=zipfile.ZIP_STORED, name="model"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        file.writestr("net/archive_format", "pt2")
        file.writestr("net/byteorder", sys.byteorder)
        file.writestr(f"net/models/{name}.json", json.dumps(given["model"]))
        for kind in ("weights", "constants"):
            file.writestr(f"net/data/{kind}/{name}_{kind}_config.json", json.dumps(given[kind]))
        for entry, content in given["raw"].items():
            file.writestr(f"net/data/weights/{entry}", content)
    return buffer.getvalue()


def opened(tmp_path, content):
    path = tmp_path / "net.pt2"
    path.write_bytes(content)
    return open_checkpoint(path)


def test_an_archive_gives_weights_and_program(tmp_path):
    found = opened(tmp_path, archive(parts()))
    assert found.format == "export"
    assert torch.equal(found.read("fc.weight"), WEIGHT)
    (step,) = found.program.steps
    assert step.operation == "aten.linear.default"
    assert found.program.inputs[0].shape == (1, 4)
    assert found.program.output == "y"


def test_strides_are_followed(tmp_path):
    given = parts()
    given["weights"]["config"]["fc.weight"]["tensor_meta"] = meta(3, 4, strides=[1, 3])
    found = opened(tmp_path, archive(given))
    assert torch.equal(found.read("fc.weight"), WEIGHT.reshape(4, 3).T)


def test_a_pickled_tensor_is_named_and_never_opened(tmp_path):
    given = parts()
    given["weights"]["config"]["fc.weight"]["use_pickle"] = True
    (info,) = opened(tmp_path, archive(given)).tensors.values()
    assert "object of its own class" in info.reason


def test_the_first_of_several_outputs_is_taken_and_said(tmp_path):
    given = parts()
    specs = given["model"]["graph_module"]["signature"]["output_specs"]
    specs.append({"user_output": {"arg": {"as_tensor": {"name": "x"}}}})
    found = opened(tmp_path, archive(given))
    assert found.program.output == "y"
    assert "2 outputs" in found.notes[0]


def test_one_of_several_programs_is_chosen_by_its_name(tmp_path):
    path = tmp_path / "net.pt2"
    buffer = io.BytesIO(archive(parts()))
    with zipfile.ZipFile(buffer, "a") as file:
        file.writestr("net/models/other.json", "{}")
    path.write_bytes(buffer.getvalue())
    with pytest.raises(UsageError, match="2 programs: model, other"):
        open_checkpoint(path)
    assert open_checkpoint(path, part="model").format == "export"
    with pytest.raises(UsageError, match="no program third"):
        open_checkpoint(path, part="third")


def changed(**steps):
    """Parts with values put at paths: ``model__graph_module__graph`` and so on."""

    def change(given):
        for path, value in steps.items():
            *way, last = path.split("__")
            place = given
            for key in way:
                place = place[int(key) if key.isdigit() else key]
            place[int(last) if last.isdigit() else last] = value
        return given

    return change


GRAPH = "model__graph_module__graph"
SPECS = "model__graph_module__signature__input_specs"
TENSOR = {"path_name": "weight_0", "is_param": True, "use_pickle": False}


def entry(**facts):
    return {"config": {"fc.weight": {**TENSOR, "tensor_meta": meta(3, 4), **facts}}}


def huge():
    found = meta(3, 4)
    found["sizes"][0]["as_int"] = 1 << 60
    return found


HOSTILE = {
    "a tensor larger than its entry": changed(weights=entry(tensor_meta=meta(300, 4))),
    "a tensor of absurd size": changed(weights=entry(tensor_meta=huge())),
    "a negative size": changed(weights=entry(tensor_meta=meta(-3, 4))),
    "strides beyond the entry": changed(weights=entry(tensor_meta=meta(3, 4, strides=[9, 9]))),
    "fewer strides than axes": changed(weights=entry(tensor_meta=meta(3, 4, strides=[4]))),
    "a path out of the archive": changed(weights=entry(path_name="../../../etc/passwd")),
    "an entry that is not there": changed(weights=entry(path_name="weight_9")),
    "a type that is none": changed(weights=entry(tensor_meta=meta(3, 4, dtype=99))),
    "a type that is a text": changed(weights=entry(tensor_meta=meta(3, 4, dtype="float"))),
    "a name that is code": changed(
        weights={"config": {'a", __import__("os").system("x")': {**TENSOR, "tensor_meta": meta(3)}}}
    ),
    "weights that are a list": changed(weights={"config": []}),
    "no graph": changed(model={"schema_version": {"major": 8}}),
    "another version": changed(model__schema_version={"major": 9, "minor": 0}),
    "steps that are a text": changed(**{f"{GRAPH}__nodes": "steps"}),
    "a step that reads what nothing gives": changed(
        **{f"{GRAPH}__nodes__0__inputs__0__arg": {"as_tensor": {"name": "later"}}}
    ),
    "a step that reads its own result": changed(
        **{f"{GRAPH}__nodes__0__inputs__0__arg": {"as_tensor": {"name": "y"}}}
    ),
    "a result that is given twice": changed(
        **{f"{GRAPH}__nodes__0__outputs": [{"as_tensor": {"name": "x"}}]}
    ),
    "an argument of two kinds": changed(
        **{f"{GRAPH}__nodes__0__inputs__0__arg": {"as_int": 1, "as_none": True}}
    ),
    "a number that is an object": changed(
        **{f"{GRAPH}__nodes__0__inputs__1__arg": {"as_int": {"a": 1}}}
    ),
    "a parameter that is not stored": changed(
        **{f"{SPECS}__0": {"parameter": {"arg": {"name": "p"}, "parameter_name": "gone"}}}
    ),
    "an output that no step gives": changed(
        model__graph_module__signature__output_specs=[
            {"user_output": {"arg": {"as_tensor": {"name": "z"}}}}
        ]
    ),
    "no output": changed(model__graph_module__signature__output_specs=[]),
    "no tensor": changed(
        weights={"config": {}}, **{SPECS: [{"user_input": {"arg": {"as_tensor": {"name": "x"}}}}]}
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_damaged_archive_ends_in_one_line(case, tmp_path):
    with pytest.raises(DlgenError) as failure:
        opened(tmp_path, archive(HOSTILE[case](parts())))
    assert "\n" not in str(failure.value)
    assert failure.value.remedy


def test_compressed_entries_are_refused(tmp_path):
    bomb = archive(parts(), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        opened(tmp_path, bomb)


def test_deep_and_repeated_json_is_refused(tmp_path):
    path = tmp_path / "net.pt2"
    for text in ("[" * 100_000, '{"a": 1, "a": 2}', "not JSON"):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("net/archive_format", "pt2")
            file.writestr("net/models/model.json", text)
            for kind in ("weights", "constants"):
                file.writestr(f"net/data/{kind}/model_{kind}_config.json", '{"config": {}}')
        with pytest.raises(CheckpointError):
            open_checkpoint(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_archive_ends_in_one_line(share, tmp_path):
    content = archive(parts())
    with pytest.raises(CheckpointError):
        opened(tmp_path, content[: int(share * len(content))])
