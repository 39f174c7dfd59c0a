// SPDX-License-Identifier: MIT
namespace Mezzo.Autograd;

/// <summary>A tensor that an op keeps for its backward pass, as it was in the forward pass.</summary>
internal readonly struct SavedTensor
{
    private readonly Tensor _tensor;
    private readonly string _operation;
    private readonly int _version;

    public SavedTensor(Tensor tensor, string operation)
    {
        _tensor = tensor;
        _operation = operation;
        _version = tensor.Version;
    }

    /// <summary>Whether the elements are those of the forward pass.</summary>
    public bool IsIntact => _tensor is not null && _tensor.Version == _version;

    /// <summary>The tensor.</summary>
    /// <exception cref="InvalidOperationException">Its elements have been changed since.</exception>
    public Tensor Value => _tensor.Version == _version
        ? _tensor
        : throw new InvalidOperationException(
            $"One of the tensors needed for the gradient of {_operation} has been modified by an inplace operation: " +
            $"{_tensor.Description} is at version {_tensor.Version}; expected version {_version} instead.");
}
