"""The `checkpoint` file of a folder, which says which of its checkpoints is the latest.

It is a protocol buffer as text, `tensorflow/python/training/checkpoint_state.proto`.
"""

from __future__ import annotations

import re
from typing import Iterable

_LATEST, _ALL = "model_checkpoint_path", "all_model_checkpoint_paths"
# The string of a field may be in several pieces, each in single or double quotes.
_STRING = r'"(?:[^"\\\n]|\\.)*"' + "|" + r"'(?:[^'\\\n]|\\.)*'"
# Comments and strings of other fields are matched as well, so that what looks like a field
# within them is passed over.
_TOKEN = re.compile(rf"#.*|(?<!\w)({_LATEST}|{_ALL})\s*:\s*((?:(?:{_STRING})\s*)+)|{_STRING}")
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|.)", re.DOTALL)
_CHARACTERS = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_ESCAPED = {10: r"\n", 13: r"\r", 9: r"\t", 34: r"\"", 39: r"\'", 92: r"\\"}


def read_state(text: str) -> tuple[str | None, list[str]]:
    """Returns the path of the latest checkpoint, None if there is none, and those of all.

    Args:
      text: string, what the file holds.

    Example:
      >>> read_state(write_state("model.ckpt-2", ["model.ckpt-1", "model.ckpt-2"]))
      ('model.ckpt-2', ['model.ckpt-1', 'model.ckpt-2'])
    """
    latest, paths = None, []
    for name, strings in _TOKEN.findall(text):
        path = "".join(_unescape(each[1:-1]) for each in re.findall(_STRING, strings))
        if name == _LATEST:
            latest = path
        elif name == _ALL:
            paths.append(path)
    return latest, paths


def write_state(latest: str, paths: Iterable[str]) -> str:
    """Returns what the file is to hold, as TensorFlow writes it."""
    fields = [(_LATEST, latest), *((_ALL, path) for path in paths)]
    return "".join(f'{name}: "{_escape(path)}"\n' for name, path in fields)


def _escape(path):
    # What is not ASCII becomes octal digits, which every version of TensorFlow reads.
    return "".join(
        _ESCAPED.get(byte) or (chr(byte) if 32 <= byte < 127 else rf"\{byte:03o}")
        for byte in path.encode("utf-8", "surrogateescape")
    )


def _unescape(text):
    def byte(match):
        code = match.group(1).decode("latin-1")
        if code[0] in "01234567":
            return bytes([int(code, 8) & 255])
        if code[0] in "xX" and len(code) > 1:
            return bytes([int(code[1:], 16)])
        return bytes([_CHARACTERS[code]]) if code in _CHARACTERS else match.group(1)

    return _ESCAPE.sub(byte, text.encode("utf-8", "surrogateescape")).decode(
        "utf-8", "surrogateescape"
    )
