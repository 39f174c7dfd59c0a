// SPDX-License-Identifier: MIT
// A case of a matrix product: which options, of which size, what is planted in it; its tensors, the problem that a
// kernel is given, and what an oracle in f64 says of the result.
#pragma once

#include "cuda/matmul.h"

#include "support/oracle.h"
#include "support/surrounded.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>
#include <vector>

namespace mezzo::testing {

/// What of the epilogue a case asks for.
struct Options {
    bool bias = false;
    bool relu = false;
    bool mask = false;
    float add = 0;
    bool column_sum = false;
    bool accumulate_sum = false;
    bool wide_out = false;    // f32 beside a half
    bool wide_others = false; // bias, mask and column_sum
    bool found_inf = false;   // of the elements and, apart from it, of the sums
};

inline constexpr Options kAll{.bias = true,
                              .relu = true,
                              .mask = true,
                              .add = -0.75f,
                              .column_sum = true,
                              .accumulate_sum = true,
                              .found_inf = true};

/// Why the last element of the last member of a batch, in the last row and column of its last tile, is the only one
/// that is not finite: a kernel that does not look everywhere misses it.
enum class Planted {
    kNothing,
    kOverflow,  // a term of the last step of k: too large for a sum or, of f16, for the store
    kInf,       // what the element is added to
    kNaN,       // likewise
    kSum,       // it is finite, but not the sum of its column: the first row has another of its size
    kCancelled, // it is finite: a term that f16 could not hold is taken back by another, in another part of k
};

struct Layout {
    mezzo_dtype dtype;
    bool tf32 = false; // operands may be rounded
    bool a_transposed = false;
    bool b_transposed = false;
};

struct Case {
    int64_t m, n, k;
    int64_t batch = 1;
    int splits = 1;
    bool b_shared = false;    // by the members of the batch
    int64_t misalignment = 0; // elements, of every tensor
    Options options = {};
    Planted planted = Planted::kNothing;
};

inline std::ostream &operator<<(std::ostream &out, const Case &c) {
    const Options &o = c.options;
    return out << c.m << "x" << c.n << "x" << c.k << " batch " << c.batch << " splits " << c.splits << " shared "
               << c.b_shared << " misaligned " << c.misalignment << " bias " << o.bias << " relu " << o.relu << " mask "
               << o.mask << " add " << o.add << " sum " << o.column_sum << o.accumulate_sum << " wide " << o.wide_out
               << o.wide_others << " found_inf " << o.found_inf << " planted " << static_cast<int>(c.planted);
}

/// The tensors of a case and what must come of them.
class Product {
  public:
    Product(const Layout &layout, const Case &c)
        : layout_(layout),
          case_(c),
          out_dtype_(c.options.wide_out ? arithmetic_of(layout.dtype) : layout.dtype),
          other_dtype_(c.options.wide_others ? arithmetic_of(layout.dtype) : layout.dtype),
          a_values_(a_of_case()),
          b_values_(b_of_case()),
          before_(before_of_case()),
          bias_values_(rounded(random_values(c.n, 4), other_dtype_)),
          mask_values_(mask_of_case()),
          sum_before_(rounded(random_values(c.n, 6), other_dtype_)),
          a_(layout.dtype, a_values_, c.misalignment),
          b_(layout.dtype, b_values_, c.misalignment),
          out_(out_dtype_, before_, c.misalignment),
          bias_(other_dtype_, bias_values_, c.misalignment),
          mask_(other_dtype_, mask_values_, c.misalignment),
          column_sum_(other_dtype_, sum_before_, c.misalignment),
          found_inf_(MEZZO_DTYPE_F32, {0}),
          found_inf_in_sum_(MEZZO_DTYPE_F32, {0}) {}

