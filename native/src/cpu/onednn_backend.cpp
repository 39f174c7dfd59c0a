// SPDX-License-Identifier: MIT
// Products by oneDNN, 2.6 or newer. Each product runs on the calling thread alone.
#include "cpu/product.h"

#if defined(MEZZO_HAVE_ONEDNN)

#include "core/fork_mutex.h"
#include "core/memory.h"
#include "cpu/rectify.h"
#include "cpu/simd.h"

#include <omp.h>

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>

namespace mezzo::cpu {
namespace {

using dnnl::matmul;
using Desc = dnnl::memory::desc;

const dnnl::engine &cpu_engine() {
    static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    return engine;
}

/// Keeps oneDNN to the calling thread: a block is work for one member of a team.
class SingleThreadScope {
  public:
    SingleThreadScope() : previous_(omp_get_max_threads()) { omp_set_num_threads(1); }
    ~SingleThreadScope() { omp_set_num_threads(previous_); }
    SingleThreadScope(const SingleThreadScope &) = delete;
    SingleThreadScope &operator=(const SingleThreadScope &) = delete;

  private:
    int previous_;
};

/// All that a primitive depends on.
struct Problem {
    mezzo_dtype element;
    mezzo_dtype out;
    std::array<int64_t, 3> sizes;   // m, n, k
    std::array<int64_t, 5> strides; // a's two, b's two, c's rows
    bool bias;
    bool accumulate;

    auto operator<=>(const Problem &) const = default;
};

dnnl::memory::data_type data_type(mezzo_dtype dtype) {
    return dtype == MEZZO_DTYPE_BF16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

/// A primitive with the layouts of its arguments.
struct Product {
    explicit Product(const Problem &problem)
        : a({m(problem), k(problem)}, data_type(problem.element), {problem.strides[0], problem.strides[1]}),
          b({k(problem), n(problem)}, data_type(problem.element), {problem.strides[2], problem.strides[3]}),
          c({m(problem), n(problem)}, data_type(problem.out), {problem.strides[4], 1}),
          bias({1, n(problem)}, dnnl::memory::data_type::f32, {n(problem), 1}) {
        dnnl::primitive_attr attributes;
        attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
        dnnl::post_ops post_ops;
        if (problem.accumulate) post_ops.append_sum(1.0f);
        attributes.set_post_ops(post_ops);
#if DNNL_VERSION_MAJOR >= 3
        const matmul::primitive_desc description = problem.bias
                                                       ? matmul::primitive_desc(cpu_engine(), a, b, bias, c, attributes)
                                                       : matmul::primitive_desc(cpu_engine(), a, b, c, attributes);
#else
        const matmul::desc operation = problem.bias ? matmul::desc(a, b, bias, c) : matmul::desc(a, b, c);
        const matmul::primitive_desc description(operation, attributes, cpu_engine());
#endif
        scratchpad = description.scratchpad_desc();
        primitive = matmul(description);
    }

    Desc a;
    Desc b;
    Desc c;
    Desc bias;
    Desc scratchpad;
    matmul primitive;

  private:
    static int64_t m(const Problem &problem) {
        return problem.sizes[0];
    }
    static int64_t n(const Problem &problem) {
        return problem.sizes[1];
    }
    static int64_t k(const Problem &problem) {
        return problem.sizes[2];
    }
};

/// The primitives used last. Thread-safe; a primitive lives on while somebody runs it.
class ProductCache {
  public:
    std::shared_ptr<const Product> find(const Problem &problem) {
        const std::lock_guard<ForkMutex> lock(mutex_);
        const auto found = products_.find(problem);
        if (found != products_.end()) return found->second;
        auto product = std::make_shared<const Product>(problem);
        if (products_.size() == kCapacity) {
            products_.erase(oldest_.front());
            oldest_.pop_front();
        }
        oldest_.push_back(problem);
        products_.emplace(problem, product);
        return product;
    }

  private:
    static constexpr size_t kCapacity = 256;

    ForkMutex mutex_;
    std::map<Problem, std::shared_ptr<const Product>> products_;
    std::deque<Problem> oldest_; // the keys, in the order in which they came
};

/// Scratch memory of the thread, for oneDNN's own use; it grows to the largest product and stays.
std::byte *thread_scratchpad(size_t bytes) {
    struct Free {
        void operator()(std::byte *block) const { ::operator delete[](block, std::align_val_t{kMemoryAlignment}); }
    };
    thread_local std::unique_ptr<std::byte[], Free> block;
    thread_local size_t size = 0;
    if (bytes > size) {
        block.reset(new (std::align_val_t{kMemoryAlignment}) std::byte[bytes]);
        size = bytes;
    }
    return block.get();
}

/// Whether oneDNN uses an instruction set here; each is a set of bits that holds those below it.
bool onednn_uses(dnnl::cpu_isa isa) {
    const auto bits = static_cast<unsigned>(isa);
    return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & bits) == bits;
}

dnnl::memory as_memory(const Desc &desc, const std::byte *data) {
    return {desc, cpu_engine(), const_cast<std::byte *>(data)}; // oneDNN has no memory of constants
}

/// Our own ReLU, over a block that is still in the cache: oneDNN's turns NaN into 0.
template <class T>
void rectify(const ProductTarget &c, const ProductShape &shape) {
    T *rows = reinterpret_cast<T *>(c.data);
    simd_for(shape.m, [=, stride = c.row_stride, columns = shape.n](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        for (int64_t row = begin; row < end; ++row) {
            T *to = rows + row * stride;
            for (int64_t i = 0; i < columns; ++i) to[i] = zero_if(is_off(to[i]), to[i]);
        }
    });
}

class OneDnnBackend final : public ProductBackend {
  public:
    explicit OneDnnBackend(mezzo_dtype element) : element_(element) {}

