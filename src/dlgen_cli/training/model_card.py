"""The model card of a run: its facts as a page of Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlgen_cli.records import REGIMES

if TYPE_CHECKING:
    from dlgen_cli.checkpoints.runs.run_config import OptimizerFacts, RunConfig

_ADVERSARIES = {
    "shift": "the wrong label of class `y` is `y + 1` modulo the number of classes",
    "uniform": "the wrong label is drawn uniformly from the other classes",
}


def model_card(config: RunConfig) -> str:
    """Describe a finished run.

    Args:
        config: the run's facts.

    Returns:
        Markdown; the same facts give the same text.
    """
    sections = (
        _introduction(config),
        _results(config),
        _training(config),
        _files(config),
    )
    return "\n\n".join(sections) + "\n"


def _introduction(config: RunConfig) -> str:
    counts = config["counts"]
    data = REGIMES[config["dataset"]].meaning
    if config["adversary"] is not None:
        data += f"; {_ADVERSARIES[config['adversary']]}"
    return (
        f"# {config['architecture']} on {config['source']} ({config['dataset']})\n\n"
        f"A network with {counts['parameters']:,} parameters, trained by "
        f"dlgen {config['dlgen_version']} on {config['examples']:,} examples: {data}. It is meant "
        "for the study of generalization bounds, not for use."
    )


def _results(config: RunConfig) -> str:
    counts = config["counts"]
    rows = [
        ("training", config["examples"], config["train_error"]),
        ("test (real, never trained on)", counts["test"], config["test_error"]),
    ]
    if config["holdout_error"] is not None:
        rows.append(("holdout (real, set aside first)", counts["holdout"], config["holdout_error"]))
    lines = [f"| {name} | {count:,} | {error:.4f} |" for name, count, error in rows]
    return "\n".join(
        [
            "## Errors",
            "",
            "| examples | number | share of wrong answers |",
            "|---|---:|---:|",
            *lines,
        ]
    )


def _training(config: RunConfig) -> str:
    optimizer, scaling, stop = config["optimizer"], config["input"], config["stop"]
    rule = f"at most {stop['epochs']:,} epochs"
    if stop["until_train_error"] is not None:
        rule += f", fewer once the training error is {stop['until_train_error']:g} or less"
    clip = "none"
    if config["clip_linf"] is not None:
        clip = f"every parameter kept within ±{config['clip_linf']:g} after every step"
    shape = " x ".join(str(size) for size in scaling["shape"])
    arguments = ", ".join(f"{name} {value}" for name, value in optimizer["arguments"].items())
    built = ", ".join(f"{name} {value}" for name, value in config["architecture_arguments"].items())
    return "\n".join(
        (
            "## Training",
            "",
            f"- Architecture: {config['architecture']} ({built}).",
            f"- Input: {shape}, {_input(config)}.",
            f"- Norm of an input: at most {scaling['norm_bound']:g}.",
            f"- Loss: {_loss(config)}. Batches of {optimizer['batch_size']}.",
            f"- Optimizer: {optimizer['name']} ({arguments}){_schedule(optimizer)}.",
            "- Explicit regularization: none.",
            f"- Bound on the parameters: {clip}. Largest magnitude: {config['linf_norm']:.6g}.",
            f"- Epochs: {config['epochs']:,} ({rule}).",
            f"- Seed: {config['seed']}. Device: {config['device']}{_computation(config)}.",
        )
    )


def _input(config: RunConfig) -> str:
    files = config.get("features", [])
    if not files:
        return f"pixels in [0, 1] times {config['input']['scale']:.9g}"
    told = ", ".join(f"{one['name']} (sha256 {one['sha256'][:12]})" for one in files)
    return f"features of {told}"


def _loss(config: RunConfig) -> str:
    facts = config.get("coded")
    if facts is None:
        return "cross-entropy"
    kind = "a quantised network" if facts["predictor"] == "code" else "a Gaussian posterior"
    return f"the risk bound of {kind} over {facts['dim']:,} coordinates"


def _schedule(optimizer: OptimizerFacts) -> str:
    is_linear = optimizer.get("schedule") == "linear"
    return ", its step size falling linearly to 0 at the last epoch" if is_linear else ""


def _computation(config: RunConfig) -> str:
    facts = config.get("computation", {})
    parts = [f"precision {facts['precision']}"] if "precision" in facts else []
    if facts.get("threads"):
        parts.append(f"threads {facts['threads']}")
    if facts.get("processes", 1) > 1:
        parts.append(f"processes {facts['processes']}")
    return f" ({', '.join(parts)})" if parts else ""


def _files(config: RunConfig) -> str:
    facts = config.get("coded")
    last = "- `resume.pt`: the state from which `dlgen train --resume` goes on."
    if facts is not None and facts["predictor"] == "code":
        last = "- `code.bin`: the whole network; `dlgen certify` reads nothing else of it."
    elif facts is not None:
        last = "- `coordinates.safetensors`: the posterior; `dlgen certify` draws from it."
    return "\n".join(
        (
            "## Files",
            "",
            "- `model.safetensors`, `init.safetensors`: the trained and the initial parameters.",
            "- `config.json`: these facts for programs.",
            "- `labels.safetensors`: the labels trained on, the place of each example in the",
            "  source (-1: synthetic), which of them were altered, what was held out, and hashes",
            "  of the images.",
            "- `metrics.jsonl`: loss and errors after each epoch.",
            last,
        )
    )