    MatmulProblem problem() const {
        const Options &o = case_.options;
        return {.m = case_.m,
                .n = case_.n,
                .k = case_.k,
                .batch = case_.batch,
                .dtype = layout_.dtype,
                .a = a_.data().data,
                .b = b_.data().data,
                .a_transposed = layout_.a_transposed,
                .b_transposed = layout_.b_transposed,
                .a_batch_stride = case_.m * case_.k,
                .b_batch_stride = case_.b_shared ? 0 : case_.k * case_.n,
                .out_batch_stride = case_.m * case_.n,
                .out = out_.data(),
                .allow_tf32 = layout_.tf32,
                .epilogue = {.bias = o.bias ? bias_.data() : TensorData(),
                             .relu = o.relu,
                             .mask = o.mask ? mask_.data() : TensorData(),
                             .add = o.add,
                             .column_sum = {.out = o.column_sum ? column_sum_.data() : TensorData(),
                                            .accumulate = o.accumulate_sum,
                                            .found_inf = flag(found_inf_in_sum_)},
                             .found_inf = flag(found_inf_)}};
    }

    /// `slack`: roundings on the way to an element, for each that k alone would make.
    void expect(int64_t slack) const {
        const int64_t operations = slack * (case_.k + case_.splits + 3);
        const Expected elements = expected();
        EXPECT_TRUE(is_near(out_.values(), elements, {out_dtype_, arithmetic_of(layout_.dtype), operations}));
        expect_found(found_inf_, elements);
        if (case_.options.column_sum) expect_column_sum();
        for (const Surrounded *tensor :
             {&a_, &b_, &out_, &bias_, &mask_, &column_sum_, &found_inf_, &found_inf_in_sum_}) {
            EXPECT_TRUE(tensor->is_intact());
        }
    }

    /// All that was written.
    std::vector<std::vector<uint8_t>> bytes() const { return {out_.bytes(), column_sum_.bytes()}; }

  private:
    int64_t b_members() const { return case_.b_shared ? 1 : case_.batch; }

    float *flag(const Surrounded &found) const { return case_.options.found_inf ? found.data().as<float>() : nullptr; }

    size_t a_index(int64_t member, int64_t row, int64_t k) const {
        const int64_t at = layout_.a_transposed ? k * case_.m + row : row * case_.k + k;
        return static_cast<size_t>(member * case_.m * case_.k + at);
    }

    size_t b_index(int64_t member, int64_t k, int64_t column) const {
        const int64_t at = layout_.b_transposed ? column * case_.k + k : k * case_.n + column;
        return static_cast<size_t>(member * case_.k * case_.n + at);
    }

    /// Steps of k that are left to what is planted.
    std::vector<int64_t> planted_steps() const {
        if (case_.planted == Planted::kCancelled) return {0, case_.k - 1};
        if (case_.planted == Planted::kOverflow || case_.planted == Planted::kSum) return {case_.k - 1};
        return {};
    }

    // A planted term is one element of a times one of b; what else that step of k multiplies is 0.
    double planted_a() const { return root_of_overflow(layout_.dtype); }
    double planted_b() const { return planted_a() * (case_.planted == Planted::kSum ? 0.75 : 3); }

    std::vector<double> a_of_case() const {
        const Case &c = case_;
        std::vector<double> values = as_multiplied(random_values(c.batch * c.m * c.k, 1), layout_.dtype, layout_.tf32);
        for (const int64_t k : planted_steps()) {
            for (int64_t member = 0; member < c.batch; ++member) {
                for (int64_t row = 0; row < c.m; ++row) values[a_index(member, row, k)] = 0;
            }
            if (c.planted == Planted::kSum) values[a_index(0, 0, k)] = planted_a();
            values[a_index(c.batch - 1, c.m - 1, k)] = k == c.k - 1 ? planted_a() : -planted_a();
        }
        return values;
    }

    std::vector<double> b_of_case() const {
        const Case &c = case_;
        std::vector<double> values =
            as_multiplied(random_values(b_members() * c.k * c.n, 2), layout_.dtype, layout_.tf32);
        for (const int64_t k : planted_steps()) {
            for (int64_t member = 0; member < b_members(); ++member) {
                for (int64_t column = 0; column < c.n; ++column) values[b_index(member, k, column)] = 0;
                values[b_index(member, k, c.n - 1)] = planted_b();
            }
        }
        return values;
    }

