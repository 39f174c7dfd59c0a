// SPDX-License-Identifier: MIT
// Matrix products against the best of what cuBLASLt's heuristics propose, and epilogues against the plain product.
#include "bench.h"

#include "core/dtype.h"
#include "cuda/matmul.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace mezzo::bench {
namespace {

constexpr int64_t kWorkspaceBytes = int64_t{64} << 20;

/// nt: out = a b^T, a forward product; nn: the gradient of its input; tn: that of its weight.
struct Layout {
    const char *name;
    bool a_transposed, b_transposed;
};
constexpr Layout kNt{"nt", false, true}, kNn{"nn", false, false}, kTn{"tn", true, false};
constexpr std::array kHalves = {MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16};

struct Shape {
    int64_t m, n, k;
    Layout layout;
    mezzo_dtype dtype;
    mezzo_dtype out;
    bool bias_relu = false;
    bool tf32 = false;

    double flops() const { return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k); }
    int64_t bytes() const {
        return (m * k + n * k) * static_cast<int64_t>(dtype_size(dtype)) +
               m * n * static_cast<int64_t>(dtype_size(out));
    }
    std::string name() const {
        const std::string sizes = m == n && n == k
                                      ? std::to_string(m)
                                      : std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
        std::string text = std::string(layout.name) + " " + sizes + " " + dtype_name(dtype);
        if (out != dtype) text += std::string(" to ") + dtype_name(out);
        if (tf32) text += " tf32";
        return bias_relu ? text + " bias relu" : text;
    }
};

/// The buffers of a shape, and the problem of each run.
class Problems {
  public:
    Problems(const Bench &bench, const Shape &shape)
        : shape_(shape),
          a_(bench.sets(shape.bytes()), bench.id(), shape.dtype, shape.m * shape.k, 1),
          b_(bench.sets(shape.bytes()), bench.id(), shape.dtype, shape.n * shape.k, 2),
          out_(bench.sets(shape.bytes()), bench.id(), shape.out, shape.m * shape.n, 3),
          bias_(bench.id(), shape.out, shape.n, 4) {}

    MatmulProblem operator[](int64_t run) const {
        MatmulProblem problem{};
        problem.m = shape_.m;
        problem.n = shape_.n;
        problem.k = shape_.k;
        problem.dtype = shape_.dtype;
        problem.a = a_[run].bytes();
        problem.b = b_[run].bytes();
        problem.a_transposed = shape_.layout.a_transposed;
        problem.b_transposed = shape_.layout.b_transposed;
        problem.out = out_[run].data();
        problem.allow_tf32 = shape_.tf32;
        if (shape_.bias_relu) {
            problem.epilogue.bias = bias_.data();
            problem.epilogue.relu = true;
        }
        return problem;
    }
    const Values &out(int64_t run) const { return out_[run]; }

  private:
    Shape shape_;
    Rotation a_, b_, out_;
    Values bias_;
};

Contestant ours(const Bench &bench, const Problems &problems) {
    return {"mezzo", [&](int64_t run) { matmul(bench.device(), problems[run]); }};
}

/// The two fastest of the algorithms, by a short trial of each.
std::vector<CublasLtAlgorithm> fastest_two(const Bench &bench, const CublasLtProduct &product,
                                           const Problems &problems) {
    std::vector<std::pair<double, size_t>> times;
    for (size_t i = 0; i < product.algorithms().size(); ++i) {
        const Contestant contestant{
            "", [&](int64_t run) { product.run(product.algorithms()[i], problems[run], bench.device().stream()); }};
        try {
            times.emplace_back(bench.probe(contestant, 8), i);
        } catch (const Error &) { // an algorithm that the library proposes and then refuses
        }
    }
    std::sort(times.begin(), times.end());
    std::vector<CublasLtAlgorithm> best;
    for (size_t i = 0; i < std::min<size_t>(2, times.size()); ++i)
        best.push_back(product.algorithms()[times[i].second]);
    return best;
}

/// ||a - b|| / ||b||; infinite where one is not finite.
double difference(const std::vector<float> &a, const std::vector<float> &b) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
        difference += (x - y) * (x - y);
        norm += y * y;
    }
    return std::isfinite(difference) && norm > 0 ? std::sqrt(difference / norm) : HUGE_VAL;
}

