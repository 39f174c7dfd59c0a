/* SPDX-License-Identifier: MIT */
/*
 * Trains a small network to draw a sine and a cosine, in mixed precision, through Mezzo's C ABI alone:
 *
 *     x [256, 1] -> linear 32 + relu -> linear 32 + relu -> linear 2 -> sin(x), cos(x)
 *
 * What mixed precision needs, and where to find it below:
 *   - parameters stay f32; the products use their 16-bit copies, which the optimizer keeps up to date
 *   - the loss is computed in f32, its gradient times the loss scale in 16 bits      (mse_loss)
 *   - gradients are checked for Inf and NaN; a step that has one is skipped          (unscale, adam)
 *   - the loss scale shrinks after such a step and grows after a run of clean ones   (scale_update)
 * All of it stays on the device: the host reads nothing but the loss, now and then.
 *
 * Ends with 0 when the loss has fallen far enough, else with 1.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <mezzo/ops.h>

enum {
    LAYERS = 3,
    SAMPLES = 256,
    STEPS = 500,
    PARAMETERS = 2 * LAYERS,
    MAX_TENSORS = 64
};

static const int64_t WIDTHS[LAYERS + 1] = {1, 32, 32, 2};
static const double PI = 3.14159265358979323846;
static const double LOSS_BOUND = 5e-3;
static const mezzo_device CPU = {MEZZO_DEVICE_TYPE_CPU, 0};
static const mezzo_tensor NONE = {0};

/* Every call answers a status, and the library keeps the text of the last failure. */
static void check(mezzo_status status) {
    if (status != MEZZO_STATUS_OK) {
        fprintf(stderr, "train_sincos: %s\n", mezzo_last_error());
        exit(EXIT_FAILURE);
    }
}

/* ---- Tensors: made here, remembered, destroyed at the end -------------------------------------- */

static mezzo_tensor all_tensors[MAX_TENSORS];
static int tensor_count = 0;

static mezzo_tensor make_tensor(mezzo_dtype dtype, int32_t rank, int64_t rows, int64_t columns) {
    const int64_t shape[2] = {rows, columns};
    mezzo_tensor tensor;
    if (tensor_count == MAX_TENSORS) {
        fprintf(stderr, "train_sincos: MAX_TENSORS is too small\n");
        exit(EXIT_FAILURE);
    }
    check(mezzo_tensor_create(&tensor, CPU, dtype, shape, rank));
    all_tensors[tensor_count++] = tensor;
    return tensor;
}

static mezzo_tensor make_scalar(mezzo_dtype dtype, double value) {
    const mezzo_tensor tensor = make_tensor(dtype, 0, 0, 0);
    check(mezzo_fill(tensor, value));
    return tensor;
}

static mezzo_tensor make_filled(const float *data, int64_t rows, int64_t columns) {
    const mezzo_tensor tensor = make_tensor(MEZZO_DTYPE_F32, 2, rows, columns);
    check(mezzo_tensor_write(tensor, data, rows * columns * (int64_t)sizeof(float)));
    return tensor;
}

static float read_scalar(mezzo_tensor tensor) {
    float value;
    check(mezzo_tensor_read(&value, tensor, sizeof value));
    return value;
}

static void destroy_tensors(void) {
    while (tensor_count > 0) check(mezzo_tensor_destroy(all_tensors[--tensor_count]));
}

/* ---- The network -------------------------------------------------------------------------------- */

/* Parameter 2 l is the weight of layer l, parameter 2 l + 1 its bias. */
typedef struct network {
    mezzo_dtype half;
    mezzo_tensor params[PARAMETERS];      /* f32 */
    mezzo_tensor copies[PARAMETERS];      /* 16-bit copies of the weights; biases need none */
    mezzo_tensor grads[PARAMETERS];       /* f32, times the loss scale */
    mezzo_tensor exp_avgs[PARAMETERS];    /* Adam's first moments */
    mezzo_tensor exp_avg_sqs[PARAMETERS]; /* Adam's second moments */
    mezzo_tensor activations[LAYERS + 1]; /* 0: the input; LAYERS: the prediction, f32 */
    mezzo_tensor act_grads[LAYERS + 1];   /* 16 bits, times the loss scale; none for the input */
} network;

static mezzo_linear_desc layer_desc(int layer) {
    mezzo_linear_desc desc = {0};
    desc.struct_size = sizeof desc;
    desc.activation = layer == LAYERS - 1 ? MEZZO_ACTIVATION_NONE : MEZZO_ACTIVATION_RELU;
    return desc;
}

static void add_parameter(network *net, int index, int32_t rank, int64_t outputs, int64_t inputs, double bound) {
    mezzo_random_desc random = {0};
    random.struct_size = sizeof random;
    random.seed = 1;
    random.stream = (uint64_t)index; /* another draw for each parameter */
    net->params[index] = make_tensor(MEZZO_DTYPE_F32, rank, outputs, inputs);
    check(mezzo_random_uniform(net->params[index], -bound, bound, &random));

    net->grads[index] = make_tensor(MEZZO_DTYPE_F32, rank, outputs, inputs);
    net->exp_avgs[index] = make_tensor(MEZZO_DTYPE_F32, rank, outputs, inputs);
    net->exp_avg_sqs[index] = make_tensor(MEZZO_DTYPE_F32, rank, outputs, inputs);
    check(mezzo_fill(net->exp_avgs[index], 0));
    check(mezzo_fill(net->exp_avg_sqs[index], 0));
}

