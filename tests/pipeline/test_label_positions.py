"""The output layer is computed where labels are, with the same loss."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from trl.trainer import utils

from setpoint.policies import BUILTIN, resolve_base
from setpoint.policies.language_model import load_base
from setpoint.policies.runtime import Runtime
from setpoint.training.label_positions import score_labels_only


def test_only_labelled_positions_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    base = resolve_base(BUILTIN)
    model, _ = load_base(base, Runtime.detect(base.preset))
    utils.add_fused_lm_head(model)
    torch.manual_seed(0)
    ids = torch.randint(5, 600, (3, 40))
    labels = ids.clone()
    labels[:, :30] = -100

    def scored() -> tuple[torch.Tensor, int]:
        with FlopCounterMode(display=False) as flops:
            found = model(input_ids=ids, labels=labels, fused_lm_head=True)
        return found.log_probs, flops.get_total_flops()

    monkeypatch.setattr(utils, "_use_triton", lambda _device: False)
    every, all_flops = scored()
    assert score_labels_only()
    labelled, fewer_flops = scored()
    torch.testing.assert_close(every, labelled)
    hidden, vocabulary = model.get_output_embeddings().weight.shape[::-1]
    saved = 2 * 3 * (39 - 10) * hidden * vocabulary
    assert all_flops - fewer_flops == pytest.approx(saved, rel=0.05)
