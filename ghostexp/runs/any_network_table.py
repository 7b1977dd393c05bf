"""Rows of `any_network`, each made in a process of its own, and the table of all."""

import json
import logging
import multiprocessing as mp
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ghostexp.runs.any_network import Row, examine

POLL = 0.05  # seconds
DIFFERENCE = 1e-3  # of the largest output, that rounding may make
REASONS = 25  # of layers that stay, in the table's head


def read_rows(path: Path) -> list[Row]:
    """The rows of a file that has one JSON object on each line; none where there is no file."""
    if not path.exists():
        return []
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()]


def make_rows(
    networks: Sequence[str], path: Path, *, export: bool, workers: int, timeout: int
) -> None:
    """Add the row of each network to the file as soon as it is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # before the fork: a child could not use the parent's threads
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    waiting, running = list(networks), []
    with Progress(*columns, TimeRemainingColumn()) as progress, path.open("a") as file:
        task = progress.add_task("networks", total=len(waiting))
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_Job(waiting.pop(0), export, timeout))
            for job in list(running):
                row = job.row()
                if row is not None:
                    running.remove(job)
                    file.write(json.dumps(asdict(row)) + "\n")
                    file.flush()
                    progress.update(task, advance=1, description=row.network)
            time.sleep(POLL)
    torch.set_num_threads(threads)


class _Job:
    """One network in a process, forked so that nothing is imported again."""

    def __init__(self, network: str, export: bool, timeout: int) -> None:
        self.network = network
        self.timeout = timeout
        self.start = time.monotonic()
        context = mp.get_context("fork")
        self.connection, other = context.Pipe(duplex=False)
        self.process = context.Process(target=_send_row, args=(other, network, export))
        self.process.start()
        other.close()

    def row(self) -> Row | None:
        """The network's row, once it is there or cannot come any more."""
        if self.connection.poll():
            try:
                row = self.connection.recv()
            except EOFError:
                self.process.join()
                return self._stopped(f"the process ended with {self.process.exitcode}")
            self.process.join()
            return row
        if time.monotonic() - self.start > self.timeout:
            self.process.kill()
            self.process.join()
            return self._stopped(f"not done in {self.timeout} s")
        return None

    def _stopped(self, sentence: str) -> Row:
        seconds = round(time.monotonic() - self.start, 1)
        return Row(self.network, stopped=f"process: {sentence}", seconds=seconds)


def _send_row(connection: Connection, network: str, export: bool) -> None:
    logging.getLogger("ghostexp").setLevel(logging.ERROR)  # the row says it
    connection.send(examine(network, export=export))
    connection.close()


def write_table(rows: Sequence[Row], path: Path) -> str:
    """Write the table in Markdown, and return its head: the shares, and why layers stay."""
    head = _head(rows)
    columns = (
        *("network", "side", "convs", "replaced", "params", "after", "loss", "no gradient"),
        *("dead taps", "norms", "left", "fused differs", "ONNX differs", "stopped", "seconds"),
    )
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    lines += ["", "## Why layers stay", ""]
    for row in rows:
        parts = [f"{count} convolutions: {reason}" for reason, count in row.kept.items()]
        parts += [f"{count} batch norms: {reason}" for reason, count in row.norms_left.items()]
        if parts:
            lines.append(f"- {row.network}: {'; '.join(parts)}")
    path.write_text("\n".join(["# Any network", "", head, "", *lines, ""]))
    return head


def _head(rows: Sequence[Row]) -> str:
    total = len(rows)
    lines = [f"{total} networks, of which:"]
    for what, found in _shares(rows).items():
        lines.append(f"- {len(found)} ({len(found) / total:.1%}) {what}")
    reasons = sum((Counter(row.kept) for row in rows), Counter())
    lines += ["", "Convolutions stay because:"]
    lines += [f"- {count:,}: {reason}" for reason, count in reasons.most_common(REASONS)]
    return "\n".join(lines)


def _shares(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The networks that do each of the things that are counted."""
    shares = {
        "reach the end of every stage": [row for row in rows if not row.stopped],
        "convert": [row for row in rows if row.convolutions],
        "have a convolution replaced": [row for row in rows if row.replaced],
        "train with a finite loss and lose no gradient": [
            row
            for row in rows
            if row.loss is not None and not row.without_gradient and not row.dead_taps
        ],
        "are fused to no batch norm": [
            row for row in rows if row.fused_difference is not None and not row.norms_left
        ],
        f"are the same when fused, within {DIFFERENCE:g}": [
            row
            for row in rows
            if row.fused_difference is not None and row.fused_difference <= DIFFERENCE
        ],
    }
    exported = [row for row in rows if row.onnx_difference is not None]
    if exported:
        same = [row for row in exported if row.onnx_difference <= DIFFERENCE]
        shares[f"are the same as ONNX, within {DIFFERENCE:g} ({len(exported)} exported)"] = same
    return shares


def _cells(row: Row) -> list[str]:
    numbers = (row.loss, row.fused_difference, row.onnx_difference)
    loss, fused, onnx = ("" if number is None else f"{number:.2g}" for number in numbers)
    return [
        *(row.network, str(row.side), str(row.convolutions), str(row.replaced)),
        *(f"{row.params_before:,}", f"{row.params_after:,}", loss),
        _gradients(row),
        *(str(row.dead_taps), str(row.norms), str(sum(row.norms_left.values()))),
        *(fused, onnx, row.stopped.replace("|", "/"), f"{row.seconds}"),
    ]


def _gradients(row: Row) -> str:
    dense = f"{row.dense_without_gradient} as in dense" if row.dense_without_gradient else ""
    return ", ".join([*row.without_gradient[:3], *([dense] if dense else [])])
