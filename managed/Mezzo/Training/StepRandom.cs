// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// Random draws of training steps: each is named by a seed, a stream that a trainer has for itself, the step and the number
/// of the draw within the step. The step is read on the device, so that a captured step draws anew with each launch.
/// </summary>
/// <remarks>
/// The host writes the number of the step before what draws in it runs: at its first draw, or before each launch of a graph
/// that draws. A step that is tried again keeps its number and with it its draws.
/// </remarks>
internal sealed class StepRandom(Device device) : IDisposable
{
    private const int DrawBits = 32; // of a stream; the rest is the trainer's

    [ThreadStatic]
    private static StepRandom? _current;

    private (ulong Seed, ulong Stream)? _key; // taken from the default source by the first draw
    private long _written = -1;
    private uint _draws;

    /// <summary>All that a checkpoint must keep of the draws.</summary>
    public StepRandomState State
    {
        get => new(StepNumber, _key);
        set => (StepNumber, _key) = (value.Step, value.Key);
    }

    /// <summary>The number of the step on the device, an i64 scalar.</summary>
    public Tensor Tensor { get; } = Tensor.AllocateOwned([], DType.Int64, device);

    /// <summary>Number of steps begun so far.</summary>
    public long StepNumber { get; private set; }

    /// <summary>The next draw: of the training step that this thread is in, or of a source.</summary>
    /// <param name="device">Where it is drawn.</param>
    /// <param name="source">Null for <see cref="RandomSource.Default"/>; in a training step its seed alone is used.</param>
    public static RandomDraw NextDraw(Device device, RandomSource? source)
    {
        if (_current is { } step && step.Tensor.Device == device)
        {
            return step.Next(source);
        }

        var desc = (source ?? RandomSource.Default).Next();
        return new RandomDraw(desc.Seed, desc.Stream, null, 0);
    }

    /// <summary>Begins the next step.</summary>
    public void Begin() => StepNumber++;

    /// <summary>Begins the draws of a step anew.</summary>
    public void Rewind() => _draws = 0;

    /// <summary>Runs a part of a step, whose draws are this object's.</summary>
    public T Run<T>(Func<T> part)
    {
        var outer = _current;
        _current = this;
        try
        {
            return part();
        }
        finally
        {
            _current = outer;
        }
    }

    public void Dispose() => Tensor.Dispose();

    private RandomDraw Next(RandomSource? source)
    {
        var (seed, stream) = _key ??= (RandomSource.Default.Seed, RandomSource.Default.TakeStream());
        if (CaptureTrace.Recording is { } recording)
        {
            recording.OnBeforeLaunch(this, _ => WriteStep());
        }
        else
        {
            WriteStep();
        }

        return new RandomDraw(source?.Seed ?? seed, (stream << DrawBits) | _draws++, this, StepNumber);
    }

    private void WriteStep()
    {
        if (_written != StepNumber)
        {
            Calls.Fill(Tensor.Handle, StepNumber);
            _written = StepNumber;
        }
    }
}

/// <summary>What a checkpoint keeps of the draws of training steps.</summary>
/// <param name="Step">Number of steps begun.</param>
/// <param name="Key">Seed and stream that name the draws; null before the first one.</param>
internal readonly record struct StepRandomState(long Step, (ulong Seed, ulong Stream)? Key);

/// <summary>A draw of random numbers.</summary>
/// <param name="Seed">As in the C ABI.</param>
/// <param name="Stream">As in the C ABI.</param>
/// <param name="Step">Where the step is read; null for none.</param>
/// <param name="StepNumber">The step of the draw.</param>
internal readonly record struct RandomDraw(ulong Seed, ulong Stream, StepRandom? Step, long StepNumber)
{
    /// <summary>Notes which draw it is.</summary>
    public void Describe(CaptureTrace trace)
    {
        trace.Mix(BitConverter.UInt64BitsToDouble(Seed));
        trace.Mix(BitConverter.UInt64BitsToDouble(Stream));
        trace.Mix(Step?.Tensor);
    }

    /// <summary>Checks that the draw can be made once more: its step is still the one that the device reads.</summary>
    /// <exception cref="InvalidOperationException">Another step has begun.</exception>
    public void CheckStep(string operation)
    {
        if (Step is not null && Step.StepNumber != StepNumber)
        {
            throw new InvalidOperationException(
                $"The gradient of {operation} is wanted in another training step than its forward pass, whose random numbers are those of the step.");
        }
    }
}
