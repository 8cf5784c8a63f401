"""The callback logs through the trainer of transformers: a real one where there is one."""

import sys
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dlgen_cli.errors import DependencyError

OURS = "dlgen_cli.integrations.transformers"


def test_every_second_epoch_is_logged_by_the_first_process(stand_in):
    logged = []
    trainer = SimpleNamespace(log=logged.append)
    made = stand_in("transformers", "TrainerCallback", OURS).SpectralNorms(trainer, every=2)
    for is_first in (True, False):
        for epoch in (1.0, 2.0, 3.0, 3.9999):
            state = SimpleNamespace(epoch=epoch, is_world_process_zero=is_first)
            made.on_epoch_end(None, state, None, model=nn.Linear(4, 3))
    assert [list(values) for values in logged] == [["spectral_norm/weight"]] * 2


def test_without_transformers_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, OURS, raising=False)
    with pytest.raises(DependencyError, match=r"pip install 'dlgen\[transformers\]'"):
        __import__(OURS)


def test_a_trainer_of_transformers_logs_the_norms(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from dlgen_cli.integrations.transformers import SpectralNorms

    class Regression(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x):
            return {"loss": self.layer(x).square().mean()}

    module = Regression()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = transformers.Trainer(
            module,
            transformers.TrainingArguments(
                output_dir=str(tmp_path),
                num_train_epochs=2,
                report_to=[],
                save_strategy="no",
                use_cpu=True,
                disable_tqdm=True,
            ),
            train_dataset=[{"x": row} for row in torch.randn(8, 4)],
        )
        trainer.add_callback(SpectralNorms(trainer))
        trainer.train()
    logged = [row for row in trainer.state.log_history if "spectral_norm/layer.weight" in row]
    assert [row["epoch"] for row in logged] == [1.0, 2.0]
    final = logged[-1]["spectral_norm/layer.weight"]
    assert final == pytest.approx(module.layer.weight.norm().item(), rel=1e-5)
