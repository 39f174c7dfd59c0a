// SPDX-License-Identifier: MIT
// For each block of rows: the masked gradient g, into scratch memory that stays in the cache; its column
// sums, the bias gradient; g weight, the input's gradient, masked by the input and summed while it is in the cache;
// g^T input, added to the weight gradient of the member. The members' sums are added up at the end, in the order of
// the members.
#include "cpu/linear_gradient.h"

#include <array>
#include <cstring>
#include <optional>

namespace mezzo::cpu {
namespace {

/// Where the pieces of a member's scratch memory lie.
struct BackwardScratch {
    int64_t weight;        // [out_features, columns] in the backend's element dtype, unless it is the layer's
    int64_t packed_weight; // the same, packed
    int64_t gradient;      // [block_rows, out_features] masked gradient
    int64_t left;          // its columns, transposed and packed
    int64_t input;         // [block_rows, in_features] in the element dtype, unless it is the layer's
    int64_t right;         // the same, packed
    int64_t staging;       // [block_rows, columns] accumulators, unless the backend writes grad_input's dtype
    int64_t bytes;
};

class Backward {
  public:
    Backward(const LinearBackward &layer, const ProductBackend &backend, const LinearPlan &plan)
        : layer_(layer),
          backend_(backend),
          plan_(plan),
          direct_input_(writes_directly(backend, layer.grad_input.dtype, layer.accumulate_input) &&
                        !(layer.mask_input && layer.accumulate_input)),
          direct_weight_(can_write_weight()),
          scratch_(lay_out()) {}

    int64_t scratch_bytes() const { return scratch_.bytes; }

    /// Whether members write their part of the weight gradient where it belongs, with nothing to add up.
    bool direct_weight() const { return direct_weight_; }

    /// Elements between rows of the members' sums: rows longer than a vector begin at whole ones, which the
    /// micro-kernel's loads and stores prefer.
    int64_t sums_stride() const {
        const int64_t columns = layer_.sizes.in_features;
        return columns <= kColumnUnit ? columns : (columns + kColumnUnit - 1) / kColumnUnit * kColumnUnit;
    }

    /// `weight_sums`: [row_parts, out_features, sums_stride()], unless direct; `bias_sums`: [row_parts, out_features];
    /// `input_sums`: [row_parts, in_features].
    void run_member(int64_t member, std::byte *scratch, std::byte *weight_sums, std::byte *bias_sums,
                    std::byte *input_sums) const {
        const auto [count, in_features, out_features] = layer_.sizes;
        const int64_t row_part = member / plan_.column_parts;
        const int64_t column_part = member % plan_.column_parts;
        const Range rows = part_of(count, plan_.row_parts, row_part, 1);
        const Member part{
            .rows = rows,
            .in = part_of(in_features, plan_.column_parts, column_part, kColumnUnit),
            .out = part_of(out_features, plan_.column_parts, column_part, kColumnUnit),
            .scratch = scratch,
            .weight_sums = weight_sums + row_part * out_features * sums_stride() * accumulator_size(),
            .bias_sums = bias_sums + row_part * out_features * accumulator_size(),
            .input_sums = input_sums + row_part * in_features * accumulator_size(),
        };
        if (layer_.grad_bias) clear(part.bias_sums, part.out);
        if (layer_.grad_input_sum) clear(part.input_sums, part.in);
        const std::optional<PackedMatrix> weight = pack_weight(part);
        for (int64_t row = rows.begin; row < rows.end; row += plan_.block_rows) {
            const Range block{row, std::min(row + plan_.block_rows, rows.end)};
            const std::byte *gradient = masked_gradient(layer_, backend_.element(), row * out_features,
                                                        block.size() * out_features, scratch + scratch_.gradient);
            if (layer_.grad_bias && part.out.size() > 0) {
                add_column_sums(part.bias_sums + part.out.begin * accumulator_size(), gradient, backend_.element(),
                                out_features, part.out, block.size());
            }
            if (weight) add_input_gradient(part, block, gradient, *weight);
            if (layer_.grad_weight && part.out.size() > 0) {
                add_weight_gradient(part, block, gradient, row == rows.begin);
            }
        }
    }

  private:
    /// What a member works on.
    struct Member {
        Range rows;
        Range in;  // its columns of grad_input
        Range out; // its rows of grad_weight, elements of grad_bias
        std::byte *scratch;
        std::byte *weight_sums;
        std::byte *bias_sums;
        std::byte *input_sums;
    };

    mezzo_dtype accumulator() const { return accumulator_of(backend_.element()); }
    int64_t accumulator_size() const { return dtype_size(accumulator()); }

    void clear(std::byte *sums, Range range) const {
        std::fill_n(sums + range.begin * accumulator_size(), range.size() * accumulator_size(), std::byte{0});
    }

