// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Globalization;

namespace Mezzo.Cli.Jobs.SinCos;

/// <summary>What a run has measured so far, so that the result of one that was resumed tells of all its epochs.</summary>
internal sealed class SinCosHistory(Device device) : IResumable, IProgress<StepResult>
{
    private readonly List<StepResult> _steps = [];
    private IProgress<StepResult>? _next;
    private TimeSpan _before;
    private long _peakBefore;
    private long _start;

    /// <summary>All epochs, in order.</summary>
    public IReadOnlyList<StepResult> Steps => _steps;

    /// <summary>Most bytes of tensors and graphs at any time.</summary>
    public long PeakBytes => Math.Max(_peakBefore, device.Memory.PeakBytes);

    /// <summary>Begins to measure.</summary>
    /// <param name="next">Told of each step, too.</param>
    public void Start(IProgress<StepResult> next) => (_next, _start) = (next, Stopwatch.GetTimestamp());

    /// <summary>Time of the training loop, that before a break included.</summary>
    /// <param name="sinceStart">Time since <see cref="Start"/>.</param>
    public TimeSpan Elapsed(TimeSpan sinceStart) => _before + sinceStart;

    public void Report(StepResult value)
    {
        _steps.Add(value);
        _next?.Report(value);
    }

    public void Save(SavedPart part)
    {
        part.Write("seconds", Elapsed(Stopwatch.GetElapsedTime(_start)).TotalSeconds);
        part.Write("peak_bytes", PeakBytes);
        part.Write("steps", _steps.Count);
        if (_steps.Count > 0)
        {
            part.Write("losses", Column(step => step.Loss));
            part.Write("scales", Column(step => step.Scale));
            part.Write("grad_norms", Column(step => step.Gradients?.Norm ?? double.NaN));
            part.Write("grad_infs", Column(step => step.Gradients?.Infs ?? 0));
            part.Write("grad_nans", Column(step => step.Gradients?.NaNs ?? 0));
            part.Write("grad_zeros", Column(step => step.Gradients?.Zeros ?? 0));
            part.Write("grad_exponents", Column(step => step.Gradients?.LargestExponent ?? double.NaN));
            part.Write("retries", Column(step => step.Retries));
            part.Write("outcomes", Column(step => (double)step.Outcome));
            part.Write("reasons", Column(step => (double)step.Reason));
        }

        // Names hold neither of the two: they are paths of modules.
        part.Write("first_in", string.Join(' ', _steps.Where(step => step.Gradients?.FirstNonFinite is not null).Select(step => $"{step.Step}:{step.Gradients!.Value.FirstNonFinite}")));
    }

    public Action Load(SavedPart part)
    {
        double seconds = part.ReadDouble("seconds");
        long peak = part.ReadInt64("peak_bytes", least: 0);
        long count = part.ReadInt64("steps", least: 0);
        if (seconds is not (>= 0 and < 1e9))
        {
            throw part.Refuse("seconds", $"is {seconds}, expected a time");
        }

        double[] Read(string key) => count == 0 ? [] : part.ReadTensor(key, DType.Float64, [count]).ToArray<double>();
        var (losses, scales, outcomes, reasons, retries) = (Read("losses"), Read("scales"), Read("outcomes"), Read("reasons"), Read("retries"));
        var (norms, infs, nans, zeros, exponents) = (Read("grad_norms"), Read("grad_infs"), Read("grad_nans"), Read("grad_zeros"), Read("grad_exponents"));
        var first = part.ReadString("first_in").Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(entry => entry.Split(':', 2)).ToLookup(entry => entry[0], entry => entry[^1]);
        if (!outcomes.All(value => Enum.IsDefined((StepOutcome)value)) || !reasons.All(value => Enum.IsDefined((SkipReason)value)))
        {
            throw part.Refuse("outcomes", "or reasons hold a number that stands for none");
        }

        var steps = losses.Select((loss, i) => new StepResult(i, (StepOutcome)outcomes[i], (SkipReason)reasons[i], scales[i], loss)
        {
            Retries = (int)retries[i],
            Gradients = new GradientSummary(
                norms[i],
                (long)infs[i],
                (long)nans[i],
                (long)zeros[i],
                double.IsNaN(exponents[i]) ? null : (int)exponents[i],
                first[i.ToString(CultureInfo.InvariantCulture)].FirstOrDefault()),
        }).ToArray();
        return () =>
        {
            (_before, _peakBefore) = (TimeSpan.FromSeconds(seconds), peak);
            _steps.Clear();
            _steps.AddRange(steps);
        };
    }

    private Tensor Column(Func<StepResult, double> figure) => Tensor.Create<double>([.. _steps.Select(figure)], [_steps.Count], Device.Cpu);
}
