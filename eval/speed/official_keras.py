"""The published topology in Keras 2, for timing it the way its authors run it.

Needs `tensorflow` and `tf_keras`, which this project doesn't install.
"""

from __future__ import annotations

from typing import Any


def build(size: int = 224) -> Any:
    """The untrained network: (B, size, size, 3) -> [ab (B, size, size, 2), classes (B, 1000)]."""
    import tf_keras  # type: ignore[import-not-found, unused-ignore]

    layers: Any = tf_keras.layers
    image = x = tf_keras.Input((size, size, 3))
    for number, widths in enumerate(((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3)):
        for width in widths:
            x = _conv(layers, x, width)
        x = layers.MaxPooling2D()(x) if number < 3 else x
    trunk = top = x
    for stride in (2, 1, 2, 1):
        top = _conv_norm(layers, top, 512, stride)
    vector, classes = layers.Flatten()(top), layers.Flatten()(top)
    for units in (1024, 512, 256):
        vector = layers.Dense(units)(vector)
    for units in (4096, 4096):
        classes = layers.Dense(units)(classes)
    classes = layers.Dense(1000, activation="softmax")(classes)
    side = size // 8
    vector = layers.Reshape((side, side, 256))(layers.RepeatVector(side * side)(vector))
    mid = _conv_norm(layers, _conv_norm(layers, trunk, 512), 256)
    x = _conv(layers, layers.Concatenate()([mid, vector]), 256, kernel=1)
    x = layers.UpSampling2D()(_conv(layers, x, 128))
    x = layers.UpSampling2D()(_conv(layers, _conv(layers, x, 64), 64))
    x = layers.Conv2D(2, 3, padding="same", activation="sigmoid")(_conv(layers, x, 32))
    return tf_keras.Model(image, [layers.UpSampling2D()(x), classes])


def _conv(layers: Any, x: Any, filters: int, *, kernel: int = 3, stride: int = 1) -> Any:
    conv = layers.Conv2D(filters, kernel, strides=stride, padding="same", activation="relu")
    return conv(x)


def _conv_norm(layers: Any, x: Any, filters: int, stride: int = 1) -> Any:
    return layers.BatchNormalization()(_conv(layers, x, filters, stride=stride))
