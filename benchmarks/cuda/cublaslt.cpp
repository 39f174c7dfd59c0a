// SPDX-License-Identifier: MIT
// The few declarations of cublasLt.h that are needed stand here, since the header may be missing where the library is
// not. Where there is a header they are compared with it.
#include "cublaslt.h"

#include "core/error.h"

#include <dlfcn.h>

#include <cstdlib>
#include <sstream>

#if __has_include(<cublasLt.h>) && !defined(MEZZO_CUDA_SIM)
#define MEZZO_HAVE_CUBLASLT_HEADER
#include <cublasLt.h>
#endif

namespace mezzo::bench {
namespace {

// cudaDataType
constexpr int kTypeF32 = 0, kTypeF64 = 1, kTypeF16 = 2, kTypeBf16 = 14;
// cublasComputeType_t
constexpr int kComputeF32 = 68, kComputeF64 = 70, kComputeTf32 = 77;
// cublasLtMatmulDescAttributes_t
constexpr int kTransA = 3, kTransB = 4, kEpilogue = 7, kBiasPointer = 8, kBiasType = 26;
// cublasLtEpilogue_t, whose values are bits
constexpr uint32_t kEpilogueDefault = 1, kEpilogueRelu = 2, kEpilogueBias = 4;
// cublasLtMatmulPreferenceAttributes_t
constexpr int kMaxWorkspaceBytes = 1;
// cublasOperation_t
constexpr int32_t kPlain = 0, kTransposed = 1;

struct HeuristicResult {
    CublasLtAlgorithm algorithm;
    size_t workspace_bytes;
    int status;
    float waves;
    int reserved[4];
};

#ifdef MEZZO_HAVE_CUBLASLT_HEADER
static_assert(kTypeF32 == CUDA_R_32F && kTypeF64 == CUDA_R_64F && kTypeF16 == CUDA_R_16F && kTypeBf16 == CUDA_R_16BF);
static_assert(kComputeF32 == CUBLAS_COMPUTE_32F && kComputeF64 == CUBLAS_COMPUTE_64F &&
              kComputeTf32 == CUBLAS_COMPUTE_32F_FAST_TF32);
static_assert(kTransA == CUBLASLT_MATMUL_DESC_TRANSA && kTransB == CUBLASLT_MATMUL_DESC_TRANSB &&
              kEpilogue == CUBLASLT_MATMUL_DESC_EPILOGUE && kBiasPointer == CUBLASLT_MATMUL_DESC_BIAS_POINTER &&
              kBiasType == CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE);
static_assert(kEpilogueDefault == CUBLASLT_EPILOGUE_DEFAULT && kEpilogueRelu == CUBLASLT_EPILOGUE_RELU &&
              kEpilogueBias == CUBLASLT_EPILOGUE_BIAS &&
              (kEpilogueRelu | kEpilogueBias) == static_cast<uint32_t>(CUBLASLT_EPILOGUE_RELU_BIAS));
static_assert(kMaxWorkspaceBytes == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
static_assert(kPlain == CUBLAS_OP_N && kTransposed == CUBLAS_OP_T && CUBLAS_STATUS_SUCCESS == 0);
static_assert(sizeof(CublasLtAlgorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(HeuristicResult) == sizeof(cublasLtMatmulHeuristicResult_t) &&
              offsetof(HeuristicResult, workspace_bytes) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize) &&
              offsetof(HeuristicResult, status) == offsetof(cublasLtMatmulHeuristicResult_t, state));
#endif

void expect_success(int status, const char *call) {
    if (status != 0) fail(MEZZO_STATUS_INTERNAL, "%s answered %d", call, status);
}

int type_of(mezzo_dtype dtype) {
    switch (dtype) {
        case MEZZO_DTYPE_F64:
            return kTypeF64;
        case MEZZO_DTYPE_F16:
            return kTypeF16;
        case MEZZO_DTYPE_BF16:
            return kTypeBf16;
        default:
            return kTypeF32;
    }
}

} // namespace

struct CublasLt::Calls {
    int (*create)(void **handle);
    int (*destroy)(void *handle);
    size_t (*get_version)();
    int (*description_create)(void **description, int compute_type, int scale_type);
    int (*description_set)(void *description, int attribute, const void *value, size_t bytes);
    int (*description_destroy)(void *description);
    int (*layout_create)(void **layout, int type, uint64_t rows, uint64_t columns, int64_t leading_dimension);
    int (*layout_destroy)(void *layout);
    int (*preference_create)(void **preference);
    int (*preference_set)(void *preference, int attribute, const void *value, size_t bytes);
    int (*preference_destroy)(void *preference);
    int (*heuristic)(void *handle, void *description, void *a, void *b, void *c, void *d, void *preference, int wanted,
                     HeuristicResult *results, int *found);
    int (*matmul)(void *handle, void *description, const void *alpha, const void *a, void *a_layout, const void *b,
                  void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
                  const CublasLtAlgorithm *algorithm, void *workspace, size_t workspace_bytes, cudaStream_t stream);

