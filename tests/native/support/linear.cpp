// SPDX-License-Identifier: MIT
#include "support/linear.h"

#include "support/status.h"

#include <cmath>
#include <limits>

namespace mezzo::testing {

mezzo_linear_desc linear_desc(mezzo_activation activation, uint32_t accumulate) {
    return {.struct_size = sizeof(mezzo_linear_desc),
            .activation = activation,
            .accumulate = accumulate,
            .allow_tf32 = 0,
            .input_activation = MEZZO_ACTIVATION_NONE};
}

std::vector<mezzo_dtype> dtypes_beside(mezzo_dtype dtype) {
    if (arithmetic_of(dtype) == dtype) return {dtype};
    return {dtype, MEZZO_DTYPE_F32};
}

std::vector<double> random_rounded(int64_t count, uint64_t seed, mezzo_dtype dtype) {
    return rounded(random_values(count, seed), dtype);
}

Expected plus(Expected sum, const std::vector<double> &term) {
    for (size_t i = 0; i < sum.values.size(); ++i) {
        const double added = term[i % term.size()];
        sum.values[i] += added;
        sum.magnitudes[i] += std::abs(added);
    }
    return sum;
}

LinearBackwardCase backward_case(const LinearSizes &sizes, mezzo_dtype dtype) {
    const mezzo_dtype wide = arithmetic_of(dtype);
    return {.sizes = sizes,
            .dtype = dtype,
            .grad_input = dtype,
            .grad_weight = wide,
            .grad_bias = wide,
            .grad_output = dtype,
            .output = dtype,
            .grad_input_sum = wide};
}

std::string text(const LinearBackwardCase &c) {
    std::string name = "linear/backward/" + std::to_string(c.dtype) + "/" + std::to_string(c.sizes.rows) + "x" +
                       std::to_string(c.sizes.in) + "x" + std::to_string(c.sizes.out) + "/dtypes";
    for (const mezzo_dtype dtype :
         {c.grad_input, c.grad_weight, c.grad_bias, c.grad_output, c.output, c.grad_input_sum}) {
        name += " " + std::to_string(dtype);
    }
    return name + "/activation " + std::to_string(c.activation) + "/input " + std::to_string(c.input_activation) +
           "/accumulate " + std::to_string(c.accumulate) + "/wanted " + std::to_string(c.wanted);
}

namespace {

/// A gradient that is asked for: what it holds before, and what it must be afterwards.
class Gradient {
  public:
    Gradient(const LinearBackwardCase &c, uint32_t bit, mezzo_dtype dtype, const Shape &shape, uint64_t seed)
        : wanted_((c.wanted & bit) != 0),
          accumulated_((c.accumulate & bit) != 0),
          dtype_(dtype),
          arithmetic_(arithmetic_of(c.dtype)),
          before_(random_rounded(elements_of(shape), seed, dtype)) {
        if (!wanted_) return;
        tensor_ = c.misaligned ? TestTensor::misaligned(dtype, shape, before_) : TestTensor(dtype, shape, before_);
    }

    mezzo_tensor handle() const { return tensor_; }
    bool wanted() const { return wanted_; }
    std::vector<double> values() const { return tensor_.values(); }

    void expect(const Expected &product, int64_t terms) const {
        if (!wanted_) return;
        EXPECT_TRUE(is_near(tensor_.values(), accumulated_ ? plus(product, before_) : product,
                            {.stored = dtype_, .arithmetic = arithmetic_, .operations = terms + 1}));
    }

