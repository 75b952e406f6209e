"""What --initializer and --fallback mean: values of new rows, some of them out of files."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any, Callable

from tf1_embed.commands import options, row_options
from tf1_embed.commands.paths import Input

if TYPE_CHECKING:
    from tf1_embed.vocabulary import IdMap

_PLAIN = ("zeros", "glorot_normal", "mean", "mean_and_covariance", "constant:NUMBER", "copy_of:ID")
_DRAWN = ("glorot_normal", "mean_and_covariance")
_OTHERS = ("a .npy file", "vectors:FILE", "donor:FILE", "parts:FILE")
# Read from a file that knows something of each new row.
_KINDS = ("vectors", "donor", "parts")


class Initializer(Input):
    """What --initializer says, which may be a file."""

    def files(self) -> list[str]:
        """Returns the file that is read, if there is one."""
        kind, path = _split(_named(self)[2])
        return Input(path).files() if kind in _KINDS or kind == "npy" else []


def add_to(parser: argparse.ArgumentParser) -> None:
    """Adds --initializer and what belongs to it."""
    parser.add_argument(
        "--initializer",
        metavar="[NAME=]INIT",
        type=Initializer,
        action="append",
        default=[],
        help="values of new rows: zeros, glorot_normal (default), mean, mean_and_covariance, "
        "constant:NUMBER, copy_of:ID, a .npy file with the rows, vectors:FILE (their tokens' own "
        "vectors), donor:FILE (the same of another space, by the tokens that both have) or "
        "parts:FILE (a token and its parts a line: the mean of the parts); with NAME= of one "
        "variable",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of an --initializer that draws values (default: 0)"
    )
    parser.add_argument(
        "--fallback",
        metavar="INIT",
        help="values of new rows that vectors:, donor: or parts:FILE has nothing for, one of the "
        "first six (default: an error)",
    )
    parser.add_argument(
        "--vectors-vocab",
        metavar="FILE",
        type=Input,
        help="the tokens of the vectors of vectors: or donor:FILE.npy, one a line",
    )
    options.add_vectors(parser)


class Initializers:
    """The initializers that a command line gives.

    Attributes:
      value: what `grow_checkpoint` takes: an initializer, a dict of them by name, or None.
    """

    value: Any

    def __init__(
        self,
        arguments: argparse.Namespace,
        id_map: Callable[[], IdMap],
    ) -> None:
        """Takes the arguments and what makes the map of the ids, for files that need it."""
        self._arguments, self._id_map = arguments, id_map
        self._by_name: dict = {}
        kinds = [_split(_named(text)[2])[0] for text in arguments.initializer]
        self._check_needed(kinds)
        for text in arguments.initializer:
            name, equals, initializer = _named(text)
            if (name if equals else None) in self._by_name:
                raise ValueError(f"--initializer is given twice{' for ' + name if name else ''}")
            self._by_name[name if equals else None] = initializer, self._read(initializer)
        if None in self._by_name and len(self._by_name) > 1:
            raise ValueError("give one --initializer for all, or NAME=INIT for each variable")
        made = {name: each for name, (_, each) in self._by_name.items()}
        self.value = made.get(None) if None in made or not made else made

    def coverage(self) -> list[dict]:
        """Returns of how many new rows each file knew something, a dict for each of them."""
        return [
            dict(each.coverage()._asdict(), variable=name, initializer=text)
            for name, (text, each) in self._by_name.items()
            if hasattr(each, "coverage")
        ]

    def _check_needed(self, kinds):
        arguments = self._arguments
        if arguments.fallback is not None and not set(kinds) & set(_KINDS):
            raise ValueError(
                "--fallback needs --initializer vectors:FILE, donor:FILE or parts:FILE, which may "
                "have nothing for some new rows"
            )
        if arguments.seed != arguments.parser.get_default("seed") and not any(
            each in _DRAWN for each in (*kinds, arguments.fallback)
        ):
            raise ValueError(
                f"--seed is for an --initializer or a --fallback that draws values: "
                f"{' or '.join(_DRAWN)}"
            )
        for option in ("vectors_vocab", *options.VECTORS):
            given = getattr(arguments, option)
            if given != arguments.parser.get_default(option) and not set(kinds) & set(_KINDS[:2]):
                raise ValueError(
                    f"{arguments.spellings[option]} is for --initializer vectors:FILE or donor:FILE"
                )

    def _read(self, text):
        import numpy as np

        from tf1_embed import initializers

        kind, path = _split(text)
        if kind == "npy":
            try:
                return np.load(path, allow_pickle=False)
            except (ValueError, EOFError) as error:
                # It speaks of pickles and of arguments of `np.load`.
                raise ValueError(
                    f"--initializer {path} is no .npy file of numbers, or is damaged; save the new "
                    f"rows with np.save"
                ) from error
        if kind not in _KINDS:
            return self._plain(text, "--initializer", _OTHERS)
        fallback = self._arguments.fallback
        if fallback is not None:
            fallback = self._plain(fallback, "--fallback")
        if kind == "parts":
            parts, tokens = self._parts(path)
            return initializers.mean_of(parts, fallback=fallback, tokens=tokens)
        old_tokens, new_tokens = self._tokens(kind)
        how = {name: getattr(self._arguments, name) for name in options.VECTORS}
        vocabulary = self._arguments.vectors_vocab
        if vocabulary is not None:
            vocabulary = row_options.tokens(self._arguments, vocabulary)
        if kind == "vectors":
            return initializers.from_vectors(path, new_tokens, vocabulary, fallback, **how)
        return initializers.from_donor(
            path,
            new_tokens,
            old_tokens,
            vocabulary,
            reserved=row_options.reserved(self._arguments),
            fallback=fallback,
            **how,
        )

    def _plain(self, text, option, others=()):
        from tf1_embed import initializers

        kind, _, argument = text.partition(":")
        try:
            if kind in ("zeros", "mean") and not argument:
                return getattr(initializers, kind)()
            if kind in ("glorot_normal", "mean_and_covariance") and not argument:
                return getattr(initializers, kind)(seed=self._arguments.seed)
            if kind == "constant":
                return initializers.constant(float(argument))
            if kind == "copy_of":
                return initializers.copy_of(int(argument))
        except ValueError:
            pass
        known = [*_PLAIN, *others]
        raise ValueError(f"{option} must be {', '.join(known[:-1])} or {known[-1]}; got {text!r}")

    def _tokens(self, kind):
        """Returns the tokens of the old rows, and those of the new rows."""
        arguments = self._arguments
        if arguments.new_vocab is None or arguments.old_vocab is None:
            raise ValueError(
                f"--initializer {kind}:FILE needs --old-vocab and --new-vocab, the tokens of the "
                f"table's rows, in the place of --rows"
            )
        from tf1_embed.rows import ids_of

        old_tokens = row_options.tokens(arguments, arguments.old_vocab)
        new_tokens = row_options.tokens(arguments, arguments.new_vocab)
        first = row_options.reserved(arguments).first
        ids = (ids_of(each).tolist() for each in self._id_map().new_rows.chunks(1 << 20))
        return old_tokens, [new_tokens[each - first] for chunk in ids for each in chunk]

    def _parts(self, path):
        """Returns the parts of each new row, and its token; ids, without a vocabulary."""
        from tf1_embed.vocabulary import read_parts

        ids = self._id_map()
        num_old_rows, num_new_rows = ids.num_old_rows, ids.new_rows.count
        if self._arguments.new_vocab is not None:
            old_tokens, new_tokens = self._tokens("parts")
            first = row_options.reserved(self._arguments).first
            id_of = {token: first + place for place, token in enumerate(old_tokens)}
            id_of.update((token, num_old_rows + at) for at, token in enumerate(new_tokens))
            return read_parts(path, id_of.get, num_old_rows, num_new_rows), new_tokens

        def id_of_number(text):
            if not re.match(r"[0-9]{1,18}\Z", text) or int(text) >= ids.num_rows:
                return None
            (old_id,) = ids.old_ids([int(text)]).tolist()
            if old_id >= 0:
                return old_id
            return num_old_rows + int(ids.new_rows.position([int(text)])[0])

        try:
            return read_parts(path, id_of_number, num_old_rows, num_new_rows), None
        except ValueError as error:
            raise ValueError(
                f"{error} (without --new-vocab, tokens are ids of the grown table, 0 to "
                f"{ids.num_rows - 1})"
            ) from None


def _named(text):
    """Returns (name, "=", initializer), or ("", "", initializer); files may have "=" in them."""
    name, equals, rest = text.partition("=")
    is_named = equals and _split(name)[0] not in _KINDS
    return (name, equals, rest) if is_named else ("", "", text)


def _split(text):
    """Returns the kind of an initializer, and the file or what else is told after the colon."""
    kind, _, rest = text.partition(":")
    if kind not in _KINDS and text.endswith(".npy"):
        return "npy", text
    return kind, rest
