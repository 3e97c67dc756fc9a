"""Run: every measurement side by side, round after round, on the servers of one run."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench import history, hot, mix
from bench.ceiling import measure_ceiling, measure_rows, precompute
from bench.closing import WARM_UP_SECONDS, Closed, make_accounts, measure_closing
from bench.latency import Latencies, measure_latency
from bench.measure import WORKERS, Measurement, MeasurementError, measure, measure_workers
from bench.measure import Progress as ToldProgress
from bench.mix import Event
from bench.trial import Servers, Trial, open_trial
from booking_credits.policy_file import load_policies
from booking_credits.postgres.migrate import migrate
from booking_credits.verify.verification import verify

TUTORIAL: Final = ("python", "-m", "bench.tutorial")
_LATENCY_SHARE: Final = 0.3
_REBUILT_CLOSERS: Final = 100
_DATABASES: Final = ("open", "history", "models", "closing", "closers")


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    rounds: int
    events: int
    tutorial_events: int
    hot_events: int
    history_entries: int
    latency_seconds: float
    closing_accounts: int
    # Of a long history; None: all of them.
    rebuilt_accounts: int | None


FULL: Final = Scale(3, 50_000, 4_000, 20_000, 1_000_000, 20, 10_000, 100)
QUICK: Final = Scale(1, 10_000, 600, 3_000, 50_000, 5, 1_000, None)


@dataclass
class Results:
    """What was measured, a value for each round.

    An account is one worker's: `hot` is one account on one worker, `single` the mix on one.
    """

    workers: list[Measurement] = field(default_factory=list)
    tutorial: list[Measurement] = field(default_factory=list)
    single: list[Measurement] = field(default_factory=list)
    hot: list[Measurement] = field(default_factory=list)
    history: list[Measurement] = field(default_factory=list)
    ceiling: list[float] = field(default_factory=list)
    rows: list[float] = field(default_factory=list)
    history_entries: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    closed: Closed = field(default_factory=Closed)

    def figures(self) -> dict[str, float]:
        """Sum up: medians of the rounds, and of the ratios within each round."""
        ours = _rates(self.workers)
        tutorial = _rates(self.tutorial)
        measurements = (*self.workers, *self.single, *self.hot, *self.history)
        return {
            "events_per_second": round(median(ours)),
            "tutorial_ratio": _ratio(ours, tutorial),
            "ceiling_ratio": _ratio(ours, self.ceiling),
            "rows_ratio": _ratio(ours, self.rows),
            "hot_ratio": _ratio(_rates(self.hot), _rates(self.single)),
            "hot_of_all_ratio": _ratio(_rates(self.hot), ours),
            "history_ratio": _ratio(_rates(self.history), ours),
            "p50_ms": round(self.latencies.quantile_ms(0.5), 1),
            "p99_ms": round(self.latencies.quantile_ms(0.99), 1),
            "closing_p99_ms": round(self.closed.meanwhile.quantile_ms(0.99), 1),
            "closing_p99_ratio": round(self.closed.p99_ratio, 2),
            "rss_mb": round(max(measurement.rss_mb for measurement in measurements), 1),
        }


class Run:
    """One run of the bench."""

    def __init__(self, servers: Servers, scale: Scale, screen: Console) -> None:
        """Measure at a scale, and show how it goes on a screen."""
        self._servers = servers
        self._scale = scale
        self._screen = screen
        self._prefix = f"bench_{uuid.uuid4().hex[:8]}"
        self._trials = 0
        self._mix = mix.make_mix(scale.events)
        self._hot = hot.make_hot(scale.hot_events)
        self.results = Results()

    async def measure_all(self) -> Results:
        """Measure everything; the databases that trials begin with are gone in the end."""
        try:
            await self._prepare()
            for number in range(1, self._scale.rounds + 1):
                await self._measure_round(is_last=number == self._scale.rounds)
            await self._measure_latency()
            await self._measure_closing()
        finally:
            for name in _DATABASES:
                await self._servers.drop_database(self._database(name))
        return self.results

    async def _prepare(self) -> None:
        """Make a database of open accounts, and one of accounts with a history."""
        ids = mix.account_ids(len({event.account_id for event in self._mix}))
        scale, dsns = self._scale, {}
        for name in _DATABASES:
            dsns[name] = await self._servers.create_database(self._database(name))
            await migrate(dsns[name])
        await history.post(dsns["open"], mix.make_openings(ids))
        with self._shown("history, before the start") as progress:
            models = await history.post_models(dsns["models"], scale.history_entries // len(ids))
            self.results.history_entries = await history.copy_models(
                dsns["models"], dsns["history"], models, ids, progress
            )

        with self._shown("accounts to close") as progress:
            await make_accounts(dsns["closers"], dsns["closing"], scale.closing_accounts, progress)

    async def _measure_round(self, *, is_last: bool) -> None:
        """Measure everything once; what is held closest together comes one after the other."""
        results = self.results
        async with self._trial("worker") as trial:
            results.workers.append(await self._workers("two workers", trial, self._mix))
            await self._verify("two workers", trial)
            precomputed = await precompute(trial, WORKERS)
        async with self._trial("ceiling") as trial:
            with self._shown("ceiling") as progress:
                results.ceiling.append(await measure_ceiling(trial, precomputed, progress))
        self._tell("ceiling", results.ceiling[-1])
        async with self._trial("history", "history") as trial:
            results.history.append(await self._workers("with history", trial, self._mix))
            # To rebuild a long history takes long: some of its accounts, in the last round.
            if is_last:
                await self._verify("with history", trial, self._scale.rebuilt_accounts)
        async with self._trial("rows") as trial:
            results.rows.append(await measure_rows(trial.dsn, precomputed))
        self._tell("rows alone", results.rows[-1])
        async with self._trial("tutorial") as trial:
            results.tutorial.append(await self._tutorial(trial))
        async with self._trial("single") as trial:
            events = self._mix[: self._scale.hot_events]
            results.single.append(await self._workers("one worker", trial, events, 1))
        async with self._trial("hot") as trial:
            results.hot.append(await self._workers("hot account", trial, self._hot, 1))
            await self._verify("hot account", trial)

    async def _workers(
        self, name: str, trial: Trial, events: Sequence[Event], workers: int = WORKERS
    ) -> Measurement:
        with self._shown(name) as progress:
            measurement = await measure_workers(trial, events, progress, workers)
        self._tell(name, measurement.events_per_second)
        return measurement

    async def _verify(self, name: str, trial: Trial, sample: int | None = None) -> None:
        """Check every rule, and rebuild all accounts or so many of them, as the service does."""
        with ExitStack() as stack:
            bars: dict[str, ToldProgress] = {}

            def progress(stage: str, done: int, total: int) -> None:
                if stage not in bars:
                    stack.close()
                    bars[stage] = stack.enter_context(self._shown(f"{name}: verify {stage}"))
                bars[stage](done, total)

            violations = await verify(trial.dsn, load_policies(), progress, sample=sample)
        if violations:
            raise MeasurementError(f"{name}: {violations[0]}")

    async def _tutorial(self, trial: Trial) -> Measurement:
        events = self._mix[: self._scale.tutorial_events]
        with self._shown("tutorial") as progress:
            measurement = await measure(
                trial, [trial.command(*TUTORIAL)], events, progress, is_service=False
            )
        self._tell("tutorial", measurement.events_per_second)
        await self._verify("tutorial", trial)
        return measurement

    async def _measure_latency(self) -> None:
        per_second = _LATENCY_SHARE * median(_rates(self.results.workers))
        events = self._mix[: int(self._scale.latency_seconds * per_second)]
        async with self._trial("latency") as trial:
            with self._shown(f"latency at {per_second:,.0f} events a second") as progress:
                self.results.latencies = await measure_latency(trial, events, per_second, progress)
            await self._verify("latency", trial)

    async def _measure_closing(self) -> None:
        per_second = _LATENCY_SHARE * median(_rates(self.results.workers))
        scale = self._scale
        # So many that they outlast the beginning of the closing. Many more would be another mix:
        # they are of four months, and what a month has, a renewal of it may reach.
        count = int(per_second * (WARM_UP_SECONDS + 2 * scale.latency_seconds))
        events = mix.make_mix(min(count, scale.closing_accounts * mix.EVENTS_PER_ACCOUNT))
        async with self._trial("closing", "closing") as trial:
            with self._shown(f"closing at {per_second:,.0f} events a second") as progress:
                self.results.closed = await measure_closing(
                    trial, events, per_second, scale.latency_seconds, progress
                )
            await self._verify("closing", trial, _REBUILT_CLOSERS)
        closed = self.results.closed
        self._screen.print(
            f"closing {closed.accounts:,} accounts in {closed.seconds:.1f} s:"
            f" p99 {closed.meanwhile.quantile_ms(0.99):,.0f} ms,"
            f" usually {closed.usual.quantile_ms(0.99):,.0f} ms"
        )

    def _trial(self, name: str, template: str = "open") -> AbstractAsyncContextManager[Trial]:
        self._trials += 1
        name = f"{self._prefix}-{name}-{self._trials}"
        return open_trial(self._servers, name, self._database(template))

    def _database(self, name: str) -> str:
        return f"{self._prefix}_{name}"

    def _tell(self, name: str, rate: float) -> None:
        self._screen.print(f"{name}: {rate:,.0f} events a second")

    @contextmanager
    def _shown(self, name: str) -> Iterator[ToldProgress]:
        """Show how far something has come while it goes on."""
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        is_hidden = not self._screen.is_terminal
        with Progress(*columns, console=self._screen, transient=True, disable=is_hidden) as bars:
            task = bars.add_task(name, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)


def _rates(measurements: Sequence[Measurement]) -> list[float]:
    return [measurement.events_per_second for measurement in measurements]


def _ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    return round(median(n / d for n, d in zip(numerators, denominators, strict=True)), 3)
