"""Random programs of commands, each step held against a NumPy model, bit for bit."""

import collections
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.random_programs import Program

# More by the environment: RANDOM_PROGRAMS=10000.
NUM_PROGRAMS = int(os.environ.get("RANDOM_PROGRAMS", "24"))
# Those with real training in them take longer.
NUM_TRAINED = NUM_PROGRAMS // 5


@pytest.fixture(scope="module")
def commands():
    """How often each command ran in the programs of this file."""
    return collections.Counter()


@pytest.mark.parametrize("seed", range(NUM_PROGRAMS))
def test_every_command_makes_what_the_model_says(tmp_path, commands, seed):
    program = Program(seed, tmp_path)
    program.run()
    commands.update(" ".join(line.split()[1:3]) for line in program.lines)


@pytest.mark.parametrize("seed", range(NUM_TRAINED))
def test_training_in_between_moves_what_it_names_and_nothing_else(tmp_path, commands, seed):
    Program(1_000_000 + seed, tmp_path, train=train).run()


def test_programs_are_of_all_commands(commands):
    names = {name.split()[0] for name in commands}
    expected = {"grow", "shrink", "split", "merge", "repartition", "delta", "verify", "diff"}
    assert expected <= names
    assert {"delta extract", "delta apply", "delta revert"} <= set(commands)


def train(program):
    """Trains a step on some rows; or grows in a graph, trains the new rows and merges."""
    can_grow = not program.others and not program.reserved[1] and not program.state.count
    if can_grow and program.random.random() < 0.5:
        grow_in_a_graph(program)
    else:
        train_rows(program)


def make_optimizer(program):
    return (tf.train.AdagradOptimizer if program.slots.get("Adagrad") else _descent)(0.5)


_descent = tf.train.GradientDescentOptimizer


def variables_of(state, left_out=()):
    """Makes the variables of a checkpoint, in the partitions that it has; returns them by name."""
    variables = {}
    for name, values in state.arrays.items():
        if name in left_out:
            continue
        count = state.count.get(name)
        variables[name] = tf.get_variable(
            name,
            np.shape(values),
            np.asarray(values).dtype,
            initializer=tf.zeros_initializer(),
            partitioner=tf.fixed_size_partitioner(count) if count else None,
            trainable=False,
            use_resource=False,
        )
    return variables


def gradients_of(program, shape):
    """Returns numbers of which products and squares are exact."""
    return program.numpy.choice([-2.0, 2.0, 4.0], shape).astype(np.float32)


def adagrad(rows, slots, gradients):
    """Returns what a step of Adagrad makes of rows and slots; of the rows not to the last bit."""
    slots = slots + gradients * gradients
    return rows - 0.5 * gradients / np.sqrt(slots), slots


def train_rows(program):
    state = program.state
    size = state.arrays["e"].shape[0]
    ids = np.array(program.random.sample(range(size), program.random.randint(1, size)))
    gradients = gradients_of(program, [ids.size, program.dim])
    # Which of them are trainable.
    chosen = np.array(program.random.sample(list(ids), program.random.randint(1, ids.size)))
    is_wrapped = "e" not in state.count and program.random.random() < 0.5
    if not is_wrapped:
        chosen = ids
    new = state.copy()
    new.prefix = program._prefix()
    with tf.Graph().as_default(), tf.Session() as session:
        of_optimizer = ["e/Adagrad"] if program.slots.get("Adagrad") else []
        variables = variables_of(state, left_out=of_optimizer)
        optimizer = make_optimizer(program)
        if is_wrapped:
            optimizer = tf1_embed.TrainableRowsOptimizer(
                optimizer, {variables["e"]: chosen}, slots="full"
            )
        vectors = tf.nn.embedding_lookup(variables["e"], ids, state.strategy)
        loss = tf.reduce_sum(vectors * gradients)
        train_op = optimizer.minimize(loss, var_list=list(parts_of(variables["e"])))
        session.run(tf.global_variables_initializer())
        saved = {each for each in tf.global_variables() if not is_scratch(each, state)}
        saver = tf.train.Saver(sorted(saved, key=lambda each: each.name))
        saver.restore(session, state.prefix)
        session.run(train_op)
        saver.save(session, new.prefix, write_meta_graph=False)
    at = np.isin(ids, chosen)
    rows, slots = state.arrays["e"].copy(), None
    if of_optimizer:
        slots = state.arrays["e/Adagrad"].copy()
        rows[ids[at]], slots[ids[at]] = adagrad(rows[ids[at]], slots[ids[at]], gradients[at])
        new.arrays["e/Adagrad"] = slots
        stored = by_id(tf.train.load_checkpoint(new.prefix).get_tensor("e"), state)
        np.testing.assert_allclose(stored, rows, rtol=1e-5, atol=1e-6)
        # The last bit of a root is TensorFlow's; frozen rows keep all of theirs.
        rows[ids[at]] = stored[ids[at]]
    else:
        rows[ids[at]] -= np.float32(0.5) * gradients[at]
    new.arrays["e"] = rows
    program.lines.append(f"# trained {sorted(chosen.tolist())} of {ids.tolist()}: {new.prefix}")
    program.check(new)
    program._diff(state, new)
    program._verify(state, new, range(size))
    program.state = new


def parts_of(variable):
    return variable if hasattr(variable, "as_tensor") else [variable]


def is_scratch(variable, state):
    """Tells variables that are not in the checkpoint."""
    info = variable._get_save_slice_info()
    return (info.full_name if info else variable.op.name) not in state.arrays


def by_id(stored, state):
    count = state.count.get("e", 1)
    if count == 1 or state.strategy == "div":
        return stored
    order = np.concatenate([np.arange(len(stored))[part::count] for part in range(count)])
    return stored[np.argsort(order)]


def grow_in_a_graph(program):
    state, num_new = program.state, program.random.randint(1, 3)
    size = state.arrays["e"].shape[0]
    ids = np.arange(size + num_new)
    gradients = gradients_of(program, [ids.size, program.dim])
    trained = program._prefix()
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf1_embed.get_grown_table(
            "e", num_new, checkpoint=state.prefix, initializer=tf1_embed.initializers.zeros()
        )
        loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, ids) * gradients)
        train_op = make_optimizer(program).minimize(loss)
        session.run(tf.global_variables_initializer())
        session.run(train_op)
        tf.train.Saver().save(session, trained, write_meta_graph=False)
    new = state.copy()
    stored = tf.train.load_checkpoint(trained)
    rows = np.zeros([num_new, program.dim], np.float32)
    slots = np.full_like(rows, 0.1)
    if program.slots.get("Adagrad"):
        rows, slots = adagrad(rows, slots, gradients[size:])
        np.testing.assert_allclose(stored.get_tensor("e_new_rows"), rows, rtol=1e-5)
        rows = stored.get_tensor("e_new_rows")
    else:
        rows = rows - np.float32(0.5) * gradients[size:]
    new.arrays["e"] = np.concatenate([state.arrays["e"], rows])
    for kind, value in program.slots.items():
        begun = {"Adagrad": slots}.get(kind, rows if value is None else np.zeros_like(rows))
        new.arrays[f"e/{kind}"] = np.concatenate([state.arrays[f"e/{kind}"], begun])
    new.tokens = state.tokens + [program._token() for _ in range(num_new)]
    arguments = ["merge", trained, "--table", "e", "--base", state.prefix]
    arguments += ["--clocks", "keep"] if "Adam" in program.slots else []
    program.make(new, *arguments)
    program._verify(state, new, [*range(size), *[-1] * num_new])
    program.before_growth, program.state = None, new
