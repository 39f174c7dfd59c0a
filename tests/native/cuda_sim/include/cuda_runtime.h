// SPDX-License-Identifier: MIT
// Stands for the toolkit's header of this name when the .cu files are compiled as ordinary C++: the keywords, the
// built-in variables and functions of device code, and the runtime API.
#pragma once

#include "cuda_runtime_api.h"

#include "cuda_sim/atomic.h"
#include "cuda_sim/barrier.h"
#include "cuda_sim/index.h"
#include "cuda_sim/intrinsics.h"
#include "cuda_sim/keywords.h"
#include "cuda_sim/vector_types.h"
#include "cuda_sim/warp.h"
