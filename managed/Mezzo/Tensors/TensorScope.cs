// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// Frees the tensors that are made while it is open. One scope around each training step makes the live
/// memory the same after every step, without disposing of intermediate tensors one by one.
/// </summary>
/// <remarks>
/// Scopes nest and flow with async code, each tensor belonging to the innermost scope open where it was
/// made. Parameters, their gradients and the states of optimizers and scalers belong to no scope.
/// </remarks>
public sealed class TensorScope : IDisposable
{
    private static readonly AsyncLocal<TensorScope?> CurrentScope = new();
    private readonly HashSet<Tensor> _tensors = [];
    private readonly Lock _lock = new();
    private readonly TensorScope? _outer;
    private bool _disposed;

    private TensorScope(TensorScope? outer) => _outer = outer;

    /// <summary>Opens a scope; dispose of it to close it.</summary>
    public static TensorScope Begin()
    {
        var scope = new TensorScope(CurrentScope.Value);
        CurrentScope.Value = scope;
        return scope;
    }

    /// <summary>Counts from 0 to <paramref name="count"/> - 1, with a scope of its own around each turn of the loop.</summary>
    /// <example><code>foreach (int epoch in TensorScope.Steps(1000)) { ... }</code></example>
    public static IEnumerable<int> Steps(int count)
    {
        for (int step = 0; step < count; step++)
        {
            using (Begin())
            {
                yield return step;
            }
        }
    }

    /// <summary>Frees the scope's tensors and makes the enclosing scope current again.</summary>
    public void Dispose()
    {
        Tensor[] tensors;
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            tensors = [.. _tensors];
            _tensors.Clear();
        }

        if (CurrentScope.Value == this)
        {
            CurrentScope.Value = _outer;
        }

        foreach (var tensor in tensors)
        {
            tensor.Scope = null;
            tensor.FreeNow();
        }
    }

    /// <summary>Gives a new tensor to the current scope, if there is one.</summary>
    internal static Tensor Adopt(Tensor tensor)
    {
        // A task may outlive the scope it was started in; what it makes then belongs to the nearest open one.
        for (var scope = CurrentScope.Value; scope is not null; scope = scope._outer)
        {
            if (scope.TryAdd(tensor))
            {
                break;
            }
        }

        return tensor;
    }

    /// <summary>Hands a tensor to the enclosing scope.</summary>
    internal void Release(Tensor tensor)
    {
        Forget(tensor);
        for (var scope = _outer; scope is not null; scope = scope._outer)
        {
            if (scope.TryAdd(tensor))
            {
                break;
            }
        }
    }

    /// <summary>Drops a tensor that is being freed, or that has found another owner.</summary>
    internal void Forget(Tensor tensor)
    {
        lock (_lock)
        {
            _tensors.Remove(tensor);
            tensor.Scope = null;
        }
    }

    private bool TryAdd(Tensor tensor)
    {
        lock (_lock)
        {
            if (_disposed)
            {
                return false;
            }

            _tensors.Add(tensor);
            tensor.Scope = this;
            return true;
        }
    }
}
