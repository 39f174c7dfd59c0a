// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include "core/dtype.h"
#include "support/every_device.h"
#include "support/graph.h"
#include "support/oracle.h"
#include "support/thread_counts.h"

#include <random>
#include <set>

namespace mezzo::testing {
namespace {

using Bytes = std::vector<uint8_t>;

/// The formula of ops.h, over bytes as they lie in memory.
uint64_t reference(const Bytes &bytes, int64_t size) {
    uint64_t sum = 0;
    uint64_t place = 0;
    for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(size)) {
        uint64_t z = 0;
        for (auto k = static_cast<size_t>(size); k > 0; --k) z = z << 8 | bytes[at + k - 1];
        place += 0x9e3779b97f4a7c15;
        z += place;
        for (int round = 0; round < 2; ++round) z = (z ^ z >> 32) * 0xdaba0b6eb09322e3;
        sum += z ^ z >> 32;
    }
    return sum;
}

/// All kinds of bits, those of NaN included.
Bytes random_bytes(int64_t count, uint64_t seed) {
    std::mt19937_64 words(seed);
    Bytes bytes(static_cast<size_t>(count));
    for (uint8_t &byte : bytes) byte = static_cast<uint8_t>(words());
    return bytes;
}

void write(const TestTensor &tensor, const Bytes &bytes) {
    ASSERT_OK(mezzo_tensor_write(tensor, bytes.data(), static_cast<int64_t>(bytes.size())));
}

uint64_t value_of(const TestTensor &out) {
    uint64_t value = 0;
    EXPECT_OK(mezzo_tensor_read(&value, out, sizeof value));
    return value;
}

uint64_t checksum_of(const TestTensor &input) {
    const TestTensor out = TestTensor::scalar(MEZZO_DTYPE_I64, 123);
    EXPECT_OK(mezzo_checksum(out, input));
    return value_of(out);
}

TEST(Checksum, MatchesTheFormulaForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : kDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            const TestTensor input(dtype, shape);
            const Bytes bytes = random_bytes(input.info().bytes, 1);
            write(input, bytes);
            EXPECT_EQ(checksum_of(input), reference(bytes, dtype_size(dtype))) << dtype_name(dtype);
        }
    }
}

TEST(Checksum, MatchesTheFormulaWhereverTheElementsBegin) {
    for (const mezzo_dtype dtype : kDTypes) {
        const int64_t pack = 16 / dtype_size(dtype);
        for (const int64_t count : {int64_t{1}, pack - 1, pack, 2 * pack, 5 * pack + 1, int64_t{4097}}) {
            if (count == 0) continue;
            const Bytes bytes = random_bytes(count * dtype_size(dtype), 2);
            for (int64_t at = 0; at <= pack; ++at) {
                const Placed input(dtype, at, std::vector<double>(static_cast<size_t>(count)));
                write(input.view, bytes);
                EXPECT_EQ(checksum_of(input.view), reference(bytes, dtype_size(dtype)))
                    << count << " of " << dtype_name(dtype) << " from " << at;
            }
        }
    }
}

TEST(Checksum, OfKnownElements_IsWhatItEverWas) {
    const std::vector<std::pair<mezzo_dtype, uint64_t>> known = {
        {MEZZO_DTYPE_F32, 0x3b0a0002ac5e53b3}, {MEZZO_DTYPE_F64, 0xe391d5b02b493290},
        {MEZZO_DTYPE_F16, 0x4f91278f23216b28}, {MEZZO_DTYPE_BF16, 0xbcaa8e44e25b160b},
        {MEZZO_DTYPE_I64, 0xe27fb520126b1dda}, {MEZZO_DTYPE_I32, 0xe27fb520126b1dda},
        {MEZZO_DTYPE_U8, 0xe27fb520126b1dda},
    };
    for (const auto &[dtype, expected] : known) {
        EXPECT_EQ(checksum_of(TestTensor(dtype, {3}, {1, 2, 3})), expected) << dtype_name(dtype);
    }
}

TEST(Checksum, ChangesWithEachBit) {
    for (const mezzo_dtype dtype : kDTypes) {
        const TestTensor input(dtype, {37});
        Bytes bytes = random_bytes(input.info().bytes, 3);
        write(input, bytes);
        std::set<uint64_t> seen = {checksum_of(input)};
        for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
            const auto flip = static_cast<uint8_t>(1 << bit % 8);
            bytes[bit / 8] ^= flip;
            write(input, bytes);
            seen.insert(checksum_of(input));
            bytes[bit / 8] ^= flip;
        }
        EXPECT_EQ(seen.size(), 8 * bytes.size() + 1) << dtype_name(dtype);
    }
}