    std::vector<double> before_of_case() const {
        std::vector<double> values = rounded(random_values(case_.batch * case_.m * case_.n, 3), out_dtype_);
        if (case_.planted == Planted::kInf) values.back() = std::numeric_limits<double>::infinity();
        if (case_.planted == Planted::kNaN) values.back() = std::nan("");
        return values;
    }

    /// Lets through what is planted.
    std::vector<double> mask_of_case() const {
        std::vector<double> values = rounded(random_values(case_.batch * case_.m * case_.n, 5), other_dtype_);
        if (case_.planted == Planted::kSum) values[static_cast<size_t>(case_.n - 1)] = 1;
        if (case_.planted != Planted::kNothing) values.back() = 1;
        return values;
    }

    /// A member of the batch as [rows, columns].
    static std::vector<double> matrix(const std::vector<double> &all, int64_t member, int64_t rows, int64_t columns,
                                      bool is_transposed) {
        const auto first = all.begin() + member * rows * columns;
        const std::vector<double> values(first, first + rows * columns);
        return is_transposed ? transposed(values, columns, rows) : values;
    }

    Expected expected() const {
        const Options &o = case_.options;
        Expected result;
        for (int64_t member = 0; member < case_.batch; ++member) {
            const Expected product =
                matmul(matrix(a_values_, member, case_.m, case_.k, layout_.a_transposed),
                       matrix(b_values_, case_.b_shared ? 0 : member, case_.k, case_.n, layout_.b_transposed), case_.m,
                       case_.k, case_.n);
            for (size_t i = 0; i < product.values.size(); ++i) {
                const size_t at = static_cast<size_t>(member) * product.values.size() + i;
                const double bias = o.bias ? bias_values_[i % static_cast<size_t>(case_.n)] : 0;
                const double added = o.add != 0 ? double{o.add} * before_[at] : 0;
                double value = product.values[i] + bias;
                if (o.relu) value = relu(value);
                if (o.mask && mask_values_[at] <= 0) value = 0;
                result.values.push_back(value + added);
                result.magnitudes.push_back(product.magnitudes[i] + std::abs(bias) + std::abs(added));
            }
        }
        return stored(result, out_dtype_);
    }

    /// What is too large for the dtype that it is stored in becomes Inf.
    static Expected stored(Expected exact, mezzo_dtype dtype) {
        const std::vector<double> values = rounded(exact.values, dtype);
        for (size_t i = 0; i < values.size(); ++i) {
            if (!std::isfinite(values[i])) exact.values[i] = values[i];
        }
        return exact;
    }

    void expect_found(const Surrounded &found_inf, const Expected &looked_at) const {
        const bool finite = std::all_of(looked_at.values.begin(), looked_at.values.end(),
                                        [](double value) { return std::isfinite(value); });
        EXPECT_EQ(found_inf.values().front(), case_.options.found_inf && !finite ? 1 : 0);
    }

    /// The sums are those of what was stored.
    void expect_column_sum() const {
        const std::vector<double> summed = out_.values();
        const bool adds = case_.options.accumulate_sum;
        Expected sums{adds ? sum_before_ : std::vector<double>(sum_before_.size()), std::vector<double>()};
        for (const double value : sums.values) sums.magnitudes.push_back(std::abs(value));
        for (size_t i = 0; i < summed.size(); ++i) {
            sums.values[i % sums.values.size()] += summed[i];
            sums.magnitudes[i % sums.values.size()] += std::abs(summed[i]);
        }
        sums = stored(sums, other_dtype_);
        EXPECT_TRUE(is_near(column_sum_.values(), sums,
                            {other_dtype_, arithmetic_of(layout_.dtype), case_.batch * case_.m + 1}));
        expect_found(found_inf_in_sum_, sums);
    }

    Layout layout_;
    Case case_;
    mezzo_dtype out_dtype_, other_dtype_;
    std::vector<double> a_values_, b_values_, before_, bias_values_, mask_values_, sum_before_;
    Surrounded a_, b_, out_, bias_, mask_, column_sum_, found_inf_, found_inf_in_sum_;
};

} // namespace mezzo::testing
