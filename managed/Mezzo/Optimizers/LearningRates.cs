// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// The learning rates of a group's coming steps, in device memory: the step reads the one that it is at by its own
/// counter, so that neither a schedule nor a change of the rate needs the host between two steps, nor another capture.
/// </summary>
/// <remarks>
/// The rate of step k lies at k modulo the capacity. The host knows how many steps it has issued, and so how far the
/// device can be; only when that passes the last rate written does it ask, once for many steps.
/// </remarks>
internal sealed class LearningRates(Device device) : IDisposable
{
    private const int Capacity = 256;
    private readonly double[] _written = new double[Capacity];
    private readonly Tensor _rates = Tensor.AllocateOwned([Capacity], DType.Float64, device);
    private (double LearningRate, LearningRateSchedule? Schedule)? _source;
    private long _end;  // of the steps whose rates are written
    private long _next; // no issued step is beyond

    /// <summary>The rates, f64 [capacity].</summary>
    public Tensor Tensor => _rates;

    /// <summary>Makes ready for one more step.</summary>
    /// <param name="learningRate">The group's.</param>
    /// <param name="schedule">The group's; null for none.</param>
    /// <param name="readStep">Reads the counter that the device goes by, once all issued steps are done.</param>
    public void Prepare(double learningRate, LearningRateSchedule? schedule, Func<long> readStep)
    {
        bool isNew = !(_source is { } source && source.LearningRate == learningRate && source.Schedule == schedule);
        if (isNew && schedule is null)
        {
            _rates.Fill(learningRate);
            _end = long.MaxValue;
        }
        else if (isNew || _next >= _end)
        {
            long step = readStep();
            for (long k = step; k < step + Capacity; k++)
            {
                _written[k % Capacity] = Rate(learningRate, schedule!, k);
            }

            _rates.Write<double>(_written);
            (_next, _end) = (step, step + Capacity);
        }

        _source = (learningRate, schedule);
        _next++;
    }

    /// <summary>Forgets what was written, after the counter has been changed.</summary>
    public void Reset() => (_source, _next) = (null, 0);

    /// <inheritdoc/>
    public void Dispose() => _rates.Dispose();

    private static double Rate(double learningRate, LearningRateSchedule schedule, long step)
    {
        double factor = schedule.Factor(step);
        return double.IsFinite(factor) && factor >= 0
            ? learningRate * factor
            : throw new InvalidOperationException($"The schedule {schedule} gives the factor {factor} for step {step}, expected a finite number of at least 0.");
    }
}
