"""Does what a service manager does for socket activation: opens sockets, and starts a program that inherits them.

    activate.py NAME=PATH [NAME=PATH …] -- PROGRAM ARGUMENT…

Starts the program again whenever it is told SIGHUP; ends it and itself on SIGTERM. The sockets stay open all the while.
"""

import os
import signal
import socket
import sys

separator = sys.argv.index("--")
named = [argument.split("=", 1) for argument in sys.argv[1:separator]]
command = sys.argv[separator + 1 :]
sockets = []
for _, path in named:
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    one.bind(path)
    os.chmod(path, 0o666)
    one.listen(1024)
    sockets.append(one)


def start() -> int:
    child = os.fork()
    if child:
        return child
    # Out of the way first, so that no descriptor is overwritten before it is copied.
    high = [os.dup2(one.fileno(), 100 + index) for index, one in enumerate(sockets)]
    for index, descriptor in enumerate(high):
        os.dup2(descriptor, 3 + index, inheritable=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD})
    names = ":".join(name for name, _ in named)
    announced = {"LISTEN_FDS": str(len(named)), "LISTEN_FDNAMES": names, "LISTEN_PID": str(os.getpid())}
    os.execvpe(command[0], command, {**os.environ, **announced})


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD})
child = start()
while True:
    told = signal.sigwait({signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD})
    if told == signal.SIGCHLD:
        if os.waitpid(child, os.WNOHANG)[0]:
            sys.exit("the program ended by itself")
        continue
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
    if told == signal.SIGTERM:
        sys.exit(0)
    child = start()
