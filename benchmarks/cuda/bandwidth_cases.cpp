// SPDX-License-Identifier: MIT
// Ops that move bytes, against a plain copy on the same device: bytes that must be read and written, over the time.
#include "bench.h"

#include "core/dtype.h"

#include <array>

namespace mezzo::bench {
namespace {

struct Copy {
    Values to, from;

    Copy(const Bench &bench, int64_t bytes)
        : to(bench.id(), MEZZO_DTYPE_F32, bytes / 4, 1), from(bench.id(), MEZZO_DTYPE_F32, bytes / 4, 2) {}
    Contestant contestant() const {
        return {"copy", [this](int64_t) { check(mezzo_tensor_copy(to.tensor(), from.tensor())); }};
    }
};

/// An op that reads and writes `bytes`, beside a copy that reads and writes as many.
void compare(const Bench &bench, int64_t bytes, const std::function<void(int64_t)> &issue, Json &json) {
    const Copy copy(bench, bytes / 2);
    const std::array contestants = {Contestant{"mezzo", issue}, copy.contestant()};
    const std::vector<Times> times = bench.race(contestants);
    add_times(json, "ours", times[0]);
    add_times(json, "peer", times[1]);
    json.add("bytes", bytes)
        .add("gb_per_s", static_cast<double>(bytes) / times[0].median * 1e-3)
        .add("peer", "copy")
        .add("peer_gb_per_s", static_cast<double>(bytes) / times[1].median * 1e-3)
        .add("speed", times[1].median / times[0].median);
}

/// f32 parameters with both moments, gradients of a dtype, and the 16-bit copies of the parameters.
class AdamState {
  public:
    AdamState(const Bench &bench, int64_t elements, mezzo_dtype grad)
        : param_(bench.id(), MEZZO_DTYPE_F32, elements, 1),
          exp_avg_(bench.id(), MEZZO_DTYPE_F32, elements, 2, 1e-3),
          exp_avg_sq_(bench.id(), MEZZO_DTYPE_F32, elements, 3, 0),
          copy_(bench.id(), MEZZO_DTYPE_F16, elements, 4),
          grad_(bench.id(), grad, elements, 5),
          step_(bench.id(), MEZZO_DTYPE_I64, 1, 0),
          scale_(bench.id(), MEZZO_DTYPE_F32, 1, 6),
          found_inf_(bench.id(), MEZZO_DTYPE_F32, 1, 7, 0) {
        check(mezzo_tensor_view(&step_scalar_, step_.tensor(), 0, nullptr, 0));
        check(mezzo_tensor_view(&scale_scalar_, scale_.tensor(), 0, nullptr, 0));
        check(mezzo_tensor_view(&found_scalar_, found_inf_.tensor(), 0, nullptr, 0));
        check(mezzo_fill(scale_scalar_, 1024));
        const auto size = static_cast<int64_t>(dtype_size(grad));
        step_bytes_ = elements * (3 * 2 * 4 + 2 + size);
        check_bytes_ = elements * size;
    }
    ~AdamState() {
        mezzo_tensor_destroy(step_scalar_);
        mezzo_tensor_destroy(scale_scalar_);
        mezzo_tensor_destroy(found_scalar_);
    }
    AdamState(const AdamState &) = delete;
    AdamState &operator=(const AdamState &) = delete;

    int64_t step_bytes() const { return step_bytes_; }
    int64_t check_bytes() const { return check_bytes_; }

    void step() const {
        const mezzo_tensor param = param_.tensor(), exp_avg = exp_avg_.tensor(), exp_avg_sq = exp_avg_sq_.tensor(),
                           copy = copy_.tensor(), grad = grad_.tensor();
        mezzo_step_inputs inputs{};
        inputs.struct_size = sizeof inputs;
        inputs.step = step_scalar_;
        inputs.grad_scale = scale_scalar_;
        inputs.found_inf = found_scalar_;
        check(mezzo_adam_step(&param, &exp_avg, &exp_avg_sq, &copy, &grad, 1, &inputs, nullptr));
    }
    void look_for_inf() const {
        const mezzo_tensor grad = grad_.tensor();
        const mezzo_unscale_desc desc{sizeof desc, 1, 0, 0, {}, {}, {}, {}};
        check(mezzo_unscale(found_scalar_, &grad, 1, scale_scalar_, &desc));
    }