    /// False when the library lacks one of them.
    bool find(void *library) {
        return find(library, create, "cublasLtCreate") && find(library, destroy, "cublasLtDestroy") &&
               find(library, get_version, "cublasLtGetVersion") &&
               find(library, description_create, "cublasLtMatmulDescCreate") &&
               find(library, description_set, "cublasLtMatmulDescSetAttribute") &&
               find(library, description_destroy, "cublasLtMatmulDescDestroy") &&
               find(library, layout_create, "cublasLtMatrixLayoutCreate") &&
               find(library, layout_destroy, "cublasLtMatrixLayoutDestroy") &&
               find(library, preference_create, "cublasLtMatmulPreferenceCreate") &&
               find(library, preference_set, "cublasLtMatmulPreferenceSetAttribute") &&
               find(library, preference_destroy, "cublasLtMatmulPreferenceDestroy") &&
               find(library, heuristic, "cublasLtMatmulAlgoGetHeuristic") && find(library, matmul, "cublasLtMatmul");
    }

    template <class Call>
    static bool find(void *library, Call &call, const char *name) {
        call = reinterpret_cast<Call>(dlsym(library, name));
        return call != nullptr;
    }
};

CublasLt::CublasLt(std::string path, std::unique_ptr<Calls> calls, void *handle)
    : path_(std::move(path)), calls_(std::move(calls)), handle_(handle) {}

CublasLt::~CublasLt() {
    calls_->destroy(handle_);
}

int64_t CublasLt::version() const {
    return static_cast<int64_t>(calls_->get_version());
}

std::unique_ptr<CublasLt> CublasLt::load(std::string &missing) {
#ifdef MEZZO_CUDA_SIM
    missing = "the device is simulated";
    return nullptr;
#endif
    const char *named = std::getenv("MEZZO_CUBLASLT");
    std::istringstream names(std::string(named == nullptr ? "" : named) + ":libcublasLt.so.13:libcublasLt.so.12");
    for (std::string name; std::getline(names, name, ':');) {
        if (name.empty()) continue;
        void *library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) {
            const char *reason = dlerror();
            missing += (missing.empty() ? "" : "; ") + std::string(reason == nullptr ? name : reason);
            continue;
        }
        auto calls = std::make_unique<Calls>();
        void *handle = nullptr;
        if (!calls->find(library) || calls->create(&handle) != 0) {
            missing += (missing.empty() ? "" : "; ") + name + " does not start";
            continue;
        }
        return std::unique_ptr<CublasLt>(new CublasLt(name, std::move(calls), handle));
    }
    return nullptr;
}

// cuBLASLt's matrices are stored by columns. A row-major matrix is its own transpose stored so, thus
// out^T [n, m] = b^T [n, k] a^T [k, m]: the operands change places, and a flag of transposition stays what it is.
CublasLtProduct::CublasLtProduct(const CublasLt &library, const MatmulProblem &problem, void *workspace,
                                 int64_t workspace_bytes)
    : calls_(*library.calls_), handle_(library.handle_), workspace_(workspace), workspace_bytes_(workspace_bytes) {
    const MatmulEpilogue &epilogue = problem.epilogue;
    if (epilogue.mask || epilogue.add != 0 || epilogue.column_sum || problem.batch != 1) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "cublaslt: only bias and ReLU are compared");
    }
    const bool f64 = problem.dtype == MEZZO_DTYPE_F64;
    const int compute = f64                                                      ? kComputeF64
                        : problem.dtype == MEZZO_DTYPE_F32 && problem.allow_tf32 ? kComputeTf32
                                                                                 : kComputeF32;
    expect_success(calls_.description_create(&description_, compute, f64 ? kTypeF64 : kTypeF32),
                   "cublasLtMatmulDescCreate");
    const auto set = [&](int attribute, const auto &value) {
        expect_success(calls_.description_set(description_, attribute, &value, sizeof value),
                       "cublasLtMatmulDescSetAttribute");
    };
    set(kTransA, problem.b_transposed ? kTransposed : kPlain);
    set(kTransB, problem.a_transposed ? kTransposed : kPlain);
    uint32_t kind = (epilogue.relu ? kEpilogueRelu : 0) | (epilogue.bias ? kEpilogueBias : 0);
    if (kind == 0) kind = kEpilogueDefault;
    set(kEpilogue, kind);
    if (epilogue.bias) {
        set(kBiasPointer, static_cast<const void *>(epilogue.bias.data));
        set(kBiasType, static_cast<int32_t>(type_of(epilogue.bias.dtype)));
    }

    layouts_.push_back(problem.b_transposed ? make_layout(problem.dtype, problem.k, problem.n)
                                            : make_layout(problem.dtype, problem.n, problem.k));
    layouts_.push_back(problem.a_transposed ? make_layout(problem.dtype, problem.m, problem.k)
                                            : make_layout(problem.dtype, problem.k, problem.m));
    layouts_.push_back(make_layout(problem.out.dtype, problem.n, problem.m));

    expect_success(calls_.preference_create(&preference_), "cublasLtMatmulPreferenceCreate");
    const auto bytes = static_cast<uint64_t>(workspace_bytes);
    expect_success(calls_.preference_set(preference_, kMaxWorkspaceBytes, &bytes, sizeof bytes),
                   "cublasLtMatmulPreferenceSetAttribute");
    constexpr int kWanted = 16;
    HeuristicResult results[kWanted] = {};
    int found = 0;
    expect_success(calls_.heuristic(handle_, description_, layouts_[0], layouts_[1], layouts_[2], layouts_[2],
                                    preference_, kWanted, results, &found),
                   "cublasLtMatmulAlgoGetHeuristic");
    for (int i = 0; i < found; ++i) {
        if (results[i].status == 0) algorithms_.push_back(results[i].algorithm);
    }
    if (algorithms_.empty()) fail(MEZZO_STATUS_INTERNAL, "cuBLASLt's heuristics propose nothing");
}

