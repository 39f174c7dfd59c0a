// SPDX-License-Identifier: MIT
using System.Diagnostics;

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
            part.Write("grad_norms", Column(step => step.Gradients?.Norm ?? 0));
            part.Write("has_grad_norms", Column(step => step.Gradients?.Norm is null ? 0 : 1));
            part.Write("outcomes", Column(step => (double)step.Outcome));
            part.Write("reasons", Column(step => (double)step.Reason));
        }
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
        var (losses, scales, norms, hasNorms, outcomes, reasons) = (Read("losses"), Read("scales"), Read("grad_norms"), Read("has_grad_norms"), Read("outcomes"), Read("reasons"));
        if (!outcomes.All(value => Enum.IsDefined((StepOutcome)value)) || !reasons.All(value => Enum.IsDefined((SkipReason)value)))
        {
            throw part.Refuse("outcomes", "or reasons hold a number that stands for none");
        }

        var steps = losses.Select((loss, i) => new StepResult(i, (StepOutcome)outcomes[i], (SkipReason)reasons[i], scales[i], loss)
        {
            Gradients = hasNorms[i] == 0 ? null : new GradientSummary(norms[i], 0, 0, 0, null, null),
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
