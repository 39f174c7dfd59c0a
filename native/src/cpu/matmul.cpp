// SPDX-License-Identifier: MIT
// The product is cut into panels: members of the batch, and ranges of rows and columns of out where there are fewer
// members than threads. A panel is one thread's: for each block of columns and each block of k, it brings b's block
// into the backend's layout, which the blocks of rows of a then share. Blocks of k are added in the accumulator's
// dtype, in order.
#include "cpu/matmul.h"

#include "core/arithmetic.h"
#include "cpu/linear_team.h"

#include <algorithm>

namespace mezzo::cpu {
namespace {

// A block of b, as f32, fills half of a second-level cache of 1 MB and more.
constexpr int64_t kBlockColumns = 320;
constexpr int64_t kBlockDepth = 480;

/// A matrix that a product reads, with the dtype of its elements.
struct Operand {
    MatrixView view;
    mezzo_dtype dtype;

    const std::byte *at(int64_t row, int64_t column) const {
        return view.data + (row * view.row_stride + column * view.column_stride) * dtype_size(dtype);
    }
};

/// The block [rows, columns] from (row, column) on, in the dtype that a backend reads: where it is, or converted line
/// by line into scratch.
MatrixView block_of(const Operand &from, Range rows, Range columns, mezzo_dtype element, std::byte *scratch) {
    const std::byte *first = from.at(rows.begin, columns.begin);
    if (from.dtype == element) return {first, from.view.row_stride, from.view.column_stride};
    const bool by_rows = from.view.column_stride == 1;
    const int64_t lines = by_rows ? rows.size() : columns.size();
    const int64_t length = by_rows ? columns.size() : rows.size();
    const int64_t stride = (by_rows ? from.view.row_stride : from.view.column_stride) * dtype_size(from.dtype);
    for (int64_t line = 0; line < lines; ++line) {
        as_element(first + line * stride, from.dtype, length, element, scratch + line * length * dtype_size(element));
    }
    return by_rows ? MatrixView{scratch, length, 1} : MatrixView{scratch, 1, length};
}

/// Where the pieces of a thread's scratch memory lie.
struct PanelScratch {
    int64_t right;        // a block of b in the element dtype, unless it is the product's
    int64_t right_packed; // the same in the backend's layout
    int64_t left, left_packed;
    int64_t sums; // the panel's block of columns as accumulators, unless the backend writes the output's dtype
    int64_t bytes;
};

class Product {
  public:
    Product(const Matmul &call, const ProductBackend &backend, int64_t threads)
        : call_(call),
          backend_(backend),
          outputs_(call.sums ? 1 : call.batch),
          terms_(call.sums ? call.batch : 1),
          plan_(plan_linear({call.m, call.k, call.n}, divide_up(threads, outputs_), backend.block_rows())),
          one_pass_(terms_ == 1 && call.k <= kBlockDepth),
          direct_(writes_directly(backend, call.out.dtype, call.accumulate || !one_pass_)),
          scratch_(lay_out()) {}

    int64_t panels() const { return outputs_ * plan_.members(); }
    int64_t scratch_bytes() const { return scratch_.bytes; }

    void run_panel(int64_t panel, std::byte *scratch) const {
        const int64_t output = panel / plan_.members();
        const int64_t part = panel % plan_.members();
        const Range rows = part_of(call_.m, plan_.row_parts, part / plan_.column_parts, 1);
        const Range all = part_of(call_.n, plan_.column_parts, part % plan_.column_parts, kColumnUnit);
        if (rows.size() == 0) return;
        for (int64_t column = all.begin; column < all.end; column += kBlockColumns) {
            const Range columns{column, std::min(column + kBlockColumns, all.end)};
            const ProductTarget target = target_of(output, rows, columns, scratch);
            bool first = !direct_ || !call_.accumulate;
            for (int64_t term = 0; term < terms_; ++term) {
                for (int64_t depth = 0; depth < call_.k; depth += kBlockDepth) {
                    const Range k{depth, std::min(depth + kBlockDepth, call_.k)};
                    multiply_block(target, output + term, rows, columns, k, !first, scratch);
                    first = false;
                }
            }
            if (!direct_) {
                const TensorData out(out_data(output, rows), call_.out.dtype, rows.size() * call_.n);
                store_rows(out, call_.n, target.data, accumulator(), columns, rows.size(), call_.accumulate);
            }
        }
    }

  private:
    mezzo_dtype accumulator() const { return accumulator_of(backend_.element()); }

    std::byte *out_data(int64_t output, Range rows) const {
        return call_.out.data + (output * call_.m + rows.begin) * call_.n * dtype_size(call_.out.dtype);
    }