static void build_network(network *net, mezzo_dtype half, mezzo_tensor input) {
    int layer;
    net->half = half;
    net->activations[0] = make_tensor(half, 2, SAMPLES, WIDTHS[0]);
    net->act_grads[0] = NONE;
    check(mezzo_cast_forward(net->activations[0], input));
    for (layer = 0; layer < LAYERS; ++layer) {
        const int64_t inputs = WIDTHS[layer], outputs = WIDTHS[layer + 1];
        const double bound = 1 / sqrt((double)inputs);
        const int weight = 2 * layer, bias = weight + 1;
        add_parameter(net, weight, 2, outputs, inputs, bound);
        add_parameter(net, bias, 1, outputs, 1, bound);
        net->copies[weight] = make_tensor(half, 2, outputs, inputs);
        net->copies[bias] = NONE;
        check(mezzo_cast_forward(net->copies[weight], net->params[weight]));

        net->activations[layer + 1] = make_tensor(layer == LAYERS - 1 ? MEZZO_DTYPE_F32 : half, 2, SAMPLES, outputs);
        net->act_grads[layer + 1] = make_tensor(half, 2, SAMPLES, outputs);
    }
}

static void forward(const network *net) {
    int layer;
    for (layer = 0; layer < LAYERS; ++layer) {
        const mezzo_linear_desc desc = layer_desc(layer);
        check(mezzo_linear_forward(net->activations[layer + 1], net->activations[layer], net->copies[2 * layer],
                                   net->params[2 * layer + 1], &desc));
    }
}

static void backward(const network *net) {
    int layer;
    for (layer = LAYERS - 1; layer >= 0; --layer) {
        const mezzo_linear_desc desc = layer_desc(layer);
        /* Where the output is 0 the ReLU lets no gradient through; without one it is not needed. */
        const mezzo_tensor output = desc.activation == MEZZO_ACTIVATION_RELU ? net->activations[layer + 1] : NONE;
        check(mezzo_linear_backward(net->act_grads[layer], net->grads[2 * layer], net->grads[2 * layer + 1], NONE, NONE,
                                    net->act_grads[layer + 1], net->activations[layer], net->copies[2 * layer], output,
                                    &desc));
    }
}

/* ---- Training ----------------------------------------------------------------------------------- */

int main(void) {
    float x[SAMPLES], y[2 * SAMPLES];
    network net;
    mezzo_dtype half;
    mezzo_tensor target, loss, scale, growth_tracker, found_inf;
    mezzo_unscale_desc check_only = {.struct_size = sizeof check_only, .check_only = 1};
    mezzo_scale_update_desc scale_rules = {
        .struct_size = sizeof scale_rules, .growth_interval = 100, .growth_factor = 2.0, .backoff_factor = 0.5};
    mezzo_step_inputs inputs = {.struct_size = sizeof inputs};
    mezzo_adam_desc adam = {.struct_size = sizeof adam, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    mezzo_memory_stats memory;
    int32_t threads;
    float last_loss = 0;
    int i, step;

    check(mezzo_abi_check(MEZZO_ABI_VERSION));
    check(mezzo_threads_get(&threads));
    check(mezzo_device_fast_dtype(&half, CPU));
    printf("libmezzo %s, %d threads, %s; training in %s\n", mezzo_version(), (int)threads, mezzo_cpu_instruction_sets(),
           half == MEZZO_DTYPE_BF16 ? "bf16" : "f16");

    for (i = 0; i < SAMPLES; ++i) {
        const double angle = PI * (2.0 * i / (SAMPLES - 1) - 1);
        x[i] = (float)angle;
        y[2 * i] = (float)sin(angle);
        y[2 * i + 1] = (float)cos(angle);
    }
    build_network(&net, half, make_filled(x, SAMPLES, 1));
    target = make_filled(y, SAMPLES, 2);
    loss = make_scalar(MEZZO_DTYPE_F32, 0);
    scale = make_scalar(MEZZO_DTYPE_F32, 65536);
    growth_tracker = make_scalar(MEZZO_DTYPE_I32, 0);
    found_inf = make_scalar(MEZZO_DTYPE_F32, 0);
    inputs.step = make_scalar(MEZZO_DTYPE_I64, 0);
    inputs.grad_scale = scale;
    inputs.found_inf = found_inf;

    for (step = 0; step < STEPS; ++step) {
        forward(&net);
        check(mezzo_mse_loss_forward(loss, net.act_grads[LAYERS], net.activations[LAYERS], target, scale, NULL));
        backward(&net);

        check(mezzo_fill(found_inf, 0));
        check(mezzo_unscale(found_inf, net.grads, PARAMETERS, scale, &check_only)); /* Adam divides by the scale */
        check(mezzo_adam_step(net.params, net.exp_avgs, net.exp_avg_sqs, net.copies, net.grads, PARAMETERS, &inputs,
                              &adam));
        check(mezzo_scale_update(scale, growth_tracker, NONE, NONE, NONE, &found_inf, NULL, 1, &scale_rules));

        if (step % 100 == 0 || step == STEPS - 1) {
            last_loss = read_scalar(loss);
            printf("step %3d  loss %.6f  loss scale %.0f\n", step, last_loss, read_scalar(scale));
        }
    }

    check(mezzo_memory_stats_get(&memory, CPU));
    destroy_tensors();
    printf("%s: the loss is %.6f and had to fall below %g; %lld bytes at the peak\n",
           last_loss < LOSS_BOUND ? "trained" : "FAILED", last_loss, LOSS_BOUND, (long long)memory.peak_bytes);
    return last_loss < LOSS_BOUND ? EXIT_SUCCESS : EXIT_FAILURE;
}
