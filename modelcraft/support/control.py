"""How a program leads a training that it has started: through its standard input, which every system has.

The line "stop" does what SIGTERM does, which Windows lacks. The end of the input says that the program has died.
"""

import os
import signal
import subprocess
import sys
import threading

STOP = b"stop\n"
STOPPED = 128 + signal.SIGTERM  # the exit code of a process that SIGTERM has ended


def follow_stdin() -> None:
    """Obey, from a thread, whoever holds the other end of the standard input."""
    control = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # nobody else may read from it, or wait for it
    os.close(nothing)
    threading.Thread(target=_follow, args=(control,), name="control", daemon=True).start()


def _follow(control: int) -> None:
    while os.read(control, len(STOP)):  # the one thing that is ever said
        if callable(signal.getsignal(signal.SIGTERM)):
            signal.raise_signal(signal.SIGTERM)
        else:  # Windows would end with another code
            os._exit(STOPPED)
    # Nobody is left who wants the result; when this process has ended, too, another one removes it.
    subprocess.Popen([sys.executable, "-m", "modelcraft.support.scratch"], stdin=subprocess.DEVNULL)
    os._exit(STOPPED)
