// SPDX-License-Identifier: MIT
// The linear layer in a captured graph: its scratch memory, and the parts of its weight gradient, are the graph's own.
#include <mezzo/ops.h>

#include "support/graph.h"
#include "support/linear.h"
#include "support/status.h"

namespace mezzo::testing {
namespace {

/// A layer's forward and backward, on tensors that stay.
class Layer {
  public:
    Layer(const LinearSizes &sizes, mezzo_dtype dtype)
        : sizes_(sizes),
          dtype_(dtype),
          input_(dtype, {sizes.rows, sizes.in}),
          weight_(dtype, {sizes.out, sizes.in}, random_rounded(sizes.out * sizes.in, 52, dtype)),
          bias_(dtype, {sizes.out}, random_rounded(sizes.out, 53, dtype)),
          output_(dtype, {sizes.rows, sizes.out}),
          gradient_(dtype, {sizes.rows, sizes.out}),
          grad_input_(dtype, {sizes.rows, sizes.in}),
          grad_weight_(arithmetic_of(dtype), {sizes.out, sizes.in}),
          grad_bias_(arithmetic_of(dtype), {sizes.out}) {}

    void feed(uint64_t seed) const {
        input_.write(random_rounded(sizes_.rows * sizes_.in, seed, dtype_));
        gradient_.write(random_rounded(sizes_.rows * sizes_.out, seed + 1, dtype_));
    }

    void run() const {
        const mezzo_linear_desc desc = linear_desc(MEZZO_ACTIVATION_RELU);
        EXPECT_OK(mezzo_linear_forward(output_, input_, weight_, bias_, &desc));
        EXPECT_OK(mezzo_linear_backward(grad_input_, grad_weight_, grad_bias_, {}, {}, gradient_, input_, weight_,
                                        output_, &desc));
    }

    std::vector<std::vector<uint8_t>> results() const {
        return {output_.bytes(), grad_input_.bytes(), grad_weight_.bytes(), grad_bias_.bytes()};
    }

  private:
    LinearSizes sizes_;
    mezzo_dtype dtype_;
    TestTensor input_, weight_, bias_, output_, gradient_, grad_input_, grad_weight_, grad_bias_;
};

TEST(Linear, Captured_GivesTheBitsOfEager) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const LinearSizes &sizes : {LinearSizes{600, 20, 30}, LinearSizes{40, 1, 17}, LinearSizes{40, 17, 1}}) {
            SCOPED_TRACE(text(backward_case(sizes, dtype)));
            const Layer layer(sizes, dtype);
            layer.feed(61);
            const TestGraph graph([&] { layer.run(); });
            for (const uint64_t seed : {71, 81}) {
                layer.feed(seed);
                layer.run();
                const auto eager = layer.results();
                layer.feed(91);
                layer.run(); // something else in between
                layer.feed(seed);
                graph.launch();
                EXPECT_EQ(layer.results(), eager);
            }
        }
    }
}

TEST(Linear, Repeated_GivesTheSameBits) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const LinearSizes &sizes : kLinearSizes) {
            SCOPED_TRACE(text(backward_case(sizes, dtype)));
            const Layer layer(sizes, dtype);
            layer.feed(61);
            layer.run();
            const auto first = layer.results();
            layer.run();
            EXPECT_EQ(layer.results(), first);
        }
    }
}

} // namespace
} // namespace mezzo::testing
