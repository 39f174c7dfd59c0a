// SPDX-License-Identifier: MIT
#include "cpu/product.h"

#include "core/cpu.h"
#include "core/dtype.h"
#include "core/error.h"

namespace mezzo::cpu {

const ProductMachine &product_machine() {
    static const ProductMachine machine{
        .avx512 = cpu_level() == CpuLevel::kV4,
        .avx512_bf16 = cpu_has_avx512_bf16(),
        .onednn = onednn_available(),
        .onednn_amx = onednn_uses_amx(),
    };
    return machine;
}

ProductChoice choose_product(mezzo_dtype dtype, const ProductShape &forward, const ProductMachine &machine) {
    using Kind = ProductChoice::Kind;
    const bool bf16_tiles = dtype == MEZZO_DTYPE_BF16 && machine.avx512_bf16;
    const mezzo_dtype wide = dtype == MEZZO_DTYPE_F64 ? MEZZO_DTYPE_F64 : MEZZO_DTYPE_F32;
    // One row uses each weight once: packing it would only cost.
    if (forward.m == 1) return {Kind::kThin, dtype};
    if (forward.n == 1 || forward.k == 1) {
        // Tiles are mostly empty then, and still faster than loops.
        if (!machine.avx512) return {Kind::kThin, dtype};
        return {Kind::kTile, bf16_tiles ? dtype : wide};
    }
    if (dtype == MEZZO_DTYPE_BF16 && machine.onednn_amx) return {Kind::kOneDnn, dtype};
    if (machine.avx512) return {Kind::kTile, bf16_tiles ? dtype : wide};
    if (machine.onednn && wide == MEZZO_DTYPE_F32) return {Kind::kOneDnn, wide};
    return {Kind::kPlain, wide};
}

const ProductBackend &product_backend(const ProductChoice &choice) {
    const auto find = [&]() -> const ProductBackend * {
        switch (choice.kind) {
            case ProductChoice::Kind::kThin:
                return thin_backend(choice.element);
            case ProductChoice::Kind::kTile:
                return tile_backend(choice.element);
            case ProductChoice::Kind::kOneDnn:
                return onednn_backend(choice.element);
            case ProductChoice::Kind::kPlain:
                return plain_backend(choice.element);
        }
        return nullptr;
    };
    const ProductBackend *backend = find();
    if (backend == nullptr) {
        fail(MEZZO_STATUS_INTERNAL, "no such matrix product backend for %s here", dtype_name(choice.element));
    }
    return *backend;
}

} // namespace mezzo::cpu
