"""Two processes train one generator."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from srcore.training.config import TrainConfig
from srcore.weights import load_generator

SCRIPT = """
import json, sys
from pathlib import Path
from srcore.training.fit import loop
from srcore.training.config import parse_config

class Told(loop.Training):
    def teardown(self, stage):
        super().teardown(stage)
        parts = (self.generator, self.critic, self.state.average)
        found = [float(sum(p.double().abs().sum() for p in m.parameters())) for m in parts]
        Path(sys.argv[2], f"rank{self.global_rank}.txt").write_text(f"{found} {self.state.step}")

loop.Training = Told
loop.train(parse_config(json.loads(sys.argv[1]), "argument"))
"""


@pytest.mark.nightly
def test_processes_share_their_gradients_and_end_together(recipe: Callable[..., TrainConfig], tmp_path: Path) -> None:
    config = recipe(
        devices=2,
        adversarial={"width": 8, "start": 2},
        validate_every=1,
        patience=2,
        steps=60,
        learning_rate=3.0,
        warmup_steps=0,
        ema_decay=0,
        optimiser="sgd",
    )
    config = config.model_copy(update={"validation": config.data})
    script = tmp_path / "told.py"  # Lightning starts the second process by the first one's command line
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), config.model_dump_json(), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, timeout=180)
    assert ended.returncode == 0, ended.stderr.decode()
    first, second = ((tmp_path / f"rank{rank}.txt").read_text() for rank in (0, 1))
    assert first == second
    load_generator(config.output)
