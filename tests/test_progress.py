"""Claims about what a terminal shows while a notebook runs."""

import io
import json
import sys
import time

from tumorcf_lib.study import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def notebook_of(folder, n_cells):
    path = folder / "03_training.ipynb"
    path.write_text(json.dumps({"cells": [{}] * n_cells}))
    return path


def test_a_terminal_shows_cells_done_and_the_last_line_and_is_left_clean(monkeypatch, tmp_path):
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(progress, "EVERY_S", 0.01)
    monkeypatch.setenv("COLUMNS", "120")
    log = tmp_path / "x.log"
    with progress.following(log, notebook_of(tmp_path, 7), "03_training"):
        log.write_text(
            "Executing notebook with kernel: python3\n"
            "Executing Cell 1---\nEnding Cell 1---\nExecuting Cell 2---\n"
            "epoch 2/9  loss 0.5\n\nI0000 00:00:17.1  port.cc] oneDNN\n"
        )
        until = time.monotonic() + 10
        while "epoch 2/9" not in shown.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
    text = shown.getvalue()
    assert "03_training  cell 1/7" in text
    assert "epoch 2/9  loss 0.5" in text
    assert "oneDNN" not in text
    assert text.split("\r")[-2].strip() == ""  # the bar was wiped
