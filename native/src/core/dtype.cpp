// SPDX-License-Identifier: MIT
#include "core/dtype.h"

namespace mezzo {

void fail_dtype(mezzo_dtype dtype) {
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "dtype is %d, expected one of mezzo_dtype (1 to 7)", static_cast<int>(dtype));
}

const char *dtype_name(mezzo_dtype dtype) {
    switch (dtype) {
        case MEZZO_DTYPE_F32:
            return "f32";
        case MEZZO_DTYPE_F64:
            return "f64";
        case MEZZO_DTYPE_F16:
            return "f16";
        case MEZZO_DTYPE_BF16:
            return "bf16";
        case MEZZO_DTYPE_I64:
            return "i64";
        case MEZZO_DTYPE_I32:
            return "i32";
        case MEZZO_DTYPE_U8:
            return "u8";
    }
    fail_dtype(dtype);
}

int64_t dtype_size(mezzo_dtype dtype) {
    return visit_dtype(dtype, [](auto tag) { return static_cast<int64_t>(sizeof(typename decltype(tag)::type)); });
}

} // namespace mezzo
