// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;

namespace Mezzo.Checkpointing;

/// <summary>The tensors in what a function returns.</summary>
internal static class TensorsIn
{
    /// <param name="value">A tensor, a list of tensors, or a tuple of these, of tuples and of other things.</param>
    public static IReadOnlyList<Tensor> Of(object? value)
    {
        var tensors = new List<Tensor>();
        Add(value, tensors);
        return tensors;
    }

    private static void Add(object? value, List<Tensor> tensors)
    {
        switch (value)
        {
            case Tensor tensor:
                tensors.Add(tensor);
                break;
            case ITuple tuple:
                for (int i = 0; i < tuple.Length; i++)
                {
                    Add(tuple[i], tensors);
                }

                break;
            case IEnumerable<Tensor?> list:
                tensors.AddRange(list.OfType<Tensor>());
                break;
        }
    }
}