CublasLtProduct::~CublasLtProduct() {
    if (preference_ != nullptr) calls_.preference_destroy(preference_);
    for (void *layout : layouts_) calls_.layout_destroy(layout);
    if (description_ != nullptr) calls_.description_destroy(description_);
}

void *CublasLtProduct::make_layout(mezzo_dtype dtype, int64_t rows, int64_t columns) {
    void *layout = nullptr;
    expect_success(calls_.layout_create(&layout, type_of(dtype), static_cast<uint64_t>(rows),
                                        static_cast<uint64_t>(columns), rows),
                   "cublasLtMatrixLayoutCreate");
    return layout;
}

void CublasLtProduct::run(const CublasLtAlgorithm &algorithm, const MatmulProblem &problem, cudaStream_t stream) const {
    const float one = 1, zero = 0;
    const double one_f64 = 1, zero_f64 = 0;
    const bool f64 = problem.dtype == MEZZO_DTYPE_F64;
    expect_success(
        calls_.matmul(handle_, description_, f64 ? static_cast<const void *>(&one_f64) : &one, problem.b, layouts_[0],
                      problem.a, layouts_[1], f64 ? static_cast<const void *>(&zero_f64) : &zero, problem.out.data,
                      layouts_[2], problem.out.data, layouts_[2], &algorithm, workspace_,
                      static_cast<size_t>(workspace_bytes_), stream),
        "cublasLtMatmul");
}

} // namespace mezzo::bench
