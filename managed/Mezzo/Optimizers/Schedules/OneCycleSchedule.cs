// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// <c>torch.optim.lr_scheduler.OneCycleLR</c> for the learning rate, whose largest is that of the group: up from 1 / divFactor to 1,
/// then down to 1 / (divFactor finalDivFactor), along half cosines or straight lines.
/// </summary>
/// <remarks>Momentum stays as it is: PyTorch's <c>cycle_momentum=False</c>. After the last step the last factor stays.</remarks>
public sealed record OneCycleSchedule : LearningRateSchedule
{
    /// <summary>Creates the schedule.</summary>
    /// <param name="totalSteps">Steps of the whole run, at least 2.</param>
    /// <param name="warmup">Part of them until the largest rate, in [0, 1): PyTorch's <c>pct_start</c>.</param>
    /// <param name="divFactor">Quotient of the largest and the first rate, finite and above 0.</param>
    /// <param name="finalDivFactor">Quotient of the first and the last rate, finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public OneCycleSchedule(long totalSteps, double warmup = 0.3, double divFactor = 25, double finalDivFactor = 1e4)
    {
        (TotalSteps, Warmup) = (Steps(totalSteps, 2, nameof(totalSteps)), Requirements.FractionBelowOne(warmup, nameof(warmup)));
        DivFactor = Requirements.FiniteAboveZero(divFactor, nameof(divFactor));
        FinalDivFactor = Requirements.FiniteAboveZero(finalDivFactor, nameof(finalDivFactor));
    }

    /// <summary>Steps of the whole run.</summary>
    public long TotalSteps { get; }

    /// <summary>Part of them until the largest rate.</summary>
    public double Warmup { get; }

    /// <summary>Quotient of the largest and the first rate.</summary>
    public double DivFactor { get; }

    /// <summary>Quotient of the first and the last rate.</summary>
    public double FinalDivFactor { get; }

    /// <summary>Whether the rate goes along straight lines.</summary>
    public bool Linear { get; init; }

    /// <inheritdoc/>
    public override double Factor(long step)
    {
        double first = 1 / DivFactor;
        double last = first / FinalDivFactor;
        double top = Warmup * TotalSteps - 1; // the step of the largest rate
        double end = TotalSteps - 1;
        return step <= top ? Between(first, 1, top == 0 ? 1 : step / top)
            : step >= end ? last
            : Between(1, last, (step - top) / (end - top));
    }

    private double Between(double from, double to, double part) =>
        Linear ? from + (to - from) * part : to + (from - to) / 2 * (1 + Math.Cos(Math.PI * part));
}
