"""The options in docs/cli.md are those of the command; run as a program, this writes them."""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

from tf1_embed.cli import make_parser

DOCS = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
BLOCK = re.compile(r"(<!-- options of (.+?) -->\n).*?(<!-- end -->)", re.S)


def commands_of(parser, prefix=""):
    """Yields the name and the parser of each command, those of `delta` as "delta extract"."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                if any(isinstance(a, argparse._SubParsersAction) for a in each._actions):
                    yield from commands_of(each, f"{prefix}{name} ")
                else:
                    yield f"{prefix}{name}", each


# What more commands than these have, with the same words, is told once.
MOST_REPETITIONS = 2
HEAD = ["| argument | |", "|---|---|"]


def lines_of(parser):
    """Yields each option of a command, and its line in a table in Markdown."""
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or action.dest == "help":
            continue
        if not action.option_strings:
            text = action.metavar
        elif action.nargs == 0:
            text = action.option_strings[0]
        else:
            value = action.metavar or "|".join(action.choices or [action.dest.upper()])
            text = f"{action.option_strings[0]} {value}"
        needed = " Required." if action.required and action.option_strings else ""
        text = text.replace("|", "\\|")
        line = f"| `{text}` | {action.help}.{needed} |".replace("..", ".")
        yield (action.option_strings or [None])[0], line


def several(commands):
    """Returns a dict from the lines that are told once to their option."""
    lines = [each for parser in commands.values() for each in lines_of(parser)]
    count = Counter(line for option, line in lines if option is not None)
    return {line: option for option, line in lines if count[line] > MOST_REPETITIONS}


def options_of(parser, common):
    """Returns what a command takes, as a table in Markdown."""
    own = [line for _, line in lines_of(parser) if line not in common]
    rest = ", ".join(f"`{common[line]}`" for _, line in lines_of(parser) if line in common)
    lines = HEAD + own + [f"| {rest} | [as elsewhere](#options-of-several-commands) |"]
    return "\n".join(lines) + "\n"


def with_options(text):
    """Returns the page with the tables of options that the command has now."""
    commands = dict(commands_of(make_parser()))
    common = several(commands)
    options = {name: options_of(each, common) for name, each in commands.items()}
    options["several commands"] = "\n".join(HEAD + sorted(common, key=common.get)) + "\n"
    return BLOCK.sub(lambda found: found.group(1) + options[found.group(2)] + found.group(3), text)


def test_every_command_has_its_options_in_the_docs():
    text = DOCS.read_text(encoding="utf-8")
    first, *told = [found.group(2) for found in BLOCK.finditer(text)]
    assert first == "several commands"
    assert told == [name for name, _ in commands_of(make_parser())]
    assert text == with_options(text), f"run: python {Path(__file__).name}"


if __name__ == "__main__":
    DOCS.write_text(with_options(DOCS.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit()
