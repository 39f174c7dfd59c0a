// SPDX-License-Identifier: MIT
using Mezzo.Checkpointing;

namespace Mezzo;

/// <summary>
/// Activation checkpointing: what a part of a forward pass saves for its backward pass is freed, and computed once more
/// when the backward pass comes to it. Losses, gradients and parameters are bit for bit those of a run without it.
/// </summary>
/// <remarks>
/// The part's recorded ops run once more, not the function: with the inputs, modes, numbers, dtypes and random draws of the
/// forward pass, whatever has been set since, and without changing running statistics again. So the function may be any,
/// take what it needs from its surroundings, and be nested; inputs need no gradient. Ops from the inputs to the last one
/// that is needed run, and no others. What ops without a gradient made is kept.
/// </remarks>
/// <example><code>var y = Checkpoint.Run(block.Forward, x);</code></example>
public static class Checkpoint
{
    private static int _checkValuesEvery;

    /// <summary>
    /// How often what is computed once more is compared with what it was, by a checksum of 64 bits of each tensor: in one training
    /// step of so many, or one region of so many where there is no <see cref="Trainer"/>; 1 stands for always and 0, as at
    /// first, for never. A difference is an <see cref="InvalidOperationException"/> that names the op.
    /// </summary>
    /// <remarks>Each comparison waits for the device. Steps in which it is made are not captured.</remarks>
    /// <exception cref="ArgumentOutOfRangeException">Set to less than 0.</exception>
    public static int CheckValuesEvery
    {
        get => Volatile.Read(ref _checkValuesEvery);
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            Volatile.Write(ref _checkValuesEvery, value);
        }
    }

    /// <summary>Runs a function, keeping nothing but what it takes and what it returns.</summary>
    /// <typeparam name="TOutput">A tensor, or a tuple or list of tensors; other parts of a tuple are passed on.</typeparam>
    /// <returns>What the function returned.</returns>
    /// <exception cref="ArgumentException">It returned no tensor.</exception>
    public static TOutput Run<TOutput>(Func<TOutput> function)
    {
        ArgumentNullException.ThrowIfNull(function);
        if (!NoGrad.IsRecording)
        {
            return function();
        }

        var region = CheckpointRegion.Begin();
        try
        {
            var output = function();
            var tensors = TensorsIn.Of(output);
            if (tensors.Count == 0)
            {
                throw new ArgumentException(
                    $"The checkpointed function returned {(output is null ? "null" : $"a {output.GetType().Name} without a tensor")}, "
                        + "expected a tensor, or a tuple or list of tensors.",
                    nameof(function));
            }

            region.End(tensors);
            return output;
        }
        catch when (region.IsOpen)
        {
            region.Abandon();
            throw;
        }
    }

    /// <inheritdoc cref="Run{TOutput}(Func{TOutput})"/>
    /// <typeparam name="TInput">What it takes.</typeparam>
    /// <typeparam name="TOutput">A tensor, or a tuple or list of tensors; other parts of a tuple are passed on.</typeparam>
    public static TOutput Run<TInput, TOutput>(Func<TInput, TOutput> function, TInput input)
    {
        ArgumentNullException.ThrowIfNull(function);
        return Run(() => function(input));
    }

    /// <inheritdoc cref="Run{TInput, TOutput}(Func{TInput, TOutput}, TInput)"/>
    public static TOutput Run<T1, T2, TOutput>(Func<T1, T2, TOutput> function, T1 input1, T2 input2)
    {
        ArgumentNullException.ThrowIfNull(function);
        return Run(() => function(input1, input2));
    }

    /// <inheritdoc cref="Run{TInput, TOutput}(Func{TInput, TOutput}, TInput)"/>
    public static TOutput Run<T1, T2, T3, TOutput>(Func<T1, T2, T3, TOutput> function, T1 input1, T2 input2, T3 input3)
    {
        ArgumentNullException.ThrowIfNull(function);
        return Run(() => function(input1, input2, input3));
    }

    /// <summary>Runs modules one after the other in segments, of which all but the last are checkpointed.</summary>
    /// <param name="modules">At least one. A <see cref="Linear"/> and the <see cref="ReLU"/> behind it run as one and stay together.</param>
    /// <param name="segments">
    /// From 1, where nothing is checkpointed, to the number of modules. Where modules that stay together leave fewer places to
    /// cut at, there are as many segments as these allow.
    /// </param>
    /// <param name="input">What the first module takes.</param>
    /// <param name="split">Where to cut.</param>
    /// <returns>What the last module gives.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are less than 1 or more segments than modules.</exception>
    public static Tensor Sequential(
        IReadOnlyList<Module<Tensor, Tensor>> modules, int segments, Tensor input, SegmentSplit split = SegmentSplit.Balanced)
    {
        ArgumentNullException.ThrowIfNull(modules);
        ArgumentNullException.ThrowIfNull(input);
        if (modules.Count == 0)
        {
            throw new ArgumentException("There are no modules, expected at least one.", nameof(modules));
        }

        return segments >= 1 && segments <= modules.Count
            ? new ModuleSegments(modules).Run(segments, input, split)
            : throw new ArgumentOutOfRangeException(nameof(segments), segments, $"The number of segments must be from 1 to that of the modules, {modules.Count}.");
    }
}
