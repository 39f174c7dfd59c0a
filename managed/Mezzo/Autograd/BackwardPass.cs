// SPDX-License-Identifier: MIT
using Mezzo.Checkpointing;

namespace Mezzo.Autograd;

/// <summary>Runs the ops that led to a tensor backwards, in reverse order of their recording.</summary>
internal static class BackwardPass
{
    [ThreadStatic]
    private static bool _isScaled;

    [ThreadStatic]
    private static int _running;

    /// <summary>Whether the gradients of the running pass are multiplied by a loss scale.</summary>
    public static bool IsScaled => _isScaled;

    /// <summary>Whether this thread runs a pass.</summary>
    public static bool IsRunning => _running > 0;

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
        var lastOfRegions = retainGraph ? LastOfRegions(operations) : [];
        bool wasScaled = _isScaled;
        TapeObserver[] observers = [.. TapeObserver.All];
        _running++;
        try
        {
            foreach (var operation in operations)
            {
                Array.ForEach(observers, observer => observer.BeforeBackward(operation));
                operation.RunBackward();
                Array.ForEach(observers, observer => observer.AfterBackward(operation));
                if (!retainGraph)
                {
                    operation.Release();
                }
                else if (lastOfRegions.TryGetValue(operation, out var regions))
                {
                    regions.ForEach(region => region.DropAgain());
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
            _running--;
            _isScaled = wasScaled;

            // Empty already, unless an op threw.
            foreach (var operation in operations)
            {
                operation.OutputGradient.Clear();
            }
        }
    }

    /// <summary>The checkpointed regions that each op is the last one of in a backward pass.</summary>
    private static Dictionary<Operation, List<CheckpointRegion>> LastOfRegions(List<Operation> operations)
    {
        var last = new Dictionary<CheckpointRegion, Operation>();
        foreach (var operation in operations)
        {
            foreach (var region in operation.Regions)
            {
                last[region] = operation;
            }
        }

        return last.GroupBy(pair => pair.Value, pair => pair.Key).ToDictionary(group => group.Key, group => group.ToList());
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
