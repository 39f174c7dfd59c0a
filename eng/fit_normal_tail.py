#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the coefficients of native/src/core/error_function.h. Needs mpmath.

With F the distribution function of the normal distribution, F(-a) exp(a^2 / 2) (2.75 + a) is a smooth function of
q = (4 - a) / (2.75 + a). It is interpolated at the Chebyshev points between the ends of q, in 60 digits, which is nearly
the best polynomial of that degree, and written in powers of q.
"""

from mpmath import cos, erfc, exp, mp, mpf, nstr, pi, polyval, sqrt

ZERO, POLE = mpf(4), mpf("2.75")
SMALLEST = mpf(1)


def scaled_tail(a):
    return exp(a * a / 2) * erfc(a / sqrt(mpf(2))) / 2


def product(a, b):
    """Of two polynomials, given by their coefficients of 1, q, q^2, ..."""
    result = [mpf(0)] * (len(a) + len(b) - 1)
    for i, factor in enumerate(a):
        for j, other in enumerate(b):
            result[i + j] += factor * other
    return result


def interpolation(function, low, high, terms):
    """Coefficients of 1, q, q^2, ... of the polynomial through Chebyshev points of [low, high]."""
    angles = [pi * (k + mpf(1) / 2) / terms for k in range(terms)]
    points = [(low + high + (high - low) * cos(angle)) / 2 for angle in angles]
    powers = [mpf(0)] * terms
    for i, point in enumerate(points):
        basis = [function(point)]
        for other in points[:i] + points[i + 1:]:
            basis = product(basis, [-other / (point - other), 1 / (point - other)])
        powers = [a + b for a, b in zip(powers, basis)]
    return powers


def fit(name, largest, terms, digits):
    def smooth(q):
        a = (ZERO - POLE * q) / (1 + q)
        return scaled_tail(a) * (POLE + a)

    low, high = [(ZERO - a) / (POLE + a) for a in (largest, SMALLEST)]
    coefficients = interpolation(smooth, low, high, terms)
    points = [low + (high - low) * k / 1000 for k in range(1001)]
    error = max(abs(polyval(coefficients[::-1], q) / smooth(q) - 1) for q in points)
    print(f"{name}: {nstr(SMALLEST)} <= a <= {nstr(largest)}, largest relative error {nstr(error, 3)}")
    for coefficient in coefficients:
        print(f"  {nstr(coefficient, digits)}")


mp.dps = 60
fit("f32", mpf("14.5"), 9, 10)
fit("f64", mpf("39"), 22, 18)
