// SPDX-License-Identifier: MIT
// The layout of everything that crosses the ABI by value or by pointer. It is pinned: a change here is a
// new MEZZO_ABI_VERSION.
#include <mezzo/ops.h>

#include <gtest/gtest.h>

#include <cstddef>
#include <type_traits>

namespace {

template <class T>
constexpr bool is_plain = std::is_trivially_copyable_v<T> &&std::is_standard_layout_v<T>;

TEST(Abi, Enums_AreFourBytes) {
    EXPECT_EQ(sizeof(mezzo_status), 4u);
    EXPECT_EQ(sizeof(mezzo_dtype), 4u);
    EXPECT_EQ(sizeof(mezzo_device_type), 4u);
    EXPECT_EQ(sizeof(mezzo_activation), 4u);
    EXPECT_EQ(sizeof(mezzo_linear_accumulate), 4u);
    EXPECT_EQ(sizeof(mezzo_gelu_approximation), 4u);
    EXPECT_EQ(sizeof(mezzo_reduction), 4u);
}

TEST(Abi, Structs_HaveTheirPinnedSizes) {
    EXPECT_EQ(sizeof(mezzo_device), 8u);
    EXPECT_EQ(sizeof(mezzo_tensor), 8u);
    EXPECT_EQ(sizeof(mezzo_memory_stats), 40u);
    EXPECT_EQ(sizeof(mezzo_tensor_info), 96u);
    EXPECT_EQ(sizeof(mezzo_host_copy), 8u);
    EXPECT_EQ(sizeof(mezzo_graph), 8u);
    EXPECT_EQ(sizeof(mezzo_graph_info), 32u);
    EXPECT_EQ(sizeof(mezzo_random_desc), 24u);
    EXPECT_EQ(sizeof(mezzo_gelu_desc), 8u);
    EXPECT_EQ(sizeof(mezzo_linear_desc), 20u);
    EXPECT_EQ(sizeof(mezzo_matmul_desc), 20u);
    EXPECT_EQ(sizeof(mezzo_embedding_desc), 16u);
    EXPECT_EQ(sizeof(mezzo_dropout_desc), 40u);
    EXPECT_EQ(sizeof(mezzo_mse_loss_desc), 8u);
    EXPECT_EQ(sizeof(mezzo_binary_cross_entropy_desc), 16u);
    EXPECT_EQ(sizeof(mezzo_norm_desc), 16u);
    EXPECT_EQ(sizeof(mezzo_batch_norm_desc), 32u);
    EXPECT_EQ(sizeof(mezzo_cross_entropy_desc), 24u);
    EXPECT_EQ(sizeof(mezzo_unscale_desc), 48u);
    EXPECT_EQ(sizeof(mezzo_scale_update_desc), 56u);
    EXPECT_EQ(sizeof(mezzo_step_inputs), 72u);
    EXPECT_EQ(sizeof(mezzo_adam_desc), 64u);
    EXPECT_EQ(sizeof(mezzo_sgd_desc), 48u);
    EXPECT_EQ(sizeof(mezzo_lamb_desc), 64u);
}

TEST(Abi, Fields_LieAtTheirPinnedOffsets) {
    EXPECT_EQ(offsetof(mezzo_device, index), 4u);
    EXPECT_EQ(offsetof(mezzo_memory_stats, live_tensors), 24u);
    EXPECT_EQ(offsetof(mezzo_memory_stats, graph_bytes), 32u);
    EXPECT_EQ(offsetof(mezzo_graph_info, ops), 8u);
    EXPECT_EQ(offsetof(mezzo_graph_info, signature), 24u);
    EXPECT_EQ(offsetof(mezzo_tensor_info, dtype), 8u);
    EXPECT_EQ(offsetof(mezzo_tensor_info, rank), 12u);
    EXPECT_EQ(offsetof(mezzo_tensor_info, elements), 16u);
    EXPECT_EQ(offsetof(mezzo_tensor_info, bytes), 24u);
    EXPECT_EQ(offsetof(mezzo_tensor_info, shape), 32u);
    EXPECT_EQ(offsetof(mezzo_random_desc, seed), 8u);
    EXPECT_EQ(offsetof(mezzo_dropout_desc, step), 32u);
    EXPECT_EQ(offsetof(mezzo_linear_desc, accumulate), 8u);
    EXPECT_EQ(offsetof(mezzo_matmul_desc, accumulate), 12u);
    EXPECT_EQ(offsetof(mezzo_embedding_desc, padding_index), 8u);
    EXPECT_EQ(offsetof(mezzo_binary_cross_entropy_desc, from_logits), 8u);
    EXPECT_EQ(offsetof(mezzo_norm_desc, eps), 8u);
    EXPECT_EQ(offsetof(mezzo_batch_norm_desc, cumulative), 24u);
    EXPECT_EQ(offsetof(mezzo_cross_entropy_desc, ignore_index), 8u);
    EXPECT_EQ(offsetof(mezzo_unscale_desc, grad_norm), 16u);
    EXPECT_EQ(offsetof(mezzo_scale_update_desc, growth_factor), 8u);
    EXPECT_EQ(offsetof(mezzo_scale_update_desc, hysteresis), 40u);
    EXPECT_EQ(offsetof(mezzo_adam_desc, lr), 8u);
    EXPECT_EQ(offsetof(mezzo_step_inputs, step), 8u);
    EXPECT_EQ(offsetof(mezzo_step_inputs, max_grad_norm), 56u);
    EXPECT_EQ(offsetof(mezzo_adam_desc, weight_decay), 40u);
    EXPECT_EQ(offsetof(mezzo_adam_desc, eps_inside_sqrt), 56u);
    EXPECT_EQ(offsetof(mezzo_sgd_desc, decay_after_momentum), 40u);
    EXPECT_EQ(offsetof(mezzo_lamb_desc, always_adapts), 56u);
}

TEST(Abi, Structs_ArePlainData) {
    EXPECT_TRUE(is_plain<mezzo_device>);
    EXPECT_TRUE(is_plain<mezzo_tensor>);
    EXPECT_TRUE(is_plain<mezzo_memory_stats>);
    EXPECT_TRUE(is_plain<mezzo_tensor_info>);
    EXPECT_TRUE(is_plain<mezzo_host_copy>);
    EXPECT_TRUE(is_plain<mezzo_graph>);
    EXPECT_TRUE(is_plain<mezzo_graph_info>);
    EXPECT_TRUE(is_plain<mezzo_random_desc>);
    EXPECT_TRUE(is_plain<mezzo_gelu_desc>);
    EXPECT_TRUE(is_plain<mezzo_linear_desc>);
    EXPECT_TRUE(is_plain<mezzo_matmul_desc>);
    EXPECT_TRUE(is_plain<mezzo_embedding_desc>);
    EXPECT_TRUE(is_plain<mezzo_dropout_desc>);
    EXPECT_TRUE(is_plain<mezzo_mse_loss_desc>);
    EXPECT_TRUE(is_plain<mezzo_binary_cross_entropy_desc>);
    EXPECT_TRUE(is_plain<mezzo_norm_desc>);
    EXPECT_TRUE(is_plain<mezzo_batch_norm_desc>);
    EXPECT_TRUE(is_plain<mezzo_cross_entropy_desc>);
    EXPECT_TRUE(is_plain<mezzo_unscale_desc>);
    EXPECT_TRUE(is_plain<mezzo_scale_update_desc>);
    EXPECT_TRUE(is_plain<mezzo_step_inputs>);
    EXPECT_TRUE(is_plain<mezzo_adam_desc>);
    EXPECT_TRUE(is_plain<mezzo_sgd_desc>);
    EXPECT_TRUE(is_plain<mezzo_lamb_desc>);
}

} // namespace
