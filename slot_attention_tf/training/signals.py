"""Stopping a run on request, with its state saved."""

import contextlib
import signal
import threading


class StopSignals(contextlib.AbstractContextManager):
    """Notes SIGTERM and SIGINT instead of dying of them; a second one stops at once.

    Attributes:
        received: Name of the signal, such as `"SIGTERM"`, or None.
    """

    def __init__(self):
        self.received = None
        self._previous = {}

    def __enter__(self):
        # Python lets only the main thread handle signals.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception):
        self._restore()

    def _note(self, number, frame):
        self.received = signal.Signals(number).name
        print(f"\n{self.received}: saving, then stopping.", flush=True)
        self._restore()

    def _restore(self):
        while self._previous:
            signal.signal(*self._previous.popitem())