    bool can_write_weight() const {
        if (plan_.row_parts > 1) return false;
        if (layer_.grad_weight.dtype == accumulator()) return true;
        const bool one_block = layer_.sizes.rows <= plan_.block_rows;
        return one_block && writes_directly(backend_, layer_.grad_weight.dtype, layer_.accumulate_weight);
    }

    BackwardScratch lay_out() const {
        const auto [rows, in_features, out_features] = layer_.sizes;
        const int64_t in_part = largest_part(in_features, plan_.column_parts, kColumnUnit);
        const int64_t out_part = largest_part(out_features, plan_.column_parts, kColumnUnit);
        const int64_t block = plan_.block_rows;
        const int64_t element_size = dtype_size(backend_.element());
        const int64_t converted = layer_.dtype == backend_.element() ? 0 : element_size;
        ScratchLayout layout;
        BackwardScratch scratch{};
        scratch.gradient = layout.add(block * out_features * element_size);
        if (layer_.grad_input) {
            scratch.weight = layout.add(out_features * in_part * converted);
            scratch.packed_weight = layout.add(backend_.right_bytes(out_features, in_part));
            scratch.staging = layout.add(direct_input_ ? 0 : block * in_part * accumulator_size());
        }
        if (layer_.grad_weight) {
            scratch.left = layout.add(backend_.left_bytes(true, out_part, block));
            scratch.input = layout.add(block * in_features * converted);
            scratch.right = layout.add(backend_.right_bytes(block, in_features));
        }
        scratch.bytes = layout.bytes();
        return scratch;
    }

    /// The member's columns of the weight, as the right side of grad_input = g weight.
    std::optional<PackedMatrix> pack_weight(const Member &part) const {
        if (!layer_.grad_input || part.in.size() == 0) return std::nullopt;
        const auto [rows, in_features, out_features] = layer_.sizes;
        const std::byte *weight = layer_.weight + part.in.begin * dtype_size(layer_.dtype);
        MatrixView view{weight, in_features, 1};
        if (layer_.dtype != backend_.element()) {
            std::byte *converted = part.scratch + scratch_.weight;
            const int64_t row_bytes = part.in.size() * dtype_size(backend_.element());
            for (int64_t row = 0; row < out_features; ++row) {
                as_element(weight + row * in_features * dtype_size(layer_.dtype), layer_.dtype, part.in.size(),
                           backend_.element(), converted + row * row_bytes);
            }
            view = {converted, part.in.size(), 1};
        }
        return backend_.pack_right(view, out_features, part.in.size(), part.scratch + scratch_.packed_weight);
    }

    void add_input_gradient(const Member &part, Range block, const std::byte *gradient,
                            const PackedMatrix &weight) const {
        const auto [rows, in_features, out_features] = layer_.sizes;
        const TensorData grad_input(
            layer_.grad_input.data + block.begin * in_features * dtype_size(layer_.grad_input.dtype),
            layer_.grad_input.dtype, block.size() * in_features);
        ProductTarget target{.data = grad_input.data + part.in.begin * dtype_size(grad_input.dtype),
                             .row_stride = in_features,
                             .dtype = grad_input.dtype,
                             .bias = nullptr,
                             .relu = false,
                             .accumulate = layer_.accumulate_input};
        if (!direct_input_) {
            target.data = part.scratch + scratch_.staging;
            target.row_stride = part.in.size();
            target.dtype = accumulator();
            target.accumulate = false;
        }
        const PackedMatrix left = backend_.pack_left({gradient, out_features, 1}, block.size(), out_features, nullptr);
        std::array<UpcomingRead, 1> upcoming{};
        if (layer_.grad_weight || layer_.mask_input) {
            upcoming[0] = rows_of(layer_.input, layer_.dtype, in_features, block);
        }
        backend_.multiply(target, left, weight, {block.size(), part.in.size(), out_features}, upcoming);
        if (layer_.mask_input) {
            const int64_t first = block.begin * in_features + part.in.begin;
            mask_by_input(target, block.size(), part.in.size(), layer_.input + first * dtype_size(layer_.dtype),
                          layer_.dtype, in_features);
        }
        if (!direct_input_) {
            store_rows(grad_input, in_features, target.data, accumulator(), part.in, block.size(),
                       layer_.accumulate_input);
        }
        if (layer_.grad_input_sum) {
            add_column_sums(part.input_sums + part.in.begin * accumulator_size(), grad_input.data, grad_input.dtype,
                            in_features, part.in, block.size());
        }
    }

