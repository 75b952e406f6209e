"""A worker's training of the new rows, up to a global step that all workers share."""

import os

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed
from examples.knowledge_graph.model import initializer
from examples.parameter_server.model import SampledLinkPredictor


def train(task, triples, num_relations, options):
    """Trains the new rows, with the other workers, until `options.steps` steps are done.

    Args:
      task: a `Task` that is a worker.
      triples: int `[triples, 3]`, those to train on.
      num_relations: int.
      options: as `main.parse_options` returns them.
    """
    # The chief writes a first checkpoint as soon as it has a session.
    resumes = tf.train.latest_checkpoint(options.out) is not None
    with tf.Graph().as_default():
        tf.set_random_seed(task.index)
        with tf.device(task.device_setter()):
            entities, model, optimizer, train_op = _build(task, num_relations, options)
        # Sharded: each server writes and reads its own partitions.
        scaffold = tf.train.Scaffold(saver=tf.train.Saver(sharded=True))
        hooks = [tf.train.StopAtStepHook(last_step=options.steps)]
        if task.is_chief:
            hooks += _chief_hooks(entities, scaffold, options)
            creator = tf.train.ChiefSessionCreator(
                scaffold, task.target, task.session_config, options.out
            )
        else:
            creator = _WorkerSessionCreator(scaffold, task)
        if options.sync:
            # No tokens to begin with, else one worker may take most steps. But those that a killed
            # chief held are lost, and all would wait for them. The last hook, since it begins to
            # apply what workers have sent.
            tokens = task.num_workers if resumes else 0
            hooks.append(optimizer.make_session_run_hook(task.is_chief, num_tokens=tokens))
        random = np.random.RandomState(task.index)
        steps = 0
        with tf.train.MonitoredSession(creator, hooks, stop_grace_period_secs=3) as session:
            task.say("training")
            while not session.should_stop():
                batch = triples[random.randint(0, len(triples), options.batch_size)]
                session.run(train_op, {model.triples: batch})
                steps += 1
        task.say(f"took {steps} steps")


def _build(task, num_relations, options):
    global_step = tf.train.get_or_create_global_step()
    entities = tf1_embed.get_grown_table(
        "entities",
        num_new_rows=options.new_entities,
        checkpoint=options.base,
        initializer=initializer(),
        partitioner=tf.fixed_size_partitioner(task.num_servers),
        # The ids stay in order, so that a model without partitions opens the merged table.
        partition_strategy="div",
    )
    model = SampledLinkPredictor(entities, num_relations, options.candidates)
    tf.train.init_from_checkpoint(options.base, {"relations": model.relation_table})
    optimizer = tf.train.AdamOptimizer(options.learning_rate)
    if options.sync:
        optimizer = tf.train.SyncReplicasOptimizer(optimizer, task.num_workers, task.num_workers)
    # Without `var_list` the relations would train too.
    train_op = optimizer.minimize(model.loss, global_step, var_list=list(entities.trainable))
    return entities, model, optimizer, train_op


def _chief_hooks(entities, scaffold, options):
    return [
        # The old rows are those of the base model, also after a restart, or training stops.
        tf1_embed.FrozenRowsHook(
            entities,
            expected=options.base,
            certificate=os.path.join(options.out, "model.ckpt"),
            partition_strategy=entities.partition_strategy,
        ),
        tf.train.CheckpointSaverHook(options.out, save_steps=options.save_steps, scaffold=scaffold),
    ]


class _WorkerSessionCreator(tf.train.SessionCreator):
    """As `tf.train.WorkerSessionCreator`, which looks for the chief only every 30 seconds."""

    def __init__(self, scaffold, task):
        self._scaffold, self._task = scaffold, task

    def create_session(self):
        scaffold = self._scaffold.finalize()
        manager = tf.train.SessionManager(
            local_init_op=scaffold.local_init_op,
            ready_op=scaffold.ready_op,
            ready_for_local_init_op=scaffold.ready_for_local_init_op,
            recovery_wait_secs=1,
        )
        return manager.wait_for_session(self._task.target, self._task.session_config)
