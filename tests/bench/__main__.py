"""Measure the service: python -m bench [--quick] [--save] [--profile]."""

import argparse
import asyncio
import json
import logging
import os
import platform
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console
from rich.table import Table

from bench.measure import MeasurementError
from bench.plots import plot_closing, plot_latency, plot_memory, plot_rates, plot_read_back
from bench.profiling import profile_posting
from bench.run import FULL, QUICK, Results, Run
from bench.trial import Servers
from local.servers import find_kafka, find_postgres
from local.supervision import UnavailableError

_INTERRUPTED: Final = 128 + signal.SIGINT
_BUILT: Final = Path("build/bench")
_SAVED: Final = Path("deploy/bench")
_BARS: Final = {
    "events_per_second": ("at least", 10_000),
    "tutorial_ratio": ("at least", 12),
    "ceiling_ratio": ("at least", 0.3),
    "hot_ratio": ("at least", 0.6),
    "history_ratio": ("at least", 0.9),
    "p99_ms": ("under", 500),
    "closing_p99_ratio": ("at most", 3),
    "rss_mb": ("under", 300),
}


def main() -> int:
    """Return the exit status: 0 when everything was measured, whatever came out."""
    arguments = _parse()
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    # Its client complains about topics that are a moment old.
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    screen = Console(stderr=True)
    try:
        with (
            ThreadPoolExecutor() as starts,
            screen.status("Starting Kafka and Postgres"),
        ):
            kafka_start = starts.submit(find_kafka)
            postgres_start = starts.submit(find_postgres, durable=True)
        with kafka_start.result() as kafka, postgres_start.result() as postgres:
            servers = Servers(kafka, postgres)
            scale = QUICK if arguments.quick else FULL
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                if arguments.profile:
                    runner.run(profile_posting(servers, scale.events, screen))
                    return 0
                results = runner.run(Run(servers, scale, screen).measure_all())
    except (UnavailableError, MeasurementError) as reason:
        screen.print(str(reason), markup=False, style="red")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    _show(results, screen)
    _plot(results, _BUILT)
    figures = results.figures()
    if arguments.save:
        _save(figures)
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure less, within three minutes")
    parser.add_argument(
        "--save", action="store_true", help="keep figures and plots in deploy/bench"
    )
    parser.add_argument("--profile", action="store_true", help="say where posting spends its time")
    return parser.parse_args()


def _show(results: Results, screen: Console) -> None:
    measured = Table("measurement", "round", "events", "seconds", "events/s", "published", "MB")
    for column in measured.columns[1:]:
        column.justify = "right"
    for name in ("workers", "tutorial", "single", "hot", "history"):
        for number, m in enumerate(getattr(results, name), 1):
            numbers = (m.events, round(m.seconds, 2), round(m.events_per_second), m.published)
            cells = [f"{n:,}" for n in (number, *numbers, round(m.rss_mb))]
            measured.add_row(name, *cells)
    for name in ("ceiling", "rows"):
        for number, rate in enumerate(getattr(results, name), 1):
            measured.add_row(name, str(number), "", "", f"{rate:,.0f}", "", "")
    screen.print(measured)
    screen.print(f"History: {results.history_entries:,} entries before the start.")
    summed = Table("figure", "value", "bar", "")
    for name, value in results.figures().items():
        how, bar = _BARS.get(name, ("", None))
        met = "" if bar is None else ("met" if _is_met(value, how, bar) else "missed")
        summed.add_row(name, f"{value:,}", "" if bar is None else f"{how} {bar:,}", met)
    screen.print(summed)


def _is_met(value: float, how: str, bar: float) -> bool:
    if how == "at least":
        return value >= bar
    return value < bar if how == "under" else value <= bar


def _plot(results: Results, folder: Path) -> None:
    """Plot the last round."""
    measurements = {
        "two workers": results.workers[-1],
        "one worker": results.single[-1],
        "hot account": results.hot[-1],
        "with history": results.history[-1],
    }
    rates = {name: m.events_per_second for name, m in measurements.items()}
    rates["tutorial"] = results.tutorial[-1].events_per_second
    rates |= {"ceiling": results.ceiling[-1], "rows alone": results.rows[-1]}
    plot_rates(folder, rates, "two workers")
    plot_read_back(folder, measurements)
    plot_memory(folder, measurements)
    figures = results.figures()
    plot_closing(folder, results.closed.course, results.closed.seconds)
    plot_latency(folder, results.latencies.milliseconds, figures["p50_ms"], figures["p99_ms"])


def _save(figures: dict[str, float]) -> None:
    """Keep the figures, the plots and what they were measured on for the README."""
    shutil.copytree(_BUILT, _SAVED, dirs_exist_ok=True)
    machine = {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }
    text = json.dumps({"figures": figures, "machine": machine}, indent=2)
    (_SAVED / "figures.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
