"""Read the configuration that shallop put in force, follow it, and say whether it is well. Python 3.8, nothing else.

``read`` opens ``current`` once and takes every file from there, so the files are of one deployment, whatever happens
meanwhile. ``follow`` does that again each time another deployment comes into sight, and tells the agent.
"""

import argparse
import http.client
import json
import os
import socket
import stat
import sys
import time

POLL_S = 1.0
"""While there is no door, the link is looked at so often."""
SILENCE_S = 60.0
"""The door says something every 15 seconds; after so much silence the connection is dead."""


class Deployment:
    """The files of one deployment: ``id``, and ``files`` by their paths."""

    def __init__(self, id, files):
        self.id = id
        self.files = files


class Door(http.client.HTTPConnection):
    """HTTP over the agent's Unix socket."""

    def __init__(self, path, timeout):
        super().__init__("robot", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def read(root):
    """The deployment in sight; None if there is none.

    The path ``current/…`` would be looked up anew for each file, and lead into another deployment from one file to
    the next. A directory that is open stays the one that it was.
    """
    while True:
        try:
            directory = os.open(os.path.join(root, "current"), os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return None
        try:
            tree = _tree(directory)
            found = Deployment(tree.partition(".")[0], dict(_files(directory, "")))
            if _tree(directory) == tree and not tree.startswith("."):
                return found
        except FileNotFoundError:
            pass
        finally:
            os.close(directory)
        # It was taken off the robot while it was read, for which it loses its name first. Another one is in sight.


def _tree(directory):
    return os.path.basename(os.readlink(f"/proc/self/fd/{directory}"))


def _files(directory, prefix):
    for name in sorted(os.listdir(directory)):
        entry = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        try:
            mode = os.fstat(entry).st_mode
            if stat.S_ISDIR(mode):
                yield from _files(entry, f"{prefix}{name}/")
            elif stat.S_ISREG(mode):
                with os.fdopen(os.dup(entry), "rb") as file:
                    yield prefix + name, file.read()
        finally:
            os.close(entry)


def changes(root, door):
    """Says ``None`` each time that there may be another deployment in sight, and at once to begin with.

    The door tells when to look, and costs nothing while nothing happens. It does not tell what is there: between an
    event and its reader that may have changed again, and an agent that is down tells nothing. The link is the truth,
    so it is looked at after each event, and every second while there is no door.
    """
    seen = ""
    for _ in _looks(door):
        try:
            now = os.readlink(os.path.join(root, "current"))
        except FileNotFoundError:
            now = None
        if now != seen:
            seen = now
            yield None


def _looks(door):
    while True:
        connection = Door(door, SILENCE_S)
        try:
            connection.request("GET", "/v1/events")
            answer = connection.getresponse()
            if answer.status == 200:
                # The first event is a snapshot, so nothing is missed between the last look and this connection.
                for line in answer:
                    if line.startswith((b"event: snapshot", b"event: deployment")):
                        yield None
        except (OSError, http.client.HTTPException):
            pass  # no agent, or it ended: its configuration is in force all the same
        finally:
            connection.close()
        yield None
        time.sleep(POLL_S)


def acknowledge(door, name, deployment, wrong=None):
    """Says that a deployment is well, or what is wrong with it. True if the agent took the word.

    The agent comes to what is said after it has finished the step that it is at, so a word cannot come too early.
    """
    word = {"name": name, "deployment": deployment, "ok": wrong is None, "message": wrong or ""}
    connection = Door(door, 15.0)
    try:
        connection.request("POST", "/v1/acks", json.dumps(word).encode())
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def follow(root, door, name, take):
    """Has each deployment taken up that comes into sight, and tells the agent what came of it. Does not end.

    Args:
        name: who acknowledges; None for nobody.
        take: is called with a Deployment, or None if there is none. ValueError: it cannot be used, and why.
    """
    for _ in changes(root, door):
        deployment = read(root)
        wrong = None
        try:
            take(deployment)
        except ValueError as error:
            wrong = str(error)
        if name and deployment:
            acknowledge(door, name, deployment.id, wrong)


def show(deployment):
    """Prints what is in a deployment. A JSON file that is none makes it unusable."""
    if deployment is None:
        print("nothing is in force", flush=True)
        return
    print(f"{deployment.id}: {len(deployment.files)} files", flush=True)
    for path, data in deployment.files.items():
        print(f"  {path}  {len(data)} bytes", flush=True)
        if path.endswith(".json"):
            try:
                json.loads(data)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None


def main():
    """The command."""
    parser = argparse.ArgumentParser(description="Print the configuration in force each time that it changes.")
    parser.add_argument("--root", required=True, help="the configuration root, in which current is")
    parser.add_argument("--door", required=True, help="the agent's socket")
    parser.add_argument("--ack", metavar="NAME", help="acknowledge each deployment under this name")
    chosen = parser.parse_args()
    try:
        follow(chosen.root, chosen.door, chosen.ack, show)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
