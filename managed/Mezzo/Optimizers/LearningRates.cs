// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// The learning rates of a group's coming steps, in device memory: the step reads the one that it is at by its own
/// counter, so that neither a schedule nor a change of the rate needs another capture, nor the host between two steps.
/// </summary>
/// <remarks>
/// The rate of step k lies at k modulo the capacity. The host knows how many steps it has issued, and so how far the
/// device can be; only when that passes the last rate written, or another schedule begins, does it ask.
/// </remarks>
internal sealed class LearningRates
{
    private const int Capacity = 256;
    private readonly double[] _written = new double[Capacity];
    private Source? _source;
    private long _end;  // of the steps whose rates are written
    private long _next; // no issued step is beyond

    public LearningRates(Device device)
    {
        Tensor = Tensor.AllocateOwned([Capacity], DType.Float64, device);
        Tensor.Fill(0);
    }

    /// <summary>The rates, f64 [capacity].</summary>
    public Tensor Tensor { get; }

    /// <summary>Makes ready for more steps.</summary>
    /// <param name="learningRate">The group's.</param>
    /// <param name="schedule">The group's; null for none.</param>
    /// <param name="counter">i64 scalar, what the device goes by.</param>
    /// <param name="steps">Number of steps that are about to be issued.</param>
    /// <exception cref="InvalidOperationException">The schedule gives no learning rate for one of them.</exception>
    public void Prepare(double learningRate, LearningRateSchedule? schedule, Tensor counter, int steps)
    {
        var source = new Source(learningRate, schedule, counter);
        bool isNew = _source != source;
        if (schedule is null && isNew)
        {
            Tensor.Fill(learningRate);
            _end = long.MaxValue;
        }
        else if (isNew || _next + steps > _end)
        {
            _next = counter.ToArray<long>()[0];
            Write(source, steps);
        }

        _source = source;
        _next += steps;
    }

    /// <summary>Forgets how far the device is, after its counter was set to another number.</summary>
    public void Reset() => _source = null;

    /// <summary>Frees the rates.</summary>
    public void Free() => Tensor.Dispose();

    /// <summary>Writes the rates of as many steps as there is room for, or until the schedule gives none.</summary>
    private void Write(Source source, int steps)
    {
        if (steps > Capacity)
        {
            throw new InvalidOperationException($"{steps} steps of one group of parameters are launched at once, expected at most {Capacity} where it has a schedule.");
        }

        long step = _next;
        for (; step < _next + Capacity; step++)
        {
            double rate;
            try
            {
                rate = source.RateOf(step);
            }
            catch (Exception) when (step >= _next + steps)
            {
                break; // nobody has asked for it yet
            }

            _written[step % Capacity] = rate;
        }

        Tensor.Write<double>(_written);
        _end = step;
    }

    /// <summary>What makes the rates.</summary>
    private sealed record Source(double LearningRate, LearningRateSchedule? Schedule, Tensor Counter)
    {
        public double RateOf(long step)
        {
            double factor = Schedule!.Factor(step);
            double rate = LearningRate * factor;
            return factor >= 0 && double.IsFinite(rate)
                ? rate
                : throw new InvalidOperationException(
                    $"The schedule {Schedule} gives the factor {factor} of the learning rate {LearningRate} for step {step}, expected a finite product of at least 0.");
        }
    }
}