    ProductTarget target_of(int64_t output, Range rows, Range columns, std::byte *scratch) const {
        ProductTarget target{.data = scratch + scratch_.sums,
                             .row_stride = columns.size(),
                             .dtype = accumulator(),
                             .bias = nullptr,
                             .relu = false,
                             .accumulate = false};
        if (direct_) {
            target.data = out_data(output, rows) + columns.begin * dtype_size(call_.out.dtype);
            target.row_stride = call_.n;
            target.dtype = call_.out.dtype;
        }
        return target;
    }

    Operand left(int64_t member) const {
        const int64_t offset = call_.a_repeats ? 0 : member * call_.m * call_.k;
        const std::byte *data = call_.a + offset * dtype_size(call_.dtype);
        return {call_.a_transposed ? MatrixView{data, 1, call_.m} : MatrixView{data, call_.k, 1}, call_.dtype};
    }

    Operand right(int64_t member) const {
        const int64_t offset = call_.b_repeats ? 0 : member * call_.k * call_.n;
        const std::byte *data = call_.b + offset * dtype_size(call_.dtype);
        return {call_.b_transposed ? MatrixView{data, 1, call_.k} : MatrixView{data, call_.n, 1}, call_.dtype};
    }

    void multiply_block(const ProductTarget &to, int64_t member, Range rows, Range columns, Range k, bool accumulate,
                        std::byte *scratch) const {
        const Operand a = left(member);
        const MatrixView b = block_of(right(member), k, columns, backend_.element(), scratch + scratch_.right);
        const PackedMatrix packed = backend_.pack_right(b, k.size(), columns.size(), scratch + scratch_.right_packed);
        ProductTarget target = to;
        target.accumulate = accumulate;
        for (int64_t row = rows.begin; row < rows.end; row += plan_.block_rows) {
            const Range block{row, std::min(row + plan_.block_rows, rows.end)};
            const MatrixView view = block_of(a, block, k, backend_.element(), scratch + scratch_.left);
            const PackedMatrix packed_left =
                backend_.pack_left(view, block.size(), k.size(), scratch + scratch_.left_packed);
            target.data = to.data + (row - rows.begin) * to.row_stride * dtype_size(to.dtype);
            backend_.multiply(target, packed_left, packed, {block.size(), columns.size(), k.size()}, {});
        }
    }

    PanelScratch lay_out() const {
        const int64_t element_size = dtype_size(backend_.element());
        const int64_t converted = call_.dtype == backend_.element() ? 0 : element_size;
        const int64_t rows = largest_part(call_.m, plan_.row_parts, 1);
        const int64_t columns = std::min(kBlockColumns, largest_part(call_.n, plan_.column_parts, kColumnUnit));
        const int64_t k = std::min(kBlockDepth, call_.k);
        ScratchLayout layout;
        PanelScratch scratch{};
        scratch.right = layout.add(k * columns * converted);
        scratch.right_packed = layout.add(backend_.right_bytes(k, columns));
        scratch.left = layout.add(plan_.block_rows * k * converted);
        scratch.left_packed = layout.add(backend_.left_bytes(call_.a_transposed, plan_.block_rows, k));
        scratch.sums = layout.add(direct_ ? 0 : rows * columns * dtype_size(accumulator()));
        scratch.bytes = layout.bytes();
        return scratch;
    }

    const Matmul &call_;
    const ProductBackend &backend_;
    const int64_t outputs_; // matrices of out
    const int64_t terms_;   // products that each of them is the sum of
    const LinearPlan plan_; // of one of them
    const bool one_pass_;   // over k
    const bool direct_;
    const PanelScratch scratch_;
};

} // namespace

void run_matmul(Device &device, const Matmul &call) {
    const ProductBackend &backend =
        product_backend(choose_product(call.dtype, {.m = call.m, .n = call.n, .k = call.k}, product_machine()));
    const int64_t threads = thread_count();
    const Product product(call, backend, threads);
    const int64_t panels = product.panels();
    // Threads that would get little to do cost more than they save.
    const double work = static_cast<double>(call.batch) * static_cast<double>(call.m) * static_cast<double>(call.n) *
                        static_cast<double>(call.k);
    const int64_t members = std::min(panels, team_size(work, threads));
    const Scratch<std::byte> scratch(device.memory(), std::max<int64_t>(1, members * product.scratch_bytes()));
    run_team(members, [&](int64_t member) {
        const Range own = part_of(panels, members, member, 1);
        for (int64_t panel = own.begin; panel < own.end; ++panel) {
            product.run_panel(panel, scratch.data() + member * product.scratch_bytes());
        }
    });
}

} // namespace mezzo::cpu
