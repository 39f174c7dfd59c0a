// SPDX-License-Identifier: MIT
namespace Mezzo.Autograd;

/// <summary>Runs the ops that led to a tensor backwards, in reverse order of their recording.</summary>
internal static class BackwardPass
{
    [ThreadStatic]
    private static bool _isScaled;

    /// <summary>Whether the gradients of the running pass are multiplied by a loss scale.</summary>
    public static bool IsScaled => _isScaled;

    /// <summary>Says that from here on the gradients of the running pass are multiplied by a loss scale.</summary>
    public static void MarkScaled() => _isScaled = true;

    /// <param name="root">Tensor to differentiate.</param>
    /// <param name="gradient">Gradient of the root, taken over.</param>
    /// <param name="retainGraph">Whether the saved tensors stay for another pass.</param>
    public static void Run(Tensor root, Tensor gradient, bool retainGraph)
    {
        root.GradientSlot.Add(gradient);
        if (root.Producer is null)
        {
            return;
        }

        var operations = Reachable(root.Producer);
        bool wasScaled = _isScaled;
        try
        {
            foreach (var operation in operations)
            {
                operation.RunBackward();
                if (!retainGraph)
                {
                    operation.Release();
                }
            }
        }
        catch
        {
            operations.ForEach(operation => operation.Abandon());
            throw;
        }
        finally
        {
            _isScaled = wasScaled;

            // Empty already, unless an op threw.
            foreach (var operation in operations)
            {
                operation.OutputGradient.Clear();
            }
        }
    }

    /// <summary>The ops behind a tensor, last first, each with the number of gradients that it will get.</summary>
    private static List<Operation> Reachable(Operation root)
    {
        var seen = new HashSet<Operation> { root };
        var operations = new List<Operation> { root };
        root.ExpectedGradients = 1; // the one that the pass begins with
        for (int next = 0; next < operations.Count; next++)
        {
            foreach (var producer in operations[next].Producers)
            {
                if (seen.Add(producer))
                {
                    producer.ExpectedGradients = 0;
                    operations.Add(producer);
                }

                producer.ExpectedGradients++;
            }
        }

        operations.Sort((a, b) => b.Sequence.CompareTo(a.Sequence));
        return operations;
    }
}
