# SPDX-License-Identifier: MIT
"""Mezzo's random numbers in numpy, so that a golden's data and parameters need a seed instead of a file.

The definition is the one of <mezzo/ops.h>, section "random": element i takes word i % 4 of the
Philox 4x32-10 block whose counter is (i / 4, stream), under the key seed.
Run as a program, it checks itself against the known answers of the generator's authors.
"""
import numpy as np

_ROUNDS = 10
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)

# (counter, key, words), from the authors' kat_vectors for philox4x32 with 10 rounds.
_KNOWN_ANSWERS = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
)


def blocks(counters, key):
    """Words [n, 4] of the blocks with counters [n, 4] under a key of two words, all as uint64."""
    c0, c1, c2, c3 = (counters[:, i].astype(np.uint64) for i in range(4))
    for round_ in range(_ROUNDS):
        k0, k1 = (np.uint64((key[i] + round_ * _WEYL[i]) & 0xFFFFFFFF) for i in range(2))
        product0, product1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = ((product1 >> _HALF) ^ c1 ^ k0, product1 & _MASK,
                          (product0 >> _HALF) ^ c3 ^ k1, product0 & _MASK)
    return np.stack([c0, c1, c2, c3], axis=1)


def words(count, seed, stream):
    """The first `count` words of a draw."""
    index = np.arange((count + 3) // 4, dtype=np.uint64)
    ones = np.ones_like(index)
    counters = np.stack([index & _MASK, index >> _HALF,
                         ones * np.uint64(stream & 0xFFFFFFFF), ones * np.uint64(stream >> 32)], axis=1)
    return blocks(counters, (seed & 0xFFFFFFFF, seed >> 32)).reshape(-1)[:count]


def uniform(count, seed, stream):
    """What mezzo_random_uniform() writes to an f32 tensor for [0, 1): multiples of 2^-24, here as f64."""
    return (words(count, seed, stream) >> np.uint64(8)).astype(np.float64) * 2.0 ** -24


def check():
    """Raises when the generator does not give its authors' known answers."""
    for counter, key, expected in _KNOWN_ANSWERS:
        got = tuple(int(word) for word in blocks(np.array([counter], dtype=np.uint64), key)[0])
        if got != expected:
            raise AssertionError(f"philox: counter {counter} under key {key} gives {got}, expected {expected}")


if __name__ == "__main__":
    check()
    print(f"philox: {len(_KNOWN_ANSWERS)} known answers reproduced")
