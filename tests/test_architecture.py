"""The one direction between the rooms, read off the syntax trees."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import dlgen_cli

ROOT = Path(dlgen_cli.__file__).parent
TESTS = Path(__file__).parent

EVERYWHERE = {"records", "errors"}
#: Who may import whom, beside records and errors.
MAY_IMPORT = {
    "__main__": {"cli"},
    "cli": {
        "audit",
        "bounds",
        "checkpoints",
        "devices",
        "evidence",
        "files",
        "implicit",
        "postulates",
        "processes",
        "render",
        "training",
        "verification",
        "__init__",
    },
    "api": {
        "audit",
        "bounds",
        "checkpoints",
        "datasets",
        "evidence",
        "files",
        "networks",
        "render",
        "verification",
        "__init__",
    },
    "integrations": {"api"},
    "postulates": {"bounds", "checkpoints"},
    "audit": {
        "architectures",
        "bounds",
        "checkpoints",
        "datasets",
        "devices",
        "evidence",
        "networks",
        "predictors",
        "spectra",
        "__init__",
    },
    "evidence": {
        "bounds",
        "checkpoints",
        "datasets",
        "devices",
        "files",
        "networks",
        "predictors",
        "processes",
        "spectra",
        "__init__",
    },
    "networks": {"architectures", "checkpoints"},
    "spectra": {"networks"},
    "bounds": set(),
    "verification": {"bounds"},
    "training": {
        "architectures",
        "checkpoints",
        "datasets",
        "devices",
        "networks",
        "predictors",
        "processes",
        "__init__",
    },
    "datasets": set(),
    "predictors": {"architectures", "checkpoints", "datasets", "devices", "networks", "philox"},
    "checkpoints": {"files", "__init__"},
    "architectures": {"philox"},
    "philox": set(),
    "implicit": set(),
    "render": {"bounds"},  # the registry: what a theorem is called and made of
    "files": set(),
    "devices": set(),
    "processes": set(),
    "records": set(),
    "errors": set(),
    "__init__": set(),
}
#: Files whose tests stand in another file or folder of tests, because they are tested with what
#: uses them: a folder of sources stands for its files.
TESTED_IN = {
    "api": "api",  # as a user of the library calls it
    "audit/compress.py": "cli/test_compress.py",
    "audit/report.py": "audit/test_audit.py",
    "evidence/trained_posterior.py": "evidence/test_pac_bayes_posterior.py",
    "bounds/assumptions.py": "bounds/test_theorem.py",  # the four statuses of a ledger's lines
    "bounds/derivations": "bounds/derivations/test_derivations.py",  # every theorem's, to the end
    # whole networks, every norm of every node against values:
    **dict.fromkeys(
        (
            "bounds/contraction_rules.py",
            "bounds/node_rule.py",
            "bounds/node_rules.py",
            "bounds/norms.py",
            "networks/arithmetic.py",
            "networks/contractions.py",
            "networks/normalizations.py",
            "networks/selection.py",
            "networks/stored_maps.py",
            "networks/token_axes.py",
        ),
        "networks/test_deviation.py",
    ),
    "bounds/mean_betting.py": "bounds/test_betting.py",
    "checkpoints/adapter_config.py": "networks/layouts/test_weights.py",
    "checkpoints/checkpoint.py": "checkpoints/test_reader.py",
    "checkpoints/formats/numpy_file.py": "checkpoints/formats/test_signatures.py",
    "checkpoints/formats/registry.py": "checkpoints/formats/test_signatures.py",
    "checkpoints/formats/safetensors_file.py": "checkpoints/pickles/test_hostile.py",
    "checkpoints/formats/onnx_names.py": "checkpoints/formats/test_onnx_file.py",
    "checkpoints/formats/onnx_tensors.py": "checkpoints/formats/test_onnx_file.py",
    "checkpoints/program.py": "checkpoints/formats/test_export_archive.py",
    "checkpoints/pickles": "checkpoints/pickles/test_hostile.py",  # whole files, as they come
    "checkpoints/runs/ancestor.py": "evidence/test_anchors.py",
    "checkpoints/runs/anchor_record.py": "audit/test_make_anchor.py",
    "checkpoints/runs/run_config.py": "checkpoints/runs/test_run_directory.py",
    "checkpoints/runs/run_record.py": "evidence/test_provenance.py",
    "checkpoints/runs/trained_on.py": "training/test_start.py",
    "checkpoints/tree.py": "checkpoints/test_state_dicts.py",
    "cli/anchors.py": "audit/test_make_anchor.py",
    "evidence/compression_stored.py": "evidence/test_compression.py",
    "evidence/ledger": "evidence",  # lines of the bounds that they stand under
    "networks/layouts": "networks/layouts",  # whole state dicts, as a reader meets them
    "networks/programs": "networks/programs/test_programs.py",  # as files bring them
    "render/model.py": "render/test_golden.py",
    "render/plots/learning_curves.py": "render/sections/test_pictures.py",
    "render/sections": "render/test_golden.py",  # whole pages, to the byte
    "spectra/supremum.py": "spectra/test_convolution.py",
    "spectra/transfer.py": "spectra/test_convolution.py",
    "verification": "verification/test_verify.py",  # whole reports
}
HEAVY = {"torch", "torchvision", "sklearn", "numpy", "scipy", "matplotlib", "safetensors"}


def room_of(path):
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def imported_modules(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            if node.module == "dlgen_cli":
                yield from (f"dlgen_cli.{name.name}" for name in node.names)
            else:
                yield node.module


def rooms_imported(path):
    for module in imported_modules(ast.parse(path.read_text(encoding="utf-8"))):
        parts = module.split(".")
        if parts[0] != "dlgen_cli":
            continue
        room = parts[1] if len(parts) > 1 else "__init__"
        is_room = (ROOT / room).is_dir() or (ROOT / f"{room}.py").exists()
        yield room if is_room else "__init__"


def test_every_arrow_points_one_way():
    wrong = []
    for path in ROOT.rglob("*.py"):
        room = room_of(path)
        allowed = MAY_IMPORT[room] | EVERYWHERE | {room}
        wrong += [
            f"{path.name} ({room}) -> {other}"
            for other in rooms_imported(path)
            if other not in allowed
        ]
    assert not wrong


def test_there_is_no_circle():
    done = set()
    left = dict(MAY_IMPORT)
    while left:
        free = {room for room, needs in left.items() if needs <= done}
        assert free, f"a circle among {sorted(left)}"
        done |= free
        left = {room: needs for room, needs in left.items() if room not in free}


def imports_of_files():
    """For each module of dlgen, the modules of dlgen that it imports, without type checking's."""
    paths = {
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in ROOT.rglob("*.py")
    }
    found = {}
    for module, path in paths.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {f"{node.module}.{one.name}" for one in node.names} | {node.module}
        # a folder's own list of names is no subject of its own: its files may import each other
        found[module] = {name for name in names & set(paths) if paths[name].name != "__init__.py"}
    return found


