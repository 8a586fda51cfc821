"""Let the program that started a training control it through standard input, which every system has.

The line "stop" does what SIGTERM does, which Windows lacks. The end of the input means that the program has died.
"""

import os
import signal
import subprocess
import sys
import threading

STOP = b"stop\n"
STOPPED = 128 + signal.SIGTERM  # the exit code of a process ended by SIGTERM


def follow_stdin() -> None:
    """Obey, in a thread, the program at the other end of standard input."""
    control = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # nothing else may read from it or wait for it
    os.close(nothing)
    threading.Thread(target=_follow, args=(control,), name="control", daemon=True).start()


def _follow(control: int) -> None:
    while os.read(control, len(STOP)):  # "stop" is the only command
        if callable(signal.getsignal(signal.SIGTERM)):
            signal.raise_signal(signal.SIGTERM)
        else:  # Windows would exit with another code
            os._exit(STOPPED)
    # Nobody needs the result any more; another process removes it after this one has ended.
    subprocess.Popen([sys.executable, "-m", "modelcraft.support.scratch"], stdin=subprocess.DEVNULL)
    os._exit(STOPPED)