TEST(Checksum, ChangesWithTheOrderAndTheNumberOfElements) {
    for (const mezzo_dtype dtype : kDTypes) {
        std::vector<double> values = {1, 2, 3, 4, 5, 6, 7};
        std::set<uint64_t> seen = {checksum_of(TestTensor(dtype, {7}, values))};
        size_t tensors = 1;
        for (size_t i = 0; i < values.size(); ++i) {
            for (size_t j = 0; j < i; ++j, ++tensors) {
                std::swap(values[i], values[j]);
                seen.insert(checksum_of(TestTensor(dtype, {7}, values)));
                std::swap(values[i], values[j]);
            }
        }
        for (int64_t zeros = 1; zeros < 40; ++zeros, ++tensors) {
            seen.insert(checksum_of(TestTensor(dtype, {zeros}, std::vector<double>(static_cast<size_t>(zeros)))));
        }
        EXPECT_EQ(seen.size(), tensors) << dtype_name(dtype);
    }
}

TEST(Checksum, TellsZerosAndNaNsApart) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        EXPECT_NE(checksum_of(TestTensor(dtype, {1}, {0.0})), checksum_of(TestTensor(dtype, {1}, {-0.0})));
        const TestTensor input(dtype, {1});
        Bytes nan(static_cast<size_t>(input.info().bytes), 0xff);
        write(input, nan);
        const uint64_t all_ones = checksum_of(input);
        nan.front() = 0xfe; // another payload
        write(input, nan);
        EXPECT_NE(checksum_of(input), all_ones);
        EXPECT_EQ(checksum_of(input), reference(nan, dtype_size(dtype)));
    }
}

TEST(Checksum, WritesItsOwnElementOfATable) {
    const TestTensor table(MEZZO_DTYPE_I64, {3}, {7, 7, 7});
    const TestTensor out = table.view(1, {});
    const TestTensor input(MEZZO_DTYPE_F32, {3}, {1, 2, 3});
    ASSERT_OK(mezzo_checksum(out, input));
    EXPECT_EQ(value_of(out), checksum_of(input));
    for (const int64_t beside : {0, 2}) EXPECT_EQ(table.view(beside, {}).item(), 7);
}

TEST(ChecksumOnCpu, DoesNotDependOnTheNumberOfThreads) {
    for (const mezzo_dtype dtype : kDTypes) {
        const TestTensor input(dtype, {100003});
        write(input, random_bytes(input.info().bytes, 4));
        const TestTensor out(MEZZO_DTYPE_I64, {});
        expect_same_bytes_on_any_threads([&] {
            EXPECT_OK(mezzo_checksum(out, input));
            return out.bytes();
        });
    }
}

TEST(Checksum, WhenRecorded_IsThatOfTheElementsAsItRuns) {
    const TestTensor input(MEZZO_DTYPE_F16, {9001});
    const TestTensor out(MEZZO_DTYPE_I64, {});
    const TestGraph recorded([&] { EXPECT_OK(mezzo_checksum(out, input)); });
    for (const uint64_t seed : {5, 6}) {
        const Bytes bytes = random_bytes(input.info().bytes, seed);
        write(input, bytes);
        recorded.launch();
        recorded.launch();
        EXPECT_EQ(value_of(out), reference(bytes, 2));
    }
}

TEST(Checksum, OnEveryDevice_GivesTheSameBits) {
    for (const mezzo_dtype dtype : kDTypes) {
        for (const int64_t count : critical_counts()) {
            const Bytes bytes = random_bytes(count * dtype_size(dtype), 7);
            for (const int64_t at : {0, 1, 6}) {
                expect_same_bits_on_every_device([&](Results &results) {
                    const Placed input(dtype, at, std::vector<double>(static_cast<size_t>(count)));
                    write(input.view, bytes);
                    const TestTensor out(MEZZO_DTYPE_I64, {});
                    EXPECT_OK(mezzo_checksum(out, input));
                    results.add(out);
                });
            }
        }
    }
}

TEST(Checksum, RejectsBadArguments) {
    const TestTensor input(MEZZO_DTYPE_F16, {8});
    const TestTensor out(MEZZO_DTYPE_I64, {});
    EXPECT_FAILS(mezzo_checksum({}, input), INVALID_HANDLE, "checksum: out is the null tensor");
    EXPECT_FAILS(mezzo_checksum(out, {}), INVALID_HANDLE, "checksum: input is the null tensor");
    EXPECT_FAILS(mezzo_checksum(TestTensor(MEZZO_DTYPE_I32, {}), input), DTYPE_MISMATCH,
                 "checksum: out is i32[], expected dtype i64");
    EXPECT_FAILS(mezzo_checksum(TestTensor(MEZZO_DTYPE_I64, {1}), input), SHAPE_MISMATCH,
                 "checksum: out is i64[1], expected i64[]");
    EXPECT_FAILS(mezzo_checksum(out, out), INVALID_ARGUMENT,
                 "checksum: out shares memory with input, expected separate tensors");
    const TestTensor table(MEZZO_DTYPE_I64, {4});
    EXPECT_FAILS(mezzo_checksum(table.view(3, {}), table), INVALID_ARGUMENT,
                 "checksum: out shares memory with input, expected separate tensors");
    if (test_device().type == MEZZO_DEVICE_TYPE_CPU) return;
    const std::string error = "checksum: out is on cpu, expected " + device_name_of(test_device()) + " as input";
    EXPECT_FAILS(mezzo_checksum(on_cpu(out), input), DEVICE_MISMATCH, error.c_str());
}

} // namespace
} // namespace mezzo::testing
