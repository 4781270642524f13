"""What the programs here have in common as programs: options, failures, signals."""

import signal
import sys

from .processes import Failure


def words(text):
    """What an option's comma-separated value names."""
    return [word for word in text.split(",") if word]


def run_program(name, main):
    """Runs `main`; a failure is told in one line, under the name of the script that the user has started."""
    end_on_signals()
    try:
        main()
    except Failure as failure:
        print(f"{name}: {failure}", file=sys.stderr)
        sys.exit(1)


def end_on_signals():
    """Turns the signals that ask for an end into an exception, so that every cleanup runs."""

    def end(number, _frame):
        # The second one is not to interrupt the cleanup.
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, end)
