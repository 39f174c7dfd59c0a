// SPDX-License-Identifier: MIT
namespace Mezzo;

public abstract partial class Optimizer : IResumable
{
    /// <inheritdoc/>
    void IResumable.Save(SavedPart part)
    {
        part.Write("kind", GetType().Name);
        part.Write("groups", Groups.Count);
        foreach (var (i, group) in Groups.Index())
        {
            group.Save(part, $"group{i}");
        }

        foreach (var state in States())
        {
            part.Write(KeyOf(state, part), state.Tensor);
        }
    }

    /// <inheritdoc/>
    Action IResumable.Load(SavedPart part)
    {
        part.Expect("kind", GetType().Name);
        part.Expect("groups", Groups.Count);
        Action takeOver = () => { };
        foreach (var (i, group) in Groups.Index())
        {
            takeOver += group.Load(part, $"group{i}");
        }

        foreach (var state in States())
        {
            var saved = part.ReadTensor(KeyOf(state, part), state.Tensor.DType, state.Tensor.Shape);
            takeOver += () => state.Tensor.CopyFrom(saved);
        }

        return takeOver;
    }

    /// <summary>The tensors that the optimizer keeps of its parameters.</summary>
    private protected abstract IEnumerable<ParameterState> States();

    private static string KeyOf(ParameterState state, SavedPart part) => $"{state.Name}.{part.NameOf(state.Parameter)}";

    /// <summary>A tensor that an optimizer keeps of a parameter.</summary>
    /// <param name="Name">What it is called in saved states, by PyTorch's word.</param>
    /// <param name="Parameter">The parameter.</param>
    /// <param name="Tensor">The tensor.</param>
    private protected readonly record struct ParameterState(string Name, Parameter Parameter, Tensor Tensor);
}
