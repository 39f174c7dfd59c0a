// SPDX-License-Identifier: MIT
using System.Globalization;
using Mezzo.Autograd;
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
internal sealed class StepRandom(Device device) : IResumable, IDisposable
{
    private const int DrawBits = 32; // of a stream; the rest is the trainer's

    private (ulong Seed, ulong Stream)? _key; // taken from the default source by the first draw
    private long _written = -1;
    private uint _draws;

    /// <summary>The number of the step on the device, an i64 scalar.</summary>
    public Tensor Tensor { get; } = Tensor.AllocateOwned([], DType.Int64, device);

    /// <summary>Number of steps begun so far.</summary>
    public long StepNumber { get; private set; }

    /// <summary>The next draw: of the training step that this thread is in, or of a source.</summary>
    /// <param name="device">Where it is drawn.</param>
    /// <param name="source">Null for <see cref="RandomSource.Default"/>; in a training step its seed alone is used.</param>
    public static RandomDraw NextDraw(Device device, RandomSource? source)
    {
        if (TapeObserver.IsInTrial)
        {
            return default;
        }

        if (TrainingStep.Current?.Random is { } step && step.Tensor.Device == device)
        {
            return step.Next(source);
        }

        var desc = (source ?? RandomSource.Default).Next();
        return new RandomDraw(desc.Seed, desc.Stream, null, 0);
    }

    /// <inheritdoc/>
    public void Save(SavedPart part)
    {
        part.Write("step", StepNumber);
        part.Write("key", _key is { } key ? string.Create(CultureInfo.InvariantCulture, $"{key.Seed} {key.Stream}") : "none");
    }

    /// <inheritdoc/>
    public Action Load(SavedPart part)
    {
        long step = part.ReadInt64("step", least: 0);
        string text = part.ReadString("key");
        (ulong, ulong)? key = null;
        if (text != "none")
        {
            string[] words = text.Split(' ');
            key = words.Length == 2 && TryParse(words[0], out ulong seed) && TryParse(words[1], out ulong stream)
                ? (seed, stream)
                : throw part.Refuse("key", $"is '{text}', expected two whole numbers from 0 to 2^64 - 1, or none");
        }

        return () => (StepNumber, _key) = (step, key);

        static bool TryParse(string word, out ulong number) => ulong.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }

    /// <summary>Begins the next step.</summary>
    public void Begin() => StepNumber++;

    /// <summary>Begins the draws of a step anew.</summary>
    public void Rewind() => _draws = 0;

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
