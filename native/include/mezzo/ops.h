/* SPDX-License-Identifier: MIT */
/*
 * Mezzo's ops, one section each: the formula, shapes, dtypes, errors and the source of the formula.
 *
 * What holds for all of them:
 * - Outputs are allocated by the caller. An output may be the same tensor as an input only where the
 *   op says "in place"; otherwise overlapping tensors give MEZZO_STATUS_INVALID_ARGUMENT.
 * - All tensors of a call live on one device, else MEZZO_STATUS_DEVICE_MISMATCH.
 * - "half" means f16 or bf16. Arithmetic on halves is done in f32 and rounded once, to nearest even,
 *   when the result is stored; f64 is computed in f64.
 * - "scalar" is a tensor of rank 0.
 * - Inf and NaN flow through as IEEE 754 says; nothing is clamped on the way.
 * - A descriptor starts with its own size, struct_size = sizeof(the type), so that later versions can
 *   append fields; a size that the library does not know is MEZZO_STATUS_INVALID_ARGUMENT. A null
 *   descriptor stands for the documented defaults.
 * - Results are bit-identical for the same inputs, device and number of threads; where an op's result
 *   does not depend on the number of threads at all, it says so.
 */
#ifndef MEZZO_OPS_H
#define MEZZO_OPS_H

#include <mezzo/mezzo.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------
 * fill: out[i] = value
 * ------------------------------------------------------------------------------------------- */

/**
 * Sets every element to a value, converted to the tensor's dtype.
 *
 * @param[out] out any shape, any dtype
 * @param value rounded to nearest even for floating dtypes; for integers it must be integral and in
 *        range, else MEZZO_STATUS_INVALID_ARGUMENT
 */
MEZZO_API mezzo_status mezzo_fill(mezzo_tensor out, double value);

/* ---------------------------------------------------------------------------------------------
 * random: counter-based random numbers, Philox 4x32-10
 *
 * Element i takes word i % 4 (for f64: words 2 (i % 2) and 2 (i % 2) + 1) of the block whose counter is
 * (low and high half of i / 4, for f64 i / 2; low and high half of stream) under the key (low and high
 * half of seed). The numbers therefore depend on seed, stream and index alone, not on device, thread
 * count or shape. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 * ------------------------------------------------------------------------------------------- */

/** Which random numbers to draw. */
typedef struct mezzo_random_desc {
    uint32_t struct_size; /**< sizeof(mezzo_random_desc) */
    uint32_t reserved;    /**< must be 0 */
    uint64_t seed;        /**< key: the experiment */
    uint64_t stream;      /**< upper half of the counter: the draw within it */
} mezzo_random_desc;

/**
 * Uniform numbers in [low, high): low + (high - low) * u, where u is a multiple of 2^-24 (f64: 2^-53) in
 * [0, 1). A result that rounds to high is replaced by the largest value below it. Bounds that are not finite
 * in out's dtype, whose difference is not, or between which the dtype has no number give
 * MEZZO_STATUS_INVALID_ARGUMENT.
 *
 * @param[out] out any shape; f64, f32, f16 or bf16
 * @param low smallest value, finite
 * @param high upper bound, finite, greater than low
 * @param desc null stands for seed 0, stream 0
 */
MEZZO_API mezzo_status mezzo_random_uniform(mezzo_tensor out, double low, double high, const mezzo_random_desc *desc);

/**
 * Normal numbers, mean + deviation * z, by the Box-Muller transform of pairs of words.
 *
 * @param[out] out any shape; f64, f32, f16 or bf16
 * @param mean finite in out's dtype
 * @param deviation standard deviation, finite in out's dtype, at least 0
 * @param desc null stands for seed 0, stream 0
 */
