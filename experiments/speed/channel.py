"""Commands to a worker process and its answers, as JSON lines on its standard input and output.

A worker that has answered blocks on its input, so its threads are idle while another worker is measured.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any


class Worker:
    """A worker process, seen from the parent.

    Args:
        command: command line of the worker.
        environment: variables added to those of this process.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str]):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | dict(environment)
        )

    def ask(self, do: str, **arguments: Any) -> Any:
        """Sends a command and waits for its answer.

        Args:
            do: name of the command.
            arguments: JSON values.

        Raises:
            RuntimeError: the worker failed; the message is its own.
        """
        try:
            self.process.stdin.write(json.dumps({"do": do} | arguments) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"the worker ended with exit code {self.process.wait()}; its own message is above")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def close(self) -> None:
        """Ends the worker."""
        self.process.stdin.close()
        self.process.wait()


def serve(commands: Mapping[str, Callable[..., Any]]) -> None:
    """Answers commands until the input ends.

    Args:
        commands: functions by name; they take JSON values by keyword and return a JSON value.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not end up among the answers
    for line in sys.stdin:
        message = json.loads(line)
        try:
            answer = {"value": commands[message.pop("do")](**message)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