  private:
    bool wanted_;
    bool accumulated_;
    mezzo_dtype dtype_;
    mezzo_dtype arithmetic_;
    std::vector<double> before_;
    TestTensor tensor_;
};

/// The forward's output as the backward sees it: positive, negative, zeros of both signs, NaN.
std::vector<double> output_values(const LinearBackwardCase &c, int64_t count) {
    std::vector<double> values = random_rounded(count, 13, c.output);
    for (size_t i = 0; i < values.size(); i += 5) values[i] = i % 2 == 0 ? 0.0 : -0.0;
    if (c.special) {
        values.back() = std::nan("");
        values[1] = -std::nan("");
        values[values.size() / 2] = -std::numeric_limits<double>::infinity();
    }
    return values;
}

} // namespace

void expect_backward(const LinearBackwardCase &c) {
    const auto [rows, in, out] = c.sizes;
    std::vector<double> input_values = random_rounded(rows * in, 11, c.dtype);
    if (c.input_activation == MEZZO_ACTIVATION_RELU) {
        for (size_t i = 0; i < input_values.size(); i += 5) input_values[i] = i % 2 == 0 ? 0.0 : -0.0;
    }
    const std::vector<double> weight_values = random_rounded(out * in, 12, c.dtype);
    const std::vector<double> outputs = output_values(c, rows * out);
    std::vector<double> grad_output_values = random_rounded(rows * out, 14, c.grad_output);
    if (c.special) {
        grad_output_values.front() = std::nan(""); // where the output is 0
        grad_output_values.back() = std::numeric_limits<double>::infinity();
    }
    std::vector<double> g = grad_output_values;
    if (c.activation == MEZZO_ACTIVATION_RELU) {
        for (size_t i = 0; i < g.size(); ++i) g[i] = outputs[i] <= 0 ? 0 : g[i];
    }
    g = rounded(g, c.dtype);

    const auto make = [&](mezzo_dtype dtype, const Shape &shape, const std::vector<double> &values) {
        return c.misaligned ? TestTensor::misaligned(dtype, shape, values) : TestTensor(dtype, shape, values);
    };
    const Gradient grad_input(c, MEZZO_LINEAR_ACCUMULATE_INPUT, c.grad_input, {rows, in}, 15);
    const Gradient grad_weight(c, MEZZO_LINEAR_ACCUMULATE_WEIGHT, c.grad_weight, {out, in}, 16);
    const Gradient grad_bias(c, MEZZO_LINEAR_ACCUMULATE_BIAS, c.grad_bias, {out}, 17);
    const TestTensor grad_output = make(c.grad_output, {rows, out}, grad_output_values);
    const Gradient grad_input_sum(c, MEZZO_LINEAR_ACCUMULATE_SUM, c.grad_input_sum, {in}, 18);
    const bool masks_input = c.input_activation == MEZZO_ACTIVATION_RELU;
    const TestTensor input =
        grad_weight.wanted() || masks_input ? make(c.dtype, {rows, in}, input_values) : TestTensor();
    const TestTensor weight = grad_input.wanted() ? make(c.dtype, {out, in}, weight_values) : TestTensor();
    const TestTensor output =
        c.activation == MEZZO_ACTIVATION_RELU ? make(c.output, {rows, out}, outputs) : TestTensor();

    mezzo_linear_desc desc = linear_desc(c.activation, c.accumulate);
    desc.input_activation = c.input_activation;
    ASSERT_OK(mezzo_linear_backward(grad_input.handle(), grad_weight.handle(), grad_bias.handle(),
                                    grad_input_sum.handle(), {}, grad_output, input, weight, output, &desc));
    Expected input_gradient = matmul(g, weight_values, rows, out, in);
    if (masks_input) {
        for (size_t i = 0; i < input_values.size(); ++i) {
            if (input_values[i] <= 0) input_gradient.values[i] = input_gradient.magnitudes[i] = 0;
        }
    }
    grad_input.expect(input_gradient, out);
    if (grad_input_sum.wanted()) {
        const std::vector<double> ones(static_cast<size_t>(rows), 1);
        grad_input_sum.expect(matmul(ones, grad_input.values(), 1, rows, in), rows);
    }
    grad_weight.expect(matmul(transposed(g, rows, out), input_values, out, rows, in), rows);
    grad_bias.expect(matmul(std::vector<double>(static_cast<size_t>(rows), 1), g, 1, rows, out), rows);
}

} // namespace mezzo::testing