MEZZO_API mezzo_status mezzo_random_normal(mezzo_tensor out, double mean, double deviation,
                                           const mezzo_random_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * cast: out[i] = input[i] in another dtype
 * ------------------------------------------------------------------------------------------- */

/**
 * Converts elements, rounding to nearest even; too large a value becomes Inf. To an integer dtype it
 * truncates towards zero, saturates at the ends of the range and turns NaN into 0.
 * Its gradient is the cast back.
 *
 * @param[out] out any dtype, as many elements as input
 * @param input any dtype
 */
MEZZO_API mezzo_status mezzo_cast_forward(mezzo_tensor out, mezzo_tensor input);

/* ---------------------------------------------------------------------------------------------
 * add: out[i] = a[i] + b[i]
 * ------------------------------------------------------------------------------------------- */

/**
 * Adds two tensors. Its gradient is the output's gradient, for both inputs.
 *
 * @param[out] out shape and dtype of a; in place: may be a or b
 * @param a f64, f32, f16 or bf16
 * @param b shape and dtype of a
 */
MEZZO_API mezzo_status mezzo_add_forward(mezzo_tensor out, mezzo_tensor a, mezzo_tensor b);

/* ---------------------------------------------------------------------------------------------
 * scale: out[i] = input[i] * factor * device_factor
 * ------------------------------------------------------------------------------------------- */

/**
 * Multiplies a tensor by a number. Its gradient is the same op on the output's gradient.
 * The two factors are multiplied first, in f64, and rounded to the arithmetic's dtype.
 *
 * @param[out] out shape and dtype of input; in place: may be input
 * @param input f64, f32, f16 or bf16
 * @param factor known on the host
 * @param device_factor f32 or f64 scalar on the device, such as a loss scale; null for none
 */
MEZZO_API mezzo_status mezzo_scale_forward(mezzo_tensor out, mezzo_tensor input, double factor,
                                           mezzo_tensor device_factor);

/* ---------------------------------------------------------------------------------------------
 * sum and mean: out = sum_i input[i], out = (1/n) sum_i input[i]
 * ------------------------------------------------------------------------------------------- */

/**
 * Sums all elements. Blocks of fixed size are accumulated in f64 and added in order, so the result does
 * not depend on the number of threads.
 *
 * @param[out] out scalar; f32 for a half input, else input's dtype
 * @param input any shape; f64, f32, f16 or bf16
 */
MEZZO_API mezzo_status mezzo_sum_forward(mezzo_tensor out, mezzo_tensor input);

/**
 * Gradient of the sum: grad_input[i] = grad_output.
 *
 * @param[out] grad_input input's shape; f64, f32, f16 or bf16
 * @param grad_output scalar; f32 for a half grad_input, else grad_input's dtype
 */
MEZZO_API mezzo_status mezzo_sum_backward(mezzo_tensor grad_input, mezzo_tensor grad_output);

/**
 * Mean of all elements, accumulated as in mezzo_sum_forward().
 *
 * @param[out] out scalar; f32 for a half input, else input's dtype
 * @param input any shape; f64, f32, f16 or bf16
 */
MEZZO_API mezzo_status mezzo_mean_forward(mezzo_tensor out, mezzo_tensor input);

/**
 * Gradient of the mean: grad_input[i] = grad_output / n.
 *
 * @param[out] grad_input input's shape; f64, f32, f16 or bf16
 * @param grad_output scalar; f32 for a half grad_input, else grad_input's dtype
 */
MEZZO_API mezzo_status mezzo_mean_backward(mezzo_tensor grad_input, mezzo_tensor grad_output);

/* ---------------------------------------------------------------------------------------------
 * checksum: out = sum_i mix(bits(input[i]) + (i + 1) 0x9e3779b97f4a7c15), modulo 2^64
 *
 *   z     = (z xor (z >> 32)) 0xdaba0b6eb09322e3, twice
 *   mix   = z xor (z >> 32)
 *
 * bits() is the element as an unsigned integer: -0 is not 0, and every NaN has its own. Different tensors have the same
 * checksum by chance, one in 2^64; it is no protection against intent. Source of mix: lea64 in Steele and Vigna, "LXM:
 * Better Splittable Pseudorandom Number Generators", OOPSLA 2021.
 * ------------------------------------------------------------------------------------------- */

/**
 * Checksum of the elements' bits in their order; dtype and shape do not enter. Integers are added, so it depends on
 * neither the device nor the number of threads.
 *
 * @param[out] out i64 scalar, the 64 bits of the sum
 * @param input any shape, any dtype
 */
MEZZO_API mezzo_status mezzo_checksum(mezzo_tensor out, mezzo_tensor input);

/* ---------------------------------------------------------------------------------------------
 * relu: out[i] = max(input[i], 0), NaN stays NaN
 * ------------------------------------------------------------------------------------------- */

/**
 * Rectified linear unit.
 *
 * @param[out] out shape and dtype of input; in place: may be input
 * @param input f64, f32, f16 or bf16
 */
MEZZO_API mezzo_status mezzo_relu_forward(mezzo_tensor out, mezzo_tensor input);

/**
 * Gradient of the rectified linear unit: grad_input[i] = output[i] <= 0 ? 0 : grad_output[i], as
 * PyTorch's threshold_backward, so that a NaN output lets the gradient through. Works from the output,
 * so the input need not be kept; the input serves as well.
 *
 * @param[out] grad_input shape and dtype of grad_output; in place: may be grad_output
 * @param grad_output f64, f32, f16 or bf16
 * @param output the forward's output (or input), shape and dtype of grad_output
 */
MEZZO_API mezzo_status mezzo_relu_backward(mezzo_tensor grad_input, mezzo_tensor grad_output, mezzo_tensor output);

/**
 * What mezzo_relu_backward() and the other ops with a ReLU need of its output, in one bit per element: bit i % 8 of
 * mask[i / 8], the lowest first, is 0 where output[i] <= 0 and else 1, also for NaN. Bits past the last element are 0.
 *
 * @param[out] mask u8 of (n + 7) / 8 elements, for the n of output
 * @param output f64, f32, f16 or bf16, any shape
 */
MEZZO_API mezzo_status mezzo_relu_mask_pack(mezzo_tensor mask, mezzo_tensor output);

/**
 * An output with the same mask: output[i] = 1 where the bit is 1, else 0. A backward pass that is given it computes the
 * gradients of the output that was packed.
 *
 * @param[out] output f64, f32, f16 or bf16, any shape
 * @param mask u8 of (n + 7) / 8 elements, for the n of output
 */
MEZZO_API mezzo_status mezzo_relu_mask_unpack(mezzo_tensor output, mezzo_tensor mask);

/* ---------------------------------------------------------------------------------------------
 * gelu: out[i] = x F(x), x = input[i]
 * ------------------------------------------------------------------------------------------- */

/** How the normal distribution function is computed. */
typedef enum mezzo_gelu_approximation {
    MEZZO_GELU_APPROXIMATION_NONE = 0, /**< (1 + erf(x / sqrt(2))) / 2 */
    MEZZO_GELU_APPROXIMATION_TANH = 1  /**< (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */
} mezzo_gelu_approximation;

/** Variant of the Gaussian error linear unit. All zero but struct_size: the exact one. */
typedef struct mezzo_gelu_desc {
    uint32_t struct_size;                   /**< sizeof(mezzo_gelu_desc) */
    mezzo_gelu_approximation approximation; /**< none or tanh */
} mezzo_gelu_desc;

/**
 * Gaussian error linear unit: x times the normal distribution function F, or an approximation of it. -Inf gives NaN,
 * as in PyTorch.
 * Source: Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016; PyTorch's gelu.
 *
 * @param[out] out shape and dtype of input; in place: may be input
 * @param input f64, f32, f16 or bf16
 * @param desc null stands for the exact one
 */
MEZZO_API mezzo_status mezzo_gelu_forward(mezzo_tensor out, mezzo_tensor input, const mezzo_gelu_desc *desc);

/**
 * Gradient of the Gaussian error linear unit: grad_input[i] = grad_output[i] (F(x) + x F'(x)), x = input[i].
 *
 * @param[out] grad_input shape and dtype of grad_output; in place: may be grad_output
 * @param grad_output f64, f32, f16 or bf16
 * @param input the forward's input, shape and dtype of grad_output
 * @param desc null stands for the exact one
 */
MEZZO_API mezzo_status mezzo_gelu_backward(mezzo_tensor grad_input, mezzo_tensor grad_output, mezzo_tensor input,
                                           const mezzo_gelu_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * silu: out[i] = x / (1 + exp(-x)), x = input[i]
 * ------------------------------------------------------------------------------------------- */

/**
 * Sigmoid linear unit, also called swish. -Inf gives NaN, as in PyTorch.
 * Source: Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016; PyTorch's silu.
 *
 * @param[out] out shape and dtype of input; in place: may be input
 * @param input f64, f32, f16 or bf16
 */
MEZZO_API mezzo_status mezzo_silu_forward(mezzo_tensor out, mezzo_tensor input);

/**
 * Gradient of the sigmoid linear unit: grad_input[i] = grad_output[i] s (1 + x (1 - s)), x = input[i],
 * s = 1 / (1 + exp(-x)).
 *
 * @param[out] grad_input shape and dtype of grad_output; in place: may be grad_output
 * @param grad_output f64, f32, f16 or bf16
 * @param input the forward's input, shape and dtype of grad_output
 */
MEZZO_API mezzo_status mezzo_silu_backward(mezzo_tensor grad_input, mezzo_tensor grad_output, mezzo_tensor input);

/* ---------------------------------------------------------------------------------------------
 * tanh: out[i] = tanh(input[i])
 * ------------------------------------------------------------------------------------------- */

/**
 * Hyperbolic tangent. Source: PyTorch's tanh.
 *
 * @param[out] out shape and dtype of input; in place: may be input
 * @param input f64, f32, f16 or bf16
 */
MEZZO_API mezzo_status mezzo_tanh_forward(mezzo_tensor out, mezzo_tensor input);

/**
 * Gradient of the hyperbolic tangent: grad_input[i] = grad_output[i] (1 - output[i]^2).
 *
 * @param[out] grad_input shape and dtype of grad_output; in place: may be grad_output
 * @param grad_output f64, f32, f16 or bf16
 * @param output the forward's output, shape and dtype of grad_output
 */
MEZZO_API mezzo_status mezzo_tanh_backward(mezzo_tensor grad_input, mezzo_tensor grad_output, mezzo_tensor output);

/* ---------------------------------------------------------------------------------------------
 * sigmoid: out[i] = 1 / (1 + exp(-input[i]))
 * ------------------------------------------------------------------------------------------- */

/**
 * Logistic sigmoid. Source: PyTorch's sigmoid.
 *
 * @param[out] out shape and dtype of input; in place: may be input
 * @param input f64, f32, f16 or bf16
 */
MEZZO_API mezzo_status mezzo_sigmoid_forward(mezzo_tensor out, mezzo_tensor input);

/**
 * Gradient of the logistic sigmoid: grad_input[i] = grad_output[i] (1 - output[i]) output[i].
 *
 * @param[out] grad_input shape and dtype of grad_output; in place: may be grad_output
 * @param grad_output f64, f32, f16 or bf16
 * @param output the forward's output, shape and dtype of grad_output
 */
MEZZO_API mezzo_status mezzo_sigmoid_backward(mezzo_tensor grad_input, mezzo_tensor grad_output, mezzo_tensor output);

/* ---------------------------------------------------------------------------------------------
 * dropout: out[i] = input[i] / (1 - p) where element i is kept, 0 where it is dropped
 *
 * Element i is kept where word i % 4 of a Philox block is below (1 - p) 2^32, rounded; the block is that of
 * mezzo_random_desc with the counter i / 4, whatever the dtype. So the elements that are kept follow from seed, stream,
 * step and i alone. With a step, its block, of the counter step under seed and stream, gives words 0 and 1 as the seed
 * in place of the given one, words 2 and 3 as the stream.
 * ------------------------------------------------------------------------------------------- */

/** Which elements to drop. */
typedef struct mezzo_dropout_desc {
    uint32_t struct_size; /**< sizeof(mezzo_dropout_desc) */
    uint32_t reserved;    /**< must be 0 */
    double p;             /**< share of the elements to drop, 0 to 1 */
    uint64_t seed;        /**< as in mezzo_random_desc */
    uint64_t stream;      /**< as in mezzo_random_desc */
    mezzo_tensor
        step; /**< i64 scalar, read as the op runs, so that each launch of a graph may draw anew; null for none */
} mezzo_dropout_desc;

/**
 * Sets random elements to 0, Inf and NaN too, and scales the others by 1 / (1 - p). Nothing need be stored for the
 * gradient: it is the same op on the output's gradient, with the same descriptor and step.
 * Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014; PyTorch's
 * dropout.
 *
 * @param[out] out shape and dtype of input; in place: may be input
 * @param input f64, f32, f16 or bf16
 * @param desc must be given
 */
MEZZO_API mezzo_status mezzo_dropout_forward(mezzo_tensor out, mezzo_tensor input, const mezzo_dropout_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * linear: out = activation(input weight^T + bias)
 *
 *   rows        product of input's leading dimensions
 *   input       [..., in_features]     dtype T: f64, f32, f16 or bf16
 *   weight      [out_features, in_features]    T
 *   bias        [out_features]         T, or f32 for a half T; may be null
 *   out         [..., out_features]    T, or f32 for a half T
 *
 * Products of halves are accumulated in f32; bias and activation are applied to the accumulator before
 * the one rounding. On a CPU with AVX512_BF16, the products of bf16 layers take subnormal inputs, below
 * 2^-126 in magnitude, as 0, and flush subnormal results to 0.
 * With allow_tf32, a GPU whose tensor cores have it may round the operands of f32 products to 10 bits of fraction, to
 * nearest; they are multiplied exactly and accumulated in f32. A product's error is then up to 2^-10 of the sum
 * of its terms' magnitudes, in place of about 2^-24 for each term. The CPU ignores the field, and so do f64 and the
 * halves. Cost: 2 rows in_features out_features FLOP each for the forward product, for the gradient of the input and
 * for that of the weight.
 * ------------------------------------------------------------------------------------------- */

/** What follows the product of a linear layer. */
typedef enum mezzo_activation {
    MEZZO_ACTIVATION_NONE = 0, /**< nothing */
    MEZZO_ACTIVATION_RELU = 1  /**< max(x, 0) */
} mezzo_activation;

/** Which gradients mezzo_linear_backward() adds to what they hold, instead of overwriting it. */
typedef enum mezzo_linear_accumulate {
    MEZZO_LINEAR_ACCUMULATE_NONE = 0,   /**< overwrite all */
    MEZZO_LINEAR_ACCUMULATE_INPUT = 1,  /**< grad_input += */
    MEZZO_LINEAR_ACCUMULATE_WEIGHT = 2, /**< grad_weight += */
    MEZZO_LINEAR_ACCUMULATE_BIAS = 4,   /**< grad_bias += */
    MEZZO_LINEAR_ACCUMULATE_SUM = 8     /**< grad_input_sum += */
} mezzo_linear_accumulate;

/** Variant of a linear layer. All zero but struct_size: no activation, gradients overwritten, f32 products of f32. */
typedef struct mezzo_linear_desc {
    uint32_t struct_size;              /**< sizeof(mezzo_linear_desc) */
    mezzo_activation activation;       /**< fused activation */
    uint32_t accumulate;               /**< bits of mezzo_linear_accumulate; ignored by the forward */
    uint32_t allow_tf32;               /**< 1: f32 products may round their operands to tf32, see above; 0: not */
    mezzo_activation input_activation; /**< what made the input; its gradient is taken too; ignored by the forward */
} mezzo_linear_desc;

/**
 * Linear layer with optional bias and fused activation.
 *
 * @param[out] out as above
 * @param input as above
 * @param weight as above
 * @param bias as above; null for none
 * @param desc null stands for no activation
 */
MEZZO_API mezzo_status mezzo_linear_forward(mezzo_tensor out, mezzo_tensor input, mezzo_tensor weight,
                                            mezzo_tensor bias, const mezzo_linear_desc *desc);

/**
 * Gradients of a linear layer. With g = grad_output, masked where output <= 0 when the activation is
 * ReLU:
 *   grad_input     = g weight            [rows, in_features], 0 where input <= 0 when input_activation is ReLU
 *   grad_weight    = g^T input           [out_features, in_features]
 *   grad_bias      = sum over rows of g  [out_features]
 *   grad_input_sum = sum over rows of what grad_input then holds, as it is rounded  [in_features]
 * Each may be null: it is then not computed, and what only it needs may be null too (weight for grad_input,
 * input for grad_weight and input_activation). At least one of the first three must be given.
 *
 * Where the input is what a layer with a ReLU has made, and nothing else used it, input_activation and
 * grad_input_sum do that layer's masking and its bias gradient while grad_input is still at hand: its own
 * backward then needs neither activation nor output nor grad_bias, and a pass over memory is saved.
 *
 * @param[out] grad_input shape of input; T, or f32 for a half T; in place: may be grad_output, where shape
 *             and dtype are the same and it is overwritten. On a CPU that saves memory and the time to fetch it,
 *             on a GPU nothing
 * @param[out] grad_weight shape of weight; T, or f32 for a half T
 * @param[out] grad_bias [out_features]; T, or f32 for a half T
 * @param[out] grad_input_sum [in_features]; T, or f32 for a half T; needs grad_input
 * @param[in,out] found_inf f32 scalar, set to 1 when an element of grad_weight, grad_bias or grad_input_sum is
 *                Inf or NaN as it is stored, else left as it is; on a GPU without another pass over them
 * @param grad_output shape of the forward's out; T, or f32 for a half T, in which case the masked
 *        gradient is rounded to T before it enters the products
 * @param input the forward's input
 * @param weight the forward's weight
 * @param output the forward's out, dtype as in the forward; needed for ReLU, else null
 * @param desc null stands for no activation, all overwritten
 */
MEZZO_API mezzo_status mezzo_linear_backward(mezzo_tensor grad_input, mezzo_tensor grad_weight, mezzo_tensor grad_bias,
                                             mezzo_tensor grad_input_sum, mezzo_tensor found_inf,
                                             mezzo_tensor grad_output, mezzo_tensor input, mezzo_tensor weight,
                                             mezzo_tensor output, const mezzo_linear_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * matmul: out = a b, of matrices or of batches of them
 *
 *   a    [..., m, k], or [..., k, m] with a_transposed    dtype T: f64, f32, f16 or bf16
 *   b    [..., k, n], or [..., n, k] with b_transposed    T
 *   out  [..., m, n]                                      T, or f32 for a half T
 *
 * The dimensions before the last two are the batch: those of a and of b are the same, or one of the two is a matrix
 * alone, which then is multiplied with each member of the other's batch. out has the batch too; where a and b have
 * one and out is a matrix alone, it is the sum of the products of all members.
 * Arithmetic, bf16 on a CPU with AVX512_BF16 and TF32 are as for linear. The gradients are products themselves:
 * of a: g b^T, of b: a^T g, with the transpositions of a and b in their places; that of a matrix which several
 * members used is the sum. Cost: 2 m n k FLOP a member.
 * ------------------------------------------------------------------------------------------- */

/** Variant of a matrix product. All zero but struct_size: nothing transposed, out overwritten, f32 products of f32. */
typedef struct mezzo_matmul_desc {
    uint32_t struct_size;  /**< sizeof(mezzo_matmul_desc) */
    uint32_t a_transposed; /**< 1: a's last two dimensions are k, m; 0: m, k */
    uint32_t b_transposed; /**< 1: b's last two dimensions are n, k; 0: k, n */
    uint32_t accumulate;   /**< 1: the product is added to what out holds; 0: out is overwritten */
    uint32_t allow_tf32;   /**< 1: f32 products may round their operands to tf32, as for linear; 0: not */
} mezzo_matmul_desc;

/**
 * Matrix product.
 *
 * @param[in,out] out as above
 * @param a as above
 * @param b as above
 * @param desc null stands for all zero
 */
MEZZO_API mezzo_status mezzo_matmul_forward(mezzo_tensor out, mezzo_tensor a, mezzo_tensor b,
                                            const mezzo_matmul_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * embedding: out[i, :] = weight[indices[i], :]
 *
 *   indices      [...]                    i32 or i64
 *   weight       [rows, features]         f64, f32, f16 or bf16
 *   out          [..., features]          weight's dtype
 *   grad_output  out's shape              f64, f32, f16 or bf16
 *   grad_weight  [rows, features]         grad_output's dtype, or f32 for a half one
 *
 * An index below 0 or not below `rows` is INVALID_ARGUMENT on a CPU, before anything is written. On a GPU, which is
 * not waited for, its row of out becomes NaN, and its gradient is left out.
 * ------------------------------------------------------------------------------------------- */

/** Variant of an embedding. */
typedef struct mezzo_embedding_desc {
    uint32_t struct_size; /**< sizeof(mezzo_embedding_desc) */
    uint32_t
        accumulate; /**< 1: the gradient is added to what grad_weight holds; 0: all of grad_weight is overwritten */
    int64_t padding_index; /**< a row that gets no gradient; -1 for none */
} mezzo_embedding_desc;

/**
 * Rows of a matrix by their numbers.
 *
 * @param[out] out as above
 * @param weight as above
 * @param indices as above
 */
MEZZO_API mezzo_status mezzo_embedding_forward(mezzo_tensor out, mezzo_tensor weight, mezzo_tensor indices);

/**
 * Gradient of an embedding: row r of grad_weight is the sum of the rows of grad_output whose index is r, added in f64
 * in their order and rounded once, whatever the device and the number of threads.
 *
 * @param[in,out] grad_weight as above
 * @param grad_output as above
 * @param indices as above
 * @param desc null stands for overwriting and no padding index
 */
MEZZO_API mezzo_status mezzo_embedding_backward(mezzo_tensor grad_weight, mezzo_tensor grad_output,
                                                mezzo_tensor indices, const mezzo_embedding_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * concat: out = the inputs one after the other along a dimension
 *
 * All tensors of a call have one dtype, any, and one rank, at least 1; their shapes differ in dimension `dim` alone,
 * where out has the sum of the inputs' extents. Elements are copied bit by bit.
 * ------------------------------------------------------------------------------------------- */

/**
 * Joins tensors.
 *
 * @param[out] out as above
 * @param inputs count tensors, in order
 * @param count at least 1
 * @param dim 0 or above, below the rank
 */
MEZZO_API mezzo_status mezzo_concat_forward(mezzo_tensor out, const mezzo_tensor *inputs, int32_t count, int32_t dim);

/**
 * Gradient of the joining, one input's part of it: grad_input = the indices [start, start + extent) of grad_output in
 * `dim`, where extent is grad_input's.
 *
 * @param[out] grad_input shape of the input
 * @param grad_output shape of the forward's out
 * @param dim as in the forward
 * @param start sum of the extents of the inputs before, at least 0
 */
MEZZO_API mezzo_status mezzo_concat_backward(mezzo_tensor grad_input, mezzo_tensor grad_output, int32_t dim,
                                             int64_t start);

/* ---------------------------------------------------------------------------------------------
 * layer_norm: out = (input - mean) / sqrt(variance + eps) weight + bias
 *
 *   The last `dims` dimensions of the input are a row, of width n; the others count the rows.
 *
 *   input, grad_input             any shape        T: f64, f32, f16 or bf16
 *   out, grad_output              input's          T, or f32 for a half T
 *   weight, bias, their gradients the last dims    A: f32 for a half T, else T
 *   mean, rstd                    the other ones   A
 *
 * Mean and variance (divided by n) of a row are sums in f64, and the arithmetic is in A: a half input is read as it
 * is, with the bits that a cast to f32 would have given. Sums of a row and of a column go in an order of their own, so
 * results depend on neither the number of threads nor the device.
 * Sources: Ba et al., "Layer Normalization", 2016; PyTorch's layer_norm.
 * ------------------------------------------------------------------------------------------- */

/** Variant of layer_norm and rms_norm. Every field is taken as it is; the defaults are those of a null descriptor. */
typedef struct mezzo_norm_desc {
    uint32_t struct_size; /**< sizeof(mezzo_norm_desc) */
    int32_t dims;         /**< number of trailing dimensions that are a row, 1 to input's rank; default 1 */
    double eps;           /**< finite, at least 0; default of layer_norm 1e-5, of rms_norm the epsilon of A */
} mezzo_norm_desc;

/**
 * Normalizes rows, scales and shifts them.
 *
 * @param[out] out as above
 * @param[out] mean as above, for the backward; null when it is not wanted
 * @param[out] rstd 1 / sqrt(variance + eps), as above, for the backward; null when it is not wanted
 * @param input as above
 * @param weight as above; null for 1
 * @param bias as above; null for 0
 * @param desc null stands for the defaults
 */
MEZZO_API mezzo_status mezzo_layer_norm_forward(mezzo_tensor out, mezzo_tensor mean, mezzo_tensor rstd,
                                                mezzo_tensor input, mezzo_tensor weight, mezzo_tensor bias,
                                                const mezzo_norm_desc *desc);

/**
 * Gradients of mezzo_layer_norm_forward(). With y the normalized input and g = grad_output weight:
 *   grad_input  = rstd (g - mean of g over the row - y times the mean of g y over the row)
 *   grad_weight = sum over rows of grad_output y
 *   grad_bias   = sum over rows of grad_output
 * Each may be null, not all of them.
 *
 * @param[out] grad_input as above; null when it is not wanted
 * @param[out] grad_weight as above; null when it is not wanted
 * @param[out] grad_bias as above; null when it is not wanted
 * @param grad_output as above
 * @param input the forward's input
 * @param mean what the forward gave
 * @param rstd what the forward gave
 * @param weight the forward's weight; null for 1
 * @param desc null stands for the defaults; as the forward's
 */
MEZZO_API mezzo_status mezzo_layer_norm_backward(mezzo_tensor grad_input, mezzo_tensor grad_weight,
                                                 mezzo_tensor grad_bias, mezzo_tensor grad_output, mezzo_tensor input,
                                                 mezzo_tensor mean, mezzo_tensor rstd, mezzo_tensor weight,
                                                 const mezzo_norm_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * rms_norm: out = input / sqrt(mean square + eps) weight
 *
 * Rows, shapes, dtypes and sums as those of layer_norm. The default eps is the distance from 1 to the next number of
 * the arithmetic: 2^-23 where that is f32, for a half input too, and 2^-52 in f64.
 * Sources: Zhang and Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019; PyTorch's rms_norm.
 * ------------------------------------------------------------------------------------------- */

/**
 * Divides rows by their root mean square and scales them.
 *
 * @param[out] out as above
 * @param[out] rstd 1 / sqrt(mean square + eps), as above, for the backward; null when it is not wanted
 * @param input as above
 * @param weight as above; null for 1
 * @param desc null stands for the defaults
 */
MEZZO_API mezzo_status mezzo_rms_norm_forward(mezzo_tensor out, mezzo_tensor rstd, mezzo_tensor input,
                                              mezzo_tensor weight, const mezzo_norm_desc *desc);

/**
 * Gradients of mezzo_rms_norm_forward(). With y the normalized input and g = grad_output weight:
 *   grad_input  = rstd (g - y times the mean of g y over the row)
 *   grad_weight = sum over rows of grad_output y
 * Either may be null, not both.
 *
 * @param[out] grad_input as above; null when it is not wanted
 * @param[out] grad_weight as above; null when it is not wanted
 * @param grad_output as above
 * @param input the forward's input
 * @param rstd what the forward gave
 * @param weight the forward's weight; null for 1
 * @param desc null stands for the defaults; as the forward's
 */
MEZZO_API mezzo_status mezzo_rms_norm_backward(mezzo_tensor grad_input, mezzo_tensor grad_weight,
                                               mezzo_tensor grad_output, mezzo_tensor input, mezzo_tensor rstd,
                                               mezzo_tensor weight, const mezzo_norm_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * batch_norm: out = (input - mean) / sqrt(variance + eps) weight + bias over each channel
 *
 *   input, out, grad_input, grad_output  [n, channels] or [n, channels, ...]  T: f64, f32, f16 or bf16
 *   weight, bias, mean, rstd, running_mean, running_var, gradients of weight and bias
 *                                        [channels]    A: f32 for a half T, else T
 *
 * A channel has m values: n times the product of the dimensions after it. Sums are f64 and depend on neither the
 * number of threads nor the device; statistics and arithmetic are in A.
 * Sources: Ioffe and Szegedy, "Batch Normalization", ICML 2015; PyTorch's batch_norm.
 * ------------------------------------------------------------------------------------------- */

/** Variant of the batch normalisation. Every field is taken as it is; the defaults are those of a null descriptor. */
typedef struct mezzo_batch_norm_desc {
    uint32_t struct_size; /**< sizeof(mezzo_batch_norm_desc) */
    int32_t training;     /**< 1: statistics of the batch, 0: those running; default 1 */
    double momentum;      /**< share of the batch in what is running, 0 to 1; default 0.1 */
    double eps;           /**< finite, at least 0; default 1e-5 */
    int32_t cumulative;   /**< 1: 1 / batches stands for the momentum, 0: not; default 0 */
    uint32_t reserved;    /**< must be 0 */
} mezzo_batch_norm_desc;

/**
 * Normalizes channels, scales and shifts them. When training, the statistics are those of the batch, with the variance
 * divided by m, and
 *   running_mean = (1 - s) running_mean + s mean
 *   running_var  = (1 - s) running_var + s variance m / (m - 1)
 *   batches      = batches + 1
 * where s is the momentum or, if cumulative, 1 / the new batches, read on the device: each launch of a captured graph
 * counts. A channel of one value is then MEZZO_STATUS_INVALID_ARGUMENT.
 *
 * @param[out] out as above
 * @param[out] mean the mean taken off, as above, for the backward
 * @param[out] rstd 1 / sqrt(variance + eps), as above, for the backward
 * @param[in,out] running_mean as above; may be null when training
 * @param[in,out] running_var as above; null where running_mean is
 * @param[in,out] batches i64 scalar; null where they need not be counted
 * @param input as above
 * @param weight as above; null for 1
 * @param bias as above; null for 0
 * @param desc null stands for the defaults
 */
MEZZO_API mezzo_status mezzo_batch_norm_forward(mezzo_tensor out, mezzo_tensor mean, mezzo_tensor rstd,
                                                mezzo_tensor running_mean, mezzo_tensor running_var,
                                                mezzo_tensor batches, mezzo_tensor input, mezzo_tensor weight,
                                                mezzo_tensor bias, const mezzo_batch_norm_desc *desc);

/**
 * Gradients of mezzo_batch_norm_forward(). With y the normalized input:
 *   grad_weight = sum of grad_output y, grad_bias = sum of grad_output, over a channel
 *   grad_input  = weight rstd (grad_output - grad_bias / m - y grad_weight / m) when training
 *               = weight rstd grad_output else
 * Each may be null, not all of them.
 *
 * @param[out] grad_input as above; null when it is not wanted
 * @param[out] grad_weight as above; null when it is not wanted
 * @param[out] grad_bias as above; null when it is not wanted
 * @param grad_output as above
 * @param input the forward's input
 * @param mean what the forward gave
 * @param rstd what the forward gave
 * @param weight the forward's weight; null for 1
 * @param desc null stands for the defaults; as the forward's, of which only training counts
 */
MEZZO_API mezzo_status mezzo_batch_norm_backward(mezzo_tensor grad_input, mezzo_tensor grad_weight,
                                                 mezzo_tensor grad_bias, mezzo_tensor grad_output, mezzo_tensor input,
                                                 mezzo_tensor mean, mezzo_tensor rstd, mezzo_tensor weight,
                                                 const mezzo_batch_norm_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * softmax and log_softmax: out = exp(input) / sum of exp(input), and its logarithm, over the last dimension
 *
 *   input, grad_input         any shape; f64, f32, f16 or bf16
 *   out, grad_output, output  the same shape; the same dtype, or f32 for a half input
 *
 * The largest element of a row is taken off first, so that nothing overflows. Exponentials are made in f32 (f64 for
 * f64), their sums in f64 and in a fixed order: results depend on neither the number of threads nor the device, and
 * a half input has the bits that a cast to f32 would have given. A row that has NaN or +Inf, or nothing but -Inf, gives
 * NaN, as PyTorch's.
 * ------------------------------------------------------------------------------------------- */

/**
 * Softmax over the last dimension.
 *
 * @param[out] out as above
 * @param input as above
 */
MEZZO_API mezzo_status mezzo_softmax_forward(mezzo_tensor out, mezzo_tensor input);

/**
 * Gradient of the softmax: grad_input = output (grad_output - sum of grad_output output over the row).
 *
 * @param[out] grad_input as above
 * @param grad_output as above
 * @param output the forward's output
 */
MEZZO_API mezzo_status mezzo_softmax_backward(mezzo_tensor grad_input, mezzo_tensor grad_output, mezzo_tensor output);

/**
 * Logarithm of the softmax over the last dimension: out = input - log(sum of exp(input)).
 *
 * @param[out] out as above
 * @param input as above
 */
MEZZO_API mezzo_status mezzo_log_softmax_forward(mezzo_tensor out, mezzo_tensor input);

/**
 * Gradient of the logarithm of the softmax: grad_input = grad_output - exp(output) times the sum of grad_output over
 * the row.
 *
 * @param[out] grad_input as above
 * @param grad_output as above
 * @param output the forward's output
 */
MEZZO_API mezzo_status mezzo_log_softmax_backward(mezzo_tensor grad_input, mezzo_tensor grad_output,
                                                  mezzo_tensor output);

/* ---------------------------------------------------------------------------------------------
 * mse_loss: loss = (1/n) sum_i (prediction[i] - target[i])^2
 * ------------------------------------------------------------------------------------------- */

/** How a loss is reduced to a scalar. */
typedef enum mezzo_reduction {
    MEZZO_REDUCTION_MEAN = 0, /**< divided by the number of elements n */
    MEZZO_REDUCTION_SUM = 1   /**< not divided */
} mezzo_reduction;

/** Variant of the mean squared error. All zero but struct_size: the mean. */
typedef struct mezzo_mse_loss_desc {
    uint32_t struct_size;      /**< sizeof(mezzo_mse_loss_desc) */
    mezzo_reduction reduction; /**< mean or sum */
} mezzo_mse_loss_desc;

/**
 * Mean squared error and its scaled gradient, in one pass over the data.
 * The loss is not scaled; the gradient is scale * d loss / d prediction, with the scale applied in the
 * arithmetic's dtype before the gradient is rounded to its own, which is what keeps small gradients
 * from vanishing in a half. Reduced as in mezzo_sum_forward(), so independent of the number of threads.
 *
 * @param[out] loss scalar of prediction's dtype; null when only the gradient is wanted
 * @param[out] grad_prediction shape of prediction; prediction's dtype, f16 or bf16; null when only the
 *             loss is wanted
 * @param prediction any shape; f32 or f64
 * @param target shape and dtype of prediction
 * @param scale f32 or f64 scalar: loss scale or gradient of the loss; null for 1
 * @param desc null stands for the mean
 */
MEZZO_API mezzo_status mezzo_mse_loss_forward(mezzo_tensor loss, mezzo_tensor grad_prediction, mezzo_tensor prediction,
                                              mezzo_tensor target, mezzo_tensor scale, const mezzo_mse_loss_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * binary_cross_entropy: loss = (1/n) sum_i -w (p z log s + (1 - z) log(1 - s))
 *
 *   z  target[i]        s  the probability: input[i] or, from logits, 1 / (1 + exp(-input[i]))
 *   w  weight[i]        p  pos_weight of the element's column, or of all
 * ------------------------------------------------------------------------------------------- */

/** Variant of the binary cross-entropy. All zero but struct_size: the mean, from probabilities. */
typedef struct mezzo_binary_cross_entropy_desc {
    uint32_t struct_size;      /**< sizeof(mezzo_binary_cross_entropy_desc) */
    mezzo_reduction reduction; /**< mean or sum */
    uint32_t from_logits;      /**< 1: input holds logits; 0: probabilities */
    uint32_t reserved;         /**< must be 0 */
} mezzo_binary_cross_entropy_desc;

/**
 * Binary cross-entropy and its scaled gradient, in one pass over the data. The loss is not scaled; the gradient is
 * scale * d loss / d input, with the scale applied before the gradient is rounded, as in mezzo_mse_loss_forward().
 * Reduced as in mezzo_sum_forward(), so independent of the number of threads.
 *
 * From logits, -log s is computed as max(-x, 0) + log(1 + exp(-|x|)), so that no logit overflows, vanishes or cancels.
 * From probabilities, logarithms below -100 count as -100, and the gradient is divided by s (1 - s) or, where that is
 * larger, by 1e-12; a probability outside of [0, 1] gives NaN. Source: PyTorch's binary_cross_entropy and
 * binary_cross_entropy_with_logits.
 *
 * @param[out] loss scalar; f32 for a half input, else input's dtype; null when only the gradient is wanted
 * @param[out] grad_input shape and dtype of input; null when only the loss is wanted
 * @param input any shape; f64, f32, f16 or bf16
 * @param target shape of input; f32 for a half input, else input's dtype; from 0 to 1
 * @param weight shape and dtype of target; null for 1
 * @param pos_weight scalar, or of one dimension, the last of input; dtype of target; null for 1, and from probabilities
 * @param scale f32 or f64 scalar: loss scale or gradient of the loss; null for 1
 * @param desc null stands for the mean, from probabilities
 */
MEZZO_API mezzo_status mezzo_binary_cross_entropy_forward(mezzo_tensor loss, mezzo_tensor grad_input,
                                                          mezzo_tensor input, mezzo_tensor target, mezzo_tensor weight,
                                                          mezzo_tensor pos_weight, mezzo_tensor scale,
                                                          const mezzo_binary_cross_entropy_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * cross_entropy: loss = (1/divisor) sum over rows of -(sum over classes c of q[c] log softmax(logits)[c])
 *
 *   logits, grad_logits  [rows, classes], or [classes] for one row  T: f64, f32, f16 or bf16
 *   target               [rows], or a scalar for one row            i64, i32 or u8: the class of each row
 *   weight               [classes]                                  A: f32 for a half T, else T
 *   loss                 scalar                                     A
 *   maxima, sums         target's shape                             A
 *   totals               [2]                                        f64
 *
 *   q[c] = weight[c] ((1 - s) [c is the target] + s / classes),  s = label_smoothing
 *
 * For the mean the divisor is the sum over rows of weight[target], without weights the number of rows. Rows whose
 * target is ignore_index count neither there nor in the sum, and have a gradient of 0; the mean of no rows is NaN. A
 * target that is neither that nor a class is MEZZO_STATUS_INVALID_ARGUMENT on the CPU; a GPU, which cannot answer
 * before it has run, makes the loss and the gradient of the row NaN. Half logits are read as they are, with the bits
 * that a cast to f32 would have given. Sums are f64, in an order that depends on neither the number of threads nor the
 * device. Sources: PyTorch's cross_entropy; Szegedy et al., "Rethinking the Inception Architecture", 2016, for label
 * smoothing.
 * ------------------------------------------------------------------------------------------- */

/** Variant of the cross entropy. Every field is taken as it is; the defaults are those of a null descriptor. */
typedef struct mezzo_cross_entropy_desc {
    uint32_t struct_size;      /**< sizeof(mezzo_cross_entropy_desc) */
    mezzo_reduction reduction; /**< mean or sum; default mean */
    int64_t ignore_index;      /**< target of rows that do not count, a class or not; default -100 */
    double label_smoothing;    /**< share of the target that all classes have alike, 0 to 1; default 0 */
} mezzo_cross_entropy_desc;

/**
 * Cross entropy of logits and classes, in one pass over the logits. The loss is not scaled.
 *
 * @param[out] loss as above
 * @param[out] maxima the largest logit of each row, for the backward; null when it is not wanted
 * @param[out] sums the sum of exp(logit - maximum) of each row, for the backward; null when it is not wanted
 * @param[out] totals the divisor and the sum of the weights, for the backward; null when it is not wanted
 * @param logits as above
 * @param target as above
 * @param weight as above; null for 1
 * @param desc null stands for the defaults
 */
MEZZO_API mezzo_status mezzo_cross_entropy_forward(mezzo_tensor loss, mezzo_tensor maxima, mezzo_tensor sums,
                                                   mezzo_tensor totals, mezzo_tensor logits, mezzo_tensor target,
                                                   mezzo_tensor weight, const mezzo_cross_entropy_desc *desc);

/**
 * Scaled gradient of the cross entropy, in one pass over the logits:
 *   grad_logits[c] = (scale / divisor) (softmax(logits)[c] times the sum of q - q[c])
 * The scale is applied in A before the gradient is rounded to T, which is what keeps small gradients from vanishing in
 * a half.
 *
 * @param[out] grad_logits as above
 * @param logits the forward's logits
 * @param target the forward's target
 * @param maxima what the forward gave
 * @param sums what the forward gave
 * @param totals what the forward gave
 * @param weight the forward's weight; null for 1
 * @param scale f32 or f64 scalar: loss scale or gradient of the loss; null for 1
 * @param desc null stands for the defaults; as the forward's
 */
MEZZO_API mezzo_status mezzo_cross_entropy_backward(mezzo_tensor grad_logits, mezzo_tensor logits, mezzo_tensor target,
                                                    mezzo_tensor maxima, mezzo_tensor sums, mezzo_tensor totals,
                                                    mezzo_tensor weight, mezzo_tensor scale,
                                                    const mezzo_cross_entropy_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * unscale: gradients divided by the loss scale, and checked
 * ------------------------------------------------------------------------------------------- */

/** What grad_stats says of a gradient as it was given: elements of a row. */
typedef enum mezzo_grad_stat {
    MEZZO_GRAD_STAT_INF = 0,     /**< number of infinite elements */
    MEZZO_GRAD_STAT_NAN = 1,     /**< number of elements that are NaN */
    MEZZO_GRAD_STAT_ZERO = 2,    /**< number of elements that are 0: what was flushed to zero, and true zeros */
    MEZZO_GRAD_STAT_EXPONENT = 3 /**< e where 2^e <= |x| < 2^(e + 1) for the largest finite x; INT32_MIN without one */
} mezzo_grad_stat;

/** Length of grad_summary: what mezzo_grad_stat names, of all gradients together, and this. */
typedef enum mezzo_grad_summary {
    MEZZO_GRAD_SUMMARY_FIRST = 4, /**< index of the first gradient with Inf or NaN, or -1 */
    MEZZO_GRAD_SUMMARY_LENGTH = 5 /**< elements of grad_summary */
} mezzo_grad_summary;

/**
 * Variant of the unscaling, and what is to be measured in the same pass. All zero but struct_size: gradients are
 * written back unscaled, nothing is measured.
 */
typedef struct mezzo_unscale_desc {
    uint32_t struct_size; /**< sizeof(mezzo_unscale_desc) */
    int32_t check_only;   /**< 1: look for Inf and NaN, leave the gradients scaled; 0: unscale too */
    int32_t
        only_if_found; /**< 1: where found_inf is 0 before, write grad_summary as of no gradients at all; 0: always */
    uint32_t reserved; /**< must be 0 */
    mezzo_tensor grad_norm;    /**< [out] f64 scalar, L2 norm of all gradients, unscaled; null: not wanted */
    mezzo_tensor grad_norms;   /**< [out] f64 [count], L2 norm of each, unscaled; null: not wanted */
    mezzo_tensor grad_stats;   /**< [out] i64 [count, 4], see mezzo_grad_stat; null: not wanted */
    mezzo_tensor grad_summary; /**< [out] i64 [5], see mezzo_grad_summary; null: not wanted */
} mezzo_unscale_desc;

/**
 * Looks for Inf and NaN in a list of gradients and multiplies them by 1 / scale, in one pass, in which they can be
 * measured, too. The check is made on the value before the multiplication. 1 / scale is one division in f32, whose bits
 * are those of the f64 quotient rounded; a factor of exactly 1 leaves the elements untouched. Source: PyTorch's
 * _amp_foreach_non_finite_check_and_unscale_.
 * Norms are sums of squares in f64, added as in mezzo_sum_forward(), so independent of device and number of threads,
 * times 1 / scale. A norm is Inf or NaN where a gradient holds one.
 *
 * @param[in,out] found_inf f32 scalar; set to 1 when an element is not finite, else left as it is
 * @param[in,out] grads count tensors, any shapes, each f64, f32, f16 or bf16; may be null when count is 0.
 *                With check_only they are read, and may share memory with each other and with scale
 * @param count number of tensors, 0 or more
 * @param scale f32 scalar, the loss scale; null for 1
 * @param desc null stands for unscaling
 */
MEZZO_API mezzo_status mezzo_unscale(mezzo_tensor found_inf, const mezzo_tensor *grads, int32_t count,
                                     mezzo_tensor scale, const mezzo_unscale_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * scale_update: the next loss scale
 * ------------------------------------------------------------------------------------------- */

/** When a run of clean steps makes the loss scale grow. */
typedef enum mezzo_growth {
    MEZZO_GROWTH_RESTARTS = 0,           /**< where growth_tracker + 1 equals the interval; then it restarts from 0 */
    MEZZO_GROWTH_REPEATS = 1,            /**< at each multiple of the interval; growth_tracker counts on */
    MEZZO_GROWTH_REPEATS_AFTER_FIRST = 2 /**< likewise, the first clean step of a run not being counted */
} mezzo_growth;

/** When the steps that hysteresis forgives are granted anew. */
typedef enum mezzo_hysteresis_refill {
    MEZZO_HYSTERESIS_REFILL_ON_GROWTH = 0,    /**< where the scale grows */
    MEZZO_HYSTERESIS_REFILL_ON_CLEAN_STEP = 1 /**< after each step without Inf and NaN */
} mezzo_hysteresis_refill;

/**
 * Rules of the dynamic loss scale. Every field is taken as it is; a null descriptor stands for PyTorch's, the defaults
 * named here and 0 elsewhere.
 */
typedef struct mezzo_scale_update_desc {
    uint32_t struct_size;    /**< sizeof(mezzo_scale_update_desc) */
    int32_t growth_interval; /**< clean steps in a row before the scale grows, at least 1; default 2000 */
    double growth_factor;    /**< factor of growth, finite, above 0; default 2 */
    double backoff_factor;   /**< factor after a step with Inf or NaN, finite, above 0; default 0.5 */
    double min_scale;        /**< what the scale does not back off below, 0 or finite and above 0 in f32 */
    double max_scale;        /**< what it does not grow above, likewise; 0: growth that f32 cannot hold is left out */
    int32_t hysteresis;      /**< steps with Inf or NaN until the scale backs off, at least 0; 0 as 1 */
    mezzo_growth growth;     /**< when the scale grows */
    mezzo_hysteresis_refill refill; /**< when hysteresis is granted anew */
    uint32_t reserved;              /**< 0 */
} mezzo_scale_update_desc;

/** Why an update did not count its step as clean. */
typedef enum mezzo_scale_cause {
    MEZZO_SCALE_CAUSE_NONE = 0,         /**< it did */
    MEZZO_SCALE_CAUSE_OVERFLOW = 1,     /**< Inf or NaN was found, which a lower scale may cure */
    MEZZO_SCALE_CAUSE_NOT_A_NUMBER = 2, /**< Inf or NaN was found, which no scale cures: the scale stays what it is */
    MEZZO_SCALE_CAUSE_AT_MINIMUM = 3    /**< an overflow, but the scale was min_scale already */
} mezzo_scale_cause;

/**
 * Updates a dynamic loss scale after a step:
 *   found_inf:  growth_tracker = 0;  hysteresis_tracker > 1 ? hysteresis_tracker -= 1
 *                                                           : scale = f32(max(scale * backoff_factor, min_scale))
 *   clean:      growth_tracker += 1, saturating;  where desc.growth says so scale = f32(scale * growth_factor), at most
 *               max_scale, and hysteresis_tracker = hysteresis, as after each clean step where desc.refill says that
 * The products are computed in f64. With these rules the defaults are PyTorch's _amp_update_scale_, and those of apex's
 * LossScaler and update_scale_hysteresis, of DeepSpeed's and fp16_utils' DynamicLossScaler and of Megatron-LM's
 * DynamicGradScaler can be followed step by step.
 *
 * No scale cures what was found where the gradients of each optimizer with found_inf hold NaN and no Inf, and the loss,
 * which is not scaled, was not finite, or the scale is at most 1: then scale and hysteresis_tracker stay what they are.
 * Without grad_summaries all that is found counts as an overflow, as in those libraries.
 *
 * @param[in,out] scale f32 scalar
 * @param[in,out] growth_tracker i32 scalar, clean steps since the last one with Inf or NaN, or since the last growth
 * @param[in,out] hysteresis_tracker i32 scalar, at first desc.hysteresis: the step with Inf or NaN, counted from the
 * next one, that makes the scale back off; may be null where desc.hysteresis is at most 1
 * @param[out] cause i32 scalar, one of mezzo_scale_cause; may be null
 * @param[in,out] loss_nonfinite f32 scalar, not 0 where a loss was Inf or NaN, as mezzo_unscale() tells; 0 afterwards;
 * may be null
 * @param found_infs count f32 scalars, one for each optimizer; any that is not 0 counts as found
 * @param grad_summaries count i64 [5], the optimizers' as mezzo_unscale() writes them; an element may be the null
 * tensor, and the array may be null
 * @param count at least 1
 * @param desc null stands for the defaults
 */
MEZZO_API mezzo_status mezzo_scale_update(mezzo_tensor scale, mezzo_tensor growth_tracker,
                                          mezzo_tensor hysteresis_tracker, mezzo_tensor cause,
                                          mezzo_tensor loss_nonfinite, const mezzo_tensor *found_infs,
                                          const mezzo_tensor *grad_summaries, int32_t count,
                                          const mezzo_scale_update_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * Optimizer steps: all parameters of a group in one call
 *
 * Unscaling, clipping, states, parameters and the 16-bit copies of the parameters in one pass. When found_inf is not
 * 0 nothing is changed but lr_step. The gradients are left as they are.
 *
 * What they have in common:
 *   params        count tensors: f32, f64, f16 or bf16. Computed in f32 for halves, else in the parameter's dtype
 *   states        shape of the parameter and the dtype it is computed in; 0 at first
 *   param_copies  count copies of the new parameters, shape of the parameter, f16 or bf16, for f32 and f64 parameters;
 *                 an element may be the null tensor, and the array may be null.
 *                 For a bf16 parameter its remainder: u8 of twice as many elements, aligned to 2 bytes, the lower 16
 * bits of each f32 number whose upper half, rounded to nearest, half up, is the parameter. It is read and written, and
 * the step is that of the f32 numbers, bit by bit grads         shape of the parameter; the parameter's dtype; for f32
 * and f64 parameters also f16 or bf16, for halves also f32
 *
 *   t    = step + 1, counted in steps applied
 *   lr   = desc.lr * inputs.lr[k mod n], where k is lr_step or, where that is null, step, before this call
 *   grad = clamp(min(1, max_grad_norm / (grad_norm + 1e-6)) * grads / grad_scale, -max_grad_value, max_grad_value)
 * ------------------------------------------------------------------------------------------- */

/**
 * What optimizer steps take beside parameters, gradients and hyperparameters. The tensors are read when the step runs
 * on the device, as the launch of a graph does: what is in them need not be known when the call is made.
 */
typedef struct mezzo_step_inputs {
    uint32_t struct_size;    /**< sizeof(mezzo_step_inputs) */
    uint32_t reserved;       /**< must be 0 */
    mezzo_tensor step;       /**< i64 scalar, steps applied so far; one more afterwards */
    mezzo_tensor lr;         /**< f64 [n], factors of the learning rate; null for 1 */
    mezzo_tensor lr_step;    /**< i64 scalar, calls so far; one more afterwards, also where the step was skipped */
    mezzo_tensor grad_scale; /**< f32 scalar that the gradients are still multiplied by; null for 1 */
    mezzo_tensor found_inf;  /**< f32 scalar; not 0 skips the step; null to apply always */
    mezzo_tensor
        grad_norm;         /**< f64 scalar, or f64 [count] for each parameter its own: L2 norms of unscaled gradients */
    double max_grad_norm;  /**< clips by norm, finite, above 0, and needs grad_norm; 0: does not */
    double max_grad_value; /**< clips each element, finite, above 0; 0: does not */
} mezzo_step_inputs;

/* ---------------------------------------------------------------------------------------------
 * adam: one step of Adam, AdamW, apex's FusedAdam or BertAdam
 * ------------------------------------------------------------------------------------------- */

/** What weight decay acts on. */
typedef enum mezzo_weight_decay {
    MEZZO_WEIGHT_DECAY_L2 = 0,        /**< g += weight_decay p: an L2 penalty (torch.optim.Adam) */
    MEZZO_WEIGHT_DECAY_PARAMETER = 1, /**< p -= lr weight_decay p, of the p before the step (AdamW, apex's FusedAdam) */
    MEZZO_WEIGHT_DECAY_STEP_SIZE = 2, /**< p -= a weight_decay p, likewise (apex's FusedAdam of 2019, BertAdam) */
    MEZZO_WEIGHT_DECAY_AFTER = 3      /**< p -= lr weight_decay p, of the p after the step (AdamW of transformers) */
} mezzo_weight_decay;

/** How Adam makes up for moments that begin at 0. */
typedef enum mezzo_bias_correction {
    MEZZO_BIAS_CORRECTION_MOMENTS = 0,   /**< a = lr / bc1,  c = sqrt(bc2) */
    MEZZO_BIAS_CORRECTION_STEP_SIZE = 1, /**< a = lr sqrt(bc2) / bc1,  c = 1 */
    MEZZO_BIAS_CORRECTION_NONE = 2       /**< a = lr,  c = 1 */
} mezzo_bias_correction;

/** Hyperparameters of Adam. Every field is taken as it is; the defaults are those of a null descriptor. */
typedef struct mezzo_adam_desc {
    uint32_t struct_size;                  /**< sizeof(mezzo_adam_desc) */
    uint32_t reserved;                     /**< must be 0 */
    double lr;                             /**< learning rate, finite, at least 0; default 1e-3 */
    double beta1;                          /**< decay of the first moment, in [0, 1); default 0.9 */
    double beta2;                          /**< decay of the second moment, in [0, 1); default 0.999 */
    double eps;                            /**< finite, at least 0; default 1e-8 */
    double weight_decay;                   /**< finite, at least 0; default 0 */
    mezzo_weight_decay decay;              /**< what weight decay acts on; default L2 */
    mezzo_bias_correction bias_correction; /**< default MOMENTS */
    int32_t eps_inside_sqrt;               /**< 1: sqrt(v + eps) / c, 0: sqrt(v) / c + eps; default 0 */
    uint32_t reserved2;                    /**< must be 0 */
} mezzo_adam_desc;

/**
 * One Adam step, see above:
 *   g = grad (+ weight_decay p)              bc1 = 1 - beta1^t,  bc2 = 1 - beta2^t
 *   m = beta1 m + (1 - beta1) g              a, c as bias_correction says
 *   v = beta2 v + (1 - beta2) g^2
 *   p = p (- weight decay) - a m / (sqrt(v) / c + eps)
 * A weight_decay of 0 leaves its term out, so that a parameter that is Inf does not make g NaN.
 * Sources: Kingma and Ba, "Adam", ICLR 2015, and Loshchilov and Hutter, "Decoupled weight decay regularization",
 * ICLR 2019, in the forms of torch.optim.Adam and AdamW; apex's FusedAdam, now and in 2019; BertAdam of
 * pytorch-pretrained-BERT; AdamW of transformers.
 *
 * @param[in,out] params count tensors, see above
 * @param[in,out] exp_avgs count first moments m
 * @param[in,out] exp_avg_sqs count second moments v
 * @param[in,out] param_copies count copies, see above; an element may be the null tensor, and the array may be null
 * @param grads count gradients, see above
 * @param count 0 or more
 * @param inputs what else the step takes; must be given, with a step, on the parameters' device
 * @param desc null stands for the defaults
 */
MEZZO_API mezzo_status mezzo_adam_step(const mezzo_tensor *params, const mezzo_tensor *exp_avgs,
                                       const mezzo_tensor *exp_avg_sqs, const mezzo_tensor *param_copies,
                                       const mezzo_tensor *grads, int32_t count, const mezzo_step_inputs *inputs,
                                       const mezzo_adam_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * sgd: one step of stochastic gradient descent
 * ------------------------------------------------------------------------------------------- */

/** Hyperparameters of SGD. Every field is taken as it is; the defaults are those of a null descriptor. */
typedef struct mezzo_sgd_desc {
    uint32_t struct_size;         /**< sizeof(mezzo_sgd_desc) */
    int32_t nesterov;             /**< 1: Nesterov's momentum, 0: the usual one; default 0 */
    double lr;                    /**< learning rate, finite, at least 0; default 1e-3 */
    double momentum;              /**< in [0, 1); default 0 */
    double dampening;             /**< of what momentum takes up, in [0, 1]; default 0 */
    double weight_decay;          /**< finite, at least 0; default 0 */
    int32_t decay_after_momentum; /**< 1: apex's wd_after_momentum, 0: an L2 penalty; default 0 */
    uint32_t reserved;            /**< must be 0 */
} mezzo_sgd_desc;

/**
 * One step of stochastic gradient descent, see above:
 *   g = grad (+ weight_decay p)
 *   b = g in the first step, else momentum b + (1 - dampening) g       where momentum is not 0
 *   d = nesterov ? g + momentum b : momentum != 0 ? b : g
 *   p = p - lr (d (+ weight_decay p where decay_after_momentum))
 * Sources: torch.optim.SGD; apex's FusedSGD.
 *
 * @param[in,out] params count tensors, see above
 * @param[in,out] momentum_buffers count states b; the array may be null where desc.momentum is 0
 * @param[in,out] param_copies count copies, see above; an element may be the null tensor, and the array may be null
 * @param grads count gradients, see above
 * @param count 0 or more
 * @param inputs what else the step takes; must be given, with a step, on the parameters' device
 * @param desc null stands for the defaults
 */
MEZZO_API mezzo_status mezzo_sgd_step(const mezzo_tensor *params, const mezzo_tensor *momentum_buffers,
                                      const mezzo_tensor *param_copies, const mezzo_tensor *grads, int32_t count,
                                      const mezzo_step_inputs *inputs, const mezzo_sgd_desc *desc);

/* ---------------------------------------------------------------------------------------------
 * lamb: one step of LAMB
 * ------------------------------------------------------------------------------------------- */

/** Hyperparameters of LAMB. Every field is taken as it is; the defaults are those of a null descriptor. */
typedef struct mezzo_lamb_desc {
    uint32_t struct_size;    /**< sizeof(mezzo_lamb_desc) */
    int32_t grad_averaging;  /**< 1: the gradient enters m times 1 - beta1, 0: as it is; default 1 */
    double lr;               /**< learning rate, finite, at least 0; default 1e-3 */
    double beta1;            /**< decay of the first moment, in [0, 1); default 0.9 */
    double beta2;            /**< decay of the second moment, in [0, 1); default 0.999 */
    double eps;              /**< finite, at least 0; default 1e-6 */
    double weight_decay;     /**< finite, at least 0; default 0.01 */
    int32_t decay_of_update; /**< 1: weight decay is part of the update, 0: an L2 penalty; default 1 */
    int32_t bias_correction; /**< 1: moments are corrected for their beginning at 0, 0: not; default 1 */
    int32_t always_adapts;   /**< 1: trust ratios also without weight decay (NVLAMB), 0: with it alone; default 0 */
    uint32_t reserved;       /**< must be 0 */
} mezzo_lamb_desc;

/**
 * One LAMB step, see above, but that max_grad_norm clips to grad / max(1, grad_norm / max_grad_norm):
 *   g = grad (+ weight_decay p where not decay_of_update)
 *   m = beta1 m + (1 - beta1 or 1) g
 *   v = beta2 v + (1 - beta2) g^2
 *   u = (m / bc1) / (sqrt(v / bc2) + eps) (+ weight_decay p where decay_of_update)
 *   p = p - lr r u,  r = |p| / |u| of the parameter's norms where weight_decay != 0 or always_adapts and neither is 0,
 *                    else 1
 * Sums of squares are f64, added as in mezzo_sum_forward(). Two passes over parameters and moments.
 * Sources: You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR 2020, in the
 * form of apex's FusedLAMB, which also overwrites the gradients.
 *
 * @param[in,out] params count tensors, see above
 * @param[in,out] exp_avgs count first moments m
 * @param[in,out] exp_avg_sqs count second moments v
 * @param[in,out] param_copies count copies, see above; an element may be the null tensor, and the array may be null
 * @param grads count gradients, see above
 * @param count 0 or more
 * @param inputs what else the step takes; must be given, with a step, on the parameters' device
 * @param desc null stands for the defaults
 */
MEZZO_API mezzo_status mezzo_lamb_step(const mezzo_tensor *params, const mezzo_tensor *exp_avgs,
                                       const mezzo_tensor *exp_avg_sqs, const mezzo_tensor *param_copies,
                                       const mezzo_tensor *grads, int32_t count, const mezzo_step_inputs *inputs,
                                       const mezzo_lamb_desc *desc);

#ifdef __cplusplus
}
#endif

#endif /* MEZZO_OPS_H */
