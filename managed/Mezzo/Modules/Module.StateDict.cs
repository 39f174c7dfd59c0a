// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

public abstract partial class Module
{
    /// <summary>
    /// What a model has learnt, by name: its parameters as <see cref="NamedParameters"/> lists them, and then its buffers. The tensors are the module's
    /// own, no copies of them, but for parameters of 16 bits (<see cref="Amp"/>), which come as f32.
    /// </summary>
    /// <example><code>SafeTensors.Save("net.safetensors", model.StateDict());</code></example>
    public IReadOnlyDictionary<string, Tensor> StateDict() => AsSaved(State());

    /// <summary>Tensors as they are saved.</summary>
    internal static IReadOnlyDictionary<string, Tensor> AsSaved(IReadOnlyDictionary<string, Tensor> state) =>
        new OrderedDictionary<string, Tensor>(state.Select(pair => KeyValuePair.Create(pair.Key, pair.Value.AsSaved())));

    /// <summary>The tensors themselves.</summary>
    internal IReadOnlyDictionary<string, Tensor> State() =>
        new OrderedDictionary<string, Tensor>(
            NamedParameters().Select(named => (named.Name, Tensor: (Tensor)named.Parameter)).Concat(NamedBuffers().Select(named => (named.Name, Tensor: named.Buffer)))
                .Select(named => KeyValuePair.Create(named.Name, named.Tensor)));

    /// <summary>
    /// Overwrites what the module has learnt. Elements may come in a narrower dtype that the module's own holds exactly, as f16 or
    /// bf16 for f32, and from another device.
    /// </summary>
    /// <param name="state">Tensors by name.</param>
    /// <param name="strict">Whether names that are missing or too many are an error; otherwise those in common are loaded.</param>
    /// <exception cref="ArgumentException">The names differ, or a shape or dtype; the message lists them, and nothing has been changed.</exception>
    public void LoadStateDict(IReadOnlyDictionary<string, Tensor> state, bool strict = true)
    {
        ArgumentNullException.ThrowIfNull(state);
        var own = State();
        if (StateDictDifferences.Describe(own, state, tensor => (tensor.DType, tensor.Shape.ToArray(), tensor.Description), strict, mayWiden: true) is { } differences)
        {
            throw new ArgumentException($"The state dictionary does not fit the module: {differences}", nameof(state));
        }

        foreach (var (name, tensor) in own)
        {
            if (state.TryGetValue(name, out var given))
            {
                Overwrite(tensor, given);
            }
        }
    }

    private static void Overwrite(Tensor tensor, Tensor given)
    {
        if (given.DType == tensor.SavedDType)
        {
            tensor.TakeOver(given);
            return;
        }

        using var local = Tensor.AllocateOwned(given.Shape, given.DType, tensor.Device);
        local.CopyFrom(given);
        using var wide = Tensor.AllocateOwned(given.Shape, tensor.SavedDType, tensor.Device);
        Calls.CastForward(wide.Handle, local.Handle);
        tensor.TakeOver(wide);
    }
}
