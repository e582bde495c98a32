"""The embedding's gradient is dense, and so an optimiser's step is that optimiser's step."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.layers import TokenEmbedding

SIZE, DIM = 5, 3
IDS = tf.constant([[4, 1, 4], [1, 1, 0]])  # 1 three times, 4 twice, 0 once, 2 and 3 never
UPSTREAM = tf.constant(np.random.default_rng(0).normal(size=(2, 3, DIM)), tf.float32)
TABLE = np.random.default_rng(1).normal(size=(SIZE, DIM)).astype(np.float32)


class OneHotEmbedding(keras.layers.Layer):
    """The same mathematics as one dense product."""

    def build(self, ids_shape=None):
        self.embeddings = self.add_weight(shape=(SIZE, DIM), name="embeddings")

    def call(self, ids):
        return tf.tensordot(tf.one_hot(ids, SIZE), tf.convert_to_tensor(self.embeddings), axes=1)


def table_after_steps(layer: keras.layers.Layer, optimizer: keras.optimizers.Optimizer):
    layer.build((None, None))
    layer.set_weights([TABLE])
    weight = layer.trainable_variables[0]
    for _ in range(2):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(IDS) * UPSTREAM)
        optimizer.apply([tape.gradient(loss, weight.value)], [weight])
    return weight.numpy()


def test_initial_vectors_are_large_enough_to_move_the_gates():
    layer = TokenEmbedding(200, 100)
    layer.build()
    values = layer.get_weights()[0]
    assert np.abs(values).max() <= 0.5
    assert values.std() == pytest.approx(1.0 / np.sqrt(12.0), rel=0.05)  # that of a uniform one


def test_ids_of_any_shape_become_their_rows():
    layer = TokenEmbedding(SIZE, DIM)
    layer.build()
    layer.set_weights([TABLE])
    np.testing.assert_array_equal(layer(IDS), TABLE[IDS.numpy()])
    np.testing.assert_array_equal(layer(tf.constant([3])), TABLE[[3]])
    assert layer(tf.zeros([0, 2], tf.int32)).shape == (0, 2, DIM)


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.1),
    "true norm of all gradients": lambda: keras.optimizers.SGD(0.1, global_clipnorm=0.5),
    "true norm of each gradient": lambda: keras.optimizers.SGD(0.1, clipnorm=0.5),
    "loss scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.1)),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_optimizer_steps_as_it_does_on_a_dense_product(make):
    np.testing.assert_allclose(
        table_after_steps(TokenEmbedding(SIZE, DIM), make()),
        table_after_steps(OneHotEmbedding(), make()),
        atol=1e-6,
    )


@pytest.mark.parametrize("name", ["adam", "true norm of all gradients"])
def test_the_embedding_of_keras_takes_wrong_steps(name):
    make = OPTIMIZERS[name]
    difference = table_after_steps(keras.layers.Embedding(SIZE, DIM), make()) - table_after_steps(
        OneHotEmbedding(), make()
    )
    assert np.abs(difference).max() > 1e-3


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_gradients_of_repeated_tokens_are_summed(policy):
    layer = TokenEmbedding(SIZE, DIM, dtype=policy)
    ids = tf.fill([4, 1024], 2)  # bfloat16 counts no further than 256, float16 to 2048
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.cast(layer(ids), tf.float32))
    gradient = tape.gradient(total, layer.embeddings.value)
    np.testing.assert_array_equal(gradient[2], np.full(DIM, 4096.0))
    np.testing.assert_array_equal(gradient[3], np.zeros(DIM))


@pytest.mark.parametrize("name", ["vocabulary_size", "embedding_dim"])
def test_sizes_must_be_positive_integers(name):
    arguments = {"vocabulary_size": 4, "embedding_dim": 4, name: 0}
    with pytest.raises(
        ValueError, match=f"`{name}` must be a positive integer. Received: {name}=0"
    ):
        TokenEmbedding(**arguments)


def test_embeddings_can_be_set_before_and_after_build():
    matrix = np.arange(6, dtype=np.float64).reshape(3, 2)
    layer = TokenEmbedding(3, 2)
    layer.set_embeddings(matrix)
    np.testing.assert_array_equal(layer(tf.constant([[2, 0]])), [[[4, 5], [0, 1]]])
    layer.set_embeddings(-matrix)
    np.testing.assert_array_equal(layer(tf.constant([2])), [[-4, -5]])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (
            np.zeros([2, 3]),
            r"`matrix` must have the shape .* = \(3, 2\)\. Received: shape \(2, 3\)",
        ),
        (
            [[0, 1], [2, np.nan], [4, 5]],
            r"must contain finite numbers only\. Received: \[ ?2\. nan\] in row 1",
        ),
    ],
)
def test_an_invalid_matrix_of_embeddings_is_rejected(matrix, message):
    with pytest.raises(ValueError, match=message):
        TokenEmbedding(3, 2).set_embeddings(matrix)
