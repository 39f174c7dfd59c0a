// SPDX-License-Identifier: MIT
namespace Mezzo.Autograd;

/// <summary>A tensor that an op keeps for its backward pass, or to be recomputed from, as it was in the forward pass.</summary>
internal readonly struct SavedTensor
{
    private readonly Tensor _tensor;
    private readonly string _op;
    private readonly bool _isForGradient;
    private readonly int _version;

    /// <param name="tensor">The tensor.</param>
    /// <param name="op">Name of the op that keeps it.</param>
    /// <param name="isForGradient">Whether it is kept for the op's gradient; else to run the op once more.</param>
    public SavedTensor(Tensor tensor, string op, bool isForGradient)
    {
        (_tensor, _op, _isForGradient) = (tensor, op, isForGradient);
        _version = tensor.Version;
    }

    /// <summary>Whether the elements are those of the forward pass.</summary>
    public bool IsIntact => _tensor is not null && _tensor.Version == _version;

    /// <summary>The tensor, whatever has become of its elements.</summary>
    public Tensor Tensor => _tensor;

    /// <summary>The tensor.</summary>
    /// <exception cref="InvalidOperationException">Its elements have been changed since.</exception>
    public Tensor Value => _tensor.Version == _version
        ? _tensor
        : throw new InvalidOperationException(
            $"One of the tensors needed for {(_isForGradient ? "the gradient of" : "recomputing")} {_op} has been modified by an inplace operation: " +
            $"{_tensor.Description} is at version {_tensor.Version}; expected version {_version} instead.");
}
