// SPDX-License-Identifier: MIT
// Matrix products by NVIDIA's cuBLASLt, the peer that ours are measured against. The library is looked for when the
// benchmark runs, in the toolkit or in PyTorch's wheels, so that nothing of the project links it.
#pragma once

#include "cuda/matmul.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace mezzo::bench {

/// One way to compute a product: an algorithm that cuBLASLt's heuristics propose. Owned by its CublasLtProduct.
struct CublasLtAlgorithm {
    uint64_t opaque[8];
};

class CublasLt {
  public:
    /// Null where there is none, and `missing` says why. Looks at the files that MEZZO_CUBLASLT names, separated by
    /// colons, then for the library by its name.
    static std::unique_ptr<CublasLt> load(std::string &missing);
    ~CublasLt();
    CublasLt(const CublasLt &) = delete;
    CublasLt &operator=(const CublasLt &) = delete;

    const std::string &path() const { return path_; }
    int64_t version() const;

  private:
    friend class CublasLtProduct;
    struct Calls;

    CublasLt(std::string path, std::unique_ptr<Calls> calls, void *handle);

    std::string path_;
    std::unique_ptr<Calls> calls_;
    void *handle_;
};

/// A product of the shape and kind of a MatmulProblem: its bias and ReLU are fused, other epilogues are refused.
class CublasLtProduct {
  public:
    CublasLtProduct(const CublasLt &library, const MatmulProblem &problem, void *workspace, int64_t workspace_bytes);
    ~CublasLtProduct();
    CublasLtProduct(const CublasLtProduct &) = delete;
    CublasLtProduct &operator=(const CublasLtProduct &) = delete;

    /// What the heuristics propose, at most 16, best guess first.
    std::span<const CublasLtAlgorithm> algorithms() const { return algorithms_; }

    /// Issues the product with the pointers of a problem of the same shape and kind.
    void run(const CublasLtAlgorithm &algorithm, const MatmulProblem &problem, cudaStream_t stream) const;

  private:
    void *make_layout(mezzo_dtype dtype, int64_t rows, int64_t columns);

    const CublasLt::Calls &calls_;
    void *handle_;
    void *workspace_;
    int64_t workspace_bytes_;
    void *description_ = nullptr;
    void *preference_ = nullptr;
    std::vector<void *> layouts_; // of b, a and out, which cuBLASLt takes as columns
    std::vector<CublasLtAlgorithm> algorithms_;
};

} // namespace mezzo::bench
