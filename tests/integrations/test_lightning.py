"""The callback logs through Lightning's module: a real trainer where there is one."""

import sys
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dlgen_cli.errors import DependencyError

OURS = "dlgen_cli.integrations.lightning"


def test_every_second_epoch_is_logged_by_the_first_process(stand_in):
    callback = stand_in("lightning.pytorch.callbacks", "Callback", OURS).SpectralNorms(every=2)
    module, logged = nn.Linear(4, 3), []
    module.log_dict = lambda values, rank_zero_only: logged.append((values, rank_zero_only))
    for is_first in (True, False):
        for epoch in range(4):
            trainer = SimpleNamespace(current_epoch=epoch, is_global_zero=is_first)
            callback.on_train_epoch_end(trainer, module)
    assert len(logged) == 2
    assert all(alone and list(values) == ["spectral_norm/weight"] for values, alone in logged)


def test_without_lightning_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.delitem(sys.modules, OURS, raising=False)
    with pytest.raises(DependencyError, match=r"pip install 'dlgen\[lightning\]'"):
        __import__(OURS)


def test_a_trainer_of_lightning_logs_the_norms(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    from dlgen_cli.integrations.lightning import SpectralNorms

    class Regression(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def training_step(self, batch, _):
            return self.layer(batch).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module = Regression()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a trainer without workers and validation
        trainer = lightning.Trainer(
            max_epochs=2,
            callbacks=[SpectralNorms()],
            default_root_dir=tmp_path,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            accelerator="cpu",
        )
        trainer.fit(module, torch.utils.data.DataLoader(torch.randn(8, 4), batch_size=4))
    logged = trainer.logged_metrics["spectral_norm/layer.weight"].item()
    assert logged == pytest.approx(module.layer.weight.norm().item(), rel=1e-5)
