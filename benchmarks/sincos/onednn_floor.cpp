// SPDX-License-Identifier: MIT
// The floor under an epoch of the sin/cos study: the time that oneDNN takes for its matrix products alone.
//
//   four layers h x h, with n samples; each epoch, for each layer l:
//     out_l         = relu(input_l weight_l^T + bias_l)     (n, h)    bias and ReLU fused
//     grad_input_l  = grad_l weight_l                       (n, h)
//     grad_weight_l = grad_l^T input_l                      (h, h)    f32
//
// FLOP: 12 products of 2 n h^2 each. Tensors are plain row-major, as a training step has them, but the four layers
// share theirs: those stay in the cache, which a step's cannot. That makes it a floor.
// Usage: onednn_floor f32|bf16 EPOCHS [SAMPLES HIDDEN]; prints one JSON line with the median epoch.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <unordered_map>
#include <vector>

#include <dnnl.hpp>

namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using Type = memory::data_type;

constexpr int kLayers = 4;

dnnl::engine &engine() {
    static dnnl::engine instance(dnnl::engine::kind::cpu, 0);
    return instance;
}

/// A product out = a b, with its memory, ready to run.
class Product {
  public:
    Product(const memory &out, const memory &a, const memory &b, const memory *bias, bool relu)
        : primitive_(primitive(out, a, b, bias, relu)),
          arguments_{{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, out}} {
        if (bias != nullptr) arguments_.insert({DNNL_ARG_BIAS, *bias});
    }

    void run(dnnl::stream &stream) const { primitive_.execute(stream, arguments_); }

  private:
    static dnnl::matmul primitive(const memory &out, const memory &a, const memory &b, const memory *bias, bool relu) {
        dnnl::primitive_attr attributes;
        if (relu) {
            dnnl::post_ops activation;
#if DNNL_VERSION_MAJOR >= 3
            activation.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
#else
            activation.append_eltwise(1, dnnl::algorithm::eltwise_relu, 0, 0);
#endif
            attributes.set_post_ops(activation);
        }
        const memory::desc bias_desc = bias == nullptr ? memory::desc() : bias->get_desc();
#if DNNL_VERSION_MAJOR >= 3
        return dnnl::matmul(
            dnnl::matmul::primitive_desc(engine(), a.get_desc(), b.get_desc(), bias_desc, out.get_desc(), attributes));
#else
        const dnnl::matmul::desc desc(a.get_desc(), b.get_desc(), bias_desc, out.get_desc());
        return dnnl::matmul(dnnl::matmul::primitive_desc(desc, attributes, engine()));
#endif
    }

    dnnl::matmul primitive_;
    std::unordered_map<int, memory> arguments_;
};

/// A tensor of small numbers of both signs, so that no product overflows or meets denormals.
memory tensor(memory::dims shape, Type type) {
    memory values(memory::desc(shape, type, shape.size() == 1 ? Tag::a : Tag::ab), engine());
    const size_t bytes = values.get_desc().get_size();
    auto *data = static_cast<uint16_t *>(values.get_data_handle());
    // The upper half of an f32 is a bf16: 0x3C00 | x is near 2^-7, and its top bit the sign.
    for (size_t i = 0; i < bytes / 2; ++i) data[i] = static_cast<uint16_t>(0x3C00 | (i * 40503 & 0x807F));
    return values;
}

/// The same memory read with rows and columns exchanged.
memory transposed(const memory &matrix, Type type) {
    const memory::dims shape = matrix.get_desc().dims();
    return memory(memory::desc({shape[1], shape[0]}, type, Tag::ba), engine(), matrix.get_data_handle());
}

/// The products of one layer: forward, grad_input, grad_weight.
std::vector<Product> layer_products(Type type, int64_t samples, int64_t hidden) {
    const memory input = tensor({samples, hidden}, type);
    const memory weight = tensor({hidden, hidden}, type);
    const memory bias = tensor({1, hidden}, Type::f32);
    const memory out = tensor({samples, hidden}, type);
    const memory grad = tensor({samples, hidden}, type);
    const memory grad_input = tensor({samples, hidden}, type);
    const memory grad_weight = tensor({hidden, hidden}, Type::f32);
    // A transposed memory does not own its data: weight and grad live on in the arguments of grad_input's product.
    std::vector<Product> products;
    products.emplace_back(out, input, transposed(weight, type), &bias, true);
    products.emplace_back(grad_input, grad, weight, nullptr, false);
    products.emplace_back(grad_weight, transposed(grad, type), input, nullptr, false);
    return products;
}

double median_epoch_ms(Type type, int epochs, int64_t samples, int64_t hidden) {
    const std::vector<Product> products = layer_products(type, samples, hidden);
    dnnl::stream stream(engine());
    std::vector<double> times;
    for (int epoch = -1; epoch < epochs; ++epoch) { // the first one warms up
        const auto start = std::chrono::steady_clock::now();
        for (const Product &product : products) {
            for (int layer = 0; layer < kLayers; ++layer) product.run(stream);
        }
        stream.wait();
        const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
        if (epoch >= 0) times.push_back(elapsed.count());
    }
    std::nth_element(times.begin(), times.begin() + epochs / 2, times.end());
    return times[static_cast<size_t>(epochs / 2)];
}

} // namespace

int main(int argc, char **argv) {
    const bool half = argc > 1 && std::strcmp(argv[1], "bf16") == 0;
    const int epochs = argc > 2 ? std::atoi(argv[2]) : 0;
    const int64_t samples = argc > 3 ? std::atoll(argv[3]) : 20000;
    const int64_t hidden = argc > 4 ? std::atoll(argv[4]) : 150;
    if ((!half && (argc < 2 || std::strcmp(argv[1], "f32") != 0)) || epochs < 1 || samples < 1 || hidden < 1) {
        std::fprintf(stderr, "usage: onednn_floor f32|bf16 EPOCHS [SAMPLES HIDDEN]\n");
        return 2;
    }
    try {
        const double ms = median_epoch_ms(half ? Type::bf16 : Type::f32, epochs, samples, hidden);
        const dnnl_version_t *version = dnnl_version();
        std::printf("{\"version\": \"%d.%d.%d\", \"dtype\": \"%s\", \"ms_per_epoch\": %.4f, \"gflops\": %.1f}\n",
                    version->major, version->minor, version->patch, half ? "bf16" : "f32", ms,
                    12 * 2e-6 * static_cast<double>(samples * hidden * hidden) / ms);
    } catch (const std::exception &exception) {
        std::fprintf(stderr, "onednn_floor: %s\n", exception.what());
        return 1;
    }
    return 0;
}
