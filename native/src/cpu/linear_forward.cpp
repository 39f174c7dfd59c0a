// SPDX-License-Identifier: MIT
#include "cpu/linear_team.h"

#include <array>

namespace mezzo::cpu {
namespace {

/// Where the pieces of a member's scratch memory lie.
struct ForwardScratch {
    int64_t weight;  // [columns, in_features] in the backend's element dtype, unless it is the layer's
    int64_t packed;  // the same, packed
    int64_t bias;    // [columns] in the accumulator's dtype
    int64_t input;   // [block_rows, in_features] in the element dtype, unless it is the layer's
    int64_t staging; // [block_rows, columns] accumulators, unless the backend writes the output's dtype
    int64_t bytes;
};

class Forward {
  public:
    Forward(const LinearForward &layer, const ProductBackend &backend, const LinearPlan &plan)
        : layer_(layer),
          backend_(backend),
          plan_(plan),
          direct_(writes_directly(backend, layer.out.dtype, false)),
          scratch_(lay_out()) {}

    int64_t scratch_bytes() const { return scratch_.bytes; }

    void run_member(int64_t member, std::byte *scratch) const {
        const auto [count, in_features, out_features] = layer_.sizes;
        const Range rows = part_of(count, plan_.row_parts, member / plan_.column_parts, 1);
        const Range columns = part_of(out_features, plan_.column_parts, member % plan_.column_parts, kColumnUnit);
        if (rows.size() == 0 || columns.size() == 0) return;

        const int64_t size = dtype_size(layer_.dtype);
        const std::byte *weight =
            as_element(layer_.weight + columns.begin * in_features * size, layer_.dtype, columns.size() * in_features,
                       backend_.element(), scratch + scratch_.weight);
        // B[k, n] is the transpose of the weight's rows.
        const PackedMatrix packed =
            backend_.pack_right({weight, 1, in_features}, in_features, columns.size(), scratch + scratch_.packed);
        const std::byte *bias = widen_bias(columns, scratch + scratch_.bias);

        for (int64_t row = rows.begin; row < rows.end; row += plan_.block_rows) {
            const int64_t block = std::min(plan_.block_rows, rows.end - row);
            const std::byte *input = as_element(layer_.input + row * in_features * size, layer_.dtype,
                                                block * in_features, backend_.element(), scratch + scratch_.input);
            const PackedMatrix left = backend_.pack_left({input, in_features, 1}, block, in_features, nullptr);
            const TensorData out(layer_.out.data + row * out_features * dtype_size(layer_.out.dtype), layer_.out.dtype,
                                 block * out_features);
            ProductTarget target{.data = out.data + columns.begin * dtype_size(out.dtype),
                                 .row_stride = out_features,
                                 .dtype = out.dtype,
                                 .bias = bias,
                                 .relu = layer_.relu,
                                 .accumulate = false};
            if (!direct_) {
                target.data = scratch + scratch_.staging;
                target.row_stride = columns.size();
                target.dtype = accumulator();
            }
            const Range next{row + block, std::min(row + block + plan_.block_rows, rows.end)};
            const std::array<UpcomingRead, 1> upcoming{rows_of(layer_.input, layer_.dtype, in_features, next)};
            backend_.multiply(target, left, packed, {block, columns.size(), in_features}, upcoming);
            if (!direct_) store_rows(out, out_features, target.data, accumulator(), columns, block, false);
        }
    }

  private:
    mezzo_dtype accumulator() const { return accumulator_of(backend_.element()); }

    ForwardScratch lay_out() const {
        const int64_t in_features = layer_.sizes.in_features;
        const int64_t columns = largest_part(layer_.sizes.out_features, plan_.column_parts, kColumnUnit);
        const int64_t converted = layer_.dtype == backend_.element() ? 0 : dtype_size(backend_.element());
        const int64_t accumulator_size = dtype_size(accumulator());
        ScratchLayout layout;
        ForwardScratch scratch{};
        scratch.weight = layout.add(columns * in_features * converted);
        scratch.packed = layout.add(backend_.right_bytes(in_features, columns));
        scratch.bias = layout.add(columns * accumulator_size);
        scratch.input = layout.add(plan_.block_rows * in_features * converted);
        scratch.staging = layout.add(direct_ ? 0 : plan_.block_rows * columns * accumulator_size);
        scratch.bytes = layout.bytes();
        return scratch;
    }

    const std::byte *widen_bias(Range columns, std::byte *scratch) const {
        if (!layer_.bias) return nullptr;
        return as_element(layer_.bias.data + columns.begin * dtype_size(layer_.bias.dtype), layer_.bias.dtype,
                          columns.size(), accumulator(), scratch);
    }

    const LinearForward &layer_;
    const ProductBackend &backend_;
    const LinearPlan plan_;
    const bool direct_;
    const ForwardScratch scratch_;
};

} // namespace

void run_linear(const LinearForward &layer, const ProductBackend &backend, Allocator &memory) {
    const LinearPlan plan = plan_linear(layer.sizes, thread_count(), backend.block_rows());
    const Forward forward(layer, backend, plan);
    const Scratch<std::byte> scratch(memory, plan.members() * forward.scratch_bytes());
    run_team(plan.members(),
             [&](int64_t member) { forward.run_member(member, scratch.data() + member * forward.scratch_bytes()); });
}

} // namespace mezzo::cpu
