"""BERT: a small one with a tied output, to whose vocabulary eight word pieces come."""

import numpy as np
import tensorflow.compat.v1 as tf
from bert import modeling, run_pretraining, tokenization
from outcome import Scores, Table, make_outcome, run_program

from tf1_embed import Rows, grow_checkpoint

# Each animal has its own colour and food; so a masked animal can be told by these.
COLOURS = "red blue green white black brown grey pink".split()
FOODS = "plums nuts corn grass figs bread rice beans".split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
SPECIAL = "[PAD] [UNK] [CLS] [SEP] [MASK]".split()
OTHERS = "on the likes wants".split()
SYLLABLES = "ba ce di fo gu la mi".split()
ANIMALS = [first + last for first in SYLLABLES for last in ["ron", "sel", "tak", "vim", "pog"]]
NEW_ANIMALS = ["na" + last for last in "bal cor dun fel gim hop jat kur".split()]

TABLES = "bert/embeddings/word_embeddings", "cls/predictions/output_bias"
OLD_STEPS, NEW_STEPS, STEPS_ON = 700, 400, 60


def run(folder):
    """Runs the programs, which read and write in `folder`; returns an `Outcome`."""
    old_words = SPECIAL + OTHERS + COLOURS + FOODS + DAYS + ANIMALS
    words = old_words + NEW_ANIMALS
    for name, animals, vocabulary in [
        ("old", ANIMALS, old_words),
        ("new", ANIMALS + NEW_ANIMALS, words),
    ]:
        _write_lines(folder / f"{name}_vocab.txt", vocabulary)
        _write_lines(folder / f"{name}_corpus.txt", _sentences(animals)[0])

    def train(program, checkpoint, data, out, steps):
        inputs = folder / f"{data}_vocab.txt", folder / f"{data}_corpus.txt"
        run_program(f"bert_{program}", checkpoint, *inputs, folder / out, steps)
        return str(folder / out / "model.ckpt")

    old = train("plain", "none", "old", "old", OLD_STEPS)
    grown = str(folder / "grown.ckpt")
    grow_checkpoint(old, [TABLES[0]], grown, num_new_rows=len(NEW_ANIMALS), also=[TABLES[1]])
    checkpoints = {
        "start": grown,
        "plain": train("plain", grown, "new", "plain", NEW_STEPS),
        "adopted": train("adopted", grown, "new", "adopted", NEW_STEPS),
    }
    checkpoints["on"] = train("plain", checkpoints["adopted"], "new", "on", STEPS_ON)
    new_rows = Rows.range(len(old_words), len(words), size=len(words))
    tables = [
        Table(
            tf.train.load_variable(old, variable),
            new_rows=new_rows,
            **{name: tf.train.load_variable(each, variable) for name, each in checkpoints.items()},
        )
        for variable in TABLES
    ]
    tokenizer = tokenization.FullTokenizer(str(folder / "new_vocab.txt"))
    _, held_out = _sentences(ANIMALS + NEW_ANIMALS)
    config = modeling.BertConfig.from_json_file(str(folder / "adopted" / "bert_config.json"))
    scores = {
        name: _accuracy(each, config, tokenizer, held_out) for name, each in checkpoints.items()
    }
    metric = "accuracy at masked new word pieces of held-out sentences"
    return make_outcome("bert", tables, metric, Scores(**scores))


def _sentences(animals):
    """Returns the sentences of these animals, those to train on and those held out.

    Of each new animal the sentences of one day, each another one, are held out.
    """
    # Spread, so that old and new animals have colours and foods in common.
    places = np.random.RandomState(0).permutation(len(COLOURS) * len(FOODS))
    train, held_out = [], []
    for number, animal in enumerate(animals):
        food, colour = divmod(places[number], len(COLOURS))
        for day_number, day in enumerate(DAYS):
            is_held_out = animal in NEW_ANIMALS and day_number == number % len(DAYS)
            (held_out if is_held_out else train).extend(
                [
                    f"on {day} the {COLOURS[colour]} {animal} likes {FOODS[food]}",
                    f"the {COLOURS[colour]} {animal} wants {FOODS[food]} on {day}",
                ]
            )
    return train, held_out


def _accuracy(checkpoint, config, tokenizer, sentences):
    """Returns how often BERT fills in the right word where it is a new animal."""
    mask, new_ids = tokenizer.vocab["[MASK]"], [tokenizer.vocab[each] for each in NEW_ANIMALS]
    lines = [["[CLS]"] + tokenizer.tokenize(each) + ["[SEP]"] for each in sentences]
    ids = np.array([tokenizer.convert_tokens_to_ids(line) for line in lines])
    is_masked = np.isin(ids, new_ids)
    answers = ids[is_masked].reshape([-1, 1])
    positions = np.nonzero(is_masked)[1].reshape([-1, 1]).astype(np.int32)
    with tf.Graph().as_default(), tf.Session() as session:
        bert = modeling.BertModel(
            config, is_training=False, input_ids=tf.constant(np.where(is_masked, mask, ids))
        )
        _, _, log_probabilities = run_pretraining.get_masked_lm_output(
            config,
            bert.get_sequence_output(),
            bert.get_embedding_table(),
            tf.constant(positions),
            tf.constant(answers),
            tf.ones(answers.shape),
        )
        tf.train.Saver().restore(session, checkpoint)
        return (session.run(log_probabilities).argmax(axis=1) == answers[:, 0]).mean()


def _write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