def test_no_two_files_import_each_other_in_a_circle():
    TopologicalSorter(imports_of_files()).prepare()


def test_bounds_records_and_errors_know_no_tensors():
    for room in ("bounds", "records", "errors", "render", "verification", "evidence/ledger"):
        files = (
            [ROOT / f"{room}.py"] if (ROOT / f"{room}.py").exists() else (ROOT / room).rglob("*.py")
        )
        for path in files:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            heavy = {module.split(".")[0] for module in imported_modules(tree)} & HEAVY
            assert heavy <= {"matplotlib"}, f"{path.name} imports {heavy}"


def test_only_the_command_line_prints():
    for path in ROOT.rglob("*.py"):
        if room_of(path) == "cli":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "print" not in calls, path


def has_behaviour(path):
    """Whether a file has a public function, or a class with a method."""
    if path.name.startswith("__"):
        return False
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        is_public = not getattr(node, "name", "_").startswith("_")
        is_function = isinstance(node, ast.FunctionDef)
        if is_public and (
            is_function or any(isinstance(one, ast.FunctionDef) for one in node.body)
        ):
            return True
    return False


def test_each_file_with_behaviour_has_its_file_of_tests():
    lacking = []
    for path in filter(has_behaviour, sorted(ROOT.rglob("*.py"))):
        relative = path.relative_to(ROOT)
        own = TESTS / relative.parent / f"test_{relative.name}"
        named = TESTED_IN.keys() & {relative.as_posix(), *map(str, relative.parents)}
        if not own.exists() and not named:
            lacking.append(f"{relative}: write tests/{own.relative_to(TESTS)}")
    assert not lacking


def test_exceptions_name_files_without_tests_of_their_own_and_tests_that_are_there():
    for source, tests in TESTED_IN.items():
        path = ROOT / source
        assert path.exists(), source
        assert (TESTS / tests).exists(), tests
        relative = Path(source)
        assert not (TESTS / relative.parent / f"test_{relative.name}").exists(), source
