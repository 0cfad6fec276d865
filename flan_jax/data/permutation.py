"""A keyed permutation of range(n) that is computed one element at a time, without an array of n."""

import numpy as np

ROUNDS = 6
"""Rounds of the Feistel network."""

ROUND_KEY_STEP = 0x9E3779B97F4A7C15
"""The keys of successive rounds differ by this: 2**64 divided by the golden ratio."""

MIX_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
"""The multipliers of splitmix64's finalizer."""


def permute(
    index: np.ndarray, n: np.ndarray | int, key: np.ndarray | int
) -> np.ndarray:
    """Permutes elements of range(n).

    A Feistel network permutes the numbers of the next even number of bits. A value that is not
    below n is permuted again until it is (Black and Rogaway, "Ciphers with Arbitrary Finite
    Domains", 2002, method 2). The result is the same on every platform and with every version of
    numpy, which a random generator's shuffle does not promise.

    Args:
      index: int64, the elements, 0 <= index < n.
      n: the size of the range, or int of the shape of `index`, a size for each element.
      key: what chooses the permutation, or int of the shape of `index`, a key for each element.

    Returns:
      int64 of the shape of `index`: where each element lies in its permutation.
    """
    index = np.asarray(index, np.uint64)
    n = np.asarray(n, np.uint64)
    n = np.broadcast_to(n, index.shape)
    key = np.asarray(key, np.uint64)
    key = np.broadcast_to(key, index.shape)

    sizes = np.maximum(n, 2).astype(np.float64)
    bits = np.ceil(np.log2(sizes))
    bits = np.maximum(bits, 1)
    half_bits = np.ceil(bits / 2).astype(np.uint64)

    value = _encrypt(index, half_bits, key)
    outside = np.flatnonzero(value >= n)
    while outside.size:
        value[outside] = _encrypt(value[outside], half_bits[outside], key[outside])
        still_outside = value[outside] >= n[outside]
        outside = outside[still_outside]
    return value.astype(np.int64)


def _encrypt(value: np.ndarray, half_bits: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Permutes the numbers of 2 * half_bits bits with a Feistel network.

    Args:
      value: uint64.
      half_bits: uint64 of the same shape.
      key: uint64 of the same shape.
    """
    one = np.uint64(1)
    mask = (one << half_bits) - one
    left = value >> half_bits
    right = value & mask
    for number in range(ROUNDS):
        round_key = np.uint64(number * ROUND_KEY_STEP % 2**64)
        hashed = mix(right + key + round_key)
        next_right = left ^ (hashed & mask)
        left = right
        right = next_right
    shifted_left = left << half_bits
    return shifted_left | right


def mix(x: np.ndarray) -> np.ndarray:
    """Hashes 64-bit numbers with the finalizer of splitmix64 (Steele et al., 2014).

    Args:
      x: uint64.

    Returns:
      uint64 of the same shape.
    """
    x = np.asarray(x, np.uint64)
    x = x ^ (x >> 30)
    x = x * MIX_FACTORS[0]
    x = x ^ (x >> 27)
    x = x * MIX_FACTORS[1]
    return x ^ (x >> 31)