    void add_weight_gradient(const Member &part, Range block, const std::byte *gradient, bool first) const {
        const auto [rows, in_features, out_features] = layer_.sizes;
        const int64_t element_size = dtype_size(backend_.element());
        const std::byte *input =
            as_element(layer_.input + block.begin * in_features * dtype_size(layer_.dtype), layer_.dtype,
                       block.size() * in_features, backend_.element(), part.scratch + scratch_.input);
        const PackedMatrix left = backend_.pack_left({gradient + part.out.begin * element_size, 1, out_features},
                                                     part.out.size(), block.size(), part.scratch + scratch_.left);
        const PackedMatrix right =
            backend_.pack_right({input, in_features, 1}, block.size(), in_features, part.scratch + scratch_.right);
        const int64_t stride = direct_weight_ ? in_features : sums_stride();
        const TensorData sums =
            direct_weight_ ? layer_.grad_weight : TensorData(part.weight_sums, accumulator(), out_features * stride);
        const ProductTarget target{.data = sums.data + part.out.begin * stride * dtype_size(sums.dtype),
                                   .row_stride = stride,
                                   .dtype = sums.dtype,
                                   .bias = nullptr,
                                   .relu = false,
                                   .accumulate = !first || (direct_weight_ && layer_.accumulate_weight)};
        const Range next{block.end, std::min(block.end + plan_.block_rows, part.rows.end)};
        std::array<UpcomingRead, 3> upcoming{
            rows_of(layer_.grad_output.data, layer_.grad_output.dtype, out_features, next),
            rows_of(layer_.output.data, layer_.output.dtype, out_features, next)};
        if (!layer_.grad_input) upcoming[2] = rows_of(layer_.input, layer_.dtype, in_features, next);
        backend_.multiply(target, left, right, {part.out.size(), in_features, block.size()}, upcoming);
    }

    const LinearBackward &layer_;
    const ProductBackend &backend_;
    const LinearPlan plan_;
    const bool direct_input_;
    const bool direct_weight_;
    const BackwardScratch scratch_;
};

void run_plan(const LinearBackward &layer, const LinearPlan &plan, const ProductBackend &backend, Allocator &memory) {
    const Backward backward(layer, backend, plan);
    const mezzo_dtype accumulator = accumulator_of(backend.element());
    const int64_t accumulator_size = dtype_size(accumulator);
    const auto [rows, in_features, out_features] = layer.sizes;
    const bool sums_weight = layer.grad_weight && !backward.direct_weight();
    const PartialsShape weight_partials{accumulator, plan.row_parts, out_features, in_features, backward.sums_stride()};
    const PartialsShape bias_partials{accumulator, plan.row_parts, 1, out_features, out_features};
    const PartialsShape input_partials{accumulator, plan.row_parts, 1, in_features, in_features};

    ScratchLayout layout;
    const int64_t members = layout.add(plan.members() * backward.scratch_bytes());
    const int64_t weight_sums = layout.add(sums_weight ? weight_partials.elements() * accumulator_size : 0);
    const int64_t bias_sums = layout.add(layer.grad_bias ? bias_partials.elements() * accumulator_size : 0);
    const int64_t input_sums = layout.add(layer.grad_input_sum ? input_partials.elements() * accumulator_size : 0);
    const Scratch<std::byte> scratch(memory, layout.bytes());

    run_team(plan.members(), [&](int64_t member) {
        backward.run_member(member, scratch.data() + members + member * backward.scratch_bytes(),
                            scratch.data() + weight_sums, scratch.data() + bias_sums, scratch.data() + input_sums);
    });
    if (sums_weight) {
        reduce_partials(layer.grad_weight, scratch.data() + weight_sums, weight_partials, layer.accumulate_weight);
    }
    if (layer.grad_bias) {
        reduce_partials(layer.grad_bias, scratch.data() + bias_sums, bias_partials, layer.accumulate_bias);
    }
    if (layer.grad_input_sum) {
        reduce_partials(layer.grad_input_sum, scratch.data() + input_sums, input_partials, layer.accumulate_sum);
    }
}

} // namespace

void run_linear(const LinearBackward &layer, const ProductBackend &backend, Allocator &memory) {
    const LinearPlan plan = plan_linear(layer.sizes, thread_count(), backend.block_rows());
    if (!layer.in_place() || plan.column_parts == 1) return run_plan(layer, plan, backend, memory);

    // Members that divide columns all read every row: they need the gradient where nobody overwrites it.
    const int64_t bytes = layer.sizes.rows * layer.sizes.out_features * dtype_size(layer.grad_output.dtype);
    const Scratch<std::byte> gradient(memory, bytes);
    std::memcpy(gradient.data(), layer.grad_output.data, static_cast<size_t>(bytes));
    LinearBackward apart = layer;
    apart.grad_output.data = gradient.data();
    run_plan(apart, plan, backend, memory);
}

} // namespace mezzo::cpu
