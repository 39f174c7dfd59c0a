// SPDX-License-Identifier: MIT
// Stands for the toolkit's header of this name: what host code needs.
#pragma once

#include "cuda_sim/api_types.h"
#include "cuda_sim/runtime_api.h"