    const char *name() const noexcept override { return "oneDNN"; }
    mezzo_dtype element() const noexcept override { return element_; }
    int64_t block_rows() const noexcept override { return 512; }
    int64_t left_bytes(bool, int64_t, int64_t) const noexcept override { return 0; }
    int64_t right_bytes(int64_t, int64_t) const noexcept override { return 0; }

    PackedMatrix pack_left(const MatrixView &a, int64_t, int64_t, std::byte *) const override {
        return {a.data, a.row_stride, a.column_stride};
    }

    PackedMatrix pack_right(const MatrixView &b, int64_t, int64_t, std::byte *) const override {
        return {b.data, b.row_stride, b.column_stride};
    }

    void multiply(const ProductTarget &c, const PackedMatrix &a, const PackedMatrix &b, const ProductShape &shape,
                  std::span<const UpcomingRead>) const override {
        static ProductCache cache;
        const SingleThreadScope single_thread;
        const std::shared_ptr<const Product> product =
            cache.find({.element = element_,
                        .out = c.dtype,
                        .sizes = {shape.m, shape.n, shape.k},
                        .strides = {a.row_stride, a.column_stride, b.row_stride, b.column_stride, c.row_stride},
                        .bias = c.bias != nullptr,
                        .accumulate = c.accumulate});
        std::unordered_map<int, dnnl::memory> arguments{
            {DNNL_ARG_SRC, as_memory(product->a, a.data)},
            {DNNL_ARG_WEIGHTS, as_memory(product->b, b.data)},
            {DNNL_ARG_DST, as_memory(product->c, c.data)},
            {DNNL_ARG_SCRATCHPAD, as_memory(product->scratchpad, thread_scratchpad(product->scratchpad.get_size()))},
        };
        if (c.bias != nullptr) arguments.emplace(DNNL_ARG_BIAS, as_memory(product->bias, c.bias));
        dnnl::stream stream(cpu_engine());
        product->primitive.execute(stream, arguments);
        stream.wait();
        if (!c.relu) return;
        if (c.dtype == MEZZO_DTYPE_BF16) {
            rectify<BFloat16>(c, shape);
        } else {
            rectify<float>(c, shape);
        }
    }

  private:
    mezzo_dtype element_;
};

} // namespace

const ProductBackend *onednn_backend(mezzo_dtype element) {
    static const OneDnnBackend f32(MEZZO_DTYPE_F32);
    static const OneDnnBackend bf16(MEZZO_DTYPE_BF16);
    if (element == MEZZO_DTYPE_F32) return &f32;
    // Without AVX-512 oneDNN has no bf16 products, or slow ones.
    return element == MEZZO_DTYPE_BF16 && onednn_uses(dnnl::cpu_isa::avx512_core) ? &bf16 : nullptr;
}

bool onednn_available() {
    return true;
}

bool onednn_uses_amx() {
    return onednn_uses(dnnl::cpu_isa::avx512_core_amx);
}

} // namespace mezzo::cpu

#else

namespace mezzo::cpu {

const ProductBackend *onednn_backend(mezzo_dtype) {
    return nullptr;
}

bool onednn_available() {
    return false;
}

bool onednn_uses_amx() {
    return false;
}

} // namespace mezzo::cpu

#endif
