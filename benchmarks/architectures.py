"""Which architectures pass: traced, propagated, stored at 8 bits, and held to their bounds.

    python benchmarks/architectures.py torchvision   # the 80 classifiers: traced and propagated
    python benchmarks/architectures.py timm          # one network of each of 60 families
    python benchmarks/architectures.py searched      # 25 small networks, run and searched
    python benchmarks/architectures.py stored        # nine, through `dlgen compress-bound --b 8`

Weights are random. ``torchvision`` and ``timm`` are large: their norms are not measured but set to
1.5, with an error of 0.01, which shows that every node has a finite bound. ``searched`` stores each
weight whole in 8 bits, takes all norms with torch in float64 times 1 + 1e-9 (of a convolution that
of the reshaped kernel times its factor, which is cheap and larger), runs both networks on random
inputs and on inputs along a gradient ascent on their distance, and divides the largest distance by
the bound. Weights are those of the constructor, inputs have the norm 10.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlgen_cli.bounds.norms import LayerNorms
from dlgen_cli.bounds.propagation import propagate
from dlgen_cli.checkpoints.runs.low_rank import store_whole
from dlgen_cli.networks.folding import effective_tensors
from dlgen_cli.networks.graph import GraphLayer
from dlgen_cli.networks.layer_kinds import kind_of
from dlgen_cli.networks.tracer import trace
from dlgen_cli.predictors.folded_network import fold_network
from dlgen_cli.spectra.operator_norms import error_factor

FAMILIES = """
resnet50 resnext50_32x4d wide_resnet50_2 seresnet50 ecaresnet26t skresnet18 resnest14d
res2net50_26w_4s resnetv2_50 gernet_s densenet121 vgg16 inception_v3 inception_v4
inception_resnet_v2 xception41 dpn68 dla34 efficientnet_b0 tf_efficientnetv2_s mobilenetv2_100
mobilenetv3_large_100 mobilenetv4_conv_small mnasnet_100 fbnetc_100 lcnet_050 ghostnet_100 tinynet_e
regnetx_002 regnety_002 nfnet_l0 convnext_tiny convnextv2_atto hgnet_tiny hrnet_w18_small
cspresnet50 repvgg_a0 vit_tiny_patch16_224 vit_small_patch14_dinov2 deit_tiny_patch16_224
deit3_small_patch16_224 beit_base_patch16_224 eva02_tiny_patch14_224 cait_xxs24_224
xcit_nano_12_p16_224 swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 pvt_v2_b0 twins_svt_small
coat_tiny levit_128s maxvit_tiny_tf_224 coatnet_0_rw_224 poolformer_s12 mixer_s16_224 resmlp_12_224
gmlp_s16_224 efficientformer_l1 mobilevit_xxs edgenext_xx_small
"""
SIZE = 32
SEARCHED = {
    "torchvision": """resnet18 mobilenet_v2 mobilenet_v3_small efficientnet_b0 mnasnet0_5
        shufflenet_v2_x0_5 regnet_x_400mf regnet_y_400mf squeezenet1_1 densenet121 swin_t
        googlenet""",
    "timm": """vit_tiny_patch16_224 pvt_v2_b0 convnext_atto xcit_nano_12_p16_224 mobilevit_xxs
        ghostnet_100 tinynet_e lcnet_050 regnety_002 levit_128s deit_tiny_patch16_224
        mobilenetv4_conv_small fbnetc_100""",
}
#: Of these; compress-bound measures all spectra, which takes minutes for wide kernels.
STORED = {
    "timm": "xcit_nano_12_p16_224 tinynet_e lcnet_050 pvt_v2_b0 vit_tiny_patch16_224 convnext_atto",
    "torchvision": "shufflenet_v2_x0_5 mobilenet_v3_small resnet18",
}
SIZES = {"alexnet": 64, "squeezenet1_1": 33}
RADIUS = 10.0


def without_initialization() -> None:
    """Leave weights as memory has them where nothing but shapes counts."""
    for name in dir(nn.init):
        if name.endswith("_") and not name.startswith("_"):
            setattr(nn.init, name, lambda tensor, *_args, **_kwargs: tensor)


def supposed(layer: GraphLayer) -> LayerNorms:
    bias = 0.01 if layer.bias_name else 0.0
    return LayerNorms(
        norm_upper=1.5,
        moved_norm_upper=1.51,
        error_upper=0.01,
        moved_bias_norm_upper=100 * bias,
        bias_error_upper=bias,
    )


def propagated(name: str, module: nn.Module, shape: tuple[int, ...]) -> str:
    start = time.perf_counter()
    network = trace(module.eval(), shape)
    if network.unsupported is not None:
        return f"{name:32} no rule: {network.unsupported.reason}"
    layers = {key: supposed(layer) for key, layer in network.layers.items()}
    found = propagate(network.nodes, layers, RADIUS)
    left = f"  unused: {len(network.unused)}" if network.unused else ""
    passed = time.perf_counter() - start
    numbers = f"{float(found.radius):10.3g} {float(found.deviation):10.3g} {passed:6.1f}"
    return f"{name:32} {numbers}{left}"


def count_all(kind: str) -> None:
    without_initialization()
    print(f"{'network':32} {'radius':>10} {'deviation':>10} {'s':>6}")
    names, passed = sorted(torchvision_names()) if kind == "torchvision" else FAMILIES.split(), 0
    for name in names:
        try:
            module, shape = made(kind, name)
            line = propagated(name, module, shape)
        except Exception as error:
            line = f"{name:32} fails: {type(error).__name__}: {str(error)[:120]}"
        passed += "no rule" not in line and "fails" not in line
        print(line, flush=True)
    print(f"{passed} of {len(names)}")


def torchvision_names() -> list[str]:
    from torchvision import models

    return models.list_models(module=models)


def made(kind: str, name: str, **settings: Any) -> tuple[nn.Module, tuple[int, ...]]:
    if kind == "timm":
        import timm

        module = timm.create_model(name, pretrained=False, **settings)
        return module, tuple(module.default_cfg["input_size"])
    from torchvision import models

    needs = {"init_weights": True} if name in {"googlenet", "inception_v3"} else {}
    side = 299 if name == "inception_v3" else 224
    return models.get_model(name, weights=None, **needs, **settings), (3, side, side)


def small(kind: str, name: str) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(0)
    side = SIZES.get(name, SIZE)
    settings = {"num_classes": 10}
    if kind == "timm" and name.startswith(("vit_", "deit_")):
        settings |= {"img_size": side, "patch_size": 8}
    module, _ = made(kind, name, **settings)
    return module.double().eval().requires_grad_(requires_grad=False), (3, side, side)


def norms_of(
    layer: GraphLayer, weight: Tensor, moved: Tensor, bias: Tensor | None, moved_bias: Tensor | None
) -> LayerNorms:
    def norm(part: Tensor) -> float:
        match kind_of(layer).operator:
            case "factors":
                return float(part.abs().max())
            case "vector":
                return float(part.norm()) * (1 + 1e-9)
            case _:
                matrix = part.flatten(1)
                matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT
                largest = torch.linalg.eigvalsh(matrix @ matrix.mT)[-1].clamp(min=0)
                return float(largest.sqrt()) * (1 + 1e-9) * error_factor(layer, part)

    def whole(vector: Tensor | None) -> float:
        root = layer.positions**0.5
        return 0.0 if vector is None else float(vector.norm()) * root * (1 + 1e-9)

    error = None if bias is None or moved_bias is None else bias - moved_bias
    return LayerNorms(
        norm_upper=norm(weight),
        moved_norm_upper=norm(moved),
        error_upper=norm(weight - moved),
        moved_bias_norm_upper=whole(moved_bias),
        bias_error_upper=whole(error),
    )


def search(kind: str, name: str) -> str:
    module, shape = small(kind, name)
    network = trace(module, shape)
    if network.unsupported is not None:
        return f"{name:26} no rule: {network.unsupported.reason}"
    tensors = effective_tensors(network, module.state_dict())
    moved = {key: store_whole(one, 8).weight() for key, one in tensors.items()}
    norms = {
        key: norms_of(
            layer,
            tensors[layer.weight_name],
            moved[layer.weight_name],
            tensors.get(layer.bias_name),
            moved.get(layer.bias_name),
        )
        for key, layer in network.layers.items()
    }
    bound = propagate(network.nodes, norms, RADIUS)
    graph = fold_network(module, network, module.state_dict())._module  # noqa: SLF001  in float64

    def outputs(parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        part = {key: parameters[key] for key, _ in graph.named_parameters()}
        return torch.func.functional_call(graph, part, (x,))

    largest, x = 0.0, torch.randn(4, *shape, dtype=torch.float64)
    for _ in range(4):
        x = x * (RADIUS / x.flatten(1).norm(dim=1)).reshape(-1, 1, 1, 1)
        x = x.detach().requires_grad_()
        apart = (outputs(tensors, x) - outputs(moved, x)).norm(dim=1)
        largest = max(largest, float(apart.detach().max()))
        (gradient,) = torch.autograd.grad(apart.sum(), x)
        size = gradient.flatten(1).norm(dim=1).clamp(min=1e-300).reshape(-1, 1, 1, 1)
        x = x + RADIUS * gradient / size
    deviation = float(bound.deviation)
    held = "held" if largest <= deviation else "EXCEEDED"
    kinds = len({kind_of(layer).layer.kind for layer in network.layers.values()})
    return (
        f"{name:26} {len(network.layers):6} {kinds:5} {float(bound.radius):10.3g} "
        f"{deviation:10.3g} {largest:10.3g} {largest / deviation:9.1e} {held}"
    )


def search_all() -> None:
    heads = ("layers", "kinds", "radius", "bound", "largest", "ratio")
    names = " ".join(f"{one:>10}" for one in heads[2:])
    print(f"{'network':26} {heads[0]:>6} {heads[1]:>5} {names}")
    for kind, chosen in SEARCHED.items():
        for name in chosen.split():
            try:
                print(search(kind, name), flush=True)
            except Exception as error:
                print(f"{name:26} fails: {type(error).__name__}: {str(error)[:200]}", flush=True)


def store_all() -> None:
    print(f"{'network':26} {'status':12} {'bits':>12} {'distance':>10} {'left out':>8} {'s':>6}")
    for kind, chosen in STORED.items():
        for name in chosen.split():
            module, shape = small(kind, name)
            with tempfile.TemporaryDirectory() as folder:
                path, start = Path(folder) / "net.pt", time.perf_counter()
                torch.save(module.float().state_dict(), path)
                arch = name if kind == "torchvision" else f"timm:{name}"
                words = ["compress-bound", str(path), "--arch", arch, "--b", "8", "--json"]
                words += ["--input-shape", ",".join(map(str, shape))]
                if kind == "timm" and name.startswith(("vit_", "deit_")):
                    words += ["--arch-arg", f"img_size={shape[1]}", "--arch-arg", "patch_size=8"]
                done = subprocess.run(
                    [sys.executable, "-m", "dlgen_cli", *words],
                    capture_output=True,
                    text=True,
                    check=False,
                )
            passed = time.perf_counter() - start
            if done.returncode:
                print(f"{name:26} fails: {done.stderr[-200:]!r}", flush=True)
                continue
            report = json.loads(done.stdout)
            bound = next(one for one in report["bounds"] if one["theorem"] == "compression.stored")
            terms = bound["terms"]
            print(
                f"{name:26} {bound['status']:12} {terms['bits']:12,} "
                f"{terms['log10_distance']:10.1f} {len(report['skipped']):8} {passed:6.0f}",
                flush=True,
            )


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "searched"
    actions = {"searched": search_all, "stored": store_all}
    actions.get(what, lambda: count_all(what))()