void compare(const Bench &bench, const Shape &shape, Json &json) {
    const Problems problems(bench, shape);
    const MatmulChoice choice = choose_matmul(problems[0], bench.device().machine(), matmul_kernels());
    json.add("kernel", choice.kernel->name).add("splits", choice.splits);

    std::vector<Contestant> contestants{ours(bench, problems)};
    const int64_t workspace_bytes = bench.size(kWorkspaceBytes, 64);
    const Values workspace(bench.id(), MEZZO_DTYPE_U8, workspace_bytes, 0);
    std::unique_ptr<CublasLtProduct> peer;
    std::vector<CublasLtAlgorithm> algorithms;
    if (bench.cublaslt() != nullptr) {
        try {
            peer =
                std::make_unique<CublasLtProduct>(*bench.cublaslt(), problems[0], workspace.bytes(), workspace_bytes);
            json.add("candidates", static_cast<int64_t>(peer->algorithms().size()));
            algorithms = fastest_two(bench, *peer, problems);
            if (algorithms.empty()) json.add("peer_error", "cuBLASLt runs none of what its heuristics propose");
        } catch (const Error &error) { // ours has its time all the same
            json.add("peer_error", error.what());
        }
        for (const CublasLtAlgorithm &algorithm : algorithms) {
            contestants.push_back({"cuBLASLt", [&, algorithm](int64_t run) {
                                       peer->run(algorithm, problems[run], bench.device().stream());
                                   }});
        }
    }

    const std::vector<Times> times = bench.race(contestants);
    add_times(json, "ours", times[0]);
    json.add("tflops", shape.flops() / times[0].median * 1e-6);
    json.add("gb_per_s", static_cast<double>(shape.bytes()) / times[0].median * 1e-3);
    if (times.size() == 1) return;
    const Times best = *std::min_element(times.begin() + 1, times.end(),
                                         [](const Times &a, const Times &b) { return a.median < b.median; });
    add_times(json, "peer", best);
    json.add("peer", "cuBLASLt").add("peer_tflops", shape.flops() / best.median * 1e-6);

    // Each starts from NaN, or one that writes nothing would be found to agree with the other.
    const auto result = [&](const Contestant &contestant) {
        check(mezzo_fill(problems.out(0).tensor(), std::nan("")));
        contestant.issue(0);
        return problems.out(0).sample();
    };
    const std::vector<float> got = result(contestants[0]);
    json.add("relative_difference", difference(got, result(contestants[1])));
    json.add("speed", best.median / times[0].median);
}

/// What bias and ReLU cost beside the plain product.
void compare_epilogue(const Bench &bench, Shape shape, Json &json) {
    const Problems plain(bench, shape);
    shape.bias_relu = true;
    const Problems fused(bench, shape);
    const std::array contestants = {ours(bench, fused), ours(bench, plain)};
    const std::vector<Times> times = bench.race(contestants);
    add_times(json, "ours", times[0]);
    add_times(json, "peer", times[1]);
    json.add("peer", "our plain product").add("tflops", shape.flops() / times[0].median * 1e-6);
    json.add("speed", times[1].median / times[0].median);
}

void add_product(Bench &bench, const char *group, const Shape &shape) {
    bench.add(group, shape.name(), [&](Json &json) { compare(bench, shape, json); });
}

void run(Bench &bench) {
    const auto size = [&](int64_t normal, int64_t tiny) { return bench.size(normal, tiny); };
    for (const int64_t side : {1024, 2048, 4096, 8192}) {
        if (bench.settings().tiny && side > 1024) break;
        const int64_t s = size(side, 64);
        for (const mezzo_dtype dtype : kHalves) {
            for (const Layout &layout : {kNt, kNn, kTn}) add_product(bench, "square", {s, s, s, layout, dtype, dtype});
        }
    }
    {
        const int64_t s = size(4096, 48);
        add_product(bench, "square", {s, s, s, kNt, MEZZO_DTYPE_F32, MEZZO_DTYPE_F32, false, true});
        add_product(bench, "square", {s, s, s, kNt, MEZZO_DTYPE_F32, MEZZO_DTYPE_F32});
    }

    const int64_t rows = size(20000, 96);
    for (const int64_t width : {150, 160, 512}) {
        if (bench.settings().tiny && width > 150) break;
        const int64_t w = size(width, 30);
        for (const mezzo_dtype dtype : kHalves) {
            add_product(bench, "layer", {rows, w, w, kNt, dtype, dtype, true});
            add_product(bench, "layer", {rows, w, w, kNn, dtype, dtype});
            add_product(bench, "layer", {w, w, rows, kTn, dtype, MEZZO_DTYPE_F32});
        }
        add_product(bench, "layer", {rows, w, w, kNt, MEZZO_DTYPE_F32, MEZZO_DTYPE_F32, true});
    }

    struct Wgrad {
        int64_t side, k;
    };
    for (const Wgrad wgrad : {Wgrad{256, 65536}, {512, 16384}, {1024, 16384}, {1024, 65536}}) {
        if (bench.settings().tiny && wgrad.side > 256) break;
        for (const mezzo_dtype dtype : kHalves) {
            add_product(bench, "wgrad",
                        {size(wgrad.side, 32), size(wgrad.side, 32), size(wgrad.k, 512), kTn, dtype, MEZZO_DTYPE_F32});
        }
    }

    for (const int64_t k : {256, 1024, 4096}) {
        const Shape shape{size(4096, 64), size(4096, 64), size(k, k / 16), kNt, MEZZO_DTYPE_F16, MEZZO_DTYPE_F16};
        bench.add("epilogue", shape.name(), [&](Json &json) { compare_epilogue(bench, shape, json); });
    }
}

const Group group(run);

} // namespace
} // namespace mezzo::bench
