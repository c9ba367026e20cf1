"""Signals and cancellations: the gateway watches for this client, and sends notices."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from asynqio.brokers.contract.results import Cancellation
from asynqio.brokers.contract.signals import Signals, Topic, Watch
from asynqio.brokers.remote.connection.calls import Reply
from asynqio.brokers.remote.connection.reconnecting import ReconnectingConnection
from asynqio.brokers.remote.wire.hello import Hello
from asynqio.brokers.remote.wire.operations import OF_SESSION
from asynqio.core.task.message import TaskRef
from asynqio.errors import BrokerError, BrokerUnavailable

log = logging.getLogger("asynqio.remote")

#: Requests to cancel that wait for a slow reader; older ones are dropped.
REQUESTS_KEPT = 10_000


class RemoteWatch(Watch):
    """A watch that the gateway keeps as well."""

    def __init__(
        self, signals: Signals, topics: Iterable[Topic], on_close: Callable[[RemoteWatch], None]
    ) -> None:
        super().__init__(signals, topics)
        self._on_close: Callable[[RemoteWatch], None] | None = on_close

    def close(self) -> None:
        super().close()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close(self)


class _Subscription:
    """A set of topics that the gateway watches, for `users` watches of this client."""

    def __init__(self, number: int, topics: tuple[Topic, ...]) -> None:
        self.number = number
        self.topics = topics
        self.users = 0
        self.reply: Reply | None = None


class Notifications:
    """Publishes the notices of a gateway to the watches and readers of one event loop."""

    def __init__(self, connection: ReconnectingConnection) -> None:
        self._connection = connection
        self._signals = Signals()
        self._subscriptions: dict[tuple[Topic, ...], _Subscription] = {}
        self._by_number: dict[int, _Subscription] = {}
        self._last_number = 0
        self._readers: list[asyncio.Queue[Cancellation]] = []
        self._listening: Reply | None = None

    # --- watches ----------------------------------------------------------------------------------

    def watch(self, topics: Iterable[Topic]) -> Watch:
        """Watch these topics. Changes before the gateway watches are covered by one extra signal."""
        watch = RemoteWatch(self._signals, dict.fromkeys(topics), self._unwatch)
        if not watch.topics:
            return watch
        subscription = self._subscriptions.get(watch.topics)
        if subscription is None:
            self._last_number += 1
            subscription = _Subscription(self._last_number, watch.topics)
            self._subscriptions[watch.topics] = self._by_number[subscription.number] = subscription
            self._subscribe(subscription)
        subscription.users += 1
        return watch

    def _subscribe(self, subscription: _Subscription) -> None:
        self._connection.start()  # a watch may be the first that this event loop wants
        arguments = (subscription.number, subscription.topics)
        subscription.reply = self._connection.send(OF_SESSION["watch"], arguments).answer
        subscription.reply.add_done_callback(lambda reply: self._subscribed(subscription, reply))

    def _subscribed(self, subscription: _Subscription, reply: Reply) -> None:
        error = None if reply.cancelled() else reply.exception()
        if error is None:
            self._signals.publish(subscription.topics)
        elif not isinstance(error, BrokerUnavailable):  # after the next hello it is sent again
            log.warning(
                "the gateway does not report changes of %s: %s",
                ", ".join("/".join(topic) for topic in subscription.topics[:3]),
                error,
                extra={"event": "watch_refused", "error": str(error)},
            )

    def _unwatch(self, watch: Watch) -> None:
        subscription = self._subscriptions.get(watch.topics)
        if subscription is None:
            return
        subscription.users -= 1
        if not subscription.users:
            del self._subscriptions[watch.topics], self._by_number[subscription.number]
            self._forget(OF_SESSION["unwatch"].name, subscription.number)

    def _forget(self, operation: str, *arguments: Any) -> None:
        """Send a call whose answer nobody needs."""
        with contextlib.suppress(BrokerError):
            reply = self._connection.send(OF_SESSION[operation], arguments).answer
            reply.add_done_callback(lambda reply: reply.cancelled() or reply.exception())

    # --- what the gateway sends -------------------------------------------------------------------

    def up(self, hello: Hello) -> None:
        """The gateway said hello. Signals may have been missed, so all watches are notified."""
        for subscription in list(self._subscriptions.values()):
            if not hello.resumed or _failed(subscription.reply):
                self._subscribe(subscription)
        if self._readers and (not hello.resumed or _failed(self._listening)):
            self._listen()
        self._signals.publish_all()

    def receive(self, kind: str, values: list[Any]) -> None:
        """Handle a notice."""
        if kind == "signal":
            subscription = self._by_number.get(values[0])
            if subscription is not None:
                self._signals.publish(subscription.topics)
        elif kind == "cancellation":
            (queue, id), archive = values[0]
            request = Cancellation(TaskRef(queue, id), archive)
            for requests in self._readers:
                if requests.qsize() >= REQUESTS_KEPT:
                    requests.get_nowait()
                requests.put_nowait(request)
        elif kind == "error":
            log.error(
                "the gateway cannot read a message: %s",
                values[0],
                extra={"event": "message_refused", "error": values[0]},
            )

    # --- cancellations ----------------------------------------------------------------------------

    async def cancellations(self) -> AsyncIterator[Cancellation]:
        """See Broker.cancellations."""
        with self._reader() as requests:
            if self._listening is None or _failed(self._listening):
                self._listen()
            assert self._listening is not None
            with contextlib.suppress(BrokerUnavailable):  # after the next hello it is sent again
                await asyncio.shield(self._listening)
            while True:
                yield await requests.get()

    @contextlib.contextmanager
    def _reader(self) -> Iterator[asyncio.Queue[Cancellation]]:
        requests: asyncio.Queue[Cancellation] = asyncio.Queue()
        self._readers.append(requests)
        try:
            yield requests
        finally:
            self._readers.remove(requests)
            if not self._readers:
                self._listening = None
                self._forget("unlisten")

    def _listen(self) -> None:
        self._connection.start()
        self._listening = self._connection.send(OF_SESSION["listen"], ()).answer
        self._listening.add_done_callback(lambda reply: reply.cancelled() or reply.exception())


def _failed(reply: Reply | None) -> bool:
    """Whether the gateway did not do what it was asked for."""
    return reply is None or (reply.done() and (reply.cancelled() or reply.exception() is not None))
