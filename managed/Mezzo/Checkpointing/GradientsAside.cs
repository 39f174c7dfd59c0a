// SPDX-License-Identifier: MIT
namespace Mezzo.Checkpointing;

/// <summary>Gradients that leaves had before, put aside while others are computed, and put back.</summary>
internal sealed class GradientsAside(bool accumulates) : IDisposable
{
    private readonly Dictionary<Tensor, (Tensor? Gradient, bool IsScaled)> _leaves = [];

    /// <summary>Bytes that are live because of what was put aside, which a step would have cleared.</summary>
    public long Bytes => _leaves.Values.Sum(leaf => leaf.Gradient is { } gradient ? TapeRecord.AlignedBytes(gradient) : 0);

    public void PutAside(IEnumerable<Tensor> leaves)
    {
        foreach (var leaf in leaves)
        {
            if (!_leaves.ContainsKey(leaf))
            {
                bool isScaled = leaf.IsGradScaled;
                _leaves.Add(leaf, (leaf.TakeGrad(), isScaled));
            }
        }
    }

    public void EndRun()
    {
        if (!accumulates)
        {
            Clear();
        }
    }

    public void Clear()
    {
        foreach (var leaf in _leaves.Keys)
        {
            leaf.ClearGrad();
        }
    }

    public void Dispose()
    {
        Clear();
        foreach (var (leaf, (gradient, isScaled)) in _leaves)
        {
            if (gradient is not null)
            {
                leaf.PutGrad(gradient);
                leaf.IsGradScaled = isScaled;
            }
        }
    }
}
