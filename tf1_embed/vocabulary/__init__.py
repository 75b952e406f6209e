"""Vocabularies: files of tokens and of their parts; which old row each row of a new table has."""

from tf1_embed.vocabulary.files import encode_vocabulary, read_vocabulary, write_vocabulary
from tf1_embed.vocabulary.id_map import (
    NONE_RESERVED,
    IdMap,
    Reserved,
    append_map,
    id_map,
    parse_reserved,
    remove_map,
)
from tf1_embed.vocabulary.parts import read_parts

__all__ = [
    "NONE_RESERVED",
    "IdMap",
    "Reserved",
    "append_map",
    "encode_vocabulary",
    "id_map",
    "parse_reserved",
    "read_parts",
    "read_vocabulary",
    "remove_map",
    "write_vocabulary",
]
