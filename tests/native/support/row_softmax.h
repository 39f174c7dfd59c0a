// SPDX-License-Identifier: MIT
// softmax and log_softmax, one test for both.
#pragma once

#include <mezzo/ops.h>

#include "support/every_device.h"
#include "support/oracle.h"
#include "support/status.h"
#include "support/thread_counts.h"

#include <cmath>

namespace mezzo::testing {

/// One of the two ops.
struct SoftmaxOp {
    mezzo_status (*forward)(mezzo_tensor, mezzo_tensor);
    mezzo_status (*backward)(mezzo_tensor, mezzo_tensor, mezzo_tensor);
    bool log;
};

struct SoftmaxCase {
    mezzo_dtype dtype;
    mezzo_dtype out_dtype;
    Shape shape;
    bool misaligned;
};

inline std::vector<SoftmaxCase> softmax_cases() {
    std::vector<SoftmaxCase> cases;
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : {Shape{}, Shape{3}, Shape{9, 5}, Shape{2, 3, 33}, Shape{2, 1023}, Shape{2, 1028},
                                   Shape{1, 4096}, Shape{1, 5000}}) {
            cases.push_back({dtype, dtype, shape, shape.size() == 2});
            cases.push_back({dtype, arithmetic_of(dtype), shape, false});
        }
    }
    return cases;
}

/// Forward and backward of random numbers between -8 and 8.
struct SoftmaxRun {
    SoftmaxRun(const SoftmaxOp &op, const SoftmaxCase &c) {
        const int64_t elements = elements_of(c.shape);
        const auto make = [&](mezzo_dtype dtype, uint64_t seed, double bound) {
            const std::vector<double> values = random_values(elements, seed, -bound, bound);
            return c.misaligned ? TestTensor::misaligned(dtype, c.shape, values) : TestTensor(dtype, c.shape, values);
        };
        input = make(c.dtype, 1, 8);
        gradient = make(c.out_dtype, 2, 1);
        out = make(c.out_dtype, 3, 1);
        grad_input = make(c.dtype, 4, 1);
        EXPECT_OK(op.forward(out, input));
        EXPECT_OK(op.backward(grad_input, gradient, out));
    }

    TestTensor input, gradient, out, grad_input;
};

inline void expect_softmax(const SoftmaxOp &op, const SoftmaxCase &c) {
    const SoftmaxRun run(op, c);
    const std::vector<double> x = run.input.values();
    const std::vector<double> gradients = run.gradient.values();
    const std::vector<double> outputs = run.out.values(); // the backward starts from what was stored
    Expected out{x, x};
    Expected grad_input{x, x};
    const size_t width = c.shape.empty() ? 1 : static_cast<size_t>(c.shape.back());
    for (size_t begin = 0; begin < x.size(); begin += width) {
        double largest = -INFINITY;
        double sum = 0;
        double gradient_sum = 0;
        double magnitude = 0;
        for (size_t i = begin; i < begin + width; ++i) largest = std::max(largest, x[i]);
        for (size_t i = begin; i < begin + width; ++i) sum += std::exp(x[i] - largest);
        for (size_t i = begin; i < begin + width; ++i) {
            gradient_sum += gradients[i] * (op.log ? 1 : outputs[i]);
            magnitude += std::abs(gradients[i]) * (op.log ? 1 : outputs[i]);
        }
        for (size_t i = begin; i < begin + width; ++i) {
            const double below = x[i] - largest;
            // A relative error of the sum is an absolute one of its logarithm, an error of the difference a relative
            // one of the exponential.
            out.values[i] = op.log ? below - std::log(sum) : std::exp(below) / sum;
            out.magnitudes[i] = op.log ? std::abs(below) + std::log(sum) + 1 : out.values[i] * (1 + std::abs(below));
            const double p = op.log ? std::exp(outputs[i]) : outputs[i];
            grad_input.values[i] = op.log ? gradients[i] - p * gradient_sum : p * (gradients[i] - gradient_sum);
            grad_input.magnitudes[i] =
                op.log ? std::abs(gradients[i]) + p * magnitude : p * (std::abs(gradients[i]) + magnitude);
        }
    }
    const mezzo_dtype arithmetic = arithmetic_of(c.dtype);
    const int64_t sums = arithmetic == MEZZO_DTYPE_F64 ? static_cast<int64_t>(width) : 0;
    EXPECT_TRUE(is_near(run.out.values(), out, {c.out_dtype, arithmetic, 6 + sums}));
    EXPECT_TRUE(is_near(run.grad_input.values(), grad_input, {c.dtype, arithmetic, 6 + sums}));
}

inline void expect_same_softmax_everywhere(const SoftmaxOp &op) {
    for (const SoftmaxCase &c : softmax_cases()) {
        expect_same_bits_on_every_device([&](Results &results) {
            const SoftmaxRun run(op, c);
            results.add(run.out);
            results.add(run.grad_input);
        });
    }
    expect_same_bits_on_every_device([&](Results &results) {
        const TestTensor input(MEZZO_DTYPE_F32, {20, 11}, mixed_values(220, 1, MEZZO_DTYPE_F32));
        const TestTensor out(MEZZO_DTYPE_F32, {20, 11});
        EXPECT_OK(op.forward(out, input));
        results.add(out);
    });
}

inline void expect_same_softmax_on_any_threads(const SoftmaxOp &op) {
    expect_same_bytes_on_any_threads([&] {
        const SoftmaxRun run(op, {MEZZO_DTYPE_BF16, MEZZO_DTYPE_F32, {200, 301}, false});
        std::vector<uint8_t> bytes = run.out.bytes();
        const std::vector<uint8_t> more = run.grad_input.bytes();
        bytes.insert(bytes.end(), more.begin(), more.end());
        return bytes;
    });
}

} // namespace mezzo::testing
