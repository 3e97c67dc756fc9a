"""Plots: each figure as PNG and SVG."""

# The environment of the other tests has no matplotlib, which is no reason to check nothing here.
# mypy: disable-error-code="import-not-found"

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.measure import Measurement

_SIZE_INCHES: Final = (7.0, 4.0)
_DOTS_PER_INCH: Final = 120
_GREY, _BLUE, _RED = "#9aa5b1", "#2b6cb0", "#c53030"


def plot_rates(folder: Path, rates: Mapping[str, float], ours: str) -> None:
    """Draw events per second as one bar for each way of doing it."""
    figure, axes = _sheet("Events per second", "events per second")
    names = list(rates)
    bars = axes.barh(
        names, list(rates.values()), color=[_BLUE if name == ours else _GREY for name in names]
    )
    axes.bar_label(bars, fmt="{:,.0f}", padding=4)
    axes.margins(x=0.15)
    axes.invert_yaxis()
    _save(figure, folder, "rates")


def plot_read_back(folder: Path, measurements: Mapping[str, Measurement]) -> None:
    """Draw how many published events had been read back, over time."""
    figure, axes = _sheet("Published events read back", "seconds since the first fetch")
    for name, measurement in measurements.items():
        seconds, read = zip(*measurement.read_back, strict=True)
        axes.plot(seconds, read, label=name)
    axes.set_ylabel("events")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    _save(figure, folder, "read-back")


def plot_latency(folder: Path, milliseconds: Sequence[float], p50: float, p99: float) -> None:
    """Draw which share of events was answered within how many milliseconds."""
    figure, axes = _sheet("From an event to its balance-changed", "milliseconds")
    shares = [100 * number / len(milliseconds) for number in range(1, len(milliseconds) + 1)]
    axes.plot(milliseconds, shares, color=_BLUE)
    for name, value in (("p50", p50), ("p99", p99)):
        axes.axvline(value, color=_RED, linewidth=0.8)
        axes.annotate(f" {name} {value:.0f} ms", (value, 5), color=_RED)
    axes.set_ylabel("percent of events")
    axes.set_xlim(left=0)
    _save(figure, folder, "latency")


def plot_closing(folder: Path, course: Sequence[tuple[float, float]], seconds: float) -> None:
    """Draw how long each event took, by when it was sent, around the closing of all periods."""
    figure, axes = _sheet("While all periods close", "seconds since the first was closed")
    sent, milliseconds = zip(*course, strict=True)
    axes.axvspan(0, seconds, color=_GREY, alpha=0.3, linewidth=0, label="periods are closed")
    # As an image within the SVG, which would have an element for each event otherwise.
    dots = axes.scatter(sent, milliseconds, s=2, color=_BLUE, linewidths=0, label="an event")
    dots.set_rasterized(True)
    axes.set_ylabel("milliseconds")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    _save(figure, folder, "closing")


def plot_memory(folder: Path, measurements: Mapping[str, Measurement]) -> None:
    """Draw the most memory that the worker had in each measurement."""
    figure, axes = _sheet("Peak memory of the worker", "MB")
    names = list(measurements)
    bars = axes.barh(names, [measurements[name].rss_mb for name in names], color=_BLUE)
    axes.bar_label(bars, fmt="{:.0f}", padding=4)
    axes.margins(x=0.15)
    axes.invert_yaxis()
    _save(figure, folder, "memory")


def _sheet(title: str, x_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left")
    axes.set_xlabel(x_label)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # The same figures make the same files.
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(folder / f"{name}.png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
