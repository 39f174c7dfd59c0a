// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// What a training step changes even where it is skipped, running statistics say, as it was before the step: what is
/// done again begins there, so that a step that is tried again changes it once.
/// </summary>
/// <remarks>
/// The step itself makes the copies, so that a captured one makes them with each launch. Threads that the loss function
/// starts do not see them.
/// </remarks>
internal sealed class StepBuffers : IDisposable
{
    private readonly Dictionary<Tensor, Tensor> _before = [];
    private readonly HashSet<Tensor> _changed = [];

    /// <summary>What the step in progress has changed so far, or the latest one.</summary>
    public IReadOnlyCollection<Tensor> Changed => _changed;

    /// <summary>Begins the next step, or the capture of one.</summary>
    public void Begin()
    {
        _changed.Clear();
        foreach (var (buffer, copy) in _before.Where(pair => pair.Key.IsDisposed).ToArray())
        {
            copy.Dispose();
            _before.Remove(buffer);
        }
    }

    /// <summary>Copies tensors that the step is about to change, if it has not changed them yet.</summary>
    public void BeforeChange(params IEnumerable<Tensor?> buffers)
    {
        foreach (var buffer in buffers)
        {
            if (buffer is not null && _changed.Add(buffer))
            {
                CopyOf(buffer).CopyFrom(buffer);
            }
        }
    }

    /// <summary>Puts tensors that the step has changed back to what they were before it, but for those that it made itself.</summary>
    public void Restore(IEnumerable<Tensor> changed)
    {
        foreach (var buffer in changed)
        {
            if (!buffer.IsDisposed)
            {
                buffer.CopyFrom(_before[buffer]);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var copy in _before.Values)
        {
            copy.Dispose();
        }
    }

    private Tensor CopyOf(Tensor buffer)
    {
        if (!_before.TryGetValue(buffer, out var copy) || copy.DType != buffer.DType)
        {
            copy?.Dispose();
            _before[buffer] = copy = Tensor.AllocateOwned(buffer.Shape, buffer.DType, buffer.Device);
        }

        return copy;
    }
}
