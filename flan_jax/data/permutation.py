"""A keyed permutation of range(n) that is computed one element at a time, without an array of n."""

import numpy as np

ROUNDS = 6


def permute(
    index: np.ndarray, n: np.ndarray | int, key: np.ndarray | int
) -> np.ndarray:
    """Where each `index` (int64, 0 <= index < n) lies in the permutation of range(n) chosen by `key`.

    `n` and `key` may be arrays, one permutation an element. A Feistel network over the next even number of bits, walked
    until the value falls below n (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002, method 2). It is the
    same on every platform and with every version of numpy, which a random generator's shuffle does not promise.
    """
    index = np.asarray(index, np.uint64)
    n = np.broadcast_to(np.asarray(n, np.uint64), index.shape)
    key = np.broadcast_to(np.asarray(key, np.uint64), index.shape)
    bits = np.maximum(np.ceil(np.log2(np.maximum(n, 2).astype(np.float64))), 1)
    half = np.ceil(bits / 2).astype(np.uint64)
    value = _encrypt(index, half, key)
    outside = np.flatnonzero(value >= n)
    while outside.size:
        value[outside] = _encrypt(value[outside], half[outside], key[outside])
        outside = outside[value[outside] >= n[outside]]
    return value.astype(np.int64)


def _encrypt(value: np.ndarray, half: np.ndarray, key: np.ndarray) -> np.ndarray:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = value >> half, value & mask
    for i in range(ROUNDS):
        left, right = (
            right,
            left
            ^ (
                mix(
                    right
                    + key
                    + np.uint64((i * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
                )
                & mask
            ),
        )
    return (left << half) | right


def mix(x: np.ndarray) -> np.ndarray:
    """The splitmix64 finaliser (Steele et al., 2014): uint64 in, well-mixed uint64 out."""
    x = np.asarray(x, np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
