"""Delivery to a reader that may be slow, stuck or gone."""

from __future__ import annotations

import threading

from hart_salt.base.outbox import Outbox


class Recipient:
    """A reader that takes items when it may."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.began = threading.Event()
        self.may = threading.Event()
        self.finished = threading.Event()

    def take(self, thing: int) -> None:
        self.began.set()
        self.may.wait()
        if thing < 0:
            raise OSError(32, "gone")
        self.taken.append(thing)


def test_items_are_delivered_in_order_and_the_end_comes_last() -> None:
    recipient = Recipient()
    recipient.may.set()
    outbox = Outbox(recipient.take, lambda: recipient.taken.append(99))
    for number in range(50):
        outbox.put(number)
    assert outbox.close(60, 60)
    assert recipient.taken == [*range(50), 99]


def test_an_item_that_fails_is_dropped_and_the_rest_is_delivered() -> None:
    recipient = Recipient()
    recipient.may.set()
    outbox = Outbox(recipient.take, recipient.finished.set)
    for thing in (1, -1, 2):
        outbox.put(thing)
    assert outbox.close(60, 60)
    assert (recipient.taken, recipient.finished.is_set()) == ([1, 2], True)


def test_a_reader_that_takes_nothing_delays_nothing_and_items_without_room_are_dropped() -> None:
    recipient = Recipient()
    outbox = Outbox(recipient.take, recipient.finished.set, limit=3)
    outbox.put(0)
    recipient.began.wait()
    for number in range(1, 100):
        outbox.put(number)
    assert not outbox.close(0, 60)
    assert recipient.taken == []
    recipient.may.set()
    recipient.finished.wait()
    assert recipient.taken == [0, 1, 2, 3]


def test_a_slow_reader_is_waited_for_but_not_forever() -> None:
    recipient = Recipient()
    outbox = Outbox(recipient.take)
    outbox.put(0)
    recipient.began.wait()
    assert not outbox.close(60, 0)
    recipient.may.set()
