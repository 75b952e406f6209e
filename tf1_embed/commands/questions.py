"""Questions at a terminal, about what only the user can decide."""

from __future__ import annotations

import sys

from tf1_embed.commands import output


def at_terminal() -> bool:
    """Tells whether there is somebody to ask."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask(facts: str, question: str, *answers: str) -> str:
    """Asks a question; returns one of the answers.

    Args:
      facts: a line, what the user should know first.
      question: what is asked.
      answers: what may be answered, or begun; the first one with a capital letter is what an empty
        line means.

    Raises:
      ValueError: if the input ended, or the answer is none of these.
    """
    output.warn(facts)
    output.warn(f"{question} [{'/'.join(answers)}] ", end="")
    line = sys.stdin.readline()
    if not line:
        raise ValueError("no answer: the input ended; nothing was written")
    given = line.strip().lower()
    found = [each for each in answers if not given and each[0].isupper()]
    if given:
        known = {each: each.lower() for each in answers}
        # "f" is enough for "from-grown", and "yes" is "y".
        found = [
            each for each, text in known.items() if text.startswith(given) or given.startswith(text)
        ]
    if len(found) != 1:
        raise ValueError(
            f"the answer must be {' or '.join(answers)}, got {given!r}; nothing was written"
        )
    return found[0].lower()