  private:
    Values param_, exp_avg_, exp_avg_sq_, copy_, grad_, step_, scale_, found_inf_;
    mezzo_tensor step_scalar_{}, scale_scalar_{}, found_scalar_{};
    int64_t step_bytes_ = 0, check_bytes_ = 0;
};

void run_adam(Bench &bench) {
    const int64_t elements = bench.size(int64_t{1} << 26, 1 << 12);
    for (const mezzo_dtype grad : {MEZZO_DTYPE_F16, MEZZO_DTYPE_F32}) {
        const std::string name = std::string("gradients ") + dtype_name(grad);
        bench.add("adam", "unscale and step, " + name, [&](Json &json) {
            const AdamState state(bench, elements, grad);
            compare(
                bench, state.step_bytes(), [&](int64_t) { state.step(); }, json);
        });
        bench.add("adam", "look for Inf, then unscale and step, " + name, [&](Json &json) {
            const AdamState state(bench, elements, grad);
            compare(
                bench, state.step_bytes() + state.check_bytes(),
                [&](int64_t) {
                    state.look_for_inf();
                    state.step();
                },
                json);
        });
    }
}

void run_elementwise(Bench &bench) {
    const int64_t elements = bench.size(int64_t{1} << 27, 1 << 12);
    for (const mezzo_dtype dtype : {MEZZO_DTYPE_F16, MEZZO_DTYPE_F32}) {
        const auto size = static_cast<int64_t>(dtype_size(dtype));
        bench.add("relu", std::string("forward ") + dtype_name(dtype), [&](Json &json) {
            const Values out(bench.id(), dtype, elements, 1), input(bench.id(), dtype, elements, 2);
            compare(
                bench, 2 * size * elements, [&](int64_t) { check(mezzo_relu_forward(out.tensor(), input.tensor())); },
                json);
        });
        bench.add("relu", std::string("backward ") + dtype_name(dtype), [&](Json &json) {
            const Values grad_input(bench.id(), dtype, elements, 1), grad(bench.id(), dtype, elements, 2),
                output(bench.id(), dtype, elements, 3);
            compare(
                bench, 3 * size * elements,
                [&](int64_t) { check(mezzo_relu_backward(grad_input.tensor(), grad.tensor(), output.tensor())); },
                json);
        });
    }
    const auto add_cast = [&](mezzo_dtype from, mezzo_dtype to) {
        bench.add("cast", std::string(dtype_name(from)) + " to " + dtype_name(to), [&](Json &json) {
            const Values out(bench.id(), to, elements, 1), input(bench.id(), from, elements, 2);
            compare(
                bench, static_cast<int64_t>(dtype_size(from) + dtype_size(to)) * elements,
                [&](int64_t) { check(mezzo_cast_forward(out.tensor(), input.tensor())); }, json);
        });
    };
    add_cast(MEZZO_DTYPE_F32, MEZZO_DTYPE_F16);
    add_cast(MEZZO_DTYPE_F16, MEZZO_DTYPE_F32);
    add_cast(MEZZO_DTYPE_F32, MEZZO_DTYPE_BF16);
}

void run_mse_loss(Bench &bench) {
    const int64_t elements = bench.size(int64_t{1} << 27, 1 << 12);
    bench.add("mse_loss", "loss and f16 gradient of f32", [&](Json &json) {
        const Values loss(bench.id(), MEZZO_DTYPE_F32, 1, 0), grad(bench.id(), MEZZO_DTYPE_F16, elements, 1),
            prediction(bench.id(), MEZZO_DTYPE_F32, elements, 2), target(bench.id(), MEZZO_DTYPE_F32, elements, 3);
        mezzo_tensor scalar{};
        check(mezzo_tensor_view(&scalar, loss.tensor(), 0, nullptr, 0));
        compare(
            bench, (4 + 4 + 2) * elements,
            [&](int64_t) {
                check(mezzo_mse_loss_forward(scalar, grad.tensor(), prediction.tensor(), target.tensor(), {}, nullptr));
            },
            json);
        check(mezzo_tensor_destroy(scalar));
    });
}

void run(Bench &bench) {
    run_adam(bench);
    run_elementwise(bench);
    run_mse_loss(bench);
}

const Group group(run);

} // namespace
} // namespace mezzo::bench
