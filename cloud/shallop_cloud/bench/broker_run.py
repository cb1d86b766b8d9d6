"""Run the bench broker: in a thread beside other work, or in the foreground until a signal."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import gc
import logging
import resource
import signal
import threading
from types import TracebackType

from shallop_cloud.bench.broker import BenchBroker
from shallop_cloud.bench.broker_settings import BrokerSettings

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Running:
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event
    address: tuple[str, int]


class BrokerThread:
    """A bench broker on an event loop of its own, in a thread of its own; as a context manager or by start and stop.

    It may be started again after a stop, and then has forgotten everything, like any restarted bench broker.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._running: _Running | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on.

        Raises:
            RuntimeError: it is not running.
        """
        if self._running is None:
            raise RuntimeError("the broker is not running: start it first")
        return self._running.address

    def start(self) -> None:
        """Start, and return when it accepts connections.

        Raises:
            BrokerStartError: it cannot start, for instance because the address is in use.
            RuntimeError: it is running already.
        """
        if self._running is not None:
            raise RuntimeError("the broker is running already")
        started: concurrent.futures.Future[_Running] = concurrent.futures.Future()
        thread = threading.Thread(target=lambda: asyncio.run(self._run(started)), name="bench-broker", daemon=True)
        thread.start()
        try:
            self._running = started.result()
        except BaseException:
            thread.join()
            raise

    def stop(self) -> None:
        """Stop, and return when every connection is closed; nothing happens where it is not running."""
        running, self._running = self._running, None
        if running is not None:
            running.loop.call_soon_threadsafe(running.stop.set)
            running.thread.join()

    def __enter__(self) -> BrokerThread:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def _run(self, started: concurrent.futures.Future[_Running]) -> None:
        stop = asyncio.Event()
        try:
            broker = BenchBroker(self._settings.amqtt_config())
            await broker.start()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that called start()
            started.set_exception(error)
            return
        started.set_result(_Running(threading.current_thread(), asyncio.get_running_loop(), stop, broker.address))
        await stop.wait()
        await broker.shutdown()


async def serve(settings: BrokerSettings) -> None:
    """Run in the foreground until SIGTERM or SIGINT, then close every connection and return.

    Raises:
        BrokerStartError: it cannot start, for instance because the address is in use.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a connection each; the usual soft limit is 1,024
    logger.debug("open files: %s instead of %s", hard, soft)
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:  # before anyone can connect: from then on it ends in order
        loop.add_signal_handler(number, stop.set)
    broker = BenchBroker(settings.amqtt_config())
    await broker.start()
    gc.freeze()  # what was imported lives for ever: without this, every full collection walks it again
    logger.info("the bench broker listens on %s:%s", *broker.address)
    try:
        await stop.wait()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
        await broker.shutdown()
